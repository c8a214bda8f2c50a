"""Attention transfer equals the CRD codebase's formula, written in NumPy with loops.

`tests/mutants.py` lists mistakes that make a test of this file fail; tried by hand besides: maps
pooled after squaring.
"""

import numpy as np
import pytest
from keras import ops
from losses.example_parts import built, parts
from losses.gradients import compiled, gradient
from losses.test_feature_maps import pooled

from keras_prokt.losses.attention_transfer import AttentionTransfer, attention_transfer_loss

RNG = np.random.default_rng(0)
TEACHER = np.maximum(RNG.normal(size=(5, 4, 4, 6)), 0)
STUDENT = np.maximum(RNG.normal(size=(5, 4, 4, 3)), 0)


def attention(feature_map):
    positions = [(i, j) for i in range(feature_map.shape[0]) for j in range(feature_map.shape[1])]
    activity = np.array([np.mean(feature_map[i, j] ** 2) for i, j in positions])
    return activity / np.sqrt(np.sum(activity**2))


def original(teacher, student):
    """The scalar of a batch."""
    height, width = (min(s) for s in zip(teacher.shape[1:3], student.shape[1:3], strict=True))
    teacher, student = pooled(teacher, height, width), pooled(student, height, width)
    pairs = zip(teacher, student, strict=True)
    return np.mean([(attention(t) - attention(s)) ** 2 for t, s in pairs])


@pytest.mark.parametrize(
    ("teacher_size", "student_size"), [(4, 4), (8, 4), (4, 8), (2, 4), (7, 4), (1, 1)]
)
def test_equals_numpy(teacher_size, student_size):
    teacher = np.maximum(RNG.normal(size=(5, teacher_size, teacher_size, 6)), 0)
    student = np.maximum(RNG.normal(size=(5, student_size, student_size, 3)), 0)
    received = compiled(attention_transfer_loss, teacher, student)
    assert received.shape == (5,)
    np.testing.assert_allclose(received.mean(), original(teacher, student), rtol=1e-5, atol=1e-9)
    for i in range(5):
        alone = original(teacher[i : i + 1], student[i : i + 1])
        np.testing.assert_allclose(received[i], alone, rtol=1e-5, atol=1e-9)


def test_the_stages_are_summed():
    teacher, student = parts("teacher"), parts("student")
    objective = built(AttentionTransfer(), teacher, student)
    pairs = list(zip(teacher["stages"], student["stages"], strict=True))
    expected = sum(original(t.astype("float64"), s.astype("float64")) for t, s in pairs)
    received = ops.convert_to_numpy(objective(teacher, student)).mean()
    np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_scale_and_order_of_channels_change_nothing():
    value = ops.convert_to_numpy(attention_transfer_loss(TEACHER, STUDENT))
    other = attention_transfer_loss(100 * TEACHER[..., ::-1], 0.01 * STUDENT[..., ::-1])
    np.testing.assert_allclose(ops.convert_to_numpy(other), value, rtol=1e-4)
    assert not ops.convert_to_numpy(attention_transfer_loss(TEACHER, 3 * TEACHER)).round(12).any()


@pytest.mark.parametrize("student", [STUDENT[:1], TEACHER[:1, ..., :3], 0 * STUDENT[:1]])
def test_gradients_are_finite_in_a_batch_of_one(student):
    for teacher in (TEACHER[:1], 0 * TEACHER[:1], student):
        slope = gradient(lambda s, t=teacher: attention_transfer_loss(t, s), student)
        assert np.isfinite(slope).all()
        assert np.abs(slope).max() < 10


def test_of_more_stages_the_first_ones_are_matched():
    teacher, student = parts("teacher"), parts("student")
    fewer = {**student, "stages": student["stages"][:2]}
    cut = {**teacher, "stages": teacher["stages"][:2]}
    objective = AttentionTransfer()
    received = objective({"stages": teacher["stages"]}, {"stages": fewer["stages"]})
    expected = objective({"stages": cut["stages"]}, {"stages": fewer["stages"]})
    np.testing.assert_array_equal(ops.convert_to_numpy(received), ops.convert_to_numpy(expected))
    with pytest.raises(ValueError, match="received 3 of the teacher and 0 of the student"):
        built(objective, teacher, {**student, "stages": []})
