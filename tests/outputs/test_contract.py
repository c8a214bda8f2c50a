"""What holds for every kind of output in the table."""

import numpy as np
import pytest
from keras import ops

from keras_prokt.outputs import OUTPUTS

OUTPUTS_OF_A = ops.convert_to_tensor(np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], "float32"))
OUTPUTS_OF_B = ops.convert_to_tensor(np.array([[0.0, 1.0, 2.0], [-1.0, 0.5, 0.0]], "float32"))


@pytest.mark.parametrize("kind", OUTPUTS.values(), ids=OUTPUTS)
def test_the_main_metric_is_the_first(kind):
    for prefix in ("", "student_"):
        assert kind.metrics(3, prefix)[0].name == f"{prefix}{kind.main_metric}"


@pytest.mark.parametrize("kind", OUTPUTS.values(), ids=OUTPUTS)
def test_a_divergence_is_above_0_and_0_from_itself(kind):
    for temperature in (1.0, 4.0):
        other = ops.convert_to_numpy(kind.divergence(OUTPUTS_OF_A, OUTPUTS_OF_B, temperature))
        itself = ops.convert_to_numpy(kind.divergence(OUTPUTS_OF_A, OUTPUTS_OF_A, temperature))
        assert other.shape == (2,) and (other > 0).all()
        np.testing.assert_allclose(itself, 0, atol=1e-6)


@pytest.mark.parametrize("kind", OUTPUTS.values(), ids=OUTPUTS)
def test_the_default_loss_is_the_negative_log_likelihood(kind):
    labels = ops.convert_to_tensor(np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], "float32"))
    likelihood = ops.mean(kind.negative_log_likelihood(labels, OUTPUTS_OF_A))
    loss = kind.default_loss(labels, 3)(labels, OUTPUTS_OF_A)
    np.testing.assert_allclose(float(loss), float(likelihood), rtol=1e-5)
