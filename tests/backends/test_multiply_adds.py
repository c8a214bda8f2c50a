"""Multiply-adds against numbers that are known without us."""

import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt import backends, models
from keras_prokt.models.bilstm import bilstm

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="counted on TensorFlow's graphs"
)


def count(model, *shapes, dtype="float32"):
    inputs = [np.ones((1, *shape), dtype) for shape in shapes]
    return backends.current().count_multiply_adds(model, inputs[0] if len(shapes) == 1 else inputs)


def network(shape, *parts):
    return keras.Sequential([keras.Input(shape), *parts])


KNOWN = {
    "dense": (network((10,), layers.Dense(20, "relu"), layers.Dense(3)), 10 * 20 + 20 * 3),
    "dense of each position": (network((7, 10), layers.Dense(4)), 7 * 10 * 4),
    "convolution": (network((8, 8, 3), layers.Conv2D(5, 3, padding="same")), 64 * 9 * 3 * 5),
    "strided": (network((8, 8, 3), layers.Conv2D(5, 3, 2, padding="same")), 16 * 9 * 3 * 5),
    "groups": (network((8, 8, 4), layers.Conv2D(6, 1, groups=2)), 64 * 2 * 6),
    "depthwise": (network((8, 8, 3), layers.DepthwiseConv2D(3, padding="same")), 64 * 9 * 3),
    "separable": (
        network((8, 8, 3), layers.SeparableConv2D(5, 3, padding="same")),
        64 * 9 * 3 + 64 * 3 * 5,
    ),
    "of one dimension": (network((12, 3), layers.Conv1D(5, 3, padding="same")), 12 * 3 * 3 * 5),
    "transposed": (
        network((4, 4, 3), layers.Conv2DTranspose(5, 2, 2)),
        4 * 4 * 3 * 2 * 2 * 5,
    ),
    "lstm": (network((6, 5), layers.LSTM(7)), 6 * 4 * 7 * (5 + 7)),
    "gru": (network((6, 5), layers.GRU(7)), 6 * 3 * 7 * (5 + 7)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_layers(name):
    model, expected = KNOWN[name]
    assert count(model, model.input_shape[1:]) == expected


def test_attention():
    x = keras.Input((6, 8))
    y = layers.MultiHeadAttention(2, 4)(x, x)
    # Four projections of 8 × 8, and scores and mixtures of 6 × 6 in two heads of 4.
    assert count(keras.Model(x, y), (6, 8)) == 4 * 6 * 8 * 8 + 2 * 2 * 6 * 6 * 4


@pytest.mark.slow
def test_a_published_network():
    """About 300 million in Sandler et al. 2018; 300,774,272 is what others count as well."""
    model = keras.applications.MobileNetV2(weights=None, classifier_activation=None)
    assert count(model, (224, 224, 3)) == 300_774_272


def test_networks_of_ours():
    small = models.get("cnn-small")(10, (8, 8, 1))
    of_layers = {
        "Conv2D": lambda one: np.prod(one.output.shape[1:]) * np.prod(one.kernel.shape[:-1]),
        "Dense": lambda one: np.prod(one.kernel.shape),
    }
    expected = sum(
        int(of_layers[type(one).__name__](one))
        for one in small.layers
        if type(one).__name__ in of_layers
    )
    assert count(small, (8, 8, 1)) == expected > 0


def test_a_loop_whose_length_data_decides_is_not_counted():
    @keras.saving.register_keras_serializable("test_multiply_adds")
    class Repeated(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(3, 3))

        def call(self, x):
            return keras.ops.while_loop(
                lambda value: keras.ops.sum(value) < 1e6,
                lambda value: (keras.ops.matmul(value, self.kernel) + 1e5,),
                (x,),
            )[0]

    assert count(network((3,), Repeated()), (3,)) is None


def test_the_lstm_of_ours():
    model = bilstm(2, vocabulary_size=30, embedding_dim=5, units=7)
    inputs = {"token_ids": np.ones((1, 6), "int32"), "padding_mask": np.ones((1, 6), "int32")}
    found = backends.current().count_multiply_adds(model, inputs)
    assert found == 2 * 6 * 4 * 7 * (5 + 7) + 14 * 2


def test_counting_writes_no_file():
    """TensorFlow writes code that it converts to a file, which a process that is killed leaves."""
    before = {name for name in sys.modules if "autograph_generated" in name}
    assert backends.current().count_operations(network((10,), layers.Dense(3)), np.ones((1, 10)))
    assert {name for name in sys.modules if "autograph_generated" in name} == before
