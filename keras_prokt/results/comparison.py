"""Methods compared over seeds: what was measured, how sure it is, and what it cost.

Imports no Keras; NumPy and SciPy only where numbers are worked out.
"""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from keras_prokt.names import unknown_name
from keras_prokt.results.statistics import (
    BOOTSTRAP_METRICS,
    REPLICATES,
    Interval,
    bootstrap_interval,
    holm,
    mean_interval,
    paired_difference,
    standard_error_of_accuracy,
)
from keras_prokt.results.tables import format_table, listed, shown_value

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
        labels: Classes of the test examples.
        predicted: The student's class of each.
    """

    method: str
    seed: int
    student: float
    teacher: float | None
    cost: Mapping[str, Any] | None
    seconds: float
    labels: Sequence[int] | None = None
    predicted: Sequence[int] | None = None


def compare(
    runs: Sequence[Measured],
    *,
    metric: str,
    part: str,
    baselines: Sequence[str] = (),
    confidence: float = 0.95,
    settings: Mapping[str, Any] | None = None,
    own_settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Statistics of methods over seeds, and of their differences to some of them.

    Args:
        runs: Runs of one task, one for each method and seed.
        metric: What was measured; higher is better.
        part: On which data, such as "test".
        baselines: Methods that every other one is compared with.
        confidence: Of the intervals, between 0 and 1.
        settings: What all runs have in common, by name as it is shown, such as `batch-size`.
        own_settings: Method -> what its runs have and not all others.

    Returns:
        A JSON object, the same for the same runs:

        - `metric`, `part`, `confidence`, `level`, `settings`;
        - `methods`, in the order of their first run: `method`, `settings`, `seeds`, `n`, `student`
          (`mean`, `interval` by Student's t, `bootstrap` interval over seeds and examples),
          `teacher` (`n`, `mean`, `interval`) or `None`, `examples` and `examples_standard_error`
          (of the accuracy of one run, by the examples alone), `cost` (`forwards` of each model, and
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
            comparison["verdict"] = "better" if comparison["difference"] > 0 else "worse"
    return {
        "metric": metric,
        "part": part,
        "confidence": confidence,
        "level": LEVEL,
        "settings": dict(settings or {}),
        "methods": [
            _summary(of_method, metric, confidence, (own_settings or {}).get(method, {}))
            for method, of_method in methods.items()
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
        of_method = methods.setdefault(run.method, {})
        if run.seed in of_method:
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
        of_method[run.seed] = run
    return {method: dict(sorted(of_method.items())) for method, of_method in methods.items()}


def _summary(
    runs: _Runs, metric: str, confidence: float, settings: Mapping[str, Any]
) -> dict[str, Any]:
    measured = list(runs.values())
    labels = measured[0].labels
    teachers = [float(run.teacher) for run in measured if run.teacher is not None]
    student = mean_interval([float(run.student) for run in measured], confidence)
    examples = None if labels is None else len(labels)
    by_examples = None
    if metric == "accuracy" and examples:
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


# Showing it.


class _Grid(NamedTuple):
    """A table of texts."""

    columns: list[str]
    rows: list[list[str]]


NO_VERDICT = "no difference shown"
_NONE = "–"


def _grids(comparison: Mapping[str, Any]) -> list[_Grid]:
    """The table of the methods and, if there are any, that of the comparisons."""
    grids = [_methods_grid(comparison)]
    if comparison["comparisons"]:
        grids.append(_comparisons_grid(comparison))
    return grids


def _methods_grid(comparison: Mapping[str, Any]) -> _Grid:
    """A row a method for its student and, if it has one, a row for its teacher."""
    rows = []
    for of_method in comparison["methods"]:
        student, teacher, cost = (of_method[key] for key in ("student", "teacher", "cost"))
        of_student = {
            **_model_cells(comparison, of_method, "student", of_method["n"], student),
            "seeds and examples": _interval(student["bootstrap"]),
            "forwards": _forwards(cost),
            "student forwards": _count((cost or {}).get("student_forwards")),
            "seconds": f"{of_method['seconds']:,.1f}",
        }
        rows.append(of_student)
        if teacher is not None:
            cells = _model_cells(comparison, of_method, "teacher", teacher["n"], teacher)
            rows.append({**dict.fromkeys(of_student, _NONE), **cells})
    return _grid(rows)


def _model_cells(
    comparison: Mapping[str, Any],
    of_method: Mapping[str, Any],
    model: str,
    n: int,
    found: Mapping[str, Any],
) -> dict[str, str]:
    """How good one model of a method is."""
    return {
        "method": _one_line(of_method["method"]),
        "model": model,
        "seeds": str(n),
        _measure(comparison): _with_interval(found["mean"], found["interval"]),
    }


def _comparisons_grid(comparison: Mapping[str, Any]) -> _Grid:
    rows = [
        {
            "method": _one_line(pair["method"]),
            "baseline": _one_line(pair["baseline"]),
            "seeds": str(pair["n"]),
            "left out": str(_left_out(pair) or _NONE),
            "difference": _with_interval(pair["difference"], pair["interval"], "+"),
            "seeds and examples": _interval(pair["bootstrap"], "+"),
            "p": _p(pair["p"]),
            "Holm's p": _p(pair["holm"]),
            "verdict": pair["verdict"] or NO_VERDICT,
        }
        for pair in comparison["comparisons"]
    ]
    return _grid(rows)


def _grid(rows: list[dict[str, str]]) -> _Grid:
    """Without the columns that say nothing in any row."""
    columns = [name for name in rows[0] if any(row[name] != _NONE for row in rows)]
    return _Grid(columns, [[row[name] for name in columns] for row in rows])


def _forwards(cost: Mapping[str, Any] | None) -> str:
    if cost is None:
        return _NONE
    forwards = cost["forwards"].items()
    each = (f"{_one_line(model)} {_count(number)}" for model, number in forwards if number)
    return ", ".join(each) or _NONE


def _left_out(pair: Mapping[str, Any]) -> int:
    return sum(len(seeds) for seeds in pair["left_out"].values())


def _with_interval(mean: float | None, interval: Sequence[float] | None, sign: str = "") -> str:
    if mean is None:
        return _NONE
    return (
        f"{mean:{sign}.4f}" if interval is None else f"{mean:{sign}.4f} {_interval(interval, sign)}"
    )


def _interval(interval: Sequence[float] | None, sign: str = "") -> str:
    return _NONE if interval is None else f"[{interval[0]:{sign}.4f}, {interval[1]:{sign}.4f}]"


def _count(number: float | None) -> str:
    return _NONE if number is None else f"{number:,.0f}"


def _p(p: float | None) -> str:
    return _NONE if p is None else f"{p:.3g}"


def _one_line(text: str) -> str:
    """A user's heading without what would break a line or steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _measure(comparison: Mapping[str, Any]) -> str:
    return f"{_one_line(comparison['part'])} {_one_line(comparison['metric'])}"


