"""A comparison as CSV, with all digits; imports no Keras."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from keras_prokt.results.cells import without_formula
from keras_prokt.results.comparison_text import NO_VERDICT, count_left_out
from keras_prokt.results.tables import listed


def csv_text(comparison: Mapping[str, Any]) -> str:
    """A row for each student, teacher and pair that was compared."""
    rows = [*_rows_of_models(comparison), *_rows_of_pairs(comparison)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = list(rows[0])
    writer.writerow([_csv_cell(name) for name in columns])
    writer.writerows([_csv_cell(row.get(name)) for name in columns] for row in rows)
    return text.getvalue().removesuffix("\n")


def _rows_of_models(comparison: Mapping[str, Any]) -> list[dict[str, Any]]:
    shared = {key: comparison[key] for key in ("part", "metric", "confidence")}
    settings = comparison.get("settings", {})
    models = dict.fromkeys(
        model for m in comparison["methods"] for model in (m["cost"] or {}).get("forwards", ())
    )
    rows: list[dict[str, Any]] = []
    for summary in comparison["methods"]:
        student, teacher = summary["student"], summary["teacher"]
        cost = summary["cost"] or {}
        whole = {
            **shared,
            "settings": listed({**settings, **summary.get("settings", {})}),
            "method": summary["method"],
        }
        rows.append(
            {
                "row": "student",
                **whole,
                "baseline": None,
                "n": summary["n"],
                "seeds": summary["seeds"],
                "left_out": None,
                "mean": student["mean"],
                "difference": None,
                **_ends("interval", student["interval"]),
                **_ends("bootstrap", student["bootstrap"]),
                "p": None,
                "holm": None,
                "verdict": None,
                "examples": summary["examples"],
                "examples_standard_error": summary["examples_standard_error"],
                **{f"forwards_of_{model}": cost.get("forwards", {}).get(model) for model in models},
                "all_in_student_forwards": cost.get("student_forwards"),
                "seconds": summary["seconds"],
            }
        )
        if teacher is not None:
            interval = _ends("interval", teacher["interval"])
            found = {"n": teacher["n"], "mean": teacher["mean"], **interval}
            rows.append({"row": "teacher", **whole, **found})
    return rows


def _rows_of_pairs(comparison: Mapping[str, Any]) -> list[dict[str, Any]]:
    shared = {key: comparison[key] for key in ("part", "metric", "confidence")}
    rows: list[dict[str, Any]] = []
    for pair in comparison["comparisons"]:
        rows.append(
            {
                "row": "comparison",
                **shared,
                "settings": listed(comparison.get("settings", {})),
                **{key: pair[key] for key in ("method", "baseline", "n", "seeds")},
                "left_out": count_left_out(pair),
                "difference": pair["difference"],
                **_ends("interval", pair["interval"]),
                **_ends("bootstrap", pair["bootstrap"]),
                "p": pair["p"],
                "holm": pair["holm"],
                "verdict": pair["verdict"] or NO_VERDICT,
            }
        )
    return rows


def _ends(name: str, interval: Sequence[float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _csv_cell(value: Any) -> Any:
    """A value as it is; a text that a spreadsheet would run as a formula with an apostrophe."""
    if isinstance(value, list):
        value = " ".join(map(str, value))
    return without_formula(value)
