"""Similarity preserving equals the CRD codebase's formula, written in NumPy with loops.

`tests/mutants.py` lists mistakes that make a test of this file fail.
"""

import numpy as np
import pytest
from keras import ops
from losses.example_parts import built, parts
from losses.gradients import compiled, gradient

from keras_prokt.losses.similarity_preserving import (
    SimilarityPreserving,
    similarity_preserving_loss,
)

RNG = np.random.default_rng(0)
TEACHER = np.maximum(RNG.normal(size=(5, 2, 2, 6)), 0)
STUDENT = np.maximum(RNG.normal(size=(5, 4, 4, 3)), 0)


def similarities(features):
    rows = features.reshape(len(features), -1)
    result = np.array([[np.dot(a, b) for b in rows] for a in rows])
    return np.array([row / np.sqrt(np.sum(row**2)) for row in result])


def original(teacher, student):
    """The values of the rows; their mean is the scalar of the batch."""
    batch = len(teacher)
    difference = similarities(teacher) - similarities(student)
    values = np.array([np.sum(row**2) / batch for row in difference])
    assert np.isclose(values.mean(), np.sum(difference**2) / (batch * batch))
    return values


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize(
    ("of_teacher", "of_student"), [((2, 2, 6), (4, 4, 3)), ((4, 4, 3), (4, 4, 3)), ((9,), (4,))]
)
def test_equals_numpy(batch, of_teacher, of_student):
    teacher = np.maximum(RNG.normal(size=(batch, *of_teacher)), 0) + 0.01
    student = np.maximum(RNG.normal(size=(batch, *of_student)), 0) + 0.01
    received = compiled(similarity_preserving_loss, teacher, student)
    np.testing.assert_allclose(received, original(teacher, student), rtol=1e-5, atol=1e-7)


def test_it_is_the_last_stage():
    teacher, student = parts("teacher"), parts("student")
    objective = built(SimilarityPreserving(), teacher, student)
    expected = original(*(of["stages"][-1].astype("float64") for of in (teacher, student)))
    received = ops.convert_to_numpy(objective(teacher, student))
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-7)


def test_networks_of_different_numbers_of_stages_are_matched():
    teacher, student = parts("teacher"), parts("student")
    student["stages"] = student["stages"][1:]
    objective = built(SimilarityPreserving(), teacher, student)
    assert np.isfinite(ops.convert_to_numpy(objective(teacher, student))).all()


def test_the_scale_of_a_network_changes_nothing():
    value = ops.convert_to_numpy(similarity_preserving_loss(TEACHER, STUDENT))
    other = ops.convert_to_numpy(similarity_preserving_loss(30 * TEACHER, 0.02 * STUDENT))
    np.testing.assert_allclose(other, value, rtol=1e-4)


@pytest.mark.parametrize("batch", [1, 5])
def test_gradients_are_finite(batch):
    dead = STUDENT[:batch].copy()
    dead[0] = 0
    for student in (STUDENT[:batch], dead, 0 * dead):
        for teacher in (TEACHER[:batch], student):
            slope = gradient(lambda s, t=teacher: similarity_preserving_loss(t, s), student)
            assert np.isfinite(slope).all()
            assert np.abs(slope).max() < 10
    assert not gradient(lambda s: similarity_preserving_loss(STUDENT, s), STUDENT).round(6).any()