def _headings(comparison: Mapping[str, Any]) -> list[str]:
    """What all runs have in common, if that is known, and what was measured: a line each."""
    settings = _one_line(listed(comparison.get("settings", {})))
    return [*([settings] if settings else []), f"{_measure(comparison)}, higher is better"]


def _notes(comparison: Mapping[str, Any]) -> list[str]:
    """What the numbers mean, a line each."""
    methods, pairs = comparison["methods"], comparison["comparisons"]
    percent = f"{100 * comparison['confidence']:g} %"
    part = _one_line(comparison["part"])
    notes = []
    means = [(m["n"], m["student"]) for m in methods]
    means += [(m["teacher"]["n"], m["teacher"]) for m in methods if m["teacher"]]
    if any(mean["interval"] for _, mean in means):
        notes.append(
            f"number [low, high]: mean over seeds and its {percent} interval by Student's t"
        )
    single = [_one_line(m["method"]) for m in methods if m["n"] == 1]
    of_teachers = [m for m in methods if m["teacher"] and m["teacher"]["n"] == 1 < m["n"]]
    single += [f"the teacher of {_one_line(m['method'])}" for m in of_teachers]
    if single:
        whose = "" if all(m["n"] == 1 for m in methods) else f" ({', '.join(single)})"
        notes.append(f"one seed{whose}: the number of one run, without interval and test")
    if any(n > 1 and mean["interval"] is None for n, mean in means):
        notes.append("equal values of all seeds show no spread, so they have no interval")
    if any(of["bootstrap"] for of in [*(m["student"] for m in methods), *pairs]):
        notes.append(
            f"seeds and examples: {percent} percentile interval of {REPLICATES:,} bootstrap draws "
            f"of seeds and {part} examples; too narrow with few seeds"
        )
    errors = [m["examples_standard_error"] for m in methods if m["examples_standard_error"]]
    counts = sorted({m["examples"] for m in methods if m["examples_standard_error"]})
    if errors:
        examples = " or ".join(f"{count:,}" for count in counts)
        notes.append(
            f"a draw of {examples} {part} examples alone gives the accuracy of one run a "
            f"standard error of up to {max(errors):.4f}"
        )
    if any(m["cost"] for m in methods):
        notes.append(
            "forwards: of one example each, mean of the runs; student forwards: those of all "
            "models together, each counted by its FLOPs in forwards of the student"
        )
    notes.append("seconds: of the distillation alone, mean of the runs")
    notes += _notes_on_pairs(comparison) if pairs else []
    return notes + _notes_on_settings(methods)


