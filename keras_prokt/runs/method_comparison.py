"""Methods compared over seeds: carried out where runs are missing, or read from what is there.

This module imports no Keras.
"""

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from keras_prokt.app import get_app
from keras_prokt.app_file import app_title
from keras_prokt.arguments import (
    check_mapping,
    check_text,
    check_type,
    checked_path,
    checked_texts,
)
from keras_prokt.data.columns import values_in
from keras_prokt.names import unknown_name
from keras_prokt.results.comparison import Measured
from keras_prokt.results.comparison import compare as compare_measured
from keras_prokt.results.comparison_figure import plot_comparison
from keras_prokt.results.tables import shown_value
from keras_prokt.runs.executor import (
    Execution,
    check_execution,
    check_jobs,
    checked_seeds,
    execute,
)
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.known_settings import all_settings
from keras_prokt.runs.records import measured, values_of
from keras_prokt.runs.run_list import Entry, RunList, folder_name
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import Stop
from keras_prokt.runs.titled_runs import completed_record, settings_by_option
from keras_prokt.settings import SettingError, argument

FIGURE = "comparison.png"


def compare(
    methods: Mapping[str, RunSpec],
    out: str | Path,
    *,
    seeds: Sequence[int],
    baselines: Sequence[str] = (),
    metric: str | None = None,
    jobs: int = 1,
    threads: int | None = None,
    stop: Stop | None = None,
    retries_failed: bool = False,
    show: Callable[[str], str] | None = None,
    stream: TextIO | None = None,
) -> tuple[dict[str, Any], Execution]:
    """Carries out every method with every seed, and compares them.

    The same seed gives every method the same split, start and order of the data.

    Args:
        methods: Heading of each row -> its run; the seed is replaced.
        out: A folder: new, or that of a comparison, whose runs are taken over and added to;
            `comparison.png` is drawn in it.
        seeds: Seeds of the runs.
        baselines: Headings with which the others are compared, seed by seed; none for those that
            the folder's comparison had before. They are kept in it with those.
        metric: As in `compare_folders`.
        jobs: Processes at once; with `threads` as in `keras_prokt.runs.executor.execute`.
        threads: Threads of each.
        stop: When to stop.
        retries_failed: Whether runs that failed before are begun anew.
        show: What makes of the library's messages what people read; see `execute`.
        stream: Where progress is shown.

    Returns:
        The comparison of the runs that are completed, as
        `keras_prokt.results.comparison.compare`, and what became of all runs.

    Raises:
        ValueError: On bad input; then nothing has been written.
        Stopped: If it was time to stop.

    Example:

    ```python
    from keras_prokt.runs import RunSpec, compare

    rows = {m: RunSpec.resolve("digits", m, epochs=150) for m in ("student", "kd", "prokt")}
    comparison, _ = compare(rows, "comparisons/digits", seeds=range(5), baselines=["kd"], jobs=2)
    ```
    """
    check_mapping("methods", methods, "such as {'kd': RunSpec.resolve('digits', 'kd')}")
    for title, spec in methods.items():
        check_text("each heading of methods", title)
        check_type(f"methods[{title!r}]", spec, RunSpec, "a RunSpec")
    out, seeds = checked_path("out", out), checked_seeds(seeds)
    baselines = checked_texts("baselines", baselines)
    if metric is not None:
        check_text("metric", metric)
    check_execution(stop, stream, show, retries_failed)
    if not methods or not seeds:
        raise SettingError(
            f"Expected at least one {argument('method')} and one of {argument('seeds')}, received "
            f"{len(methods)} and {len(seeds)}."
        )
    check_jobs(jobs, threads)
    _check_baselines(baselines, methods)
    _check_different(methods, seeds)
    entries = [
        Entry(folder_name(title, seed), title, spec.replacing(seed=seed))
        for seed in seeds
        for title, spec in methods.items()
    ]
    names = [entry.name for entry in entries]
    for spec in methods.values():
        spec.check_without_keras()
    runs = RunList(out, "comparison")
    runs.check_free()
    if not runs.exists:
        runs.create({}, entries, measures_test=True)
    runs.add(entries)
    with runs.changing() as record:
        for key, own in {"methods": methods, "baselines": baselines}.items():
            record["about"][key] = list(dict.fromkeys([*record["about"].get(key, []), *own]))
        baselines = baselines or record["about"]["baselines"]

    def carry_out(names: Sequence[str], retries_failed: bool = False) -> Execution:
        return execute(
            runs,
            names=names,
            jobs=jobs,
            threads=threads,
            stop=stop,
            retries_failed=retries_failed,
            show=show,
            stream=stream,
        )

    if metric is not None and not _is_measured(runs, metric):
        carry_out(names[:1])  # says whether there is such a metric, before all others
        _is_measured(runs, metric)
    done = carry_out(names, retries_failed)
    compared = _compared(runs, entries, done.completed, list(methods), baselines, metric)
    return _drawn(compared, runs), done


