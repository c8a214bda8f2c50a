"""Correlation congruence equals the CRD codebase's formula, written in NumPy with loops.

`tests/mutants.py` lists mistakes that make a test of this file fail.
"""

import numpy as np
import pytest
from keras import ops
from losses.example_parts import built, parts
from losses.gradients import compiled, gradient, gradients_of_objective

from keras_prokt.losses.correlation_congruence import (
    CorrelationCongruence,
    correlation_congruence_loss,
)

RNG = np.random.default_rng(0)


def original(teacher, student):
    """The scalar of a batch."""
    error = np.abs(student - teacher)
    return np.mean([np.dot(error[i], error[i + 1]) for i in range(len(error) - 1)])


@pytest.mark.parametrize("batch", [2, 3, 8])
@pytest.mark.parametrize("dimensions", [1, 5])
def test_equals_numpy(batch, dimensions):
    teacher, student = RNG.normal(size=(2, batch, dimensions))
    received = compiled(correlation_congruence_loss, teacher, student)
    assert received.shape == (batch,)
    np.testing.assert_allclose(received.mean(), original(teacher, student), rtol=1e-5)
    # An example takes part in the pairs with its neighbours, half of each.
    shares = [original(teacher[i : i + 2], student[i : i + 2]) / 2 for i in range(batch - 1)]
    expected = (np.array([0, *shares]) + np.array([*shares, 0])) * batch / (batch - 1)
    np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_limits():
    teacher, student = RNG.normal(size=(2, 6, 5))
    assert not ops.convert_to_numpy(correlation_congruence_loss(teacher, teacher)).any()
    assert ops.convert_to_numpy(correlation_congruence_loss(teacher[:1], student[:1])) == [0]
    # Only the size of an error counts, and one example without error cuts two pairs.
    value = ops.convert_to_numpy(correlation_congruence_loss(teacher, student))
    other = ops.convert_to_numpy(correlation_congruence_loss(student, teacher))
    np.testing.assert_allclose(other, value, rtol=1e-6)
    student[1::2] = teacher[1::2]
    assert not ops.convert_to_numpy(correlation_congruence_loss(teacher, student)).any()


@pytest.mark.parametrize("batch", [1, 2, 6])
def test_gradients_are_finite(batch):
    teacher, student = RNG.normal(size=(2, batch, 5))
    slope = gradient(lambda s: correlation_congruence_loss(teacher, s), student)
    assert np.isfinite(slope).all()
    assert slope.any() == (batch > 1)
    assert not gradient(lambda s: correlation_congruence_loss(s, s), student).any()


def test_both_embeddings_are_linear_and_trained():
    teacher, student = parts("teacher"), parts("student")
    objective = built(CorrelationCongruence(), teacher, student)
    embedded = [
        of["pooled"].astype("float64") @ ops.convert_to_numpy(layer.kernel)
        + ops.convert_to_numpy(layer.bias)
        for of, layer in (
            (teacher, objective.teacher_embedding),
            (student, objective.student_embedding),
        )
    ]
    assert embedded[0].shape == embedded[1].shape == (6, 128)
    received = ops.convert_to_numpy(objective(teacher, student))
    np.testing.assert_allclose(received.mean(), original(*embedded), rtol=1e-5)
    of_pooled, of_weights = gradients_of_objective(objective, teacher, student, "pooled")
    assert len(of_weights) == 4
    for slope in (*of_pooled, *of_weights):
        assert np.isfinite(slope).all() and slope.any()


def test_the_embeddings_start_uniform_in_one_over_the_root_of_the_inputs():
    objective = CorrelationCongruence()
    objective.build_for({"pooled": (None, 100)}, {"pooled": (None, 100)})
    starts = [w.flatten() for w in map(ops.convert_to_numpy, objective.trainable_variables)]
    for start in starts:
        assert 0.09 < np.abs(start).max() <= 0.1
        np.testing.assert_allclose(start.std(), 0.1 / np.sqrt(3), rtol=0.2)
    for i in range(1, 4):
        assert not np.array_equal(starts[0][:128], starts[i][:128])


@pytest.mark.parametrize("dimensions", [0, -1, 1.5])
def test_dimensions_out_of_range(dimensions):
    with pytest.raises(ValueError, match="positive whole number of dimensions"):
        CorrelationCongruence(dimensions)