def _notes_on_settings(methods: Sequence[Mapping[str, Any]]) -> list[str]:
    """In which settings rows differ that their headings do not say: a line for the same rows."""
    rows_of: dict[str, list[int]] = {}
    for number, of_method in enumerate(methods):
        for name, value in of_method.get("settings", {}).items():
            if not _is_said(of_method["method"], name, value):
                rows_of.setdefault(_one_line(listed({name: value})), []).append(number)
    settings_of: dict[tuple[int, ...], list[str]] = {}
    for setting, rows in rows_of.items():
        settings_of.setdefault(tuple(rows), []).append(setting)
    notes = []
    for rows, settings in settings_of.items():
        is_most = len(methods) / 2 < len(rows) < len(methods)
        named = [n for n in range(len(methods)) if (n in rows) != is_most]
        names = ", ".join(_one_line(methods[number]["method"]) for number in named)
        notes.append(f"settings of {'all but ' * is_most}{names}: {', '.join(settings)}")
    return notes


def _is_said(heading: str, name: str, value: Any) -> bool:
    """Whether a heading such as `prokt lambda=.3` says a setting."""
    words = heading.split()
    if name == "method":
        return words[:1] == [value]
    said = [word.partition("=")[2] for word in words if word.partition("=")[0] == name]
    return any(text == shown_value(value).replace(" ", ",") or _is(text, value) for text in said)


def _is(text: str, value: Any) -> bool:
    """Whether a text is a number."""
    try:
        return isinstance(value, (int, float)) and float(text) == value
    except ValueError:
        return False


def _notes_on_pairs(comparison: Mapping[str, Any]) -> list[str]:
    pairs = comparison["comparisons"]
    tested = sum(pair["p"] is not None for pair in pairs)
    notes = ["difference: method - baseline, seed by seed, on the seeds that both have"]
    left_out = sum(map(_left_out, pairs))
    if left_out:
        notes[0] += "; runs whose seed the other one lacks are left out"
    if tested:
        notes.append("p: paired t test, two-sided; intervals are not adjusted for several tests")
        count = f"{tested} {'test' if tested == 1 else 'tests'}"
        notes.append(
            f"Holm's p: adjusted for {count}; better, worse: Holm's p < {comparison['level']:g}"
        )
    if tested < len(pairs):
        notes.append("no p: fewer than two seeds in common, or the same difference in all of them")
    if any(pair["verdict"] is None for pair in pairs):
        notes.append(f"{NO_VERDICT}: these seeds do not show one; that is no evidence of equality")
    return notes


