"""Labels that look wrong: those that models contradict. In NumPy alone."""

from collections.abc import Sequence

import numpy as np


def contradicted(
    labels: np.ndarray, probabilities: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The examples whose label every model contradicts, the surest first.

    A model contradicts a label `y` where its normalized margin `p_y − max_{k≠y} p_k` is negative
    (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset
    Labels"). Examples are ordered by the mean of their margins over the models.

    Args:
        labels: Classes, integers `(examples,)`.
        probabilities: Of each model, `(examples, classes)`.

    Returns:
        `(rows, margins)`: numbers of these examples, and their mean margins in `[-1, 0)`.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.results.suspects import contradicted
    >>> teacher = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> student = np.array([[0.8, 0.2], [0.3, 0.7], [0.0, 1.0]])
    >>> rows, margins = contradicted(np.array([0, 0, 0]), [teacher, student])
    >>> rows.tolist(), margins.round(2).tolist()
    ([2, 1], [-0.8, -0.3])
    """
    margins = np.stack([_margins(labels, values) for values in probabilities])
    rows = np.flatnonzero((margins < 0).all(axis=0))
    means = margins[:, rows].mean(axis=0)
    order = np.argsort(means, kind="stable")
    return rows[order], means[order]


def _margins(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    others = probabilities.astype("float64")
    rows = np.arange(len(labels))
    own = others[rows, labels]
    others[rows, labels] = -np.inf
    return own - others.max(axis=-1)
