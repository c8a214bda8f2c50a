"""What holds for every kind of output in the table."""

import numpy as np
import pytest
from keras import ops

from keras_prokt.outputs import OUTPUTS
from keras_prokt.outputs.base import MeanOf
from keras_prokt.results.evaluation import metrics_of
from keras_prokt.results.statistics import BOOTSTRAP_METRICS, bootstrap_interval

OUTPUTS_OF_A = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], "float32")
OUTPUTS_OF_B = np.array([[0.0, 1.0, 2.0], [-1.0, 0.5, 0.0]], "float32")
LABELS = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], "float32")


def tensors_for(kind, *arrays):
    """The arrays, or what they are at each of two positions, if that is what the kind has."""
    if not kind.fits((3,)):
        arrays = [np.repeat(array[:, None], 2, axis=1) for array in arrays]
    return [ops.convert_to_tensor(array) for array in arrays]


@pytest.mark.parametrize("kind", OUTPUTS.values(), ids=OUTPUTS)
def test_the_main_metric_is_the_first(kind):
    for prefix in ("", "student_"):
        assert kind.metrics(3, prefix)[0].name == f"{prefix}{kind.main_metric}"


@pytest.mark.parametrize("kind", OUTPUTS.values(), ids=OUTPUTS)
def test_a_divergence_is_above_0_and_0_from_itself(kind):
    a, b = tensors_for(kind, OUTPUTS_OF_A, OUTPUTS_OF_B)
    for temperature in (1.0, 4.0):
        other = ops.convert_to_numpy(kind.divergence(a, b, temperature))
        itself = ops.convert_to_numpy(kind.divergence(a, a, temperature))
        assert other.shape == tuple(a.shape[:-1]) and (other > 0).all()
        np.testing.assert_allclose(itself, 0, atol=1e-6)


@pytest.mark.parametrize("kind", OUTPUTS.values(), ids=OUTPUTS)
def test_the_default_loss_is_the_negative_log_likelihood(kind):
    labels, a = tensors_for(kind, LABELS, OUTPUTS_OF_A)
    likelihood = ops.mean(kind.negative_log_likelihood(labels, a))
    loss = kind.default_loss(labels, 3)(labels, a)
    np.testing.assert_allclose(float(loss), float(likelihood), rtol=1e-5)


@pytest.mark.parametrize("kind", OUTPUTS.values(), ids=OUTPUTS)
def test_names_of_metrics_are_those_of_the_metrics(kind):
    assert kind.metric_names == [metric.name for metric in kind.metrics(3)]
    assert kind.lower_is_better <= set(kind.metric_names)
    assert not set(kind.more_metrics) & set(kind.metric_names)


@pytest.mark.parametrize("kind", OUTPUTS.values(), ids=OUTPUTS)
def test_a_better_answer_has_the_better_value_of_the_main_metric(kind):
    both = tensors_for(kind, OUTPUTS_OF_A, OUTPUTS_OF_B)
    labels, _ = kind.checked(kind.means(both[0]), 3)
    values = []
    for outputs in both:
        metric = kind.metrics(3)[0]
        metric.update_state(labels, outputs)
        values.append(float(ops.convert_to_numpy(metric.result())))
    own, other = values
    assert own < other if kind.main_metric in kind.lower_is_better else own > other


@pytest.mark.parametrize("kind", OUTPUTS.values(), ids=OUTPUTS)
def test_answers_have_the_form_of_right_answers(kind):
    labels, a = tensors_for(kind, LABELS, OUTPUTS_OF_A)
    labels, _ = kind.checked(labels, 3)
    answers = kind.answers(a)
    assert tuple(answers.shape) == tuple(kind.right_answers(labels, 3).shape)
    assert answers.shape[0] == 2


@pytest.mark.parametrize("kind", OUTPUTS.values(), ids=OUTPUTS)
def test_bootstraps_of_the_kept_answers_are_of_its_metrics(kind):
    given, a, b = tensors_for(kind, LABELS, OUTPUTS_OF_A, OUTPUTS_OF_B)
    labels, _ = kind.checked(given, 3)
    arrays = kind.right_answers(labels, 3), kind.answers(a), kind.answers(b)
    right, one, other = (ops.convert_to_numpy(array) for array in arrays)
    for name in {*kind.metric_names} & {*BOOTSTRAP_METRICS}:
        for answers, outputs in ((one, a), (other, b)):
            both = ops.convert_to_numpy(given), ops.convert_to_numpy(outputs)
            for row in range(2):  # alone, so that every draw is the same
                of_row = [array[[row]] for array in both]
                value = metrics_of(*of_row, (name,), kind.id)[name]
                found = bootstrap_interval([right[[row]]], [answers[[row]]], metric=name)
                assert found == pytest.approx((value, value), abs=1e-6)


@pytest.mark.parametrize("kind", OUTPUTS.values(), ids=OUTPUTS)
def test_columns_have_a_value_of_every_example(kind):
    columns = kind.columns(*tensors_for(kind, OUTPUTS_OF_A), [])
    assert columns and all(len(values) == 2 for _, values in columns)
    assert len({heading for heading, _ in columns}) == len(columns)


@pytest.mark.parametrize("kind", OUTPUTS.values(), ids=OUTPUTS)
def test_a_mean_over_examples_is_that_of_its_values(kind):
    labels, a = tensors_for(kind, LABELS, OUTPUTS_OF_A)
    labels, _ = kind.checked(labels, 3)
    for metric in kind.metrics(3):
        if isinstance(metric, MeanOf):
            metric.update_state(labels, a)
            values = ops.convert_to_numpy(metric.example_values(labels, a))
            assert values.shape == tuple(a.shape[:-1])
            np.testing.assert_allclose(float(metric.result()), values.mean(), rtol=1e-6)
