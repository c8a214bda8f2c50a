"""Methods compared over seeds: what was measured, how sure it is, and what it cost.

Imports no Keras; NumPy and SciPy only where numbers are worked out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_prokt.names import unknown_name
from keras_prokt.results.statistics import (
    BOOTSTRAP_METRICS,
    Interval,
    bootstrap_interval,
    holm,
    is_share_of_examples,
    mean_interval,
    paired_difference,
    standard_error_of_accuracy,
)

LEVEL = 0.05
"""A difference is called better or worse if Holm's p is below this."""


@dataclass(frozen=True)
class Measured:
    """One finished run, as far as a comparison needs it.

    Args:
        method: Heading of its row, such as "prokt lambda=0".
        seed: What its method's runs differ in.
        student: The metric of the student.
        teacher: The metric of the teacher, `None` without one.
        cost: `forwards`, a number of forwards of one example for each model, and `flops`, those of
            one such forward, `None` where unknown; the student is "student". `None` if unknown.
        seconds: Of the distillation alone, or of the training of method `student`.
        labels: The right answer to each test example: a class, or a row of labels.
        predicted: The student's answer to each.
    """

    method: str
    seed: int
    student: float
    teacher: float | None
    cost: Mapping[str, Any] | None
    seconds: float
    labels: Sequence[Any] | None = None
    predicted: Sequence[Any] | None = None


def compare(
    runs: Sequence[Measured],
    *,
    metric: str,
    part: str,
    mode: str = "max",
    baselines: Sequence[str] = (),
    confidence: float = 0.95,
    settings: Mapping[str, Any] | None = None,
    own_settings: Mapping[str, Mapping[str, Any]] | None = None,
    best_constant: Sequence[float] = (),
) -> dict[str, Any]:
    """Statistics of methods over seeds, and of their differences to some of them.

    Args:
        runs: Runs of one task, one for each method and seed.
        metric: What was measured.
        part: On which data, such as "test".
        mode: "max" or "min": whether higher or lower is better.
        baselines: Methods that every other one is compared with.
        confidence: Of the intervals, between 0 and 1.
        settings: What all runs have in common, by name as it is shown, such as `batch-size`.
        own_settings: Method -> what its runs have and not all others.
        best_constant: What the same answer to all examples has at best on the data of each run; of
            accuracy, the share of the largest class.

    Returns:
        A JSON object, the same for the same runs:

        - `metric`, `part`, `mode`, `confidence`, `level`, `settings`;
        - `best_constant`, its lowest and its highest value, or `None`;
        - `methods`, in the order of their first run: `method`, `settings`, `seeds`, `n`, `student`
          (`mean`, `interval` by Student's t, `bootstrap` interval over seeds and examples),
          `teacher` (`n`, `mean`, `interval`) or `None`, `examples` and `examples_standard_error`
          (of the share of one run, by the examples alone), `cost` (`forwards` of each model, and
          `student_forwards`, as the function of that name) and `seconds`, both means over the runs;
        - `comparisons`, one for each baseline and other method: `method`, `baseline`, `seeds` that
          both have, `n`, `left_out` (the other seeds of each), `difference` (method − baseline),
          `interval`, `p` of the paired t test, `holm` (p adjusted for all comparisons here),
          `bootstrap` interval and `verdict`: "better" or "worse" if Holm's p is below `level`, else
          `None`, which is no evidence of equality.

        What cannot be known is `None`: any interval and test of a single seed, a bootstrap where
        the predictions are unknown or the test examples differ, a cost that is unknown in a run.

    Raises:
        ValueError: If there is no run, a method has two of a seed, a baseline is unknown, or a
            number is not finite.

    Example:

    >>> from keras_prokt.results.comparison import Measured, compare
    >>> runs = [
    ...     Measured("kd", 0, 0.50, None, None, 1.0),
    ...     Measured("kd", 1, 0.52, None, None, 1.0),
    ...     Measured("prokt", 0, 0.53, None, None, 2.0),
    ...     Measured("prokt", 1, 0.56, None, None, 2.0),
    ... ]
    >>> compared = compare(runs, metric="accuracy", part="test", baselines=["kd"])["comparisons"][0]
    >>> round(compared["difference"], 3), round(compared["p"], 3), compared["verdict"]
    (0.035, 0.09, None)
    """
    methods = _by_method(runs)
    for baseline in baselines:
        if baseline not in methods:
            raise ValueError(unknown_name("a baseline", baseline, methods))
    pairs: list[tuple[str, str]] = []
    for baseline in dict.fromkeys(baselines):
        others = (method for method in methods if method != baseline)
        pairs += [(method, baseline) for method in others if (baseline, method) not in pairs]
    comparisons = [
        _compared(methods[method], methods[baseline], metric, confidence)
        for method, baseline in pairs
    ]
    adjusted = holm([comparison["p"] for comparison in comparisons])
    for comparison, p in zip(comparisons, adjusted, strict=True):
        comparison["holm"] = p
        if p is not None and p < LEVEL:
            is_better = (comparison["difference"] > 0) == (mode == "max")
            comparison["verdict"] = "better" if is_better else "worse"
    return {
        "metric": metric,
        "part": part,
        "mode": mode,
        "confidence": confidence,
        "level": LEVEL,
        "settings": dict(settings or {}),
        "best_constant": [min(best_constant), max(best_constant)] if best_constant else None,
        "methods": [
            _summary(method_runs, metric, confidence, (own_settings or {}).get(method, {}))
            for method, method_runs in methods.items()
        ],
        "comparisons": comparisons,
    }


