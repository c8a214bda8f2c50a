"""What a comparison says, as tables of texts; imports no Keras."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_prokt.results.tables import CONSTANT, Grid, listed

NO_VERDICT = "no difference shown"

NONE = "–"


def grids(comparison: Mapping[str, Any]) -> list[Grid]:
    """The table of the methods and, if there are any, that of the comparisons."""
    grids = [_methods_grid(comparison)]
    if comparison["comparisons"]:
        grids.append(_comparisons_grid(comparison))
    return grids


def _methods_grid(comparison: Mapping[str, Any]) -> Grid:
    """A row a method for its student and, if it has one, a row for its teacher."""
    rows = []
    for summary in comparison["methods"]:
        student, teacher, cost = (summary[key] for key in ("student", "teacher", "cost"))
        student_row = {
            **_model_cells(comparison, summary, "student", summary["n"], student),
            "seeds and examples": _interval(student["bootstrap"]),
            "forwards": _forwards(cost),
            "student forwards": _count((cost or {}).get("student_forwards")),
            "seconds": f"{summary['seconds']:,.1f}",
        }
        rows.append(student_row)
        if teacher is not None:
            cells = _model_cells(comparison, summary, "teacher", teacher["n"], teacher)
            rows.append({**dict.fromkeys(student_row, NONE), **cells})
    return _grid(rows)


def _model_cells(
    comparison: Mapping[str, Any],
    summary: Mapping[str, Any],
    model: str,
    n: int,
    found: Mapping[str, Any],
) -> dict[str, str]:
    """How good one model of a method is."""
    return {
        "method": one_line(summary["method"]),
        "model": model,
        "seeds": str(n),
        measure(comparison): _with_interval(found["mean"], found["interval"]),
    }


def _comparisons_grid(comparison: Mapping[str, Any]) -> Grid:
    rows = [
        {
            "method": one_line(pair["method"]),
            "baseline": one_line(pair["baseline"]),
            "seeds": str(pair["n"]),
            "left out": str(count_left_out(pair) or NONE),
            "difference": _with_interval(pair["difference"], pair["interval"], "+"),
            "seeds and examples": _interval(pair["bootstrap"], "+"),
            "p": _p(pair["p"]),
            "Holm's p": _p(pair["holm"]),
            "verdict": pair["verdict"] or NO_VERDICT,
        }
        for pair in comparison["comparisons"]
    ]
    return _grid(rows)


def _grid(rows: list[dict[str, str]]) -> Grid:
    """Without the columns that say nothing in any row."""
    columns = [name for name in rows[0] if any(row[name] != NONE for row in rows)]
    return Grid(columns, [[row[name] for name in columns] for row in rows])


def _forwards(cost: Mapping[str, Any] | None) -> str:
    if cost is None:
        return NONE
    forwards = cost["forwards"].items()
    each = (f"{one_line(model)} {_count(number)}" for model, number in forwards if number)
    return ", ".join(each) or NONE


def count_left_out(pair: Mapping[str, Any]) -> int:
    return sum(len(seeds) for seeds in pair["left_out"].values())


def _with_interval(mean: float | None, interval: Sequence[float] | None, sign: str = "") -> str:
    if mean is None:
        return NONE
    return (
        f"{mean:{sign}.4f}" if interval is None else f"{mean:{sign}.4f} {_interval(interval, sign)}"
    )


def _interval(interval: Sequence[float] | None, sign: str = "") -> str:
    return NONE if interval is None else f"[{interval[0]:{sign}.4f}, {interval[1]:{sign}.4f}]"


def _count(number: float | None) -> str:
    return NONE if number is None else f"{number:,.0f}"


def _p(p: float | None) -> str:
    return NONE if p is None else f"{p:.3g}"


def one_line(text: str) -> str:
    """A user's heading without what would break a line or steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def measure(comparison: Mapping[str, Any]) -> str:
    return f"{one_line(comparison['part'])} {one_line(comparison['metric'])}"


def headings(comparison: Mapping[str, Any]) -> list[str]:
    """What all runs have in common, if that is known, and what was measured: a line each; there
    too what the best constant answer has."""
    settings = one_line(listed(comparison.get("settings", {})))
    better = "lower" if comparison.get("mode") == "min" else "higher"
    lines = [settings] if settings else []
    lines.append(f"{measure(comparison)}, {better} is better{_constant(comparison)}")
    return lines


def _constant(comparison: Mapping[str, Any]) -> str:
    """What the best constant answer has, if that is known."""
    if (found := comparison.get("best_constant")) is None:
        return ""
    low, high = (f"{value:.4f}" for value in found)
    return f"; {CONSTANT} {low}" if low == high else f"; {CONSTANT} {low} to {high}"