def _table(comparison: Mapping[str, Any]) -> str:
    parts = _headings(comparison)
    parts += [format_table(*grid, left=True) for grid in _grids(comparison)]
    return "\n\n".join([*parts, "\n".join(_notes(comparison))])


def _markdown(comparison: Mapping[str, Any]) -> str:
    parts = [_in_markdown(heading) for heading in _headings(comparison)]
    for columns, rows in _grids(comparison):
        lines = [[_in_markdown(column) for column in columns], ["---"] * len(columns)]
        lines += [[_in_markdown(cell) for cell in row] for row in rows]
        parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
    parts.append("\n".join(f"- {_in_markdown(note)}" for note in _notes(comparison)))
    return "\n\n".join(parts)


_A_NUMBER_OR_INTERVAL = re.compile(r"[-+\d.,e –]*(\[[-+\d.]+, [-+\d.]+\])?")


def _in_markdown(text: str) -> str:
    if _A_NUMBER_OR_INTERVAL.fullmatch(text):
        return text
    return re.sub(r"[\\`*_{}<>|~&$#\[\]]", r"\\\g<0>", text)


_GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi o pi rho"
_GREEK += " varsigma sigma tau upsilon phi chi psi omega"
_GREEK_CAPITALS = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"

_IN_LATEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{character: f"\\{character}" for character in "_%&#${}"},
    # After the `\\` of the row before, these would be its arguments.
    **{character: f"{{{character}}}" for character in "[]*"},
    **{
        chr(ord("α") + position): name if name == "o" else f"$\\{name}$"
        for position, name in enumerate(_GREEK.split())
    },
    **{
        upper: f"$\\{name}$"
        for upper, name in zip("ΓΔΘΛΞΠΣΥΦΨΩ", _GREEK_CAPITALS.split(), strict=True)
    },
    "\N{MICRO SIGN}": r"$\mu$",
    "ϵ": r"$\epsilon$",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
    "²": "$^2$",
    "\N{NO-BREAK SPACE}": "~",
}
_LATEX_CHARACTERS = str.maketrans(_IN_LATEX)


