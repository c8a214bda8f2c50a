"""Models of probabilities as models of logits: equal outputs, the same weights, and back."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_prokt import (
    InexactLogitsWarning,
    ProKTDistiller,
    StudentOnly,
    TrainingFault,
    as_logits,
    load_student,
    uniform_start,
)
from keras_prokt.models.as_logits import original_outputs
from keras_prokt.models.endings import ending_of, shows_its_end
from keras_prokt.models.logit_layers import LogitsOfModel

X = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
Y = np.arange(16) % 3


def numpy(values):
    return ops.convert_to_numpy(keras.tree.flatten(values)[0])


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


APPLIED = {"softmax": softmax, "sigmoid": sigmoid}


def functional(*last):
    inputs = keras.Input((8,))
    values = layers.Dense(5, "relu")(inputs)
    for layer in last:
        values = layer(values)
    return keras.Model(inputs, values)


def nested():
    inputs = keras.Input((8,))
    return keras.Model(inputs, functional(layers.Dense(3, "softmax"))(inputs, training=False))


def sequential_around_a_model():
    return keras.Sequential([keras.Input((8,)), functional(layers.Dense(3), layers.Softmax())])


def built_by_a_call():
    model = keras.Sequential([layers.Dense(3, "softmax")])
    model(X)
    return model


def convolution():
    inputs = keras.Input((8,))
    head = layers.Conv1D(3, 8, activation="softmax", kernel_regularizer="l2")
    return keras.Model(inputs, head(layers.Reshape((8, 1))(inputs)))


def frozen_body():
    body = keras.Sequential([keras.Input((8,)), layers.Dense(5, "relu")])
    body.trainable = False
    return keras.Sequential([keras.Input((8,)), body, layers.Dense(1, "sigmoid")])


VISIBLE = {
    "dense": (lambda: functional(layers.Dense(3, "softmax")), "softmax"),
    "one sigmoid": (lambda: functional(layers.Dense(1, "sigmoid")), "sigmoid"),
    "einsum": (
        lambda: functional(layers.EinsumDense("bi,ij->bj", 4, activation="sigmoid")),
        "sigmoid",
    ),
    "convolution": (convolution, "softmax"),
    "activation as a layer": (
        lambda: functional(layers.Dense(3), layers.Activation("softmax")),
        "softmax",
    ),
    "layer": (lambda: functional(layers.Dense(3), layers.Softmax()), "softmax"),
    "layer as activation": (
        lambda: functional(layers.Dense(3, activation=layers.Softmax())),
        "softmax",
    ),
    "ops.softmax": (lambda: functional(layers.Dense(3), ops.softmax), "softmax"),
    "ops.sigmoid": (lambda: functional(layers.Dense(2), ops.sigmoid), "sigmoid"),
    "ops.nn.softmax": (lambda: functional(layers.Dense(3), ops.nn.softmax), "softmax"),
    "activations.softmax": (
        lambda: functional(layers.Dense(3), keras.activations.softmax),
        "softmax",
    ),
    "activations.sigmoid": (
        lambda: functional(layers.Dense(2), keras.activations.sigmoid),
        "sigmoid",
    ),
    "cast after it": (
        lambda: functional(layers.Dense(3, "softmax"), layers.Activation("linear")),
        "softmax",
    ),
    "shapes after it": (
        lambda: functional(layers.Dense(3, "softmax"), layers.Reshape((1, 3)), layers.Flatten()),
        "softmax",
    ),
    "functions of shape after it": (
        lambda: functional(
            layers.Dense(1, "sigmoid"),
            lambda p: ops.reshape(ops.cast(ops.expand_dims(p, 1), "float32"), (-1, 1)),
        ),
        "sigmoid",
    ),
    "axis in a list": (lambda: functional(layers.Dense(3), layers.Softmax(axis=[1])), "softmax"),
    "sequential": (
        lambda: keras.Sequential([keras.Input((8,)), layers.Dense(3, "softmax")]),
        "softmax",
    ),
    "sequential built by a call": (built_by_a_call, "softmax"),
    "nested": (nested, "softmax"),
    "sequential around a model": (sequential_around_a_model, "softmax"),
    "frozen body": (frozen_body, "sigmoid"),
}


@keras.saving.register_keras_serializable("test_as_logits")
class Subclassed(keras.Model):
    def __init__(self, width=3, function="softmax", **settings):
        super().__init__(**settings)
        self.width, self.function = width, function
        self.dense = layers.Dense(width)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, inputs):
        logits = self.dense(inputs)
        return logits if self.function is None else getattr(ops, self.function)(logits)

    def get_config(self):
        return {"width": self.width, "function": self.function, "name": self.name}


def built(model):
    model(X)
    return model


def inside_a_functional_model(function="softmax"):
    inputs = keras.Input((8,))
    return keras.Model(inputs, built(Subclassed(function=function))(inputs))


def mean_of_two(activation):
    inputs = keras.Input((8,))
    parts = [layers.Dense(3, activation)(inputs) for _ in range(2)]
    return keras.Model(inputs, layers.Average()(parts))


def pooled():
    head = layers.Conv1D(3, 1, activation="softmax")
    return functional(layers.Reshape((5, 1)), head, layers.GlobalAveragePooling1D())


INSIDE = {
    "softmax": (lambda: built(Subclassed()), "softmax"),
    "one sigmoid": (lambda: built(Subclassed(1, "sigmoid")), "sigmoid"),
    "sigmoids": (lambda: built(Subclassed(3, "sigmoid")), "sigmoid"),
    "not built": (Subclassed, "softmax"),
    "one sigmoid, not built": (lambda: Subclassed(1, "sigmoid"), "sigmoid"),
    "in a functional model": (inside_a_functional_model, "softmax"),
    "mean": (lambda: mean_of_two("softmax"), "softmax"),
    "mean of sigmoids": (lambda: mean_of_two("sigmoid"), "sigmoid"),
    "mean of positions": (pooled, "softmax"),
    "wrapper": (
        lambda: functional(layers.SpectralNormalization(layers.Dense(3, "softmax"))),
        "softmax",
    ),
}


def assert_same_variables(one, other):
    assert {id(v) for v in one.variables} == {id(v) for v in other.variables}
    trained = ({id(v) for v in model.trainable_variables} for model in (one, other))
    assert next(trained) == next(trained)


@pytest.mark.parametrize("case", VISIBLE)
def test_an_activation_that_can_be_seen_is_taken_off(case):
    build, activation = VISIBLE[case]
    model = build()
    expected = numpy(model(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error", InexactLogitsWarning)
        logits = as_logits(model)
    assert ending_of(model).activation == activation and ending_of(logits) is None
    values = numpy(logits(X))
    assert values.min() < 0 and values.dtype == "float32"
    np.testing.assert_allclose(APPLIED[activation](values), expected, atol=1e-6)
    assert_same_variables(logits, model)
    assert as_logits(logits) is logits
    np.testing.assert_array_equal(numpy(model(X)), expected)  # the model itself is as it was
    np.testing.assert_allclose(numpy(original_outputs(logits)(X)), expected, atol=1e-6)


@pytest.mark.parametrize("case", INSIDE)
def test_inside_a_subclass_the_logits_are_logarithms_and_it_is_said(case):
    build, activation = INSIDE[case]
    model = build()
    with pytest.warns(InexactLogitsWarning, match="cannot be taken off.*clipped at 1e-07") as said:
        logits = as_logits(model)
    assert len(said) == 1 and "\n" not in str(said[0].message)
    p = numpy(model(X)).astype("float64")
    expected = np.log(p) - (np.log(1 - p) if activation == "sigmoid" else 0)
    np.testing.assert_allclose(numpy(logits(X)), expected, atol=1e-5)
    assert_same_variables(logits, model)
    assert as_logits(logits) is logits and ending_of(logits) is None
    if logits.built and not isinstance(logits, LogitsOfModel):
        assert shows_its_end(logits)  # whatever their values are
    np.testing.assert_array_equal(numpy(original_outputs(logits)(X)), numpy(model(X)))


def test_probabilities_of_zero_and_one_are_clipped():
    model = built(Subclassed(1, "sigmoid"))
    model.dense.kernel.assign(1000 * np.ones((8, 1)))
    with pytest.warns(InexactLogitsWarning):
        logits = numpy(as_logits(model)(np.stack([np.ones(8), -np.ones(8)]).astype("float32")))
    # float32 holds 1 − 1e-7 as 1 − 1.19e-7
    np.testing.assert_allclose(logits[:, 0], [15.94, -16.12], atol=0.01)


def one_head_of_two():
    inputs = keras.Input((8,))
    head = layers.Dense(3, "softmax")
    return keras.Model(
        inputs, {"a": head(layers.Dense(5)(inputs)), "b": head(layers.Dense(5)(inputs))}
    )


def one_model_of_two():
    inner, inputs = functional(layers.Dense(3, "softmax")), keras.Input((8,))
    return keras.Model(inputs, [inner(inputs), inner(-inputs)])


def two_outputs_of_one_model():
    inputs, outer = keras.Input((8,)), keras.Input((8,))
    heads = [layers.Dense(3, "softmax")(inputs), layers.Dense(3, "softmax")(inputs)]
    return keras.Model(outer, keras.Model(inputs, heads)(outer))


def one_output_twice():
    inputs = keras.Input((8,))
    output = layers.Dense(3, "softmax")(inputs)
    return keras.Model(inputs, [output, output])


def also_before(shared):
    """Ends in a layer or model that is called in the middle too."""
    inputs = keras.Input((8,))
    return keras.Model(inputs, shared(shared(inputs)))


SHARED = {
    "head": one_head_of_two,
    "model": one_model_of_two,
    "outputs": two_outputs_of_one_model,
    "output": one_output_twice,
    "layer before": lambda: also_before(layers.Dense(8, "softmax")),
    "model before": lambda: also_before(functional(layers.Dense(8, "softmax"))),
}


@pytest.mark.parametrize("name", SHARED)
def test_what_is_shared_is_converted_once(name):
    model = SHARED[name]()
    logits = as_logits(model)
    for before, after in zip(*(keras.tree.flatten(m(X)) for m in (model, logits)), strict=True):
        assert numpy(after).min() < 0
        np.testing.assert_allclose(softmax(numpy(after)), numpy(before), atol=1e-6)
    assert_same_variables(logits, model)
    original = keras.tree.flatten(original_outputs(logits)(X))
    for before, again in zip(keras.tree.flatten(model(X)), original, strict=True):
        np.testing.assert_allclose(numpy(again), numpy(before), atol=1e-6)


def test_logits_beside_probabilities_have_no_mean_of_a_kind():
    inputs = keras.Input((8,))
    parts = [layers.Dense(3, "softmax")(inputs), layers.Dense(3)(inputs)]
    model = keras.Model(inputs, layers.Average()(parts))
    assert as_logits(model) is model and not shows_its_end(model)


def test_of_two_outputs_each_is_converted():
    inputs = {"a": keras.Input((8,), name="a")}
    heads = {"p": layers.Dense(3, "softmax")(inputs["a"]), "z": layers.Dense(3)(inputs["a"])}
    model = keras.Model(inputs, heads)
    logits, before = as_logits(model)({"a": X}), model({"a": X})
    np.testing.assert_allclose(softmax(numpy(logits["p"])), numpy(before["p"]), atol=1e-6)
    np.testing.assert_array_equal(numpy(logits["z"]), numpy(before["z"]))


@pytest.mark.parametrize(
    "build",
    [
        lambda: functional(layers.Dense(3)),
        lambda: functional(layers.Dense(3, "softmax"), layers.Dense(3)),
        lambda: keras.Sequential([layers.Dense(3)]),  # not built
        lambda: built(Subclassed(function=None)),
        lambda: inside_a_functional_model(None),
        lambda: functional(layers.Reshape((5, 1)), layers.LSTM(3, activation="sigmoid")),
    ],
)
def test_models_of_logits_are_returned_as_they_are(build):
    model = build()
    assert as_logits(model) is model and original_outputs(model) is model


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNet", "MobileNetV2", "MobileNetV3Small"])
def test_networks_of_keras_applications(name):
    network = getattr(keras.applications, name)(weights=None, input_shape=(32, 32, 3), classes=10)
    images = np.random.default_rng(0).uniform(0, 255, size=(2, 32, 32, 3)).astype("float32")
    logits = as_logits(network)
    np.testing.assert_allclose(softmax(numpy(logits(images))), numpy(network(images)), atol=1e-6)
    assert_same_variables(logits, network)


def test_half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = functional(layers.Dense(3), layers.Activation("softmax", dtype="float32"))
    finally:
        keras.config.set_dtype_policy("float32")
    logits = as_logits(model)
    assert logits.output.dtype == "float32"
    np.testing.assert_allclose(softmax(numpy(logits(X))), numpy(model(X)), atol=1e-6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("model", "Expected a keras.Model, received str"),
        (lambda: keras.Sequential([layers.Dense(3, "softmax")]), "that knows its inputs"),
        (
            lambda: functional(layers.Reshape((5, 1)), layers.Softmax(axis=1)),
            "softmax over the last axis, received .* over axis 1",
        ),
        (
            lambda: functional(layers.Dense(1, "softmax")),
            "softmax over two outputs or more, received one output, which is always 1",
        ),
    ],
)
def test_what_cannot_be_converted_is_refused(model, message):
    with pytest.raises(ValueError, match=message) as error:
        as_logits(model() if callable(model) else model)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="activation 'softmax' or 'sigmoid', received 'relu'"):
        as_logits(functional(layers.Dense(3)), activation="relu")


def hand_made(activation, width):
    """A model, and another one of the same weights without its last activation."""
    model = functional(
        layers.Dense(width, activation, kernel_regularizer=keras.regularizers.L2(0.1))
    )
    other = functional(layers.Dense(width, kernel_regularizer=keras.regularizers.L2(0.1)))
    other.set_weights(model.get_weights())
    return model, other


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_training_equals_that_of_a_model_made_by_hand(activation):
    width, labels = (3, Y) if activation == "softmax" else (1, Y[:, None] == 1)
    model, other = hand_made(activation, width)
    loss = (
        keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if activation == "softmax"
        else keras.losses.BinaryCrossentropy(from_logits=True)
    )
    other.compile(keras.optimizers.SGD(0.5), loss)
    converted = StudentOnly(as_logits(model))
    converted.compile(keras.optimizers.SGD(0.5))
    for trained in (other, converted):
        trained.fit(X, labels.astype("float32"), epochs=3, batch_size=16, verbose=0)
    for one, hand in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, hand, atol=1e-6)
    # The user's own model has learned it, and serves probabilities.
    expected = APPLIED[activation](other.predict(X, verbose=0))
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("build", [VISIBLE["nested"][0], INSIDE["softmax"][0]])
def test_the_original_outputs_are_exported(build, tmp_path):
    model = build()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InexactLogitsWarning)
        distiller = StudentOnly(as_logits(model))
    distiller.compile("sgd")
    distiller.fit(X, Y, verbose=0)
    exported = load_student(distiller.export(tmp_path / "m.keras", "keras"))
    np.testing.assert_allclose(
        exported.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-6
    )
    # A record of training keeps the logits; what they were made from is known there too.
    distiller.student.save(tmp_path / "student.keras")
    student = load_student(tmp_path / "student.keras")
    np.testing.assert_allclose(
        student.predict(X, verbose=0), distiller.student.predict(X, verbose=0), atol=1e-6
    )
    np.testing.assert_allclose(
        original_outputs(student).predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-6
    )


def test_the_uniform_start_of_a_converted_model():
    model = functional(layers.Dense(3, "softmax"))
    assert np.abs(numpy(uniform_start(as_logits(model))(X))).max() == 0
    np.testing.assert_allclose(numpy(model(X)), 1 / 3, atol=1e-6)


def test_several_sigmoids_are_not_taken_for_a_softmax():
    student = as_logits(functional(layers.Dense(3, "sigmoid")))
    assert StudentOnly(student).output_kind.id == "labels"
    assert StudentOnly(student, output="classes").output_kind.id == "classes"


@pytest.mark.slow
def test_what_is_no_probability_is_refused_in_the_first_step():
    with pytest.warns(InexactLogitsWarning):
        teacher = as_logits(Subclassed(function=None))
    distiller = ProKTDistiller(teacher, functional(layers.Dense(3)))
    distiller.compile("sgd")
    with pytest.raises(TrainingFault, match="Step 1: Expected finite outputs from the teacher"):
        distiller.fit(100 * X, Y, verbose=0)
