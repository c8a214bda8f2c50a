"""A search over settings: a table for people, the choice, and a picture.

Imports no Keras; Matplotlib only where a picture is drawn.
"""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_prokt.pictures import COLORS, ink, literal, new_figure, save
from keras_prokt.results.statistics import mean_interval, paired_difference
from keras_prokt.results.tables import Grid, format_table, listed

EPOCHS = {"student": "best", "teacher": "last"}
"""Of which epoch the validation of the two models is."""


def choose(configurations: Sequence[Mapping[str, Any]], mode: str = "max") -> str | None:
    """The configuration whose students are best on validation, in the mean over seeds.

    Args:
        configurations: Each with `title`, `is_whole` and `runs` (`student` on validation).
        mode: "max" or "min": whether higher or lower is better.

    Returns:
        The title of the best whole one, of equal means the first; `None` without a whole one.

    Example:

    >>> from keras_prokt.results.search import choose
    >>> runs = {"a": [0.5, 0.7], "b": [0.9]}
    >>> choose([{"title": t, "is_whole": t == "a", "runs": [{"student": v} for v in values]}
    ...         for t, values in runs.items()])
    'a'
    """
    best = _best(configurations, mode)
    return best[0]["title"] if best else None


def _best(configurations: Sequence[Mapping[str, Any]], mode: str) -> list[Mapping[str, Any]]:
    """The whole configurations of the best mean; rounding errors make no difference."""
    whole = [one for one in configurations if one["is_whole"]]
    means = [round(statistics.mean(run["student"] for run in one["runs"]), 6) for one in whole]
    best = min if mode == "min" else max
    return [one for one, mean in zip(whole, means, strict=True) if mean == best(means)]


def search_table(search: Mapping[str, Any]) -> str:
    """A search: a row a configuration, the choice, and what cannot be told from it.

    Args:
        search: As `keras_prokt.runs.setting_search.search` returns; `shared`, which may be
            missing, are the settings of all its runs by name as they are shown.

    Returns:
        What all runs have in common, and a table of validation: mean over the seeds with its 95 %
        interval (Student's t) of student and teacher, and of the student's difference to that of
        the choice, seed by seed. Below it the choice, and the test data of the choice.
    """
    above, below = search_lines(search)
    grid = search_grid(search)
    table = ["", format_table(*grid, left=True)] if grid.rows else []
    return "\n".join([*above, *table, *([""] if below or grid.rows else []), *below])


def search_grid(search: Mapping[str, Any]) -> Grid:
    """The table of `search_table`: a row a configuration that has been run."""
    metric = search["metric"]
    columns = ["setting", *(f"{role} {metric}, {e} epoch" for role, e in EPOCHS.items())]
    columns += ["student, to the chosen", "seeds"]
    if search.get("latencies"):
        columns.append("latency, ms")
    return Grid(columns, [_row(one, search) for one in search["configurations"] if one["runs"]])