def _latex(comparison: Mapping[str, Any]) -> str:
    lines = [r"% needs \usepackage{booktabs}"]
    lines.append("\n\n".join(_in_latex(heading) for heading in _headings(comparison)))
    for columns, rows in _grids(comparison):
        lines += [
            "",
            rf"\begin{{tabular}}{{{'l' * len(columns)}}}",
            r"\toprule",
            _latex_row(columns),
            r"\midrule",
            *map(_latex_row, rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    lines += ["", r"\begin{itemize}"]
    lines += [rf"\item {_in_latex(note)}" for note in _notes(comparison)]
    return "\n".join([*lines, r"\end{itemize}"])


def _latex_row(cells: Sequence[str]) -> str:
    return rf"{' & '.join(map(_in_latex, cells))} \\"


def _in_latex(text: str) -> str:
    # A hyphen before a number is a minus, but for that of a name such as wrn-16-2.
    signed = re.sub(r"(?<!\w)([-+])(?=\d)", r"$\1$", text.translate(_LATEX_CHARACTERS))
    return signed.replace(" - ", " $-$ ")


def _csv(comparison: Mapping[str, Any]) -> str:
    shared = {key: comparison[key] for key in ("part", "metric", "confidence")}
    settings = comparison.get("settings", {})
    models = dict.fromkeys(
        model for m in comparison["methods"] for model in (m["cost"] or {}).get("forwards", ())
    )
    rows: list[dict[str, Any]] = []
    for of_method in comparison["methods"]:
        student, teacher = of_method["student"], of_method["teacher"]
        cost = of_method["cost"] or {}
        whole = {
            **shared,
            "settings": listed({**settings, **of_method.get("settings", {})}),
            "method": of_method["method"],
        }
        rows.append(
            {
                "row": "student",
                **whole,
                "baseline": None,
                "n": of_method["n"],
                "seeds": of_method["seeds"],
                "left_out": None,
                "mean": student["mean"],
                "difference": None,
                **_ends("interval", student["interval"]),
                **_ends("bootstrap", student["bootstrap"]),
                "p": None,
                "holm": None,
                "verdict": None,
                "examples": of_method["examples"],
                "examples_standard_error": of_method["examples_standard_error"],
                **{f"forwards_of_{model}": cost.get("forwards", {}).get(model) for model in models},
                "all_in_student_forwards": cost.get("student_forwards"),
                "seconds": of_method["seconds"],
            }
        )
        if teacher is not None:
            interval = _ends("interval", teacher["interval"])
            found = {"n": teacher["n"], "mean": teacher["mean"], **interval}
            rows.append({"row": "teacher", **whole, **found})
    for pair in comparison["comparisons"]:
        rows.append(
            {
                "row": "comparison",
                **shared,
                "settings": listed(settings),
                **{key: pair[key] for key in ("method", "baseline", "n", "seeds")},
                "left_out": _left_out(pair),
                "difference": pair["difference"],
                **_ends("interval", pair["interval"]),
                **_ends("bootstrap", pair["bootstrap"]),
                "p": pair["p"],
                "holm": pair["holm"],
                "verdict": pair["verdict"] or NO_VERDICT,
            }
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = list(rows[0])
    writer.writerow([_csv_cell(name) for name in columns])
    writer.writerows([_csv_cell(row.get(name)) for name in columns] for row in rows)
    return text.getvalue().removesuffix("\n")


def _ends(name: str, interval: Sequence[float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _csv_cell(value: Any) -> Any:
    """A value as it is; a text that a spreadsheet would run as a formula with an apostrophe."""
    if isinstance(value, list):
        value = " ".join(map(str, value))
    if isinstance(value, str) and value.lstrip().startswith(tuple("=+-@＝＋－＠")):
        return f"'{value}"
    return value


def _json(comparison: Mapping[str, Any]) -> str:
    return json.dumps(comparison, indent=2, ensure_ascii=False, allow_nan=False)


FORMS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "markdown": _markdown,
    "latex": _latex,
}
"""How a comparison can be shown."""


def render(comparison: Mapping[str, Any], form: str) -> str:
    """A comparison as a text.

    Args:
        comparison: As returned by `compare`.
        form: "table" for a terminal; "csv" with a row for each student, teacher and comparison, all
            digits, and texts that a spreadsheet would run as formulas behind an apostrophe;
            "json"; "markdown"; or "latex", two tables of the package `booktabs`.

    Returns:
        The text, without a newline at its end. The forms for people say below the numbers what
        they mean.

    Raises:
        ValueError: If the form is unknown.

    Example:

    >>> from keras_prokt.results.comparison import Measured, compare, render
    >>> runs = [Measured("kd", 0, 0.5, None, None, 1.0), Measured("kd", 1, 0.75, None, None, 1.0)]
    >>> text = render(compare(runs, metric="accuracy", part="test", confidence=0.5), "table")
    >>> print("\\n".join(text.splitlines()[:5]))
    test accuracy, higher is better
    <BLANKLINE>
    method  model    seeds  test accuracy            seconds
    ------  -------  -----  -----------------------  -------
    kd      student  2      0.6250 [0.5000, 0.7500]  1.0
    """
    if form not in FORMS:
        raise ValueError(unknown_name("a form", form, FORMS))
    return FORMS[form](comparison)