_Runs = dict[int, Measured]
"""Runs of one method by seed, in ascending order."""


def _by_method(runs: Sequence[Measured]) -> dict[str, _Runs]:
    if not runs:
        raise ValueError("Expected at least one run, received none; give finished runs.")
    methods: dict[str, _Runs] = {}
    for run in runs:
        method_runs = methods.setdefault(run.method, {})
        if run.seed in method_runs:
            raise ValueError(
                f"Expected one run for each method and seed, received two of {run.method!r} with "
                f"seed {run.seed}; they are not independent: leave one out."
            )
        numbers = {"student": run.student, "teacher": run.teacher, "seconds": run.seconds}
        for what, number in numbers.items():
            if number is not None and not math.isfinite(number):
                raise ValueError(
                    f"Expected finite numbers, received `{what}` {number} of {run.method!r} with "
                    f"seed {run.seed}; leave the run out, and say so."
                )
        method_runs[run.seed] = run
    return {method: dict(sorted(method_runs.items())) for method, method_runs in methods.items()}


def _summary(
    runs: _Runs, metric: str, confidence: float, settings: Mapping[str, Any]
) -> dict[str, Any]:
    measured = list(runs.values())
    labels = measured[0].labels
    teachers = [float(run.teacher) for run in measured if run.teacher is not None]
    student = mean_interval([float(run.student) for run in measured], confidence)
    examples = None if labels is None else len(labels)
    by_examples = None
    if labels is not None and examples and is_share_of_examples(metric, labels):
        by_examples = standard_error_of_accuracy(student.mean, examples)
    return {
        "method": measured[0].method,
        "settings": dict(settings),
        "seeds": [int(seed) for seed in runs],
        "n": len(measured),
        "student": {
            "mean": student.mean,
            "interval": _as_list(student.interval),
            "bootstrap": _bootstrap(measured, None, metric, confidence),
        },
        "teacher": _teacher(teachers, confidence) if teachers else None,
        "examples": examples,
        "examples_standard_error": by_examples,
        "cost": _mean_cost([run.cost for run in measured]),
        "seconds": _mean([run.seconds for run in measured]),
    }


def _teacher(values: list[float], confidence: float) -> dict[str, Any]:
    mean, interval = mean_interval(values, confidence)
    return {"n": len(values), "mean": mean, "interval": _as_list(interval)}


def _compared(these: _Runs, others: _Runs, metric: str, confidence: float) -> dict[str, Any]:
    """One method against a baseline; Holm's p is not known yet."""
    seeds = [seed for seed in these if seed in others]
    method, baseline = (next(iter(runs.values())).method for runs in (these, others))
    comparison: dict[str, Any] = {
        "method": method,
        "baseline": baseline,
        "seeds": [int(seed) for seed in seeds],
        "n": len(seeds),
        "left_out": {
            "method": [int(seed) for seed in these if seed not in others],
            "baseline": [int(seed) for seed in others if seed not in these],
        },
        "difference": None,
        "interval": None,
        "p": None,
        "holm": None,
        "bootstrap": None,
        "verdict": None,
    }
    if not seeds:
        return comparison
    pairs = [(these[seed], others[seed]) for seed in seeds]
    difference = paired_difference(
        [float(this.student) for this, _ in pairs],
        [float(other.student) for _, other in pairs],
        confidence,
    )
    comparison["difference"] = difference.mean
    comparison["interval"] = _as_list(difference.interval)
    comparison["p"] = difference.p
    comparison["bootstrap"] = _bootstrap(
        [this for this, _ in pairs], [other for _, other in pairs], metric, confidence
    )
    return comparison


def _bootstrap(
    these: Sequence[Measured], others: Sequence[Measured] | None, metric: str, confidence: float
) -> list[float] | None:
    """An interval over seeds and examples; a single seed would pass off examples as both."""
    runs = [*these, *(others or ())]
    if metric not in BOOTSTRAP_METRICS or len(these) == 1:
        return None
    labels = [run.labels for run in runs if run.labels is not None and run.predicted is not None]
    if len(labels) < len(runs):
        return None
    return _as_list(
        bootstrap_interval(
            labels,
            [run.predicted for run in these],
            None if others is None else [run.predicted for run in others],
            metric=metric,
            confidence=confidence,
        )
    )


def _mean_cost(costs: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        return None
    models = list(dict.fromkeys(model for cost in known for model in cost["forwards"]))
    in_students = [student_forwards(cost) for cost in known]
    return {
        "forwards": {
            model: _mean([cost["forwards"].get(model, 0) for cost in known]) for model in models
        },
        "student_forwards": None if None in in_students else _mean(in_students),
    }


def student_forwards(cost: Mapping[str, Any]) -> float | None:
    """The forwards of all models of a run as forwards of the student: `Σ n_m · f_m / f_student`.

    Args:
        cost: `forwards` `n_m` and `flops` of one forward `f_m` by model, as in `Measured`.

    Returns:
        The number, or `None` if the FLOPs of the student or of a model with forwards are unknown.

    Example:

    >>> from keras_prokt.results.comparison import student_forwards
    >>> forwards = {"teacher": 100, "student": 300}
    >>> student_forwards({"forwards": forwards, "flops": {"teacher": 8000, "student": 2000}})
    700.0
    """
    flops = cost.get("flops") or {}
    if not flops.get("student"):
        return None
    used = {model: forwards for model, forwards in cost["forwards"].items() if forwards}
    if any(flops.get(model) is None for model in used):
        return None
    return float(sum(forwards * flops[model] for model, forwards in used.items())) / float(
        flops["student"]
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _as_list(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)
