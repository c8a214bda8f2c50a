"""A small pair of models with everything that has state: moving statistics, seeds, slots."""

import keras
import numpy as np
import pytest

from keras_prokt import ProKTDistiller

CLASSES = 3


def network(units: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(units),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(CLASSES),
        ]
    )


@pytest.fixture
def make_distiller():
    """Makes a compiled distiller; arguments of the constructor by name."""

    def make(*, optimizer="adam", metrics=None, steps_per_execution=1, **arguments):
        distiller = ProKTDistiller(network(16), network(6), **arguments)
        distiller.compile(
            optimizer=optimizer, metrics=metrics, steps_per_execution=steps_per_execution
        )
        return distiller

    return make


@pytest.fixture
def data():
    """40 examples `(x, y)` that can be learned."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, CLASSES, 40)
    x = generator.normal(size=(40, 4)) + 2 * np.eye(4)[y]
    return x.astype("float32"), y
