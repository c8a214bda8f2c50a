"""Reports on each class beside scikit-learn's numbers, and beside the scores of the same run."""

import numpy as np
import pytest
from keras import ops
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from keras_prokt import outputs
from keras_prokt.outputs import reports
from keras_prokt.outputs.scores import expected_calibration_error, sigmoid, softmax

KEYS = ("precision", "recall", "f1", "examples")


def report(kind, labels, logits):
    kind = outputs.get(kind)
    checked = kind.checked(labels, logits.shape[-1])[0]
    return kind.report(checked, ops.convert_to_tensor(logits))


@pytest.mark.parametrize("width", [2, 5])
def test_classes_are_those_of_scikit_learn(width):
    random = np.random.default_rng(width)
    labels = random.integers(0, width, 80)
    labels[labels == 1] = 0  # a class without an example
    logits = (random.normal(size=(80, width)) + np.eye(width)[labels]).astype("float32")
    found = report("classes", labels, logits)
    answers = logits.argmax(-1)
    expected = precision_recall_fscore_support(
        labels, answers, labels=range(width), zero_division=0.0
    )
    for key, values in zip(KEYS, expected, strict=True):
        np.testing.assert_allclose(found["classes"][key], values, atol=6e-5)
    matrix = confusion_matrix(labels, answers, labels=range(width))
    assert found["confusion"] == matrix.tolist()
    check_calibration(found["calibration"], labels == answers, softmax(logits).max(-1))


def check_calibration(found, is_right, confidence):
    """The gaps of the bins are the calibration error that the scores have."""
    counts = np.array(found["examples"])
    assert counts.sum() == is_right.size and (counts > 0).all()
    gaps = np.abs(np.subtract(found["accuracy"], found["confidence"]))
    error = expected_calibration_error(is_right.reshape(-1), confidence.reshape(-1))
    assert (counts * gaps).sum() / counts.sum() == pytest.approx(error, abs=2e-4)


def test_several_labels_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (60, 3))
    logits = (random.normal(size=labels.shape) + labels).astype("float32")
    found = report("labels", labels, logits)
    expected = precision_recall_fscore_support(labels, logits > 0, zero_division=0.0)
    for key, values in zip(KEYS, expected, strict=True):
        np.testing.assert_allclose(found["classes"][key], values, atol=6e-5)
    assert "confusion" not in found
    yes = sigmoid(logits)
    check_calibration(found["calibration"], (logits > 0) == labels, np.maximum(yes, 1 - yes))


def test_one_label_has_two_answers():
    logits = np.array([[2.0], [-1.0], [-3.0], [1.0]], "float32")
    found = report("labels", np.array([1, 1, 0, 0]), logits)
    assert found["confusion"] == [[1, 1], [1, 1]]
    assert found["classes"]["examples"] == [2, 2]


def test_many_classes_have_no_matrix(monkeypatch):
    monkeypatch.setattr(reports, "MOST_CLASSES", 2)
    labels = np.array([0, 1, 2])
    assert "confusion" not in report("classes", labels, np.eye(3, dtype="float32"))
    assert "confusion" in report("classes", labels[:2], np.eye(2, dtype="float32"))


def test_a_kind_without_classes_reports_nothing():
    assert report("values", np.zeros((3, 1), "float32"), np.zeros((3, 1), "float32")) == {}
