"""Parts are found in any kind of model, read in one pass, and named when they cannot be found."""

import threading

import keras
import numpy as np
import pytest
from keras import layers, ops
from marks import thorough

from keras_prokt import FrozenTeacherDistiller, models
from keras_prokt.distillers import features
from keras_prokt.losses import Objective

SPEC = keras.KerasTensor((None, 16, 16, 3))
X = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype("float32")


def functional():
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, padding="same", name="first")(inputs)
    x = layers.ReLU(name="first_relu")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="second")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(0.5)(x)
    return keras.Model(inputs, layers.Dense(5)(x))


class Block(layers.Layer):
    """A residual block whose last operation is no layer."""

    def __init__(self, channels, strides, **kwargs):
        super().__init__(**kwargs)
        self.conv = layers.Conv2D(channels, 3, strides, padding="same")
        self.shortcut = layers.Conv2D(channels, 1, strides)

    def build(self, shape):
        self.conv.build(shape)
        self.shortcut.build(shape)

    def call(self, x):
        return ops.relu(self.conv(x) + self.shortcut(x))


class Subclassed(keras.Model):
    """Blocks and a head, as many users write it."""

    def __init__(self):
        super().__init__()
        self.one = Block(4, 1, name="one")
        self.two = Block(6, 2, name="two")
        self.pool = layers.GlobalAveragePooling2D(name="average")
        self.head = layers.Dense(5, name="head")

    def call(self, x):
        return self.head(self.pool(self.two(self.one(x))))


def nested():
    inner = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(4, 3, padding="same", name="a"),
            layers.Conv2D(6, 3, 2, padding="same", name="b"),
        ],
        name="inner",
    )
    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D(name="average")(inner(inputs))
    return keras.Model(inputs, layers.Dense(5)(x))


def found(model, parts, given=None):
    model(X[:1])
    calls = features.observe(model, SPEC)
    return features.find_taps(calls, parts, given or {}, "student", model)


@pytest.mark.parametrize(
    ("make", "stages", "pooled"),
    [
        (functional, ["first_relu", "second"], "average"),
        (Subclassed, ["one", "two"], "average"),
        (nested, ["inner/a", "inner"], "average"),
        (
            lambda: models.get("wrn-16-2")(5, (16, 16, 3)),
            ["stage_1", "stage_2", "stage_3"],
            "pooled",
        ),
        (lambda: models.get("cnn-large")(5, (16, 16, 3)), ["stage_1", "stage_2"], "pooled"),
    ],
)
def test_stages_are_the_last_outputs_at_each_resolution(make, stages, pooled):
    taps = found(make(), ["stages", "pooled"])
    assert taps["stages"] == stages
    assert taps["pooled"] == pooled


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="JAX compiles every initializer of these large models; finding taps is not its business",
)
@pytest.mark.parametrize(
    ("name", "stages", "sizes"),
    [
        ("ResNet50", ["conv2_block3_out", "conv3_block4_out", "conv4_block6_out"], [8, 4, 2]),
        (
            "MobileNetV2",
            ["block_3_expand_relu", "block_6_expand_relu", "block_13_expand_relu"],
            [8, 4, 2],
        ),
    ],
)
def test_keras_applications(name, stages, sizes):
    model = getattr(keras.applications, name)(weights=None, input_shape=(32, 32, 3), classes=5)
    calls = features.observe(model, model.input)
    taps = features.find_taps(calls, ["stages", "pooled"], {}, "teacher", model)
    shapes = {call.path: tuple(call.outputs.shape) for call in calls}
    by_size = {shapes[path][1]: path for path in taps["stages"]}
    for path, size in zip(stages, sizes, strict=True):
        assert by_size[size] == path
    assert len(shapes[taps["pooled"]]) == 2


def test_pre_activations_are_what_the_last_activation_reads():
    model = models.get("cnn-large")(5, (16, 16, 3))
    taps = found(model, ["pre_activations"])
    assert taps["pre_activations"] == ["stage_1:input", "stage_2:input"]
    with features.recording_calls(features.layers_by_path(model)) as calls:
        model(X)
    parts = features.read_parts(calls, {"stages": ["stage_1"], **taps}, model)
    before = ops.convert_to_numpy(parts["pre_activations"][0])
    np.testing.assert_allclose(np.maximum(before, 0), ops.convert_to_numpy(parts["stages"][0]))
    with pytest.raises(ValueError, match="student whose pre_activations can be found"):
        found(functional(), ["pre_activations"])  # the activation is inside a convolution


def test_a_model_without_stages_lists_its_layers():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="one"), layers.Dense(5)])
    with pytest.raises(ValueError, match=r"student_taps=\{'stages': \[\]\}, among: one \(3,\)"):
        FrozenTeacherDistiller(functional(), model, objectives=[Stages()])


