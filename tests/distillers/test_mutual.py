"""Deep mutual learning equals an independent NumPy of its Algorithm 1.

`tests/mutants.py` lists mistakes that make a test of this file fail.
"""

import keras
import numpy as np
import oracle
import pytest
from keras import layers

from keras_prokt import MutualDistiller

pytestmark = pytest.mark.slow

BATCH, FEATURES, CLASSES = 16, 6, 5


def network(units):
    return keras.Sequential(
        [keras.Input((FEATURES,)), layers.Dense(units, activation="relu"), layers.Dense(CLASSES)]
    )


def numpy_step(models, optimizers, x, labels):
    """Zhang et al. 2018, Algorithm 1 with two networks; returns both losses before the updates."""
    y = np.eye(CLASSES)[labels]
    losses = []
    for this, other in ((0, 1), (1, 0)):
        own = oracle.softmax(models[this].logits(x))
        peer = oracle.softmax(models[other].logits(x))  # of the second: after the first's update
        cross_entropy = -np.sum(y * np.log(own), -1)
        divergence = np.sum(peer * (np.log(peer) - np.log(own)), -1)
        losses.append(np.mean(cross_entropy + divergence))
        of_logits = ((own - y) + (own - peer)) / len(labels)
        optimizers[this].update(models[this].weights, models[this].gradients(x, of_logits))
    return losses


def test_twenty_steps_equal_numpy():
    pair = MutualDistiller(network(12), network(6))
    rates = (0.02, 0.05)
    pair.compile(
        keras.optimizers.SGD(rates[1], momentum=0.9),
        teacher_optimizer=keras.optimizers.SGD(rates[0], momentum=0.9),
    )
    models = [
        oracle.Network([w.astype("float64") for w in model.get_weights()])
        for model in (pair.teacher, pair.student)
    ]
    optimizers = [oracle.SGD(rate, momentum=0.9) for rate in rates]
    generator = np.random.default_rng(1)
    for _ in range(20):
        x = generator.normal(size=(BATCH, FEATURES)).astype("float32")
        labels = generator.integers(0, CLASSES, BATCH)
        logs = pair.train_on_batch(x, labels, return_dict=True)
        first, second = numpy_step(models, optimizers, x, labels)
        assert logs["teacher_loss"] == pytest.approx(first, abs=2e-5)
        assert logs["loss"] == pytest.approx(second, abs=2e-5)
    for model, expected in zip((pair.teacher, pair.student), models, strict=True):
        for received, wanted in zip(model.get_weights(), expected.weights, strict=True):
            np.testing.assert_allclose(received, wanted, rtol=0, atol=1e-5)


def test_it_reloads_and_goes_on_exactly(tmp_path):
    x = np.random.default_rng(0).normal(size=(32, FEATURES)).astype("float32")
    y = np.arange(32) % CLASSES
    pair = MutualDistiller(network(12), network(6))
    pair.compile("adam", teacher_optimizer="adam")
    pair.fit(x, y, shuffle=False, verbose=0)
    pair.save(tmp_path / "pair.keras")
    loaded = keras.saving.load_model(tmp_path / "pair.keras")
    for one in (pair, loaded):
        one.fit(x, y, shuffle=False, verbose=0)
    for a, b in zip(pair.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
