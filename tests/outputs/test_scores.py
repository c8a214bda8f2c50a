"""Scores of whole data sets against scikit-learn; calibration against a loop over its bins."""

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from keras_prokt import outputs
from keras_prokt.outputs.scores import (
    area_under_curve,
    area_under_curves,
    balanced_accuracy,
    expected_calibration_error,
    macro_f1,
    sigmoid,
    softmax,
)


def logits_and_labels(width, examples=200, seed=0):
    """Logits that know something of the labels, of classes of unequal size."""
    random = np.random.default_rng([seed, width])
    labels = np.minimum(random.geometric(0.5, examples) - 1, width - 1)
    logits = random.normal(size=(examples, width)) + 1.5 * np.eye(width)[labels]
    return logits.astype("float32"), labels


def calibration_by_hand(is_right, confidence, bins):
    """Guo et al. 2017, Eq. 3, as it is written."""
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [i for i, c in enumerate(confidence) if low < c <= high]
        if inside:
            accuracy = sum(bool(is_right[i]) for i in inside) / len(inside)
            mean = sum(float(confidence[i]) for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return total


@pytest.mark.parametrize("width", [2, 3, 7])
def test_scores_of_classes_are_those_of_scikit_learn(width):
    logits, labels = logits_and_labels(width)
    kind = outputs.get("classes")
    found = kind.scores(kind.checked(labels, width)[0], ops.convert_to_tensor(logits))
    answers, p = logits.argmax(-1), softmax(logits)
    np.testing.assert_allclose(p, ops.softmax(logits), atol=1e-6)
    assert found["macro_f1"] == pytest.approx(f1_score(labels, answers, average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, answers))
    area = (
        roc_auc_score(labels, p[:, 1])
        if width == 2
        else roc_auc_score(labels, p, multi_class="ovr", average="macro")
    )
    assert found["auc"] == pytest.approx(area)
    by_hand = calibration_by_hand(labels == answers, p.max(-1), 15)
    assert found["expected_calibration_error"] == pytest.approx(by_hand)
    assert all(isinstance(value, float) for value in found.values())


@pytest.mark.parametrize("width", [1, 3])
def test_scores_of_labels_are_means_over_labels(width):
    random = np.random.default_rng(width)
    labels = random.integers(0, 2, (150, width))
    logits = (random.normal(size=labels.shape) + labels).astype("float32")
    kind = outputs.get("labels")
    found = kind.scores(kind.checked(labels, width)[0], ops.convert_to_tensor(logits))
    columns = list(zip(labels.T, logits.T, sigmoid(logits).T, strict=True))
    accuracies = [balanced_accuracy_score(y, z > 0) for y, z, _ in columns]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(accuracies))
    assert found["auc"] == pytest.approx(np.mean([roc_auc_score(y, p) for y, _, p in columns]))
    errors = [calibration_by_hand((z > 0) == y, np.maximum(p, 1 - p), 15) for y, z, p in columns]
    assert found["expected_calibration_error"] == pytest.approx(np.mean(errors))
    assert "macro_f1" not in found  # a metric of the kind


def test_a_class_that_the_data_lacks():
    logits, labels = logits_and_labels(4)
    labels[labels == 2] = 0
    answers = logits.argmax(-1)
    assert 2 in answers
    assert macro_f1(labels, answers) == pytest.approx(f1_score(labels, answers, average="macro"))
    recalls = [np.mean(answers[labels == k] == k) for k in (0, 1, 3)]
    assert balanced_accuracy(labels, answers) == pytest.approx(np.mean(recalls))
    p = softmax(logits)
    areas = [roc_auc_score(labels == k, p[:, k]) for k in (0, 1, 3)]
    assert area_under_curves(labels, p) == pytest.approx(np.mean(areas))


def test_equal_values_share_their_rank():
    random = np.random.default_rng(0)
    labels, values = random.integers(0, 2, 100), random.integers(0, 4, 100) / 4
    assert area_under_curve(labels == 1, values) == pytest.approx(roc_auc_score(labels, values))
    assert area_under_curve(labels == 1, np.zeros(100)) == 0.5


@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_without_examples_of_both_kinds_there_is_no_area(kind):
    kind = outputs.get(kind)
    labels = np.zeros(5, "int32") if kind.id == "classes" else np.zeros((5, 2), "int32")
    found = kind.scores(kind.checked(labels, 2)[0], ops.ones((5, 2)))
    assert "auc" not in found and found["balanced_accuracy"] in (0.0, 1.0)


def test_limits_of_calibration():
    right = np.array([True, True, False])
    assert expected_calibration_error(right, np.array([1.0, 1.0, 1.0])) == pytest.approx(1 / 3)
    assert expected_calibration_error(right[:2], np.ones(2)) == 0.0
    # Both ends of (1/5, 2/5] are their own bins' upper ends.
    assert expected_calibration_error(np.array([True, False]), np.array([0.2, 0.4]), 5) == (
        pytest.approx((0.8 + 0.4) / 2)
    )
    for bins in (1, 4, 15):
        random = np.random.default_rng(bins)
        confidence = np.concatenate([random.uniform(0.1, 1, 80), np.arange(1, 16) / 15])
        is_right = random.uniform(size=95) < confidence
        found = expected_calibration_error(is_right, confidence, bins)
        assert found == pytest.approx(calibration_by_hand(is_right, confidence, bins), abs=1e-12)


def test_sigmoid_of_large_logits():
    np.testing.assert_array_equal(sigmoid(np.array([-1e4, 0.0, 1e4])), [0.0, 0.5, 1.0])


def test_a_kind_that_says_nothing_has_no_scores():
    assert outputs.Output().scores(keras.ops.zeros(3), keras.ops.zeros((3, 1))) == {}
