"""Teachers of which a part is frozen: that part runs once a step, and nothing else changes."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt import ProKTDistiller, backends
from keras_prokt.distillers.frozen_part import FrozenPart, unchanging
from keras_prokt.layer_calls import computing_once
from keras_prokt.models.bert import ExactGeluBertBackbone
from keras_prokt.models.trained_part import train_last_blocks

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 6, 6, 3)).astype("float32")
Y = RNG.integers(0, 4, 16)
IDS = RNG.integers(1, 40, (16, 6)).astype("int32")


class Counted(layers.Dense):
    """A layer of Keras's family that counts how often its code runs."""

    __module__ = "keras_prokt.tests"
    runs = 0

    def call(self, inputs, training=None):
        Counted.runs += 1
        return super().call(inputs)


def convolutional(dropout=0.0):
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, padding="same", name="conv")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    skip = layers.Conv2D(4, 1, name="skip")(inputs)
    x = keras.ops.relu(x) + skip  # operations of the graph that are no layers
    x = layers.Dropout(dropout)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = Counted(8, "relu", name="counted")(x)
    model = keras.Model(inputs, layers.Dense(4, name="head")(x))
    for name in ("conv", "bn", "skip", "counted"):
        model.get_layer(name).trainable = False
    return model


def nested():
    inner = convolutional()
    inputs = keras.Input((6, 6, 3))
    frozen = keras.Model(inner.input, inner.get_layer("counted").output, name="frozen")
    return keras.Model(inputs, layers.Dense(4, name="head")(frozen(layers.Rescaling(2.0)(inputs))))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = convolutional()
        self.head = layers.Dense(4)

    def call(self, inputs):
        return self.head(self.inner(inputs))


TEACHERS = {"functional": convolutional, "nested": nested, "subclassed": Subclassed}


def trained(build, monkeypatch, is_shared=True, **settings):
    """Weights after two epochs, and how often the frozen layer ran in one step."""
    keras.utils.set_random_seed(1)
    teacher = build()
    teacher(X[:8])
    student = keras.Sequential([keras.Input((6, 6, 3)), layers.Flatten(), layers.Dense(4)])
    distiller = ProKTDistiller(teacher, student, **settings)
    distiller.compile("adam", teacher_optimizer="adam", run_eagerly=True)
    if not is_shared:
        monkeypatch.setattr(FrozenPart, "computing_once", lambda self, inputs: _nothing())
    for _ in range(2):  # the first builds and traces what is not
        Counted.runs = 0
        distiller.fit(X[:8], Y[:8], batch_size=8, verbose=0)
    runs = Counted.runs
    distiller.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    monkeypatch.undo()
    return distiller.get_weights(), runs, distiller


def _nothing():
    return computing_once([], None)


@pytest.mark.parametrize("build", TEACHERS.values(), ids=TEACHERS)
def test_it_runs_once_a_step_and_every_weight_is_as_if_it_ran_twice(build, monkeypatch):
    once, runs, _ = trained(build, monkeypatch)
    twice, runs_of_two, _ = trained(build, monkeypatch, is_shared=False)
    if backends.current().reads_outputs_again:
        assert (runs, runs_of_two) == (1, 2)
    for one, other in zip(once, twice, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_a_dropout_before_it_is_drawn_in_each_forward(mode, monkeypatch):
    _, runs, _ = trained(lambda: convolutional(0.5), monkeypatch, target_mode=mode)
    assert runs == 2  # it reads other values each time


def test_what_is_frozen_is_not_trained_and_has_no_slots_of_the_optimizer(monkeypatch):
    keras.utils.set_random_seed(1)
    start = convolutional().get_layer("conv").get_weights()
    _, _, distiller = trained(convolutional, monkeypatch)
    conv = distiller.teacher.get_layer("conv")
    np.testing.assert_array_equal(conv.get_weights()[0], start[0])
    slots = sum(np.prod(v.shape) for v in distiller.optimizer.teacher.variables)
    trained_size = sum(np.prod(v.shape) for v in distiller.teacher.trainable_variables)
    assert slots == 2 * trained_size + 2  # moments; count of steps and learning rate


def test_no_layer_of_the_frozen_part_is_kept_a_second_time(monkeypatch):
    _, _, distiller = trained(convolutional, monkeypatch)
    assert not {"conv", "bn", "skip", "counted"} & {layer.name for layer in distiller.layers}


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.BatchNormalization(), (4,)),
        (layers.Dropout(0.1), (4,)),
        (layers.GaussianNoise(0.1), (4,)),
        (layers.Dense(3), (4,)),
        (layers.Lambda(lambda x: x), (4,)),
        (layers.SpectralNormalization(layers.Dense(3)), (4,)),
        (layers.RandomFlip(), (4, 4, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_changes_with_the_mode_or_trains_is_not_shared(layer, shape):
    model = keras.Sequential([keras.Input(shape), layer])
    assert layer not in unchanging(model)


@pytest.mark.parametrize("layer", [layers.SpectralNormalization(layers.Dense(3))])
def test_what_changes_though_it_is_frozen_is_not_shared(layer):
    model = keras.Sequential([keras.Input((4,)), layer])
    layer.trainable = False
    assert layer not in unchanging(model)


@pytest.mark.parametrize(
    "layer",
    [layers.BatchNormalization(), layers.Dense(3), layers.Dropout(0.0), layers.Activation("relu")],
    ids=lambda value: type(value).__name__,
)
def test_what_is_frozen_or_has_no_weights_is_shared(layer):
    model = keras.Sequential([keras.Input((4,)), layer])
    layer.trainable = False
    assert layer in unchanging(model)


def bert():
    """A BERT whose last block alone trains."""
    backbone = ExactGeluBertBackbone(
        vocabulary_size=40,
        num_layers=3,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=12,
    )
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask", "segment_ids")
    }
    model = keras.Model(inputs, layers.Dense(4, name="logits")(backbone(inputs)["pooled_output"]))
    return train_last_blocks(model, 1)


def trained_bert(monkeypatch, is_shared):
    keras.utils.set_random_seed(1)
    x = {"token_ids": IDS, "padding_mask": np.ones_like(IDS), "segment_ids": 0 * IDS}
    student = keras.Sequential(
        [layers.Embedding(40, 4), layers.GlobalAveragePooling1D(), layers.Dense(4)]
    )
    distiller = ProKTDistiller(bert(), student, student_inputs=lambda x: x["token_ids"])
    distiller.compile("adam", teacher_optimizer="adam")
    if not is_shared:
        monkeypatch.setattr(FrozenPart, "computing_once", lambda self, inputs: _nothing())
    distiller.fit(x, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    monkeypatch.undo()
    return distiller


def test_blocks_of_bert_run_once_a_step(monkeypatch):
    once, twice = (trained_bert(monkeypatch, is_shared) for is_shared in (True, False))
    for one, other in zip(once.get_weights(), twice.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's kernel")
def test_the_kernel_of_bert_computes_frozen_blocks_once(monkeypatch):
    from keras_prokt.backends.tensorflow_kernels import bert as kernel

    computed = []
    encode = kernel._encode
    counted = pytest.MonkeyPatch()
    counted.setattr(
        kernel, "_encode", lambda layer, *rest: computed.append(layer) or encode(layer, *rest)
    )
    trained_bert(monkeypatch, is_shared=True)
    once = len(computed)
    computed.clear()
    trained_bert(monkeypatch, is_shared=False)
    counted.undo()
    assert once * 3 == len(computed) * 2  # 2 + 2 · 1 of the blocks in place of 2 · 3
