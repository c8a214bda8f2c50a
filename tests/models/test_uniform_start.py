"""The common start: all logits zero, whatever the model looks like."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt import (
    ConstantOutputWarning,
    FrozenTeacherDistiller,
    ProKTDistiller,
    uniform_start,
)

X = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")


def sequential():
    return keras.Sequential([keras.Input((6,)), layers.Dense(5, "relu"), layers.Dense(3)])


def functional_with_a_cast():
    inputs = keras.Input((6,))
    logits = layers.Dense(3)(layers.Dense(5, "relu")(inputs))
    return keras.Model(inputs, layers.Activation("linear", dtype="float32")(logits))


def nested():
    inputs = keras.Input((6,))
    return keras.Model(inputs, layers.Reshape((3,))(sequential()(inputs)))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.body = layers.Dense(5, "relu")
        self.head = layers.Dense(3, use_bias=False)

    def call(self, inputs):
        return self.head(self.body(inputs))


def subclassed():
    model = Subclassed()
    model(X)
    return model


@pytest.mark.parametrize("make", [sequential, functional_with_a_cast, nested, subclassed])
def test_all_logits_are_zero_and_the_rest_is_kept(make):
    model = make()
    assert np.abs(model.predict(X, verbose=0)).max() > 0
    first = model.get_weights()[0].copy()
    assert uniform_start(model) is model
    assert np.abs(model.predict(X, verbose=0)).max() == 0
    np.testing.assert_array_equal(model.get_weights()[0], first)


@pytest.mark.slow
def test_models_learn_from_there():
    y = np.array([0, 1, 2, 0])
    distiller = ProKTDistiller(uniform_start(sequential()), uniform_start(sequential()))
    distiller.compile(keras.optimizers.Adam(0.05))
    distiller.fit(X, y, epochs=60, verbose=0)
    assert distiller.evaluate(X, y, verbose=0, return_dict=True)["student_accuracy"] == 1.0


@pytest.mark.parametrize("trained_by", ["fit", "loading"])
def test_a_trained_model_is_warned_of(trained_by):
    model = sequential()
    if trained_by == "fit":
        model.compile("sgd", "mse")
        model.fit(X, np.zeros((4, 3)), verbose=0)
        model.layers[-1].bias.assign(np.zeros(3))
    else:
        model.layers[-1].bias.assign([0.0, 1.0, 0.0])
    with pytest.warns(ConstantOutputWarning, match="to zero, which has been trained; leave"):
        uniform_start(model)


@pytest.mark.slow
def test_a_fixed_teacher_that_answers_all_alike_is_warned_of():
    distiller = FrozenTeacherDistiller(uniform_start(sequential()), sequential())
    distiller.compile("sgd")
    with pytest.warns(ConstantOutputWarning, match="answers all examples alike.*train it first"):
        distiller.fit(X, np.array([0, 1, 2, 0]), verbose=0)
    other = FrozenTeacherDistiller(sequential(), uniform_start(sequential()))
    other.compile("sgd")
    other.fit(X, np.array([0, 1, 2, 0]), verbose=0)  # warnings are errors


def test_refusals():
    with pytest.raises(ValueError, match="Expected a built model"):
        uniform_start(Subclassed())
    with pytest.raises(ValueError, match="ends in a linear layer"):
        uniform_start(keras.Sequential([keras.Input((6,)), layers.LayerNormalization()]))


def test_given_outputs_go_to_the_bias():
    model = uniform_start(sequential(), [1.0, -2.0, 0.5])
    np.testing.assert_allclose(model.predict(X, verbose=0), [[1.0, -2.0, 0.5]] * 4)
    np.testing.assert_allclose(uniform_start(nested(), 3.0).predict(X, verbose=0), 3.0)


@pytest.mark.parametrize(
    ("layer", "values", "message"),
    [
        (layers.Dense(3, use_bias=False), 1.0, "with a bias and without activation"),
        (layers.Dense(3, "softplus"), 1.0, "with a bias and without activation"),
        (layers.Dense(3), [1.0, 2.0], r"outputs of shape \(3,\), received \(2,\)"),
        (layers.Dense(3), [1.0], r"outputs of shape \(3,\), received \(1,\)"),
    ],
)
def test_outputs_that_it_cannot_give_are_refused(layer, values, message):
    model = keras.Sequential([keras.Input((6,)), layer])
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        uniform_start(model, values)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
