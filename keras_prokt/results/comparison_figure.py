"""A comparison as a picture: means with intervals, and differences seed by seed.

Imports no Keras; Matplotlib only where a picture is drawn.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_prokt.pictures import COLORS, ink, literal, panels, paper, save

_LONGEST = 40
"""Characters of a heading that are shown: a longer one leaves no place for the picture."""


def plot_comparison(comparison: Mapping[str, Any], png: str | Path) -> None:
    """Draws what a comparison has found: a row a method.

    Panel (a): means of students and teachers over the seeds, bars their 95 % intervals (Student's
    t). Panel (b), with a baseline: differences to it seed by seed; of those whose p, adjusted
    by Holm, is below the level, the mark is full. What is unknown is left out.

    Args:
        comparison: As `keras_prokt.results.comparison.compare` returns.
        png: Image to write.
    """
    methods, differences = comparison["methods"], comparison["comparisons"]
    count = 2 if differences else 1
    rows = max(len(methods), len(differences))
    settings = comparison["settings"]
    about = [str(settings[name]) for name in ("app",) if name in settings]
    percent = f"{100 * comparison['confidence']:g} % intervals"
    title = ", ".join([*about, f"{comparison['part']} data, {percent}"])
    figure, grid = panels(1 + 6.5 * count, 1.6 + 0.45 * rows, title, count)
    _draw_means(grid[0], comparison)
    if differences:
        _draw_differences(grid[1], comparison)
    save(figure, png)


def _draw_means(axes: Any, comparison: Mapping[str, Any]) -> None:
    methods = comparison["methods"]
    for role, marker, place in (("student", "o", 0.0), ("teacher", "s", 0.25)):
        rows = [(n, one[role]) for n, one in enumerate(methods) if one[role] is not None]
        if rows:
            axes.errorbar(
                [measured["mean"] for _, measured in rows],
                [number + place for number, _ in rows],
                xerr=_errors([(measured["mean"], measured["interval"]) for _, measured in rows]),
                fmt=marker,
                color=COLORS[role],
                capsize=3,
                label=role,
            )
    _name_rows(axes, [f"{_short(one['method'])} (n = {one['n']})" for one in methods])
    axes.set(title="(a) means over seeds", xlabel=comparison["metric"].replace("_", " "))
    axes.legend(fontsize="small")


def _draw_differences(axes: Any, comparison: Mapping[str, Any]) -> None:
    for number, one in enumerate(comparison["comparisons"]):
        axes.errorbar(
            [one["difference"]],
            [number],
            xerr=_errors([(one["difference"], one["interval"])]),
            fmt="o",
            color=ink(),
            markerfacecolor=paper() if one["verdict"] is None else ink(),
            capsize=3,
        )
    axes.axvline(0, color=ink(), linewidth=0.8, linestyle=":")
    baselines = {one["baseline"] for one in comparison["comparisons"]}
    is_one = len(baselines) == 1
    names = [
        " − ".join(_short(one[end]) for end in (("method",) if is_one else ("method", "baseline")))
        + f" (n = {one['n']})"
        for one in comparison["comparisons"]
    ]
    _name_rows(axes, names)
    to = f" to {_short(baselines.pop())}" if is_one else ""
    direction = "left" if comparison["mode"] == "min" else "right"
    level = f"{comparison['level']:g}"
    axes.set(
        title=literal(f"(b) differences{to}"),
        xlabel=f"better to the {direction}; full where Holm's p < {level}",
    )


def _errors(rows: Sequence[tuple[float, Sequence[float] | None]]) -> list[list[float]]:
    """Distances of the ends of intervals from their means; not a number where there is none."""
    ends = [(math.nan, math.nan) if interval is None else interval for _, interval in rows]
    means = [mean for mean, _ in rows]
    return [
        [abs(mean - end[side]) for mean, end in zip(means, ends, strict=True)] for side in (0, 1)
    ]


def _name_rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), list(map(literal, names)), fontsize="small")
    axes.set_ylim(len(names) - 0.5, -0.5)  # from above, as in the table
    axes.grid(alpha=0.3)


def _short(name: str) -> str:
    half = _LONGEST // 2
    return name if len(name) <= _LONGEST else f"{name[:half]}…{name[-half:]}"
