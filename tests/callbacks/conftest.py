"""A small pair of models and data for it."""

import keras
import numpy as np
import pytest

from keras_prokt import ProKTDistiller

CLASSES = 3


@pytest.fixture(scope="session")
def make_distiller():
    """Makes a compiled distiller; arguments of the constructor by name.

    With `stateful`, both models have moving statistics and random seeds.
    """

    def make(*, optimizer="adam", metrics=None, stateful=False, **arguments):
        def network(units):
            hidden = [keras.layers.Dense(units, None if stateful else "relu")]
            if stateful:
                hidden.append(keras.layers.BatchNormalization())
                # PyTorch draws from its global generator without a seed.
                seed = units if keras.backend.backend() == "torch" else None
                hidden.append(keras.layers.Dropout(0.3, seed=seed))
            return keras.Sequential(
                [keras.Input((4,)), *hidden, keras.layers.Dense(CLASSES, name="logits")]
            )

        steps_per_execution = arguments.pop("steps_per_execution", 1)
        distiller = ProKTDistiller(network(8), network(4), **arguments)
        distiller.compile(
            optimizer=optimizer, metrics=metrics, steps_per_execution=steps_per_execution
        )
        return distiller

    return make


@pytest.fixture(scope="session")
def data():
    """40 examples `(x, y)` that can be learned."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, CLASSES, 40)
    x = generator.normal(size=(40, 4)) + 2 * np.eye(4)[y]
    return x.astype("float32"), y
