"""Statistics over seeds, against SciPy and numbers worked by hand."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score

from keras_prokt.results.statistics import (
    bootstrap_interval,
    holm,
    mean_interval,
    paired_difference,
    standard_error_of_accuracy,
)

SAMPLES = [
    [0.80, 0.82, 0.84],
    [0.91, 0.90],
    [0.7311, 0.7454, 0.7431, 0.7459, 0.7460, 0.7012, 0.7777],
    [-1e-3, 2e-3, 5e-4, 0.0],
]


@pytest.mark.parametrize("values", SAMPLES)
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_the_interval_is_scipys(values, confidence):
    mean, interval = mean_interval(values, confidence)
    expected = stats.t.interval(
        confidence, len(values) - 1, loc=np.mean(values), scale=stats.sem(values)
    )
    assert mean == pytest.approx(np.mean(values), rel=1e-12)
    assert interval == pytest.approx(expected, rel=1e-9)


def test_students_own_data():
    """Student 1908, section IX: hours of sleep gained by two drugs, ten patients."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    difference = paired_difference(second, first)
    assert difference.mean == pytest.approx(1.58)
    # The paired t test of R's `sleep`: t = 4.0621 on 9 degrees of freedom.
    assert difference.p == pytest.approx(0.002833, abs=5e-7)
    assert difference.interval == pytest.approx((0.7001142, 2.4598858), abs=5e-8)
    assert difference.n == 10


@pytest.mark.parametrize("values", SAMPLES)
def test_the_paired_test_is_scipys(values):
    others = np.random.default_rng(1).normal(0.8, 0.01, len(values)).tolist()
    difference = paired_difference(values, others, 0.9)
    expected = stats.ttest_rel(values, others)
    assert difference.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert difference.interval == pytest.approx(expected.confidence_interval(0.9), rel=1e-9)
    assert difference.mean == pytest.approx(np.mean(values) - np.mean(others))


def test_a_tiny_p_is_not_rounded_to_zero():
    these, others = [1.0, 1.0001, 1.0002] * 6, [0.0] * 18
    expected = stats.ttest_rel(these, others).pvalue
    assert paired_difference(these, others).p == pytest.approx(expected, rel=1e-6)
    assert 0 < expected < 1e-60


def test_one_value_has_no_interval_and_no_p():
    assert mean_interval([0.8]) == (0.8, None)
    assert paired_difference([0.8], [0.5]) == (pytest.approx(0.3), None, None, 1)


@pytest.mark.parametrize(
    ("others", "mean"),
    [
        ([0.25, 0.5, 0.75], 0.0),
        ([0.0, 0.25, 0.5], 0.25),
        # Not equal in binary: 0.25 - 0.15 and 0.75 - 0.65 differ in the last bits.
        ([0.15, 0.4, 0.65], 0.1),
    ],
)
def test_equal_differences_cannot_be_tested(others, mean):
    difference = paired_difference([0.25, 0.5, 0.75], others)
    assert difference == (pytest.approx(mean), None, None, 3)


def test_rounding_to_single_precision_is_no_spread():
    these = [float(np.float32(k / 360)) for k in (350, 340, 100)]
    others = [float(np.float32(k / 360)) for k in (349, 339, 99)]
    assert len({this - other for this, other in zip(these, others, strict=True)}) > 1
    assert paired_difference(these, others).p is None
    # A single example more is a spread.
    others[0] = float(np.float32(348 / 360))
    assert paired_difference(these, others).p == pytest.approx(
        stats.ttest_1samp([2, 1, 1], 0).pvalue, rel=1e-4
    )


def test_equal_values_have_no_interval():
    assert mean_interval([0.1, 0.1, 0.1]) == (pytest.approx(0.1), None)
    assert mean_interval([0.0, 0.0]) == (0.0, None)