def _is_measured(runs: RunList, metric: str) -> bool:
    """Whether the completed runs of a list have measured a metric; `False` where there are none.

    Raises:
        SettingError: If they have not.
    """
    folders = [runs.folder(one.name) for one in runs.entries() if runs.status(one) == "completed"]
    records = [("", folder, folder.read()) for folder in folders]
    for record in records:
        student = record[2]["results"]["models"]["student"]
        _check_measured([record], "test" if "test" in student else "validation", metric)
    return bool(records)


def _drawn(comparison: dict[str, Any], runs: RunList) -> dict[str, Any]:
    """The comparison, of which a picture is in its folder; nothing is drawn of no run."""
    if comparison:
        plot_comparison(comparison, runs.path / FIGURE)
    return comparison


def _check_different(methods: Mapping[str, RunSpec], seeds: Sequence[int]) -> None:
    """Refuses a run that is to be carried out twice: it is no second measurement."""
    if len(set(seeds)) < len(seeds):
        raise SettingError(f"Expected different {argument('seeds')}, received {list(seeds)!r}.")
    for seed in seeds:
        all_settings()["seed"].checked("seeds", seed)
    titles: dict[str, str] = {}
    for title, spec in methods.items():
        key = json.dumps(spec.replacing(seed=0).to_json(), sort_keys=True)
        name = folder_name(title, 0)
        other = titles.get(key) or titles.get(name)
        if other is not None:
            what = "the same settings" if key in titles else "the same folder"
            raise SettingError(
                f"Expected different rows, received {other!r} and {title!r} with {what}; leave one "
                "out, or name it otherwise."
            )
        titles |= {key: title, name: title}


def resume_comparison(runs: RunList, **settings: Any) -> tuple[dict[str, Any], Execution]:
    """Carries out what is missing of all rows and seeds of a comparison that is there.

    Args:
        runs: Its list.
        **settings: As in `keras_prokt.runs.executor.execute`.

    Returns:
        As `compare`.
    """
    done = execute(runs, **settings)
    about = runs.read()["about"]
    baselines = about.get("baselines", [])
    compared = _compared(runs, runs.entries(), done.completed, about.get("methods", []), baselines)
    return _drawn(compared, runs), done


def read_comparison(runs: RunList) -> dict[str, Any]:
    """What a comparison has found so far; empty where no run is completed.

    Args:
        runs: Its list.
    """
    about, entries = runs.read()["about"], runs.entries()
    completed = [entry.name for entry in entries if runs.status(entry) == "completed"]
    baselines = about.get("baselines", [])
    return _compared(runs, entries, completed, about.get("methods", []), baselines)


def _compared(
    runs: RunList,
    entries: Sequence[Entry],
    names: Iterable[str],
    methods: Sequence[str],
    baselines: Sequence[str],
    metric: str | None = None,
) -> dict[str, Any]:
    """Compares the completed runs of some names, in the order of the methods."""
    names = set(names)
    completed = [entry for entry in entries if entry.name in names]
    if not completed:
        return {}
    known = [*methods, *(entry.title for entry in completed)]
    order = {title: number for number, title in reversed(list(enumerate(known)))}
    completed.sort(key=lambda entry: order[entry.title])
    there = {entry.title for entry in completed}
    baselines = [one for one in baselines if one in there]
    return compare_folders([(e.title, runs.folder(e.name)) for e in completed], baselines, metric)


