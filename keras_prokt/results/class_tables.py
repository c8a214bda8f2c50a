"""What a run's models do with each class, as tables for people. Imports no Keras."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from keras_prokt.results.comparison_text import one_line
from keras_prokt.results.tables import Grid, format_table

MOST_ROWS = 20
"""Classes that a table shows."""

MOST_COLUMNS = 12
"""Classes up to which a confusion matrix is as wide as a terminal."""


class ClassReport(NamedTuple):
    """What is known of the student on one part of the data, and of the teacher beside it."""

    part: str
    names: list[str]
    student: Mapping[str, Any]
    teacher: Mapping[str, Any] | None

    def hardest(self, count: int) -> list[int]:
        """Classes with the lowest F1 of the student, among those with examples."""
        f1, examples = (self.student["classes"][key] for key in ("f1", "examples"))
        return sorted((k for k, n in enumerate(examples) if n), key=f1.__getitem__)[:count]

    def confusions(self, count: int) -> list[tuple[int, int, int]]:
        """How often an example of one class is taken for another, the most frequent first."""
        found = [
            (times, k, answer)
            for k, row in enumerate(self.student.get("confusion", ()))
            for answer, times in enumerate(row)
            if times and answer != k
        ]
        return sorted(found, key=lambda one: (-one[0], *one[1:]))[:count]


def class_summary(record: Mapping[str, Any]) -> list[str]:
    """How small the student is and which classes are hard for it, in a line each.

    Args:
        record: As in `run.json`.
    """
    ratio = record["results"].get("size_ratio")
    lines = []
    if ratio is not None:
        lines.append(
            f"size: the student has {ratio['parameters']:.1%} of the teacher's parameters and "
            f"{ratio['bytes']:.1%} of its bytes"
        )
    if (report := class_report_of(record)) is None:
        return lines
    f1 = report.student["classes"]["f1"]
    hardest = ", ".join(f"{report.names[k]} {f1[k]:.4f}" for k in report.hardest(3))
    lines.append(f"lowest F1 on {report.part}: {hardest}")
    if confusions := report.confusions(3):
        names = report.names
        shown = ", ".join(f"{names[k]} for {names[a]} ({times})" for times, k, a in confusions)
        lines.append(f"most often taken for another: {shown}")
    return lines


def class_tables(record: Mapping[str, Any]) -> str:
    """Each class, what is taken for what, and calibration; empty where nothing is known of it.

    Of test data or, where there is none, of validation data.

    Args:
        record: As in `run.json`.
    """
    if (report := class_report_of(record)) is None:
        return ""
    tables = [_class_table(report), _confusion_table(report), _calibration_table(report)]
    return "\n\n".join(table for table in tables if table)


def class_report_of(record: Mapping[str, Any]) -> ClassReport | None:
    """What a run's record has of each class, of test data or else of validation data.

    Args:
        record: As in `run.json`.

    Returns:
        It, or `None` where nothing is known.
    """
    reports = record.get("results", {}).get("reports", {})
    student = reports.get("student", {})
    part = next((part for part in ("test", "validation") if part in student), None)
    if part is None:
        return None
    count = len(student[part]["classes"]["examples"])
    names = record["class_names"] or [str(number) for number in range(count)]
    return ClassReport(
        part,
        [one_line(name) for name in names],
        student[part],
        reports.get("teacher", {}).get(part),
    )


def class_grid(report: ClassReport, most: int = MOST_ROWS) -> Grid:
    """How each class fares, or those with the lowest F1 if they are many.

    Args:
        report: What is known of them.
        most: Classes up to which all are shown.
    """
    student, count = report.student["classes"], len(report.names)
    shown = range(count) if count <= most else report.hardest(most)
    columns: dict[str, Sequence[float]] = {}
    if report.teacher is not None:
        columns["teacher f1"] = report.teacher["classes"]["f1"]
    columns |= {f"student {key}": student[key] for key in ("f1", "precision", "recall")}
    rows = [
        [
            report.names[k],
            f"{student['examples'][k]:,}",
            *(f"{values[k]:.4f}" for values in columns.values()),
        ]
        for k in shown
    ]
    return Grid([f"class on {report.part}", "examples", *columns], rows)


def _class_table(report: ClassReport) -> str:
    grid = class_grid(report)
    table, shown, count = format_table(*grid), len(grid.rows), len(report.names)
    if shown < count:
        table += f"\n({shown} of {count} classes, those with the lowest F1; --json has all)"
    return table


def _confusion_table(report: ClassReport) -> str:
    if "confusion" not in report.student:
        return ""
    if len(report.names) <= MOST_COLUMNS:
        counts = report.student["confusion"]
        rows = [[name, *map(str, row)] for name, row in zip(report.names, counts, strict=True)]
        return format_table(["label \\ student's answer", *report.names], rows)
    grid = mistakes_grid(report)
    return format_table(*grid) if grid.rows else ""


def mistakes_grid(report: ClassReport) -> Grid:
    """Which class is taken for which, the most frequent first."""
    confusions = report.confusions(MOST_ROWS // 2)
    rows = [[report.names[k], report.names[a], str(times)] for times, k, a in confusions]
    return Grid(["label", "student's answer", "times"], rows)


def _calibration_table(report: ClassReport) -> str:
    found = report.student["calibration"]
    columns = [found[key] for key in ("confidence", "accuracy", "examples")]
    rows = [
        [f"{confidence:.4f}", f"{accuracy:.4f}", f"{examples:,}"]
        for confidence, accuracy, examples in zip(*columns, strict=True)
    ]
    return format_table(["mean probability of the answer", "share right", "answers"], rows)
