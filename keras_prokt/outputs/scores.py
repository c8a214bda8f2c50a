"""Scores of answers to a whole data set, in NumPy: what an accuracy does not tell."""

import numpy as np

LOWER_IS_BETTER = frozenset({"expected_calibration_error"})
"""Names of the scores of which a lower value is better; of all others a higher one is."""

CALIBRATION_BINS = 15
"""Bins of the expected calibration error, as in Guo et al. 2017."""


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits `(examples, classes)`, float64: float32 ties what is nearly sure."""
    powers = np.exp(logits.astype("float64") - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of yes of logits of any shape, float64."""
    return np.exp(-np.logaddexp(0.0, -logits.astype("float64")))


def macro_f1(labels: np.ndarray, answers: np.ndarray) -> float:
    """The mean over classes of F1, each class as important as any other.

    `mean_k 2 TP_k / (2 TP_k + FP_k + FN_k)` over the classes that are a label or an answer.

    Args:
        labels: Right classes, integers `(examples,)`.
        answers: Predicted classes, integers `(examples,)`.

    Returns:
        A number in [0, 1].

    Example:

    >>> import numpy as np
    >>> from keras_prokt.outputs.scores import macro_f1
    >>> round(macro_f1(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])), 4)
    0.4286
    """
    values = []
    for k in np.union1d(labels, answers):
        is_label, is_answer = labels == k, answers == k
        values.append(2 * np.sum(is_label & is_answer) / np.sum(is_label.astype(int) + is_answer))
    return float(np.mean(values))


def balanced_accuracy(labels: np.ndarray, answers: np.ndarray) -> float:
    """The mean over the classes that are labels of the share of their examples that is right.

    `mean_k TP_k / (TP_k + FN_k)` (Brodersen et al. 2010, "The balanced accuracy and its posterior
    distribution"): a constant answer to K classes has 1 / K, however unequal they are.

    Args:
        labels: As `macro_f1`.
        answers: As `macro_f1`.

    Returns:
        A number in [0, 1].

    Example:

    >>> import numpy as np
    >>> from keras_prokt.outputs.scores import balanced_accuracy
    >>> balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
    0.5
    """
    return float(np.mean([np.mean(answers[labels == k] == k) for k in np.unique(labels)]))


def area_under_curve(is_positive: np.ndarray, values: np.ndarray) -> float | None:
    """The area under the ROC curve: how probably a positive example has the higher value.

    `P(v⁺ > v⁻) + P(v⁺ = v⁻) / 2` over all pairs, from the ranks of the values (Hanley and McNeil
    1982, "The meaning and use of the area under a receiver operating characteristic curve").

    Args:
        is_positive: Boolean `(examples,)`.
        values: Such as the probability of the positive class, `(examples,)`.

    Returns:
        A number in [0, 1]; `None` unless there are positive and negative examples.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.outputs.scores import area_under_curve
    >>> area_under_curve(np.array([False, True, True]), np.array([0.2, 0.2, 0.9]))
    0.75
    """
    positives = int(np.sum(is_positive))
    negatives = len(is_positive) - positives
    if not positives or not negatives:
        return None
    # The mean rank, from 1, of those that are equal.
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    above = np.sum(ranks[is_positive]) - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def area_under_curves(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """The area under the ROC curve of class 1 of two; of more classes the mean over them.

    Each class against all others, each as important as any other (one-vs-rest, macro), over the
    classes that some examples have and some have not.

    Args:
        labels: As `macro_f1`.
        probabilities: Shape `(examples, classes)`.

    Returns:
        A number in [0, 1]; `None` if all examples have one class.
    """
    columns = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    found = [area_under_curve(labels == k, probabilities[:, k]) for k in columns]
    areas = [area for area in found if area is not None]
    return float(np.mean(areas)) if areas else None


def expected_calibration_error(
    is_right: np.ndarray, confidence: np.ndarray, bins: int = CALIBRATION_BINS
) -> float:
    """How far the probability of the answer is from the share of right answers.

    `Σ_m |B_m| / n · |accuracy(B_m) − confidence(B_m)|`, where bin `B_m` holds the examples whose
    answer has a probability in `((m − 1) / M, m / M]` (Guo et al. 2017, "On Calibration of Modern
    Neural Networks", Eq. 3).

    Args:
        is_right: Whether each answer is right, boolean `(examples,)`.
        confidence: Probability of each answer, `(examples,)`.
        bins: Number `M` of bins of equal width.

    Returns:
        A number in [0, 1]; 0 is perfect.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.outputs.scores import expected_calibration_error
    >>> is_right = np.array([True, True, False, False])
    >>> expected_calibration_error(is_right, np.array([0.75, 0.75, 0.75, 0.75]))
    0.25
    """
    number = bin_numbers(confidence, bins)
    # |B_m| times the difference of the means is that of the sums.
    gaps = np.bincount(number, weights=is_right - confidence.astype("float64"), minlength=bins)
    return float(np.sum(np.abs(gaps)) / len(is_right))


def bin_numbers(confidence: np.ndarray, bins: int) -> np.ndarray:
    """In which bin of equal width, `((m - 1) / M, m / M]`, each probability lies, from 0."""
    edges = np.arange(1, bins + 1) / bins
    return np.minimum(np.searchsorted(edges, confidence), bins - 1)
