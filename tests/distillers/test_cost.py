"""What a step costs: the forwards and backwards that really run."""

import types

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_prokt import (
    FrozenTeacherDistiller,
    MutualDistiller,
    ProKTDistiller,
    StudentOnly,
    losses,
)

pytestmark = pytest.mark.slow

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).uniform(size=(8, 8, 8, 1)).astype("float32")
Y = np.arange(8) % 3
BATCHES = {"teacher": X, "student": X, "index": np.arange(8, dtype="int32")}


def identity_that_counts(counts):
    """The identity, which notes each time that its gradient is taken."""
    if BACKEND == "jax":
        # `jax.custom_gradient`, which Keras uses, runs the gradient in the forward already.
        import jax

        def backward(_, upstream):
            counts.backward += 1
            return (upstream,)

        identity = jax.custom_vjp(lambda x: x)
        identity.defvjp(lambda x: (x, None), backward)
        return identity

    @ops.custom_gradient
    def identity(x):
        def backward(*arguments, upstream=None):
            counts.backward += 1
            return arguments[0] if upstream is None else upstream

        return x, backward

    return identity


class Counting(layers.Layer):
    """Counts its forwards and backwards."""

    def __init__(self):
        super().__init__()
        self.counts = types.SimpleNamespace(forward=0, backward=0)

    def build(self, shape):
        self.identity = identity_that_counts(self.counts)

    def call(self, x):
        self.counts.forward += 1
        return self.identity(x)


def network(width, stateful=False):
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(width, 3, padding="same", activation="relu")(inputs)
    x = Counting()(x)
    if stateful:
        x = layers.Dropout(0.1, seed=1)(x)
    for _ in range(2):
        x = layers.Conv2D(width, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def forwards_of_a_step(distiller):
    """Role -> forwards of a step, a backward counted as two."""
    distiller.compile("adam", run_eagerly=True)
    models = {"teacher": distiller.teacher, "student": distiller.student}
    counts = {
        role: next(layer.counts for layer in model.layers if isinstance(layer, Counting))
        for role, model in models.items()
        if model is not None
    }
    distiller.train_on_batch(BATCHES, Y)  # the first one also builds
    for of_model in counts.values():
        of_model.forward = of_model.backward = 0
    distiller.train_on_batch(BATCHES, Y)
    return {role: c.forward + 2 * c.backward for role, c in counts.items()}


def prokt(stateful=False, **settings):
    return ProKTDistiller(network(6, stateful), network(4, stateful), **settings)


CASES = {
    "student": (lambda: StudentOnly(network(4)), {"student": 3}),
    "kd": (
        lambda: FrozenTeacherDistiller(network(6), network(4, True)),
        {"teacher": 1, "student": 3},
    ),
    "labels beside a fixed teacher": (
        lambda: FrozenTeacherDistiller(network(6), network(4), objectives=[], label_weight=1.0),
        {"teacher": 1, "student": 3},
    ),
    "adapters alone": (
        lambda: FrozenTeacherDistiller(
            network(6), network(4), objectives=losses.get("ft")[0].first_stage()
        ),
        {"teacher": 1, "student": 1},
    ),
    "features": (
        lambda: FrozenTeacherDistiller(network(6), network(4), objectives="at"),
        {"teacher": 1, "student": 3},
    ),
    "prokt, one forward": (prokt, {"teacher": 4, "student": 3}),
    "prokt, two forwards": (lambda: prokt(True), {"teacher": 4, "student": 4}),
    "prokt, training mode": (
        lambda: prokt(True, target_mode="training"),
        {"teacher": 4, "student": 3},
    ),
    "prokt, λ = 0": (lambda: prokt(True, proximal_weight=0.0), {"teacher": 4, "student": 3}),
    "prokt, bound": (lambda: prokt(True, proximal_bound=0.1), {"teacher": 4, "student": 4}),
    "dml, one forward": (
        lambda: MutualDistiller(network(6, True), network(4)),
        {"teacher": 4, "student": 3},
    ),
    "dml, two forwards": (
        lambda: MutualDistiller(network(6), network(4, True)),
        {"teacher": 4, "student": 4},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_forwards_of_a_step(name):
    make, expected = CASES[name]
    distiller = make()
    assert forwards_of_a_step(distiller) == expected
    assert distiller.forwards_per_example == expected


def test_a_lambda_that_leaves_zero_costs_the_students_second_forward():
    distiller = prokt(True, proximal_weight=0.0)
    assert forwards_of_a_step(distiller) == {"teacher": 4, "student": 3}
    distiller.set_proximal_weight(0.3)
    assert distiller.forwards_per_example == {"teacher": 4, "student": 4}
    assert forwards_of_a_step(distiller) == {"teacher": 4, "student": 4}
    # What is compiled has the term from now on.
    distiller.set_proximal_weight(0.0)
    assert distiller.forwards_per_example == {"teacher": 4, "student": 4}
    assert forwards_of_a_step(distiller) == {"teacher": 4, "student": 4}
