"""Figures 2 and 3 of the paper, and curves of validation, drawn from an archive of runs.

Imports no Keras; Matplotlib only where a picture is drawn.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_prokt.pictures import ink, panels, save
from keras_prokt.results.statistics import mean_interval

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", None, "#e69f00", "#56b4e9")
"""Colours that colour-blind eyes tell apart; `None` is the colour of the text."""

_LINES = ("-", "--", "-.", ":", (0, (3, 1, 1, 1)), (0, (6, 1, 1, 1, 1, 1)))
"""Lines that are told apart in grey. One fewer than colours: 42 pairs are all different."""


def draw_dynamics(
    runs: Sequence[Mapping[str, Any]], png: Path, title: str, parts: Sequence[str] = ()
) -> None:
    """Draws Figure 2: the student's loss to its target, and how good the teacher is in training.

    A line a row, the mean over its seeds. Panel (a): the student's training loss, the KL divergence
    from its intermediate target, in nats; where a target changes at once, it jumps. Panel (b):
    the metric of the results on training data of what teaches, or the accuracy where that is not
    reported of teachers; a teacher that was trained before has its last value, and a
    row of labels alone is that teacher's own training.

    Args:
        runs: Lines of an archive with `history`, in the order of the legend.
        png: Image to write.
        title: What is shown.
        parts: Parts of the data, where several can be shown.
    """
    figure, (losses, teachers) = panels(10, 4, title)
    metric = runs[0]["results"]["metric"]
    curves = {curve for run in runs for curve in run.get("history", {})}
    if f"teacher_{metric}" not in curves:
        metric = "accuracy"
    for number, (name, row_runs) in enumerate(_by_title(runs).items()):
        color, style = _style(number)
        drawn = {"color": color, "linestyle": style, "label": f"{name} ({_seeds(row_runs)})"}
        is_distilled = "teacher" in row_runs[0]["results"]["models"]
        if is_distilled:
            loss = _mean_curve(row_runs, "student_loss") or _mean_curve(row_runs, "loss")
            losses.plot(range(1, len(loss) + 1), loss, **drawn)
        values = _mean_curve(row_runs, f"{'teacher' if is_distilled else 'student'}_{metric}")
        if values:
            teachers.plot(range(1, len(values) + 1), values, **drawn)
    losses.set_ylabel("student's loss to its target, nats")
    losses.set_title("(a) training loss of the student")
    teachers.set_ylabel(f"training {metric}")
    teachers.set_title(f"(b) training {metric} of the teacher")
    for axes in (losses, teachers):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    save(figure, png)


def draw_proximal_weight(
    runs: Sequence[Mapping[str, Any]], png: Path, title: str, parts: Sequence[str] = ()
) -> None:
    """Draws Figure 3: student and teacher by λ, on validation and test data.

    Points are means over the seeds, bars 95 % intervals (Student's t); one seed has no bar. The
    student is that of its best epoch on validation, the teacher that of the last.

    Args:
        runs: Lines of an archive.
        png: Image to write.
        title: What is shown.
        parts: Parts of the data, where several can be shown.
    """
    figure, both = panels(10, 4, title)
    metric = runs[0]["results"]["metric"]
    by_weight: dict[float, list[Mapping[str, Any]]] = {}
    for run in runs:
        weight = run["spec"]["method_settings"].get("proximal_weight")
        if weight is not None:
            by_weight.setdefault(float(weight), []).append(run)
    weights = sorted(by_weight)
    for axes, role, epoch in zip(both, ("student", "teacher"), ("best", "last"), strict=True):
        for number, (marker, part) in enumerate(zip("os", ("validation", "test"), strict=True)):
            color, style = _style(number)
            means, places = [], []
            for weight in weights:
                found = [run["results"]["models"].get(role, {}) for run in by_weight[weight]]
                values = [one[part][metric] for one in found if part in one]
                if values:
                    places.append(weight)
                    means.append(mean_interval(values))
            errors = [
                [0.0 if m.interval is None else abs(m.mean - m.interval[end]) for m in means]
                for end in (0, 1)
            ]
            if means:
                axes.errorbar(
                    places,
                    [m.mean for m in means],
                    yerr=errors,
                    color=color,
                    linestyle=style,
                    marker=marker,
                    capsize=3,
                    label=part,
                )
        counts = sorted({len(weight_values) for weight_values in by_weight.values()})
        axes.set_title(f"{role}, {epoch} epoch, {'–'.join(map(str, counts))} seeds")
        axes.set_xlabel("λ")
        axes.set_ylabel(metric)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    save(figure, png)


def draw_validation(
    runs: Sequence[Mapping[str, Any]], png: Path, title: str, parts: Sequence[str] = ()
) -> None:
    """Draws the students' validation after each epoch: whether they are still learning.

    A line a row, the mean over its seeds, in a band of one standard error. The metric is that of
    the results.

    Args:
        runs: Lines of an archive, in the order of the legend.
        png: Image to write.
        title: What is shown.
        parts: Parts of the data, where several can be shown.
    """
    figure, (whole, end) = panels(10, 4, title)
    metric = runs[0]["results"]["metric"]
    is_lower_better = runs[0]["results"].get("mode") == "min"
    second_half: list[float] = []
    for number, (name, row_runs) in enumerate(_by_title(runs).items()):
        color, style = _style(number)
        epochs = list(zip(*(run["validation"] for run in row_runs), strict=False))
        means = [statistics.mean(values) for values in epochs]
        errors = [_standard_error(values) for values in epochs]
        places = range(1, len(means) + 1)
        for axes in (whole, end):
            axes.plot(
                places, means, color=color, linestyle=style, label=f"{name} ({_seeds(row_runs)})"
            )
            axes.fill_between(
                places,
                [mean - error for mean, error in zip(means, errors, strict=True)],
                [mean + error for mean, error in zip(means, errors, strict=True)],
                color=color,
                alpha=0.15,
                linewidth=0,
            )
        second_half += means[len(means) // 2 :]
    whole.set_title("all epochs")
    which = "lower" if is_lower_better else "upper"
    end.set_title(f"the {which} end; bands are one standard error")
    if second_half:
        low, high = min(second_half), max(second_half)
        margin = 0.05 * (high - low)
        below, above = (margin, 0.0) if is_lower_better else (0.0, margin)
        if margin:
            end.set_ylim(low - below, high + above)
    for axes in (whole, end):
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"student's validation {metric}")
        axes.grid(alpha=0.3)
    whole.legend(fontsize=8)
    save(figure, png)


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


FIGURES: dict[str, Callable[..., None]] = {
    "dynamics": draw_dynamics,
    "proximal weight": draw_proximal_weight,
    "validation": draw_validation,
}
"""Pictures by name."""


def _style(number: int) -> tuple[str, Any]:
    return _COLORS[number % len(_COLORS)] or ink(), _LINES[number % len(_LINES)]


def _by_title(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        found.setdefault(run["title"], []).append(run)
    return found


def _seeds(runs: Sequence[Mapping[str, Any]]) -> str:
    return f"{len(runs)} seed{'s' * (len(runs) > 1)}"


def _mean_curve(runs: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    curves = [run["history"][name] for run in runs if name in run.get("history", {})]
    if not curves:
        return []
    return [statistics.mean(values) for values in zip(*curves, strict=False)]