def test_wrong_values_are_refused():
    with pytest.raises(ValueError, match="at least one value, received none"):
        mean_interval([])
    with pytest.raises(ValueError, match="finite values, received nan"):
        mean_interval([0.5, float("nan")])
    with pytest.raises(ValueError, match="`confidence` between 0 and 1, received 95"):
        mean_interval([0.5, 0.6], 95)
    with pytest.raises(ValueError, match="as many values of both methods, received 2 and 1"):
        paired_difference([0.5, 0.6], [0.5])


def test_holm_by_hand():
    # 4 · 0.005, 3 · 0.01, 2 · 0.03, and 0.04 raised to the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_holm_of_a_textbook():
    """R's `p.adjust` on the 15 p values of Benjamini and Hochberg 1995, section 4."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    adjusted = holm(p[::-1])[::-1]
    assert adjusted[:4] == pytest.approx([0.0015, 0.0056, 0.0247, 0.1140])
    # There Bonferroni's and Hochberg's reject the first three at .05; Holm's lies between them.
    assert [value < 0.05 for value in adjusted] == [True] * 3 + [False] * 12
    assert adjusted == sorted(adjusted) and max(adjusted) == 1.0


def test_holm_leaves_out_what_was_not_tested():
    assert holm([None, 0.02, None, 0.03]) == [None, 0.04, None, 0.04]
    assert holm([None]) == [None]
    with pytest.raises(ValueError, match="between 0 and 1, received nan; give `None`"):
        holm([float("nan")])


@pytest.mark.parametrize("metric", ["accuracy", "exact_match", "macro_f1"])
def test_the_bootstrap_of_labels_is_that_of_scikit_learn_on_the_drawn_examples(metric):
    draws = np.random.default_rng(0)
    labels, predicted = draws.integers(2, size=(2, 12, 3))
    of = {
        "accuracy": lambda a, b: np.mean(a == b),
        "exact_match": accuracy_score,
        "macro_f1": lambda a, b: f1_score(a, b, average="macro", zero_division=0),
    }
    # The same draws: of the one seed first, of the examples then.
    same = np.random.default_rng(0)
    same.integers(1, size=(50, 1))
    drawn = same.integers(12, size=(50, 12))
    values = [of[metric](labels[rows], predicted[rows]) for rows in drawn]
    expected = np.quantile(values, [0.025, 0.975])
    found = bootstrap_interval([labels], [predicted], metric=metric, replicates=50)
    assert found == pytest.approx(expected)


def test_answers_of_another_shape_than_the_labels_are_refused():
    with pytest.raises(ValueError, match=r"shape of the labels, \(2, 3\), received \(2,\)"):
        bootstrap_interval([np.zeros((2, 3))], [np.zeros(2)])


# Of one right and one wrong, a draw of two holds 0, 1, 2 right with probability 1/4, 1/2, 1/4:
# quantiles 0.3 and 0.7 lie in the middle, quantiles 0.2 and 0.8 do not.
@pytest.mark.parametrize(("confidence", "expected"), [(0.4, (0.5, 0.5)), (0.6, (0.0, 1.0))])
@pytest.mark.parametrize(
    "predictions",
    [[[1, 1]], [[1, 0], [0, 1]]],
    ids=["one seed, right on one example of two", "one seed right on all, one on none"],
)
def test_bootstrap_draws_examples_and_seeds(predictions, confidence, expected):
    assert bootstrap_interval([1, 0], predictions, confidence=confidence) == expected


@pytest.mark.parametrize(("confidence", "expected"), [(0.4, (2 / 3, 2 / 3)), (0.6, (0.0, 1.0))])
def test_bootstrap_of_f1(confidence, expected):
    # Draws 11, 10 and 00 of the labels: F1 is 1, 2/3 and 0.
    interval = bootstrap_interval([1, 0], [[1, 1]], metric="f1", confidence=confidence)
    assert interval == pytest.approx(expected)


def test_bootstrap_takes_the_mean_of_f1_over_seeds():
    # F1 is 1 and 0; of the counts of both seeds together it would be 2/3.
    interval = bootstrap_interval([1, 1], [[1, 1], [0, 0]], metric="f1", confidence=0.4)
    assert interval == (0.5, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_bootstrap_agrees_with_a_loop(metric):
    draws = np.random.default_rng(5)
    labels = draws.integers(2, size=60)
    these, others = (
        np.where(draws.random((4, 60)) < share, labels, 1 - labels) for share in (0.85, 0.7)
    )

    def measure(labels, predicted):
        if metric == "accuracy":
            return np.mean(labels == predicted)
        precision = np.mean(labels[predicted == 1])
        recall = np.mean(predicted[labels == 1])
        return stats.hmean([precision, recall])

    values = []
    for _ in range(1000):
        seeds, examples = draws.integers(4, size=4), draws.integers(60, size=60)
        values.append(
            np.mean(
                [
                    measure(labels[examples], these[seed][examples])
                    - measure(labels[examples], others[seed][examples])
                    for seed in seeds
                ]
            )
        )
    # Percentiles of 1,000 replicates have an error of some .005 here.
    interval = bootstrap_interval(labels, these, others, metric=metric)
    assert interval == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.025)


def test_bootstrap_gives_both_methods_the_same_draws():
    draws = np.random.default_rng(2)
    labels, predictions = draws.integers(2, size=50), draws.integers(2, size=(3, 50))
    assert bootstrap_interval(labels, predictions, predictions.copy()) == (0.0, 0.0)
    low, high = bootstrap_interval(labels, predictions)
    assert low < high


def test_bootstrap_is_the_same_every_time():
    draws = np.random.default_rng(3)
    labels, predictions = draws.integers(10, size=300), draws.integers(10, size=(5, 300))
    interval = bootstrap_interval(labels, predictions)
    assert bootstrap_interval(labels.tolist(), predictions.tolist()) == interval
    assert bootstrap_interval(labels, predictions, random_seed=1) != interval


def test_bootstrap_copes_with_many_examples():
    # A standard error of sqrt(.9 * .1 / 10000) = .003, in several portions of replicates.
    labels = np.zeros(10_000, "int64")
    predictions = np.tile((np.arange(10_000) % 10 == 0).astype("int64"), (5, 1))
    interval = bootstrap_interval(labels, predictions)
    assert interval == pytest.approx((0.9 - 1.96 * 0.003, 0.9 + 1.96 * 0.003), abs=5e-4)


def test_bootstrap_needs_the_same_examples():
    assert bootstrap_interval([[0, 1], [0, 1]], [[0, 1], [0, 1]]) == (1.0, 1.0)
    assert bootstrap_interval([[0, 1], [1, 1]], [[0, 1], [1, 1]]) is None
    assert bootstrap_interval([[0, 1], [0, 1, 1]], [[0, 1], [0, 1, 1]]) is None


def test_bootstrap_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="each of 2 examples from each seed, received rows of 3"):
        bootstrap_interval([0, 1], [[0, 1, 1]])
    with pytest.raises(ValueError, match="received rows of no seeds"):
        bootstrap_interval([0, 1], [])
    with pytest.raises(ValueError, match="as many seeds of both methods, received 2 and 1"):
        bootstrap_interval([0, 1], np.array([[0, 1], [0, 1]]), np.array([[0, 1]]))
    with pytest.raises(ValueError, match="received 'acuracy'; did you mean 'accuracy'"):
        bootstrap_interval([0, 1], [[0, 1]], metric="acuracy")
    with pytest.raises(ValueError, match="`replicates` of at least 1, received 0"):
        bootstrap_interval([0, 1], [[0, 1]], replicates=0)


def test_standard_error_of_an_accuracy():
    assert standard_error_of_accuracy(0.9, 10_000) == pytest.approx(0.003)
    assert standard_error_of_accuracy(0.75, 872) == pytest.approx(stats.binom.std(872, 0.75) / 872)
    with pytest.raises(ValueError, match="received 93.5 and 100; give a share"):
        standard_error_of_accuracy(93.5, 100)
