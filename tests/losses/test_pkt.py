"""Probabilistic transfer equals the CRD codebase's formula, written in NumPy with loops.

`tests/mutants.py` lists mistakes that make a test of this file fail.
"""

import numpy as np
import pytest
from keras import ops
from losses.example_parts import built, parts
from losses.gradients import compiled, gradient

from keras_prokt.losses.probabilistic import Probabilistic, probabilistic_loss

RNG = np.random.default_rng(0)
TEACHER, STUDENT = np.abs(RNG.normal(size=(6, 8))), np.abs(RNG.normal(size=(6, 5)))


def probabilities(features):
    rows = [row / (np.sqrt(np.sum(row**2)) + 1e-7) for row in features]
    similar = np.array([[(np.dot(a, b) + 1) / 2 for b in rows] for a in rows])
    return np.array([row / row.sum() for row in similar])


def original(teacher, student):
    """The values of the rows; their mean is the scalar of the batch."""
    p, q = probabilities(teacher), probabilities(student)
    return np.array(
        [
            np.mean([a * np.log((a + 1e-7) / (b + 1e-7)) for a, b in zip(*rows, strict=True)])
            for rows in zip(p, q, strict=True)
        ]
    )


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_equals_numpy(batch, scale):
    teacher, student = RNG.normal(size=(batch, 8)) * scale, RNG.normal(size=(batch, 5)) * scale
    received = compiled(probabilistic_loss, teacher, student)
    np.testing.assert_allclose(received, original(teacher, student), rtol=1e-5, atol=2e-7)


def test_opposite_examples_have_probability_zero_and_a_finite_loss():
    opposite, alike = np.array([[1.0, 2.0], [-1.0, -2.0]]), np.ones((2, 2))
    for pair in ((opposite, alike), (alike, opposite)):
        received = compiled(probabilistic_loss, *pair)
        np.testing.assert_allclose(received, original(*pair), rtol=1e-2)


def test_it_is_the_pooled_features():
    teacher, student = parts("teacher"), parts("student")
    objective = built(Probabilistic(), teacher, student)
    expected = original(*(of["pooled"].astype("float64") for of in (teacher, student)))
    received = ops.convert_to_numpy(objective(teacher, student))
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-7)


def test_the_scale_of_each_example_changes_nothing():
    value = ops.convert_to_numpy(probabilistic_loss(TEACHER, STUDENT))
    scales = np.array([[1e-2], [1], [10], [100], [3], [0.5]])
    other = ops.convert_to_numpy(probabilistic_loss(scales * TEACHER, scales[::-1] * STUDENT))
    np.testing.assert_allclose(other, value, rtol=1e-3)


def test_it_is_not_symmetric():
    one = ops.convert_to_numpy(probabilistic_loss(TEACHER, STUDENT)).mean()
    other = ops.convert_to_numpy(probabilistic_loss(STUDENT, TEACHER)).mean()
    assert abs(one / other - 1) > 1e-3


@pytest.mark.parametrize("batch", [1, 6])
def test_gradients_are_finite(batch):
    dead = STUDENT[:batch].copy()
    dead[0] = 0
    for student in (STUDENT[:batch], dead, 0 * dead):
        for teacher in (TEACHER[:batch], student):
            slope = gradient(lambda s, t=teacher: probabilistic_loss(t, s), student)
            assert np.isfinite(slope).all()
            assert np.abs(slope).max() < 10