def test_queries_and_keys_are_no_feature_maps():
    with pytest.raises(ValueError, match="student whose stages can be found"):
        found(models.get("transformer-small")(5, (16, 16, 3)), ["stages"])


def test_a_model_whose_resolution_goes_up_again_is_asked_for_names():
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(4, 3, 2, padding="same", name="down"),
            layers.UpSampling2D(name="up"),
            layers.UpSampling2D(name="up_again"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ]
    )
    with pytest.raises(ValueError, match="among: down"):
        found(model, ["stages"])
    assert found(model, ["stages"], {"stages": ["down"]})["stages"] == ["down"]


@pytest.mark.slow
@pytest.mark.parametrize("make", [functional, *thorough(Subclassed, nested)])
@pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="JAX compiles every initializer of the large teacher; finding taps is not its business",
)
def test_a_teacher_of_keras_applications_and_any_student_without_naming_layers(make):
    network = keras.applications.MobileNetV2(
        weights=None, input_shape=(32, 32, 3), alpha=0.35, classes=5, classifier_activation=None
    )
    teacher = keras.Sequential([keras.Input((16, 16, 3)), layers.UpSampling2D(), network])
    distiller = FrozenTeacherDistiller(teacher, make(), objectives="at+kd", label_weight=1.0)
    distiller.compile("sgd")
    logs = distiller.train_on_batch(X, np.arange(4), return_dict=True)
    assert all(np.isfinite(float(value)) for value in logs.values())
    assert logs["at"] > 0 and logs["kd"] > 0


class Stages(Objective):
    """Reads the stages of both networks and matches their means."""

    id = "stages"
    reads = ("stages", "pooled")

    def call(self, teacher, student):
        self.seen = (teacher, student)
        difference = ops.mean(teacher["stages"][-1]) - ops.mean(student["stages"][-1])
        return difference**2 + 0 * student["logits"][:, 0]


def test_users_name_layers_and_are_helped_with_typing_errors():
    taps = {"stages": ["first_relu"]}
    distiller = FrozenTeacherDistiller(
        functional(), functional(), objectives=[Stages()], teacher_taps=taps, student_taps=taps
    )
    distiller.compile("sgd", run_eagerly=True)
    distiller.train_on_batch(X, np.arange(4))
    teacher, student = distiller.objectives[0].seen
    assert len(teacher["stages"]) == len(student["stages"]) == 1
    for wrong, message in (
        ({"stages": ["first_rleu"]}, "did you mean 'first_relu'"),
        ({"stage": ["first_relu"]}, "did you mean 'stages'"),
        ({"stages": "first_relu"}, "a list of layer names for 'stages'"),
        ({"pooled": ["average"]}, "one layer name for 'pooled'"),
    ):
        with pytest.raises(ValueError, match=message):
            FrozenTeacherDistiller(functional(), functional(), student_taps=wrong)


def test_a_layer_that_runs_twice_is_refused():
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(shared(shared(inputs)))
    model = keras.Model(inputs, layers.Dense(5)(x))
    with pytest.raises(ValueError, match="'shared' of .* to run once in a forward, received 2"):
        FrozenTeacherDistiller(
            functional(), model, objectives=[Stages()], student_taps={"stages": ["shared"]}
        )


def test_parts_are_those_of_the_models_own_forward_and_nothing_is_left_behind():
    model = functional()
    before = set(vars(model.get_layer("second")))
    with features.recording_calls(features.layers_by_path(model)) as calls:
        logits = model(X, training=False)
    parts = features.read_parts(
        calls, {"stages": ["first_relu", "second"], "pooled": "average"}, model
    )
    inner = keras.Model(model.input, [model.get_layer(n).output for n in ("first_relu", "second")])
    for received, expected in zip(parts["stages"], inner(X), strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(received), ops.convert_to_numpy(expected), atol=1e-6
        )
    head = model.layers[-1]
    np.testing.assert_allclose(
        ops.convert_to_numpy(head(parts["pooled"])), ops.convert_to_numpy(logits), atol=1e-6
    )
    assert set(vars(model.get_layer("second"))) == before
    model(X)
    assert len([c for c in calls if c.path == "second"]) == 1  # later forwards are not recorded


def test_two_threads_record_their_own_forwards():
    model = functional()
    tapped = {"second": model.get_layer("second")}
    seen = {}
    ready = threading.Barrier(2)

    def run(number):
        with features.recording_calls(tapped) as calls:
            ready.wait(10)
            model(X[: number + 1])
            ready.wait(10)
        seen[number] = [tuple(c.outputs.shape)[0] for c in calls]

    threads = [threading.Thread(target=run, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {0: [1], 1: [2]}
    assert "call" not in vars(model.get_layer("second"))
