"""Reports of runs, comparisons and searches as one HTML page.

This module imports no Keras before all records are read.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_prokt.arguments import check_flag, checked_integer, checked_path, checked_paths
from keras_prokt.files import read_record, size_on_disk
from keras_prokt.results.class_figures import draw_calibration, draw_confusion
from keras_prokt.results.class_tables import (
    ClassReport,
    class_grid,
    class_report_of,
    class_summary,
    mistakes_grid,
)
from keras_prokt.results.comparison_figure import plot_comparison
from keras_prokt.results.comparison_notes import notes_below
from keras_prokt.results.comparison_text import grids, headings
from keras_prokt.results.figures import draw_dynamics, draw_proximal_weight, draw_validation
from keras_prokt.results.page import (
    Block,
    Example,
    Examples,
    Folded,
    Lines,
    Picture,
    Section,
    Table,
    check_free,
    drawn,
    image_uri,
    render_page,
    write_page,
)
from keras_prokt.results.search import plot_search, search_grid, search_lines
from keras_prokt.results.speed import draw_speed, latency_grid, size_grid, speed_notes
from keras_prokt.results.tables import (
    Grid,
    no_better_than_constant,
    results_grid,
    run_headings,
    scores_grid,
    shown_value,
)
from keras_prokt.runs.folder import BENCHMARK, EXPORTS, RunFolder
from keras_prokt.runs.method_comparison import compare_folders, known_baselines
from keras_prokt.runs.protocol import Row
from keras_prokt.runs.reproduction import result_of
from keras_prokt.runs.run_list import RunList
from keras_prokt.runs.setting_search import read_search
from keras_prokt.runs.titled_runs import titled_runs

DEFAULT_EXAMPLES = 12
"""Examples that are shown of a run."""

MOST_CLASSES = 200
"""Classes up to which each has a row."""

MOST_RUNS = 12
"""Runs of a list that are shown one by one."""


class _Run(NamedTuple):
    """A run that is reported."""

    folder: RunFolder
    record: dict[str, Any]


def report(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    examples: int = DEFAULT_EXAMPLES,
    overwrite: bool = False,
) -> Path:
    """Writes one HTML page about runs, comparisons and searches.

    The file needs no other one and asks for nothing from elsewhere. It has the tables and pictures
    of each run, and the validation examples on which teacher and student differ most, as far as
    the run's data can be read here.

    Args:
        paths: Run folders, and folders of comparisons and searches.
        out: The `.html` to write; an older report is replaced.
        examples: How many examples of a run are shown; 0 reads no data and loads no model.
        overwrite: Whether another file may be replaced.

    Returns:
        The file.

    Raises:
        ValueError: If a folder holds none of these or a record was changed, or `out` is in the way.

    Example:

    ```python
    from keras_prokt.runs import report

    report(["runs/digits-prokt-1"], "report.html")
    ```
    """
    paths, out = checked_paths("paths", paths), checked_path("out", out)
    checked_integer("examples", examples, 0)
    check_flag("overwrite", overwrite)
    check_free(out, overwrite=overwrite)
    lists = [RunList.at(path) for path in paths]
    records = {
        Path(path): _Run(folder := RunFolder.existing(path), folder.read())
        for path, runs in zip(paths, lists, strict=True)
        if runs is None
    }
    sections = []
    completed = [p for p, run in records.items() if run.record["status"] == "completed"]
    if len(completed) > 1:
        blocks = _comparison(completed)
        sections += [Section("The runs side by side", blocks)] if blocks else []
    for path, runs in zip(paths, lists, strict=True):
        if runs is None:
            heading = f"Run {Path(path)}"
            sections.append(Section(heading, _of_run(records[Path(path)], examples)))
        elif runs.kind == "search":
            sections.append(Section(f"Search {runs.path}", _of_search(runs, examples)))
        else:
            sections.append(Section(f"Comparison {runs.path}", _of_comparison(runs, examples)))
    title = sections[0].heading if len(sections) == 1 else f"{len(paths)} results"
    write_page(out, render_page(title, sections))
    return out


# A run.


def _of_run(run: _Run, examples: int) -> list[Block]:
    folder, record = run
    blocks: list[Block] = [Lines(run_headings(record, folder.spec().changed_settings()))]
    if record["status"] != "completed":
        return [*blocks, *_curves(folder, record), *_made_with(record)]
    results = record["results"]
    if (warning := no_better_than_constant(record)) is not None:
        blocks.append(Lines([warning]))
    blocks.append(Table(results_grid(record), "Results", class_summary(record)))
    scores = scores_grid(record)
    blocks += [Table(scores, "Scores")] if scores.rows else []
    blocks += _sizes(folder, record)
    blocks += _curves(folder, record)
    if (classes := class_report_of(record)) is not None:
        blocks += _of_classes(classes)
    if "teacher" in results["models"] and examples:
        blocks.append(_examples(folder, record, examples))
    return [*blocks, *_made_with(record)]


def _curves(folder: RunFolder, record: Mapping[str, Any]) -> list[Block]:
    """Figure 2 of one run: what it keeps as `dynamics.png`, drawn anew for a page."""
    if not folder.history.is_file():
        return []
    from keras_prokt import outputs
    from keras_prokt.callbacks.training_dynamics import plot_dynamics

    folder.check_file(folder.history, dict(record))
    results = record.get("results", {})
    metric = outputs.get(record.get("output", "classes")).main_metric
    monitor = f"val_student_{results['metric']}" if "metric" in results else None
    epochs = record["spec"]["training"]["epochs"]
    found = "" if not results else f"; the best epoch is {results['best_epoch']}"
    return [
        drawn(
            plot_dynamics,
            "Training: the student's loss, and the gap between the models where one is known (a); "
            "training and validation data (b). Figure 2 of the paper, of this run.",
            f"Curves of training over at most {epochs} epochs{found}.",
            folder.history,
            ...,
            metric,
            marks_best=not record["spec"]["data"]["full_train"],
            monitor=monitor,
            mode=results.get("mode", "max"),
        )
    ]


def _sizes(folder: RunFolder, record: Mapping[str, Any]) -> list[Block]:
    """Models and exports by their bytes on the disk, and what `benchmark` has measured."""
    rows = []
    for path in sorted(folder.path.iterdir()):
        is_model = path.suffix == ".keras" or "saved_model" in path.name or path.name in EXPORTS
        if is_model and not path.name.startswith("."):
            rows.append([path.name, f"{size_on_disk(path):,}"])
    if not (folder.path / BENCHMARK).is_file():
        grid = Grid(["file", "bytes on disk"], rows)
        return [Table(grid, "Models on disk")] if rows else []
    found = read_record(folder.path / BENCHMARK)
    blocks: list[Block] = [Table(size_grid(found), "Sizes", speed_notes(found))]
    if found["metric"] is not None:
        points = "; ".join(
            f"{one['model']}, {one['form']}: {1e3 * one['latency']['1']['1']['p50']:.2f} ms"
            for one in found["models"]
        )
        caption = f"{found['part'].capitalize()} {found['metric']} by latency."
        blocks.append(drawn(draw_speed, caption, f"{caption} {points}.", found, ...))
    heading = "Latency of each model, by threads and batch size"
    return [*blocks, Folded(heading, [Table(latency_grid(found), heading)])]


def _of_classes(classes: ClassReport) -> list[Block]:
    blocks: list[Block] = []
    mistakes = mistakes_grid(classes)
    if "confusion" in classes.student:
        most = ", ".join(
            f"{label} for {answer} {n} times" for label, answer, n in mistakes.rows[:3]
        )
        blocks.append(
            drawn(
                draw_confusion,
                f"What the student takes for what, on {classes.part} data.",
                f"Confusion matrix of {len(classes.names)} classes on {classes.part} data; most "
                f"often mistaken: {most or 'nothing'}.",
                classes,
                ...,
            )
        )
    if classes.student["calibration"]["examples"]:
        found = classes.student["calibration"]
        points = ", ".join(
            f"{c:.2f}: {a:.2f}" for c, a in zip(found["confidence"], found["accuracy"], strict=True)
        )
        blocks.append(
            drawn(
                draw_calibration,
                f"How often the student is right by how sure it is, on {classes.part} data.",
                f"Calibration of the student; mean probability: share of right answers. {points}.",
                classes,
                ...,
            )
        )
    if mistakes.rows:
        blocks.append(Table(mistakes, f"Most frequent mistakes on {classes.part} data"))
    grid = class_grid(classes, MOST_CLASSES)
    caption = f"Each class on {classes.part} data"
    if len(grid.rows) < len(classes.names):
        caption += f": the {len(grid.rows)} of {len(classes.names)} with the lowest F1"
    table = Table(grid, caption)
    few = len(grid.rows) <= 20
    return [*blocks, table if few else Folded(caption, [table])]


def _examples(folder: RunFolder, record: Mapping[str, Any], count: int) -> Block:
    """The examples on which the models differ most, or why they cannot be shown."""
    from keras_prokt.runs.disagreements import disagreements

    try:
        found = disagreements(folder, count)
    except (ValueError, OSError) as error:  # data of another machine, of last year
        reason = " ".join(str(error).split())
        return Lines([f"Examples on which the models differ are not shown: {reason}"])
    if not found.examples:
        return Lines([f"The models answer all {found.looked_at:,} {found.part} examples alike."])
    examples = []
    for one in found.examples:
        facts = [f"label {one.label}", f"teacher {one.teacher}", f"student {one.student}"]
        if one.divergence is not None:
            facts.append(f"KL {one.divergence:.3f} nats")
        facts.append(f"row {one.position}")
        image = None if one.image is None else image_uri(one.image)
        alt = f"Example with the label {one.label}"
        examples.append(Example(facts, one.text, image, alt))
    by = (
        "by KL(teacher ‖ student)"
        if found.examples[0].divergence is not None
        else ("answered differently, the student's surest answers first (no teacher was kept)")
    )
    return Examples(
        f"{found.part.capitalize()} examples on which the models differ most, {by}; of "
        f"{found.looked_at:,} that were looked at. Numbers in brackets are probabilities.",
        examples,
        ["Row: position in the data as it was given, from 0."],
    )


def _made_with(record: Mapping[str, Any]) -> list[Block]:
    """Versions, hardware, digests and the whole spec."""
    package, hardware = record["package"], record["hardware"]
    accelerators = ", ".join(hardware["accelerators"]) or "no accelerator"
    rows = [
        ["started", record["started"]],
        ["keras_prokt", f"{package['version']} ({package['git'] or 'no commit known'})"],
        *([name, version] for name, version in record["versions"].items()),
        ["hardware", f"{hardware['cores']} cores of {hardware['processor']}, {accelerators}"],
        *([["threads", str(record["threads"])]] if "threads" in record else []),
    ]
    digests = [
        [name, digest] for name, digest in {**record["data"], **record.get("files", {})}.items()
    ]
    blocks: list[Block] = [Table(Grid(["what", "version"], rows), "Made with")]
    spec = [[name, shown_value(value)] for name, value in _flat(record["spec"]) if _is_given(value)]
    blocks.append(Table(Grid(["setting", "value"], spec), "All settings of the run"))
    if digests:
        blocks.append(Table(Grid(["data or file", "SHA-256"], digests), "Digests"))
    return [Folded("Specification, versions and digests", blocks)]


def _is_given(value: Any) -> bool:
    return value not in (None, (), [], {}) and value is not False


def _flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        is_inner = isinstance(value, Mapping)
        found += _flat(value, f"{above}{name}.") if is_inner else [(f"{above}{name}", value)]
    return found


# Several runs.


def _comparison(paths: Sequence[Path], runs: RunList | None = None) -> list[Block]:
    """Completed runs beside each other: tables, and Figures 2 and 3 as far as they go."""
    titled, _ = titled_runs(paths)
    try:
        about = known_baselines(paths, [title for title, _ in titled])
        compared = compare_folders(titled, about)
    except ValueError as error:
        if runs is not None:
            raise
        # Runs of different tasks on one page need not be comparable.
        return [Lines([f"These runs are not compared: {' '.join(str(error).split())}"])]
    captions = ["Means over seeds", "Differences, seed by seed"]
    blocks: list[Block] = [Lines(headings(compared))]
    blocks += [Table(g, c) for g, c in zip(grids(compared), captions, strict=False)]
    blocks.append(Lines(notes_below(compared)))
    means = "; ".join(f"{m['method']} {m['student']['mean']:.4f}" for m in compared["methods"])
    blocks.append(
        drawn(
            plot_comparison,
            f"{compared['part'].capitalize()} {compared['metric']} of each row, with intervals.",
            f"Means of the students: {means}.",
            compared,
            ...,
        )
    )
    return [*blocks, *_figures(titled)]


def _figures(titled: Sequence[tuple[str, RunFolder]]) -> list[Block]:
    """Figure 2 of runs with teachers, Figure 3 of runs of several λ, and validation."""
    lines = [
        result_of(folder, folder.path.name, Row(title, ""), keeps_history=True)
        for title, folder in titled
    ]
    blocks: list[Block] = []
    if all(line.get("validation") for line in lines):
        blocks.append(_of_lines(draw_validation, lines, "Validation after each epoch"))
    taught = [line for line in lines if "teacher" in line["results"]["models"]]
    if taught and all(line.get("history") for line in lines):
        blocks.append(_of_lines(draw_dynamics, lines, "Training dynamics, Figure 2 of the paper"))
    weights = {line["spec"]["method_settings"].get("proximal_weight") for line in lines} - {None}
    if len({one for one in weights if isinstance(one, (int, float))}) > 1:
        swept = [
            line
            for line in lines
            if isinstance(line["spec"]["method_settings"].get("proximal_weight"), (int, float))
        ]
        caption = "Student and teacher by λ, Figure 3 of the paper"
        blocks.append(_of_lines(draw_proximal_weight, swept, caption))
    return blocks


def _of_lines(draw: Any, lines: Sequence[Mapping[str, Any]], caption: str) -> Picture:
    titles = ", ".join(dict.fromkeys(line["title"] for line in lines))
    return drawn(draw, f"{caption}.", f"{caption}, of {titles}.", lines, ..., caption)


def _of_comparison(runs: RunList, examples: int) -> list[Block]:
    statuses = [runs.status(entry) for entry in runs.entries()]
    counts = [
        f"{statuses.count(one)} of {len(statuses)} runs: {one}" for one in dict.fromkeys(statuses)
    ]
    blocks: list[Block] = [Lines(counts)]
    if "completed" not in statuses:
        return blocks
    blocks += _comparison([runs.path], runs)
    first: dict[str, _Run] = {}
    for entry in runs.entries():
        if entry.title not in first and runs.status(entry) == "completed":
            folder = runs.folder(entry.name)
            first[entry.title] = _Run(folder, folder.read())
    for title, run in list(first.items())[:MOST_RUNS]:
        seed = run.record["spec"]["training"]["seed"]
        heading = f"{title}, seed {seed}: classes, examples, settings"
        blocks.append(Folded(heading, _of_run(run, examples)))
    if len(first) > MOST_RUNS:
        blocks.append(Lines([f"Of {len(first)} rows the first {MOST_RUNS} are shown one by one."]))
    return blocks


def _of_search(runs: RunList, examples: int) -> list[Block]:
    found = read_search(runs)
    above, below = search_lines(found)
    blocks: list[Block] = [Lines(above)]
    grid = search_grid(found)
    if grid.rows:
        blocks.append(Table(grid, "Configurations, on validation data", below))
    if found["chosen"] is None:
        return blocks
    settings = ", ".join(found["settings"])
    is_sweep = list(found["settings"]) == ["proximal_weight"]
    figure = "; Figure 3 of the paper" if is_sweep else ""
    blocks.append(
        drawn(
            plot_search,
            f"Student and teacher on validation by {settings}{figure}; the star is the choice.",
            f"Validation by {settings}; chosen: {found['chosen']}.",
            found,
            ...,
        )
    )
    entries = [entry for entry in runs.entries() if runs.status(entry) == "completed"]
    blocks += _figures(
        [(entry.title, runs.folder(entry.name)) for entry in entries][: MOST_RUNS * 5]
    )
    chosen = next(one for one in found["configurations"] if one["title"] == found["chosen"])
    folder = runs.folder(chosen["runs"][0]["folder"])
    heading = f"The choice, {found['chosen']}, seed {chosen['runs'][0]['seed']}"
    return [*blocks, Folded(heading, _of_run(_Run(folder, folder.read()), examples))]