def compare_folders(
    runs: Sequence[tuple[str, RunFolder]],
    baselines: Sequence[str] = (),
    metric: str | None = None,
) -> dict[str, Any]:
    """Compares completed runs.

    Args:
        runs: Heading and folder of each.
        baselines: Headings with which the others are compared.
        metric: A metric or score that all runs have measured; `None`: the one by which they chose
            their best epoch, or accuracy where those differ.

    Returns:
        As `keras_prokt.results.comparison.compare`: on test data where all runs have measured it,
        otherwise on validation.

    Raises:
        ValueError: If a run is not completed, a file of it was changed, two runs of one seed
            were measured on different data, or a run has not measured the metric.
    """
    records = [(title, folder, completed_record(folder)) for title, folder in runs]
    apps = sorted({record["spec"]["app"] for _, _, record in records})
    if len(apps) != 1:
        raise ValueError(
            f"Expected runs of one app, received {', '.join(apps) or 'none'}; compare the runs of "
            "each app by themselves."
        )
    students = [record["results"]["models"]["student"] for _, _, record in records]
    part = "test" if all("test" in student for student in students) else "validation"
    if metric is None:
        metrics = {_metric(record) for _, _, record in records}
        metric = metrics.pop() if len(metrics) == 1 else "accuracy"
    else:
        _check_measured(records, part, metric)
    modes = {_mode(record, metric) for _, _, record in records} - {None}
    rows = [_measured(title, folder, record, part, metric) for title, folder, record in records]
    _check_baselines(baselines, dict.fromkeys(one.method for one in rows))
    all_data = [
        _Data.of(folder, record, part, row.labels)
        for (_, folder, record), row in zip(records, rows, strict=True)
    ]
    _check_same_data(all_data, part)
    shared, own = _settings_of_rows([row.method for row in rows], all_data)
    results = [record["results"] for _, _, record in records]
    if not all(metric in one["models"]["student"][part] for one in results):
        # A bootstrap knows metrics by name, and the score of classes is not that of labels.
        rows = [replace(row, predicted=None) for row in rows]
    constants = [one.get("best_constant", {}).get(part) for one in results]
    are_known = all(one.get("metric") == metric for one in results) and None not in constants
    return compare_measured(
        rows,
        best_constant=constants if are_known else (),
        metric=metric,
        part=part,
        mode="min" if modes == {"min"} else "max",
        baselines=baselines,
        settings=shared,
        own_settings=own,
    )


class _Data(NamedTuple):
    """What is known of the data of a run."""

    path: Path
    spec: RunSpec
    train: str | None
    """Digest of what was trained on; `None` in runs of older versions, as below."""
    held_out: str | None
    """Digest of what the student was measured on."""
    source: str | None
    """Digest of the user's file with it."""
    labels: Sequence[Any] | None

    @classmethod
    def of(
        cls, folder: RunFolder, record: Mapping[str, Any], part: str, labels: Sequence[Any] | None
    ) -> "_Data":
        digests = record.get("data") or {}
        return cls(
            folder.path,
            RunSpec.from_json(record["spec"]),
            digests.get("train data"),
            digests.get(f"{part} data"),
            digests.get(part, digests.get("dataset")),
            labels,
        )

    @property
    def reading(self) -> tuple[Any, ...]:
        """What decides, beside the examples, the digest of them.

        That of texts is that of their word pieces, which follow from the models and, where they are
        learnt, from the training data.
        """
        reads_text = get_app(self.spec.app).reads_text
        return (self.spec.models, replace(self.spec.data, data_dir=None)) if reads_text else ()

    def is_measured_on_other_than(self, other: "_Data") -> bool:
        """Whether both runs are known to have been measured on different data."""
        if _differ(self.held_out, other.held_out) is False:
            return False
        if self.reading == other.reading:
            return _differ(self.held_out, other.held_out) is True
        return any(
            _differ(mine, others)
            for mine, others in ((self.source, other.source), (self.labels, other.labels))
        )


def _differ(one: Any, other: Any) -> bool | None:
    """Whether two values differ, `None` if one is unknown."""
    return None if one is None or other is None else one != other


def _check_same_data(all_data: Sequence[_Data], part: str) -> None:
    """Refuses runs of one seed that were measured on different data: their difference is also that
    of the data."""
    by_seed: dict[int, list[_Data]] = {}
    for data in all_data:
        by_seed.setdefault(data.spec.seed, []).append(data)
    for seed, same_seed in by_seed.items():
        for one, other in itertools.combinations(same_seed, 2):
            if one.is_measured_on_other_than(other):
                raise ValueError(
                    f"Expected runs of seed {seed} on the same {part} data, received "
                    f"{str(one.path)!r} and {str(other.path)!r} on different data; compare runs "
                    "on each by themselves."
                )


