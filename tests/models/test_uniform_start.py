"""The common start: all logits zero, whatever the model looks like."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt import ProKTDistiller, uniform_start

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


def test_models_learn_from_there():
    y = np.array([0, 1, 2, 0])
    distiller = ProKTDistiller(uniform_start(sequential()), uniform_start(sequential()))
    distiller.compile(keras.optimizers.Adam(0.05))
    distiller.fit(X, y, epochs=60, verbose=0)
    assert distiller.evaluate(X, y, verbose=0, return_dict=True)["student_accuracy"] == 1.0


def test_refusals():
    with pytest.raises(ValueError, match="Expected a built model"):
        uniform_start(Subclassed())
    with pytest.raises(ValueError, match="ends in a linear layer"):
        uniform_start(keras.Sequential([keras.Input((6,)), layers.LayerNormalization()]))
