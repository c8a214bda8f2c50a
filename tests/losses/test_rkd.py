"""Relational distillation equals the CRD codebase's formula, written in NumPy with loops.

`tests/mutants.py` lists mistakes that make a test of this file fail.
"""

import numpy as np
import pytest
from keras import ops
from losses.example_parts import built, parts
from losses.gradients import compiled, gradient

from keras_prokt.losses.relational import Relational, relational_loss

RNG = np.random.default_rng(0)
TEACHER, STUDENT = RNG.normal(size=(6, 8)), RNG.normal(size=(6, 5))


def distances(features):
    batch = len(features)
    result = np.zeros((batch, batch))
    for i in range(batch):
        for j in range(batch):
            if i != j:
                squared = np.sum((features[i] - features[j]) ** 2)
                result[i, j] = np.sqrt(max(squared, 1e-12))
    return result / result[result > 0].mean() if batch > 1 else result


def direction(difference):
    return difference / max(np.sqrt(np.sum(difference**2)), 1e-12)


def smooth_l1(difference):
    size = abs(difference)
    return size**2 / 2 if size < 1 else size - 0.5


def original(teacher, student, distance_weight=25, angle_weight=50):
    """The values of the vertices; their mean is the scalar of the batch."""
    batch = len(teacher)
    of_teacher, of_student = distances(teacher), distances(student)
    values = []
    for i in range(batch):
        lengths = [smooth_l1(of_student[i, j] - of_teacher[i, j]) for j in range(batch)]
        angles = []
        for j in range(batch):
            for k in range(batch):
                s, t = (
                    np.dot(direction(f[j] - f[i]), direction(f[k] - f[i]))
                    for f in (student, teacher)
                )
                angles.append(smooth_l1(s - t))
        values.append(distance_weight * np.mean(lengths) + angle_weight * np.mean(angles))
    return np.array(values)


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("weights", [(25, 50), (1, 0), (0, 1)])
def test_equals_numpy(batch, weights):
    teacher, student = 3 * RNG.normal(size=(batch, 8)), RNG.normal(size=(batch, 5))
    teacher[0] *= 9  # some differences of distances above 1
    given = dict(zip(("distance_weight", "angle_weight"), weights, strict=True))
    received = compiled(lambda t, s: relational_loss(t, s, **given), teacher, student)
    np.testing.assert_allclose(received, original(teacher, student, *weights), rtol=1e-5, atol=1e-6)


def test_equals_numpy_where_examples_coincide():
    student = STUDENT.copy()
    student[3] = student[0]
    for one in (student, np.ones((6, 5))):
        received = ops.convert_to_numpy(relational_loss(TEACHER, one))
        np.testing.assert_allclose(received, original(TEACHER, one), rtol=1e-4)


def test_it_is_the_pooled_features_and_the_weights_matter():
    teacher, student = parts("teacher"), parts("student")
    for weights in ((25, 50), (3, 4)):
        objective = built(Relational(*weights), teacher, student)
        expected = original(teacher["pooled"], student["pooled"], *weights)
        received = ops.convert_to_numpy(objective(teacher, student))
        np.testing.assert_allclose(received, expected, rtol=1e-4)
    assert objective.get_config()["distance_weight"] == 3


def test_scaling_shifting_and_rotating_change_nothing():
    value = ops.convert_to_numpy(relational_loss(TEACHER, STUDENT))
    rotation = np.linalg.qr(RNG.normal(size=(5, 5)))[0]
    other = relational_loss(0.1 * TEACHER - 2, 30 * STUDENT @ rotation + 5)
    np.testing.assert_allclose(ops.convert_to_numpy(other), value, rtol=1e-4)
    same = relational_loss(TEACHER, 7 * TEACHER + 1)
    np.testing.assert_allclose(ops.convert_to_numpy(same), 0, atol=1e-8)


@pytest.mark.parametrize("batch", [1, 6])
def test_gradients_are_finite(batch):
    twice = STUDENT[:batch].copy()
    twice[-1] = twice[0]
    for student in (STUDENT[:batch], twice, np.ones((batch, 5)), np.zeros((batch, 5))):
        for teacher in (TEACHER[:batch], student):
            slope = gradient(lambda s, t=teacher: relational_loss(t, s), student)
            assert np.isfinite(slope).all()
            assert np.abs(slope).max() < 1e3
    slope = gradient(lambda s: relational_loss(TEACHER[:batch], s), STUDENT[:batch])
    assert slope.any() == (batch > 1)


@pytest.mark.parametrize("weights", [(-1, 50), (25, float("nan")), (float("inf"), 1), (0, 0)])
def test_weights_out_of_range(weights):
    with pytest.raises(ValueError, match="the paper uses 25 and 50"):
        Relational(*weights)
