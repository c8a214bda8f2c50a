"""What a model does with each class, as plain numbers: how a run writes it down. In NumPy."""

from typing import Any

import numpy as np

from keras_prokt.outputs.scores import CALIBRATION_BINS, bin_numbers

MOST_CLASSES = 200
"""Classes up to which there is a confusion matrix; of more it would be larger than all else."""

DIGITS = 4
"""Digits after the point."""


def class_report(
    labels: np.ndarray, answers: np.ndarray, probabilities: np.ndarray
) -> dict[str, Any]:
    """Precision, recall and F1 of each class, what is taken for what, and calibration.

    Precision is `TP / (TP + FP)`, recall `TP / (TP + FN)` and F1 `2 TP / (2 TP + FP + FN)`, 0
    where there is nothing to divide by.

    Args:
        labels: Right classes, integers `(examples,)`.
        answers: Predicted classes, integers `(examples,)`.
        probabilities: Shape `(examples, classes)`.

    Returns:
        `classes`: `examples`, `precision`, `recall` and `f1`, a list each, by class; `confusion`,
        rows of counts: of which class, taken for which; left out above `MOST_CLASSES` classes; and
        `calibration`, as `calibration_of`.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.outputs.reports import class_report
    >>> report = class_report(np.array([0, 0, 1]), np.array([0, 1, 1]), np.eye(2)[[0, 1, 1]])
    >>> report["classes"]["recall"], report["confusion"]
    ([0.5, 1.0], [[1, 1], [0, 1]])
    """
    labels, answers = labels.astype("int64"), answers.astype("int64")  # PyTorch's come as floats
    width = probabilities.shape[-1]
    counts = np.zeros((width, width), dtype="int64")
    np.add.at(counts, (labels, answers), 1)
    right = np.diagonal(counts)
    report: dict[str, Any] = {
        "classes": _shares(right, answers=counts.sum(axis=0), examples=counts.sum(axis=1))
    }
    if width <= MOST_CLASSES:
        report["confusion"] = counts.tolist()
    confidence = probabilities[np.arange(len(answers)), answers]
    return {**report, "calibration": calibration_of(labels == answers, confidence)}


def label_report(labels: np.ndarray, answers: np.ndarray, yes: np.ndarray) -> dict[str, Any]:
    """The same of several yes-or-no labels an example, whose `examples` are those with the label.

    Args:
        labels: 0 or 1, `(examples, labels)`.
        answers: 0 or 1, `(examples, labels)`.
        yes: Probability of each label, `(examples, labels)`.

    Returns:
        As `class_report`, without `confusion`; `calibration` is over all labels of all examples.
    """
    labels, answers = labels.astype("int64"), answers.astype("int64")  # as above
    right = (labels & answers).sum(axis=0)
    confidence = np.maximum(yes, 1 - yes)
    return {
        "classes": _shares(right, answers=answers.sum(axis=0), examples=labels.sum(axis=0)),
        "calibration": calibration_of((labels == answers).reshape(-1), confidence.reshape(-1)),
    }


def calibration_of(is_right: np.ndarray, confidence: np.ndarray) -> dict[str, list[float]]:
    """How sure answers are and how many of them are right, by how sure they are.

    Args:
        is_right: Whether each answer is right, `(examples,)`.
        confidence: Its probability, `(examples,)`.

    Returns:
        Of each bin of `expected_calibration_error` that is not empty, in order: `examples`, and
        the means `confidence` and `accuracy`.
    """
    number = bin_numbers(confidence, CALIBRATION_BINS)
    counts, sure, right = (
        np.bincount(number, weights=values, minlength=CALIBRATION_BINS)
        for values in (None, confidence, is_right)
    )
    kept = counts > 0
    return {
        "examples": counts[kept].tolist(),
        "confidence": _rounded(sure[kept] / counts[kept]),
        "accuracy": _rounded(right[kept] / counts[kept]),
    }


def _shares(right: np.ndarray, answers: np.ndarray, examples: np.ndarray) -> dict[str, list[Any]]:
    return {
        "examples": examples.tolist(),
        "precision": _rounded(_share(right, answers)),
        "recall": _rounded(_share(right, examples)),
        "f1": _rounded(_share(2 * right, answers + examples)),
    }


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), 0.0)


def _rounded(values: np.ndarray) -> list[float]:
    return np.round(values, DIGITS).tolist()
