"""Neuron selectivity transfer equals the CRD codebase's formula, written in NumPy with loops.

`tests/mutants.py` lists mistakes that make a test of this file fail.
"""

import keras
import numpy as np
import pytest
from keras import ops
from losses.example_parts import built, parts
from losses.gradients import compiled, gradient
from losses.test_feature_maps import pooled

from keras_prokt.losses.neuron_selectivity import NeuronSelectivity, neuron_selectivity_loss

RNG = np.random.default_rng(0)
TEACHER = np.maximum(RNG.normal(size=(3, 4, 4, 6)), 0)
STUDENT = np.maximum(RNG.normal(size=(3, 4, 4, 3)), 0)


def patterns(feature_map):
    channels = [feature_map[..., c].flatten() for c in range(feature_map.shape[-1])]
    return [c / max(np.sqrt(np.sum(c**2)), 1e-12) for c in channels]


def mean_kernel(first, second):
    return np.mean([np.dot(a, b) ** 2 for a in first for b in second])


def original(teacher, student):
    """The values of the examples; their mean is the scalar of the batch."""
    height, width = (min(s) for s in zip(teacher.shape[1:3], student.shape[1:3], strict=True))
    pairs = zip(pooled(teacher, height, width), pooled(student, height, width), strict=True)
    return np.array(
        [
            mean_kernel(t, t) + mean_kernel(s, s) - 2 * mean_kernel(t, s)
            for t, s in ((patterns(t), patterns(s)) for t, s in pairs)
        ]
    )


@pytest.mark.parametrize("channels", [(6, 3), (20, 3), (3, 20), (20, 30)])
@pytest.mark.parametrize("sizes", [(4, 4), (2, 2), (8, 4), (2, 4), (7, 3), (1, 1)])
def test_equals_numpy(channels, sizes):
    teacher, student = (
        np.maximum(RNG.normal(size=(3, size, size, width)), 0)
        for size, width in zip(sizes, channels, strict=True)
    )
    received = compiled(neuron_selectivity_loss, teacher, student)
    np.testing.assert_allclose(received, original(teacher, student), rtol=1e-5, atol=1e-6)


def test_the_stages_are_summed():
    teacher, student = parts("teacher"), parts("student")
    objective = built(NeuronSelectivity(), teacher, student)
    pairs = list(zip(teacher["stages"], student["stages"], strict=True))
    expected = sum(original(t.astype("float64"), s.astype("float64")) for t, s in pairs)
    received = ops.convert_to_numpy(objective(teacher, student))
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("channels", "size", "largest"), [((64, 48), 2, 16), ((64, 3), 2, 16), ((8, 5), 8, 64)]
)
def test_no_matrix_is_larger_than_the_smaller_form(channels, size, largest, monkeypatch):
    sizes = []
    matmul = keras.ops.matmul

    def watched(first, second):
        product = matmul(first, second)
        sizes.append(np.prod(product.shape[1:]))
        return product

    monkeypatch.setattr(keras.ops, "matmul", watched)
    teacher, student = (RNG.normal(size=(2, size, size, width)) for width in channels)
    neuron_selectivity_loss(teacher, student)
    assert max(sizes) <= largest


def test_order_and_scale_of_the_channels_change_nothing():
    value = ops.convert_to_numpy(neuron_selectivity_loss(TEACHER, STUDENT))
    scales = np.array([0.01, 1, -30])
    other = neuron_selectivity_loss(TEACHER[..., ::-1], (scales * STUDENT)[..., ::-1])
    np.testing.assert_allclose(ops.convert_to_numpy(other), value, rtol=1e-4, atol=1e-6)
    twice = neuron_selectivity_loss(TEACHER, np.concatenate([TEACHER, TEACHER], axis=-1))
    np.testing.assert_allclose(ops.convert_to_numpy(twice), 0, atol=1e-6)


def test_patterns_apart_are_the_maximum():
    teacher, student = np.zeros((2, 1, 2, 2, 3))
    teacher[:, 0, 0], student[:, 1, 1] = 2, 7
    np.testing.assert_allclose(ops.convert_to_numpy(neuron_selectivity_loss(teacher, student)), 2)


def test_gradients_are_finite_with_dead_channels_and_in_a_batch_of_one():
    dead = STUDENT[:1].copy()
    dead[..., 0] = 0
    for student in (STUDENT[:1], dead, 0 * dead):
        for teacher in (TEACHER[:1], student):
            slope = gradient(lambda s, t=teacher: neuron_selectivity_loss(t, s), student)
            assert np.isfinite(slope).all()
            assert np.abs(slope).max() < 10
    assert gradient(lambda s: neuron_selectivity_loss(TEACHER, s), STUDENT).any()


def test_of_more_stages_the_first_ones_are_matched():
    teacher, student = parts("teacher"), parts("student")
    fewer = {**student, "stages": student["stages"][:2]}
    cut = {**teacher, "stages": teacher["stages"][:2]}
    objective = NeuronSelectivity()
    received = objective({"stages": teacher["stages"]}, {"stages": fewer["stages"]})
    expected = objective({"stages": cut["stages"]}, {"stages": fewer["stages"]})
    np.testing.assert_array_equal(ops.convert_to_numpy(received), ops.convert_to_numpy(expected))
    with pytest.raises(ValueError, match="received 3 of the teacher and 0 of the student"):
        built(objective, teacher, {**student, "stages": []})
