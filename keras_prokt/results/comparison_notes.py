"""What the numbers of a comparison mean, in lines below its tables; imports no Keras."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_prokt.results.comparison_text import NO_VERDICT, count_left_out, one_line
from keras_prokt.results.statistics import REPLICATES
from keras_prokt.results.tables import listed, shown_value


def notes_below(comparison: Mapping[str, Any]) -> list[str]:
    """What the numbers mean, a line each."""
    methods, pairs = comparison["methods"], comparison["comparisons"]
    percent = f"{100 * comparison['confidence']:g} %"
    part, metric = one_line(comparison["part"]), one_line(comparison["metric"])
    notes = []
    means = [(m["n"], m["student"]) for m in methods]
    means += [(m["teacher"]["n"], m["teacher"]) for m in methods if m["teacher"]]
    if any(mean["interval"] for _, mean in means):
        notes.append(
            f"number [low, high]: mean over seeds and its {percent} interval by Student's t"
        )
    single = [one_line(m["method"]) for m in methods if m["n"] == 1]
    shared_teachers = [m for m in methods if m["teacher"] and m["teacher"]["n"] == 1 < m["n"]]
    single += [f"the teacher of {one_line(m['method'])}" for m in shared_teachers]
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
            f"a draw of {examples} {part} examples alone gives the {metric} of one run a "
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
    for number, summary in enumerate(methods):
        for name, value in summary.get("settings", {}).items():
            if not _is_said(summary["method"], name, value):
                rows_of.setdefault(one_line(listed({name: value})), []).append(number)
    settings_of: dict[tuple[int, ...], list[str]] = {}
    for setting, rows in rows_of.items():
        settings_of.setdefault(tuple(rows), []).append(setting)
    notes = []
    for rows, settings in settings_of.items():
        is_most = len(methods) / 2 < len(rows) < len(methods)
        named = [n for n in range(len(methods)) if (n in rows) != is_most]
        names = ", ".join(one_line(methods[number]["method"]) for number in named)
        notes.append(f"settings of {'all but ' * is_most}{names}: {', '.join(settings)}")
    return notes


def _is_said(heading: str, name: str, value: Any) -> bool:
    """Whether a heading such as `prokt lambda=.3` says a setting."""
    words = heading.split()
    if name == "method":
        return words[:1] == [value]
    said = [word.partition("=")[2] for word in words if word.partition("=")[0] == name]
    return any(
        text == shown_value(value).replace(" ", ",") or _is_number(text, value) for text in said
    )


def _is_number(text: str, value: Any) -> bool:
    """Whether a text is a number."""
    try:
        return isinstance(value, (int, float)) and float(text) == value
    except ValueError:
        return False


def _notes_on_pairs(comparison: Mapping[str, Any]) -> list[str]:
    pairs = comparison["comparisons"]
    tested = sum(pair["p"] is not None for pair in pairs)
    notes = ["difference: method - baseline, seed by seed, on the seeds that both have"]
    left_out = sum(map(count_left_out, pairs))
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
