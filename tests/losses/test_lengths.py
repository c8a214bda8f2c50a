"""Directions of vectors, and their gradient where the formula has none.

`tests/mutants.py` lists mistakes that make a test of this file fail.
"""

import numpy as np
import pytest
from keras import ops
from losses.gradients import compiled, gradient

from keras_prokt.losses.lengths import unit

VECTORS = np.random.default_rng(0).normal(size=(4, 3, 5)).astype("float32")


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("epsilon", [0.0, 0.5])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_directions_equal_numpy(axis, epsilon, scale):
    vectors = VECTORS * np.float32(scale)
    lengths = np.linalg.norm(vectors.astype("float64"), axis=axis, keepdims=True)
    received = compiled(lambda v: unit(v, axis, epsilon=epsilon), vectors)
    np.testing.assert_allclose(received, vectors / (lengths + epsilon), rtol=1e-5)


@pytest.mark.parametrize("epsilon", [0.0, 1e-7])
def test_zero_vectors_stay_zero_with_a_gradient_of_zero(epsilon):
    vectors = np.stack([np.zeros(3), np.ones(3)]).astype("float32")
    assert not ops.convert_to_numpy(unit(vectors))[0].any()

    def uneven(v):  # an even push would not turn the vector
        return ops.sum(ops.multiply(unit(v, epsilon=epsilon), [1.0, 2.0, 4.0]), axis=-1)

    slope = gradient(uneven, vectors)
    assert not slope[0].any()
    assert np.isfinite(slope).all() and slope[1].any()
