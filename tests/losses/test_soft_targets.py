"""Losses against numbers from NumPy in double precision, their limits, and the shared contract."""

import numpy as np
import pytest
from keras import ops

from keras_prokt.losses import SoftTargets, kl_divergence, soft_target_loss, weighted_mean

RNG = np.random.default_rng(0)
TEACHER = RNG.normal(scale=3, size=(7, 5))
STUDENT = RNG.normal(scale=3, size=(7, 5))


def probabilities(logits, temperature=1.0):
    powers = np.exp(logits / temperature - np.max(logits / temperature, axis=-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_soft_targets_equal_numpy(temperature):
    p, q = probabilities(TEACHER, temperature), probabilities(STUDENT, temperature)
    expected = temperature**2 * np.sum(p * (np.log(p) - np.log(q)), axis=-1)
    received = ops.convert_to_numpy(soft_target_loss(TEACHER, STUDENT, temperature))
    assert received.shape == (7,)
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)


def test_the_gap_is_not_symmetric():
    one = ops.convert_to_numpy(kl_divergence(TEACHER, STUDENT))
    other = ops.convert_to_numpy(kl_divergence(STUDENT, TEACHER))
    assert np.abs(one - other).min() > 1e-3


def test_extreme_logits_stay_finite():
    extreme = np.array([[1e4, 0.0, -1e4]])
    value = float(kl_divergence(extreme, -extreme)[0])
    assert value == pytest.approx(2e4)


def test_a_high_temperature_compares_logits():
    # T^2 keeps the limit finite: half the variance of the difference over the classes
    # (Hinton et al. 2015, section 2.1).
    expected = np.var(TEACHER - STUDENT, axis=-1) / 2
    received = ops.convert_to_numpy(soft_target_loss(TEACHER, STUDENT, 300.0))
    np.testing.assert_allclose(received, expected, rtol=0.05)


def test_weighted_mean_divides_by_the_number_of_examples():
    assert float(weighted_mean(np.array([1.0, 3.0], "float32"), np.array([1.0, 0.0]))) == 0.5
    assert float(weighted_mean(np.array([1.0, 3.0], "float32"))) == 2.0


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_temperatures_out_of_range(temperature):
    with pytest.raises(ValueError, match="temperature above 0"):
        SoftTargets(temperature=temperature)