def _settings_of_rows(
    titles: Sequence[str], all_data: Sequence[_Data]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The settings of all runs, and those of each row in which rows differ."""
    specs: dict[str, list[RunSpec]] = {}
    for title, data in zip(titles, all_data, strict=True):
        specs.setdefault(title, []).append(data.spec)
    shared = shared_settings([data.spec for data in all_data])
    own: dict[str, dict[str, Any]] = {}
    for title, row_specs in specs.items():
        given = [_given_settings(spec) for spec in row_specs]
        own[title] = {}
        for name in dict.fromkeys(name for run_given in given for name in run_given):
            values = [run_given.get(name) for run_given in given]
            texts = list(dict.fromkeys("none" if v is None else shown_value(v) for v in values))
            if name not in shared:
                own[title][name] = values[0] if len(texts) == 1 else " or ".join(texts)
    for title, number in _training_data(titles, all_data).items():
        own[title]["training-data"] = number
    return shared, own


def _training_data(titles: Sequence[str], all_data: Sequence[_Data]) -> dict[str, int]:
    """A number for the training data of each row, where the settings do not say that it differs."""
    found: dict[str, list[str]] = {}
    numbers: dict[str, int] = {}
    for title, data in zip(titles, all_data, strict=True):
        if data.train is None:
            continue
        key = repr((data.spec.seed, replace(data.spec.data, data_dir=None), data.reading))
        known = found.setdefault(key, [])
        if data.train not in known:
            known.append(data.train)
        numbers[title] = max(numbers.get(title, 0), known.index(data.train) + 1)
    return numbers if any(number > 1 for number in numbers.values()) else {}


def shared_settings(specs: Sequence[RunSpec]) -> dict[str, Any]:
    """What runs have in common.

    Args:
        specs: Their specs.

    Returns:
        App, method and settings that are given and the same in all of them, without the seed; names
        are those of the command line without hyphens.

    Example:

    >>> from keras_prokt.runs import RunSpec
    >>> from keras_prokt.runs.method_comparison import shared_settings
    >>> specs = [RunSpec.resolve("digits", method, epochs=3) for method in ("kd", "prokt")]
    >>> shared = shared_settings(specs)
    >>> shared["app"], shared["epochs"], "method" in shared
    ('digits', 3, False)
    """
    first, *others = map(_given_settings, specs)
    return {k: v for k, v in first.items() if all(k in o and o[k] == v for o in others)}


def _given_settings(spec: RunSpec) -> dict[str, Any]:
    """App, method and all settings that have a value and are on."""
    settings = {"app": app_title(spec.app), **settings_by_option(spec)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in settings.items()
        if value not in (None, (), {}) and value is not False
    }


def _check_baselines(baselines: Sequence[str], methods: Iterable[str]) -> None:
    for baseline in baselines:
        if baseline not in methods:
            raise SettingError(unknown_name("a baseline", baseline, methods))


def _metric(record: Mapping[str, Any]) -> str:
    results = record["results"]
    if "metric" in results:
        return results["metric"]
    student = results["models"]["student"].get("validation", {})  # a run of an older version
    return next((name for name in student if name not in ("loss", "seconds")), "accuracy")


def _mode(record: Mapping[str, Any], metric: str) -> str | None:
    """Which values of a metric are better, as far as a run says."""
    results = record["results"]
    if metric == _metric(record):
        return results.get("mode", "max")
    if "lower_is_better" not in results:
        return None
    return "min" if metric in results["lower_is_better"] else "max"


def _check_measured(
    records: Sequence[tuple[str, RunFolder, Mapping[str, Any]]], part: str, metric: str
) -> None:
    """Refuses a metric that not all runs have measured."""
    names = [set(values_of(record, "student", part)) - {"seconds"} for _, _, record in records]
    common = set.intersection(*names)
    if metric in common:
        return
    for (_, folder, _), known in zip(records, names, strict=True):
        if metric not in known and any(metric in other for other in names):
            raise SettingError(
                f"Expected {argument('metric')} that all runs have measured, received {metric!r}, "
                f"which {str(folder.path)!r} has not; choose one of {', '.join(sorted(common))}."
            )
    raise SettingError(unknown_name(argument("metric"), metric, common))


def _measured(
    title: str, folder: RunFolder, record: Mapping[str, Any], part: str, metric: str
) -> Measured:
    labels, answers = kept_predictions(folder, record, part)
    teacher = values_of(record, "teacher", part).get(metric)
    return Measured(
        method=title,
        seed=record["spec"]["training"]["seed"],
        student=measured(record, folder.path, part, metric),
        teacher=teacher,
        cost=record.get("cost"),
        seconds=record["training_seconds"],
        labels=labels,
        predicted=answers,
    )


def kept_predictions(
    folder: RunFolder, record: Mapping[str, Any], part: str, model: str = "student"
) -> tuple[list[Any] | None, list[Any] | None]:
    """The right answers of a part and a model's; `None` in runs of older versions."""
    path = folder.predictions / f"{part}.csv"
    if f"{folder.predictions.name}/{path.name}" not in record.get("files", {}):
        return None, None
    folder.check_file(path, dict(record))
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return values_in(rows, "label"), values_in(rows, model)


def known_baselines(paths: Sequence[str | Path], titles: Iterable[str]) -> list[str]:
    """The baselines that the comparison in a folder has.

    Args:
        paths: As in `titled_runs`.
        titles: Headings of the rows.

    Returns:
        Those of its baselines that are headings; none if the paths are not one folder of a
        comparison.
    """
    runs = RunList.at(paths[0]) if len(paths) == 1 else None
    if runs is None or runs.kind != "comparison":
        return []
    titles = set(titles)
    return [one for one in runs.read()["about"].get("baselines", []) if one in titles]
