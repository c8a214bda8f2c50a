"""Statistics of methods that were trained with several seeds. Imports no Keras.

NumPy and SciPy are imported where they are used, so that the command line starts quickly.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_prokt.names import is_known, unknown_name

if TYPE_CHECKING:
    import numpy as np

Interval = tuple[float, float]
"""The lower and the upper end."""

BOOTSTRAP_METRICS = ("accuracy", "exact_match", "f1", "macro_f1")
"""Metrics that `bootstrap_interval` can compute from what models answered."""

REPLICATES = 2000
"""Replicates of a bootstrap."""

# Metrics come from Keras in single precision. Equal differences of two of them spread by that much,
# in units of the larger value, and a t test would take the rounding for a measured spread.
_ROUNDING = 4 * 2.0**-23

_MOST_DRAWS_AT_ONCE = 2**20


class Mean(NamedTuple):
    """A mean and its interval, `None` where there is none."""

    mean: float
    interval: Interval | None


class Difference(NamedTuple):
    """A mean difference of `n` pairs, its interval and its p value, `None` where there is none."""

    mean: float
    interval: Interval | None
    p: float | None
    n: int


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Mean:
    """The mean and its interval by Student's t.

    `mean ± t · s / √n`, where `s` is the standard deviation with `n − 1` and `t` the
    `(1 + confidence) / 2` quantile of Student's t with `n − 1` degrees of freedom (Student 1908,
    "The probable error of a mean").

    Args:
        values: One for each seed.
        confidence: Between 0 and 1.

    Returns:
        The mean and the interval. There is no interval for one value, nor for values that are equal
        up to single precision: they show no spread to make one from.

    Raises:
        ValueError: If there is no value, one is not finite, or `confidence` is not between 0 and 1.

    Example:

    >>> from keras_prokt.results.statistics import mean_interval
    >>> mean, (low, high) = mean_interval([0.80, 0.82, 0.84])
    >>> round(mean, 3), round(low, 3), round(high, 3)
    (0.82, 0.77, 0.87)
    >>> mean_interval([0.80]).interval is None
    True
    """
    _check(values, confidence)
    mean, error = _mean_and_error(values, largest=max(map(abs, values)))
    return Mean(mean, _t_interval(mean, error, len(values), confidence))


def paired_difference(
    these: Sequence[float], others: Sequence[float], confidence: float = 0.95
) -> Difference:
    """The mean of the differences of pairs, its interval, and the paired t test.

    With the differences `d = these − others`, `t = mean(d) / (s / √n)`, where `s` is their standard
    deviation with `n − 1`; p is the two-sided probability of Student's t with `n − 1` degrees of
    freedom (Student 1908). That takes the differences for normally distributed.

    Args:
        these: A value for each seed.
        others: The other method's values for the same seeds, in the same order.
        confidence: Between 0 and 1.

    Returns:
        The mean difference, interval, p and the number of pairs. Interval and p are `None` for one
        pair, and for differences that are equal up to single precision, whether zero or not: the
        test divides by a spread that they do not show. (For those SciPy has p = NaN if they are
        zero and p = 0 if not, which two seeds of a coarse metric reach by chance.)

    Raises:
        ValueError: As `mean_interval`, or if there are not as many values on both sides.

    Example:

    >>> from keras_prokt.results.statistics import paired_difference
    >>> difference = paired_difference([0.83, 0.85, 0.88], [0.80, 0.83, 0.84])
    >>> round(difference.mean, 3), round(difference.p, 3), difference.n
    (0.03, 0.035, 3)
    """
    if len(these) != len(others):
        raise ValueError(
            f"Expected as many values of both methods, received {len(these)} and {len(others)}; "
            "give those of the seeds that both have."
        )
    _check([*these, *others], confidence)
    differences = [float(this) - float(other) for this, other in zip(these, others, strict=True)]
    largest = max(map(abs, [*these, *others]))
    mean, error = _mean_and_error(differences, largest)
    interval = _t_interval(mean, error, len(differences), confidence)
    p = None
    if error is not None:
        from scipy import special

        p = float(min(1.0, 2 * special.stdtr(len(differences) - 1, -abs(mean / error))))
    return Difference(mean, interval, p, len(differences))


def resampled_interval(
    differences: Sequence[float], held_out_per_training: float, confidence: float = 0.95
) -> Interval | None:
    """An interval for differences whose training data overlap from seed to seed.

    `mean ± t · s · √(1/n + n_test / n_train)`: the correction of Nadeau and Bengio ("Inference for
    the generalization error", 2003, Eq. 8) for divisions drawn again and again from one data set,
    whose runs are not independent of each other. The plain interval has `√(1/n)`.

    Args:
        differences: Of two methods, one for each division.
        held_out_per_training: `n_test / n_train`, above 0.
        confidence: Between 0 and 1.

    Returns:
        The interval; `None` where the plain one is.

    Raises:
        ValueError: As `mean_interval`, or if the share is not above 0.

    Example:

    >>> from keras_prokt.results.statistics import resampled_interval
    >>> low, high = resampled_interval([0.03, 0.02, 0.04], 0.25)
    >>> round(low, 4), round(high, 4)
    (-0.0029, 0.0629)
    """
    _check(differences, confidence)
    if not 0 < held_out_per_training < math.inf:
        raise ValueError(
            f"Expected `held_out_per_training` above 0, received {held_out_per_training}; divide "
            "the test examples by the training examples."
        )
    n = len(differences)
    mean, error = _mean_and_error(differences, largest=max(map(abs, differences)))
    wider = None if error is None else error * math.sqrt(1 + n * held_out_per_training)
    return _t_interval(mean, wider, n, confidence)


def _check(values: Sequence[float], confidence: float) -> None:
    _check_confidence(confidence)
    if len(values) == 0:
        raise ValueError("Expected at least one value, received none; give one for each seed.")
    for value in values:
        if not math.isfinite(value):
            raise ValueError(
                f"Expected finite values, received {value}; leave out the runs that diverged, "
                "and say so."
            )


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(
            f"Expected `confidence` between 0 and 1, received {confidence}; the usual one is 0.95."
        )


def _mean_and_error(values: Sequence[float], largest: float) -> tuple[float, float | None]:
    """The mean and its standard error, `None` without a spread.

    Args:
        values: What to take the mean of.
        largest: The largest number that these come from, whose rounding is no spread.
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return mean, None
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return mean, deviation / math.sqrt(n) if deviation > _ROUNDING * largest else None


def _t_interval(mean: float, error: float | None, n: int, confidence: float) -> Interval | None:
    if error is None:
        return None
    from scipy import special

    half = float(special.stdtrit(n - 1, (1 + confidence) / 2)) * error
    return mean - half, mean + half


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p values adjusted for being several (Holm 1979).

    With `m` values in ascending order, the `i`-th is `max over j ≤ i of min(1, (m − j + 1) · p_j)`.
    Rejecting those below a level keeps the probability of one or more false rejections at most
    there, however the tests depend on one another (Holm, "A simple sequentially rejective multiple
    test procedure", 1979).

    Args:
        p_values: Each between 0 and 1, or `None` where nothing was tested.

    Returns:
        The adjusted values in the same order. A `None` stays and does not count.

    Raises:
        ValueError: If a value is not between 0 and 1.

    Example:

    >>> from keras_prokt.results.statistics import holm
    >>> holm([0.25, None, 0.125])
    [0.25, None, 0.25]
    """
    for p in p_values:
        if p is not None and not 0 <= p <= 1:
            raise ValueError(
                f"Expected p values between 0 and 1, received {p}; give `None` for no test."
            )
    ascending = sorted((p, position) for position, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, position) in enumerate(ascending):
        largest = max(largest, min(1.0, (len(ascending) - rank) * p))
        adjusted[position] = largest
    return adjusted


def bootstrap_interval(
    labels: Sequence[Any],
    predictions: Sequence[Sequence[Any]],
    others: Sequence[Sequence[Any]] | None = None,
    *,
    metric: str = "accuracy",
    confidence: float = 0.95,
    replicates: int = REPLICATES,
    random_seed: int = 0,
) -> Interval | None:
    """An interval for other seeds and other examples, of a metric or of a difference of two.

    Each replicate draws seeds and examples with replacement, and takes the mean over its seeds of
    the metric on its examples, which are the same for all seeds and for both methods. The interval
    lies between two percentiles of the replicates (Efron and Tibshirani 1993, chapter 13; both
    factors at once: Owen 2007, "The pigeonhole bootstrap").

    With few seeds it is too narrow: draws from `n` seeds have `(n − 1) / n` of their variance.

    Args:
        labels: Classes of the examples, shape `(examples,)`; or a row for each seed, shape
            `(rows, examples)`, or `(rows, examples, labels)` of several yes-or-no labels.
        predictions: Predicted classes, shape `(seeds, examples)`, or labels, `(seeds, examples,
            labels)`.
        others: The other method's, with the same seeds in the same order, for the interval of the
            difference `predictions − others`.
        metric: "accuracy", of several labels the share of those that are right; "exact_match", the
            share of examples with all of them right; "f1": F1 of class 1, 0 without any; or
            "macro_f1", its mean over labels.
        confidence: Between 0 and 1.
        replicates: How many.
        random_seed: Of the draws; the same one gives the same interval.

    Returns:
        The interval, or `None` if rows of `labels` differ: seeds with test examples of their own
        cannot be drawn apart from them. With one seed the interval is for other examples alone.

    Raises:
        ValueError: If the shapes do not fit, or the metric is unknown.

    Example:

    >>> from keras_prokt.results.statistics import bootstrap_interval
    >>> bootstrap_interval([0, 1, 1], [[0, 1, 1], [0, 1, 1]], [[1, 0, 0], [1, 0, 0]])
    (1.0, 1.0)
    """
    import numpy as np

    _check_confidence(confidence)
    if not is_known(metric, BOOTSTRAP_METRICS):
        raise ValueError(unknown_name("a metric", metric, BOOTSTRAP_METRICS))
    if replicates < 1:
        raise ValueError(
            f"Expected `replicates` of at least 1, received {replicates}; {REPLICATES:,} is usual."
        )
    row = _common_row(labels)
    if row is None:
        return None
    both = [predictions] if others is None else [predictions, others]
    sides = [_checked_predictions(row, one_method) for one_method in both]
    if len({side.shape for side in sides}) > 1:
        raise ValueError(
            "Expected as many seeds of both methods, received "
            f"{' and '.join(str(len(side)) for side in sides)}; give those of the seeds that both "
            "have."
        )
    seeds, examples = sides[0].shape[:2]
    draws = np.random.default_rng(random_seed)
    seed_shares = _counts(draws, replicates, seeds) / seeds
    values = []
    at_once = max(1, _MOST_DRAWS_AT_ONCE // examples)
    for first in range(0, replicates, at_once):
        share_block = seed_shares[first : first + at_once]
        # Sums of whole numbers: equal on every machine, whatever the order.
        counts = _counts(draws, len(share_block), examples)
        measured = _measure(metric, counts, row, sides[0])
        if others is not None:
            measured = measured - _measure(metric, counts, row, sides[1])
        values.append((share_block * measured).sum(axis=1))
    low, high = np.quantile(
        np.concatenate(values), [(1 - confidence) / 2, (1 + confidence) / 2]
    ).tolist()
    return low, high


def _common_row(labels: Any) -> "np.ndarray | None":
    """The labels of all seeds, `None` if they differ."""
    import numpy as np

    if len(labels) == 0 or np.ndim(labels[0]) == 0:
        return np.asarray(labels)
    rows = [np.asarray(row) for row in labels]
    return rows[0] if all(np.array_equal(row, rows[0]) for row in rows) else None


def _checked_predictions(labels: "np.ndarray", predictions: Sequence[Any]) -> "np.ndarray":
    import numpy as np

    lengths = sorted({len(row) for row in predictions})
    arrays = [np.asarray(row) for row in predictions]
    if lengths == [len(labels)] and (shapes := {a.shape for a in arrays} - {labels.shape}):
        raise ValueError(
            f"Expected predictions of the shape of the labels, {labels.shape}, received "
            f"{shapes.pop()}; give both of the same examples and labels."
        )
    if lengths != [len(labels)] or len(labels) == 0:
        raise ValueError(
            f"Expected a class for each of {len(labels)} examples from each seed, received rows of "
            f"{', '.join(map(str, lengths)) or 'no seeds'}; give labels and predictions of the "
            "same test examples."
        )
    return np.stack(arrays)


def _counts(draws: "np.random.Generator", rows: int, of: int) -> "np.ndarray":
    """How often each of `of` things is drawn in `of` draws with replacement, for each row."""
    import numpy as np

    drawn = draws.integers(of, size=(rows, of)) + of * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * of).reshape(rows, of).astype("float64")


def _measure(
    metric: str, counts: "np.ndarray", labels: "np.ndarray", predictions: "np.ndarray"
) -> "np.ndarray":
    """The metric of each seed on the drawn examples, shape `(replicates, seeds)`."""
    import numpy as np

    labels = labels.reshape(len(labels), -1)
    predictions = predictions.reshape(len(predictions), *labels.shape)
    if metric == "accuracy":
        return counts @ (predictions == labels).sum(axis=-1).T.astype("float64") / labels.size
    if metric == "exact_match":
        return counts @ (predictions == labels).all(axis=-1).T.astype("float64") / len(labels)
    return np.mean([_f1(counts, *one) for one in zip(labels.T, predictions.T, strict=True)], axis=0)


def _f1(counts: "np.ndarray", labels: "np.ndarray", predictions: "np.ndarray") -> "np.ndarray":
    """F1 of one label; `predictions` have the shape `(examples, seeds)`."""
    import numpy as np

    is_one = (predictions == 1).astype("float64")
    is_positive = (labels == 1).astype("float64")[:, None]
    true_positives = counts @ (is_one * is_positive)
    # 2 TP + FP + FN
    positives = counts @ (is_one + is_positive)
    return 2 * true_positives / np.maximum(positives, 1)


def is_share_of_examples(metric: str, labels: Sequence[Any]) -> bool:
    """Whether a metric is the share of the examples that are right, each one right or wrong.

    Args:
        metric: Its name.
        labels: Those of the examples; several of one may be right in part.

    Example:

    >>> from keras_prokt.results.statistics import is_share_of_examples
    >>> is_share_of_examples("accuracy", [0, 2]), is_share_of_examples("accuracy", [[0, 1]])
    (True, False)
    """
    import numpy as np

    return metric == "exact_match" or (metric == "accuracy" and np.ndim(labels) == 1)


def standard_error_of_accuracy(accuracy: float, n: int) -> float:
    """How far the accuracy of one model varies with the test examples alone: `√(a (1 − a) / n)`.

    The standard deviation of a binomial share. It says nothing about seeds.

    Args:
        accuracy: Between 0 and 1.
        n: The number of test examples.

    Raises:
        ValueError: If the accuracy is not between 0 and 1, or there is no example.

    Example:

    >>> from keras_prokt.results.statistics import standard_error_of_accuracy
    >>> standard_error_of_accuracy(0.5, 100)
    0.05
    """
    if not (0 <= accuracy <= 1 and n >= 1):
        raise ValueError(
            f"Expected `accuracy` between 0 and 1 and `n` of at least 1, received {accuracy} and "
            f"{n}; give a share, not a percentage."
        )
    return math.sqrt(accuracy * (1 - accuracy) / n)