def search_lines(search: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What `search_table` says above its table and below it."""
    seeds = ", ".join(map(str, search["seeds"]))
    above = [f"{search['app']}, method {search['method']}, seeds {seeds}"]
    if shared := listed(search.get("shared", {})):
        above.append(shared)
    configurations = search["configurations"]
    done = sum(one["is_whole"] for one in configurations)
    failed = [one for one in configurations if one["failures"]]
    planned = search["trials"] or len(configurations)
    if done + len(failed) < planned:
        above.append(f"unfinished: {done} of {planned} configurations are completed")
    below = [
        f"left out: student {student}, {1e3 * seconds:.3g} ms an example, above the "
        f"{1e3 * search['latency']:g} ms that were allowed"
        for student, seconds in search.get("latencies", {}).items()
        if seconds > search["latency"]
    ]
    below += [f"failed: {one['title']}: {one['failures'][0]}" for one in failed]
    if search["chosen"] is not None:
        below += _choice(search)
    return above, below


def _row(one: Mapping[str, Any], search: Mapping[str, Any]) -> list[str]:
    chosen = next((c for c in search["configurations"] if c["title"] == search["chosen"]), None)
    difference = ""
    if chosen is not None and one is not chosen:
        chosen_by_seed = {run["seed"]: run["student"] for run in chosen["runs"]}
        pairs = [
            (r["student"], chosen_by_seed[r["seed"]])
            for r in one["runs"]
            if r["seed"] in chosen_by_seed
        ]
        if pairs:
            found = paired_difference(*map(list, zip(*pairs, strict=True)))
            difference = _shown(found.mean, found.interval, "+")
    teachers = [run["teacher"] for run in one["runs"] if run["teacher"] is not None]
    return [
        f"{one['title']}{' *' if one is chosen else ''}",
        _mean(run["student"] for run in one["runs"]),
        _mean(teachers) if teachers else "–",
        difference,
        ", ".join(str(run["seed"]) for run in one["runs"]),
        *([f"{1e3 * _latency(one, search):.3g}"] if search.get("latencies") else []),
    ]


def _latency(one: Mapping[str, Any], search: Mapping[str, Any]) -> float:
    """Seconds that the student of a configuration takes for an example."""
    return search["latencies"][one["values"]["student"]]


def _mean(values: Any) -> str:
    found = mean_interval(list(values))
    return _shown(found.mean, found.interval)


def _shown(mean: float, interval: Any, sign: str = "") -> str:
    if interval is None:
        return f"{mean:{sign}.4f}"
    return f"{mean:{sign}.4f} [{interval[0]:{sign}.4f}, {interval[1]:{sign}.4f}]"


def _choice(search: Mapping[str, Any]) -> list[str]:
    """What was chosen, how sure that is, and its test data."""
    chosen = next(c for c in search["configurations"] if c["title"] == search["chosen"])
    whole = [one for one in search["configurations"] if one["is_whole"]]
    mode = search.get("mode", "max")
    equals = len(_best(whole, mode))
    tie = f", the first of {equals} equals" if equals > 1 else ""
    best = "lowest" if mode == "min" else "highest"
    lines = [f"* chosen: the {best} mean on validation, {chosen['title']}{tie}"]
    if len(search["seeds"]) == 1:
        lines.append("  one seed has no interval; more seeds in the same folder give one")
    if len(whole) > 1:
        lines.append(f"  the best of {len(whole)} is favoured by chance")
    tests = [run["test"] for run in chosen["runs"] if run["test"] is not None]
    if tests:
        lines.append(f"  test {search['metric']}, of the chosen: {_mean(tests)}")
    others = [
        one["title"]
        for one in search["configurations"]
        if one is not chosen and any(run["test"] is not None for run in one["runs"])
    ]
    if others:
        lines.append(f"  test data was also measured for {'; '.join(others)}, chosen before")
    return lines


def plot_search(search: Mapping[str, Any], png: str | Path) -> None:
    """Draws validation of student and teacher by each setting; of λ, the paper's Figure 3.

    A column a setting and, of students with a budget, one for their latency, in which the teacher
    stands too; teacher and student have axes of their own. Points are means over the
    seeds, bars 95 % intervals (Student's t); the star is the choice. The student is that of its
    best epoch, the teacher that of the last.

    Args:
        search: As `keras_prokt.runs.setting_search.search` returns.
        png: Image to write.
    """
    whole = [one for one in search["configurations"] if one["is_whole"]]
    settings = search["settings"]
    has_teacher = any(run["teacher"] is not None for one in whole for run in one["runs"])
    roles = ["student", "teacher"] if has_teacher else ["student"]
    seeds = ", ".join(map(str, search["seeds"]))
    bars = "" if len(search["seeds"]) == 1 else "; bars: 95 % intervals"
    title = f"{search['app']}, {search['method']}: validation, seeds {_short(seeds)}{bars}"
    has_latency = bool(search.get("latencies"))
    columns = len(settings) + has_latency
    figure = new_figure(1 + 4.5 * columns, 0.6 + 2.6 * len(roles), title)
    grid = figure.subplots(len(roles), columns, squeeze=False, sharex="col", sharey="row")
    for column, (name, scale) in enumerate(settings.items()):
        for row, role in enumerate(roles):
            _draw(grid[row][column], whole, search, name, scale, role)
            if column == 0:
                grid[row][0].set_ylabel(f"{role}, {search['metric']},\n{EPOCHS[role]} epoch")
        grid[-1][column].set_xlabel({"proximal_weight": "λ (proximal_weight)"}.get(name, name))
    if has_latency:
        _draw_latency(grid[0][-1], whole, search)
        for axes in grid[1:]:
            axes[-1].set_visible(False)
    save(figure, png)


def _draw_latency(axes: Any, whole: Sequence[Mapping[str, Any]], search: Mapping[str, Any]) -> None:
    """Draws validation of each configuration by the latency of its student, and the teacher."""
    points = sorted(
        (1e3 * _latency(one, search), mean_interval([run["student"] for run in one["runs"]]).mean)
        for one in whole
    )
    if points:
        axes.plot(*zip(*points, strict=True), "o-", color=COLORS["student"], label="student")
    teachers = [run["teacher"] for one in whole for run in one["runs"]]
    of_teacher = search["teacher_latency"]
    if of_teacher is not None and teachers and None not in teachers:
        mean = mean_interval(teachers).mean
        axes.plot([1e3 * of_teacher], [mean], "s", color=COLORS["teacher"], label="teacher")
    axes.axvline(1e3 * search["latency"], color=ink(), linestyle=":", label="allowed")
    axes.set(xscale="log", xlabel="latency of one example, one thread, ms")
    axes.tick_params(labelbottom=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


def _draw(
    axes: Any,
    whole: Sequence[Mapping[str, Any]],
    search: Mapping[str, Any],
    name: str,
    scale: str,
    role: str,
) -> None:
    color, marker = COLORS[role], {"student": "o", "teacher": "s"}[role]
    places = [one["values"][name] for one in whole]
    if any(isinstance(place, str) for place in places):
        scale = "names"  # such as "0.6..0" among numbers
    if scale == "names":
        names = list(dict.fromkeys(map(str, places)))
        places = [names.index(str(place)) for place in places]
        # Of a directory the name alone: a whole path leaves no place for the picture.
        shown = [literal(Path(name).name[-30:]) for name in names]
        axes.set_xticks(range(len(names)), shown, rotation=20)
    elif scale == "log" and len(set(places)) > 1:
        axes.set_xscale("log")
    means = [mean_interval([run[role] for run in one["runs"]]) for one in whole]
    heights = [found.mean for found in means]
    errors = [
        [0.0 if m.interval is None else abs(m.mean - m.interval[end]) for m in means]
        for end in (0, 1)
    ]
    order = sorted(range(len(whole)), key=lambda number: places[number])
    is_line = len(search["settings"]) == 1 and scale != "names"
    axes.errorbar(
        [places[n] for n in order],
        [heights[n] for n in order],
        yerr=[[distances[n] for n in order] for distances in errors]
        if any(map(any, errors))
        else None,
        fmt=f"{marker}-" if is_line else marker,
        capsize=3,
        color=color,
    )
    for number, one in enumerate(whole):
        if one["title"] == search["chosen"]:
            star = {"color": ink(), "markersize": 12, "linestyle": "none", "zorder": 5}
            label = literal(_short(one["title"]))
            axes.plot(places[number], heights[number], "*", label=label, **star)
            axes.legend(fontsize="small", title="chosen", title_fontsize="small")
    if all(0 <= height <= 1 for height in heights):  # shares; their intervals may reach beyond
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -0.02), min(high, 1.02))
    axes.grid(alpha=0.3)
