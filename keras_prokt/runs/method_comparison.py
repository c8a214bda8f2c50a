"""Methods compared over seeds: carried out where runs are missing, or read from what is there.

This module imports no Keras.
"""

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from keras_prokt.results.comparison import Measured
from keras_prokt.results.comparison import compare as compare_measured
from keras_prokt.runs.executor import Execution, execute
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.run_list import Entry, RunList
from keras_prokt.runs.spec import RunSpec, all_settings
from keras_prokt.runs.stopping import Stop
from keras_prokt.settings import SettingError, argument

_NOT_COMPARED = ("seed", "data_dir")
"""Settings in which runs of one row may differ."""


def compare(
    methods: Mapping[str, RunSpec],
    out: str | Path,
    *,
    seeds: Sequence[int],
    baselines: Sequence[str] = (),
    jobs: int = 1,
    threads: int | None = None,
    stop: Stop | None = None,
    retries_failed: bool = False,
    stream: TextIO | None = None,
) -> tuple[dict[str, Any], Execution]:
    """Carries out every method with every seed, and compares them.

    The same seed gives every method the same split, start and order of the data.

    Args:
        methods: Heading of each row -> its run; the seed is replaced.
        out: A folder: new, or that of a comparison, whose runs are taken over and added to.
        seeds: Seeds of the runs.
        baselines: Headings with which the others are compared, seed by seed.
        jobs: Processes at once; with `threads` as in `keras_prokt.runs.executor.execute`.
        threads: Threads of each.
        stop: When to stop.
        retries_failed: Whether runs that failed before are begun anew.
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
    if not methods or not seeds:
        raise SettingError(
            f"Expected at least one {argument('method')} and one of {argument('seeds')}, received "
            f"{len(methods)} and {len(seeds)}."
        )
    _check_baselines(baselines, methods)
    entries = [
        Entry(_folder_name(title, seed), title, spec.replacing(seed=seed))
        for seed in seeds
        for title, spec in methods.items()
    ]
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        raise SettingError(
            f"Expected different methods and {argument('seeds')}, received two of one name "
            f"({next(name for name in names if names.count(name) > 1)}); name each once."
        )
    runs = RunList(out, "comparison")
    runs.check_free()
    if not runs.exists:
        runs.create({}, entries, measures_test=True)
    runs.add(entries)
    with runs.changing() as record:
        record["about"] = {"methods": list(methods), "baselines": list(baselines)}
    done = execute(
        runs,
        names=names,
        jobs=jobs,
        threads=threads,
        stop=stop,
        retries_failed=retries_failed,
        stream=stream,
    )
    return _compared(runs, entries, done), done


def resume_comparison(runs: RunList, **settings: Any) -> tuple[dict[str, Any], Execution]:
    """Carries out what is missing of all rows and seeds of a comparison that is there.

    Args:
        runs: Its list.
        **settings: As in `keras_prokt.runs.executor.execute`.

    Returns:
        As `compare`.
    """
    done = execute(runs, **settings)
    return _compared(runs, runs.entries(), done), done


def comparison_baselines(runs: RunList) -> list[str]:
    """The baselines that a comparison was last asked for."""
    return list(runs.read()["about"].get("baselines", []))


def _compared(runs: RunList, entries: Sequence[Entry], done: Execution) -> dict[str, Any]:
    completed = [entry for entry in entries if entry.name in done.completed]
    if not completed:
        return {}
    # In the order of the methods, whatever was completed first.
    known = [*runs.read()["about"].get("methods", []), *(entry.title for entry in completed)]
    order = {title: number for number, title in reversed(list(enumerate(known)))}
    completed.sort(key=lambda entry: order[entry.title])
    there = {entry.title for entry in completed}
    baselines = [one for one in comparison_baselines(runs) if one in there]
    return compare_folders([(e.title, runs.folder(e.name)) for e in completed], baselines)


def compare_folders(
    runs: Sequence[tuple[str, RunFolder]], baselines: Sequence[str] = ()
) -> dict[str, Any]:
    """Compares completed runs.

    Args:
        runs: Heading and folder of each.
        baselines: Headings with which the others are compared.

    Returns:
        As `keras_prokt.results.comparison.compare`: on test data where all runs have measured it,
        otherwise on validation.

    Raises:
        ValueError: If a run is not completed, or a file of it was changed.
    """
    records = [(title, folder, _completed(folder)) for title, folder in runs]
    apps = sorted({record["spec"]["app"] for _, _, record in records})
    if len(apps) != 1:
        raise ValueError(
            f"Expected runs of one app, received {', '.join(apps) or 'none'}; compare the runs of "
            "each app by themselves."
        )
    students = [record["results"]["models"]["student"] for _, _, record in records]
    part = "test" if all("test" in student for student in students) else "validation"
    metrics = {_metric(record) for _, _, record in records}
    metric = metrics.pop() if len(metrics) == 1 else "accuracy"
    measured = [_measured(title, folder, record, part, metric) for title, folder, record in records]
    _check_baselines(baselines, dict.fromkeys(one.method for one in measured))
    return compare_measured(measured, metric=metric, part=part, baselines=baselines)


def _check_baselines(baselines: Sequence[str], methods: Iterable[str]) -> None:
    from keras_prokt.names import unknown_name

    for baseline in baselines:
        if baseline not in methods:
            raise SettingError(unknown_name("a baseline", baseline, methods))


def _completed(folder: RunFolder) -> dict[str, Any]:
    record = folder.read()
    if record["status"] != "completed":
        raise ValueError(
            f"Expected completed runs, received {str(folder.path)!r} with status "
            f"{record['status']!r}; finish it with `{folder.resume_hint()}`."
        )
    return record


def _metric(record: Mapping[str, Any]) -> str:
    results = record["results"]
    if "metric" in results:
        return results["metric"]
    student = results["models"]["student"]["validation"]  # a run of an older version
    return next(name for name in student if name not in ("loss", "seconds"))


def _measured(
    title: str, folder: RunFolder, record: Mapping[str, Any], part: str, metric: str
) -> Measured:
    models = record["results"]["models"]
    labels, classes = _predictions(folder, record, part)
    teacher = models.get("teacher", {}).get(part, {}).get(metric)
    return Measured(
        method=title,
        seed=record["spec"]["training"]["seed"],
        student=models["student"][part][metric],
        teacher=teacher,
        cost=record.get("cost"),
        seconds=record["training_seconds"],
        labels=labels,
        predicted=classes,
    )


def _predictions(
    folder: RunFolder, record: Mapping[str, Any], part: str
) -> tuple[list[int] | None, list[int] | None]:
    """Labels and the student's classes of a part; `None` in runs of older versions."""
    path = folder.predictions / f"{part}.csv"
    if f"{folder.predictions.name}/{path.name}" not in record.get("files", {}):
        return None, None
    folder.check_file(path, dict(record))
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [int(row["label"]) for row in rows], [int(row["student"]) for row in rows]


def titled_runs(paths: Sequence[str | Path]) -> tuple[list[tuple[str, RunFolder]], list[str]]:
    """The runs in some folders, each with the heading of its row.

    Args:
        paths: Run folders, and folders that hold run folders: comparisons, searches, others.

    Returns:
        Heading and folder of each completed run, and the paths of runs in folders of runs that
        are not completed.

    Raises:
        ValueError: If there is no run, or one that was named itself is not completed.
    """
    titles: dict[Path, str | None] = {}
    left_out: list[str] = []
    for path in map(Path, paths):
        if RunFolder(path).record.is_file() or not path.is_dir():
            _completed(RunFolder.existing(path))
            titles[path] = None
            continue
        runs = RunList.at(path)
        known = {} if runs is None else {entry.name: entry.title for entry in runs.entries()}
        found = {file.parent.name: file.parent for file in sorted(path.glob("*/run.json"))}
        for name in [*(n for n in known if n in found), *(n for n in found if n not in known)]:
            folder = found[name]
            if RunFolder(folder).read()["status"] == "completed":
                titles[folder] = known.get(folder.name)
            else:
                left_out.append(str(folder))
    if not titles:
        raise ValueError(
            f"Expected completed runs, received {', '.join(map(str, paths))} without one; "
            "`keras-prokt run` prints the path of the folder it makes."
        )
    untitled = {path: RunFolder(path).read() for path, title in titles.items() if title is None}
    titles |= _titles(untitled)
    return [(title, RunFolder(path)) for path, title in titles.items()], left_out


def _titles(records: Mapping[Path, Mapping[str, Any]]) -> dict[Path, str]:
    """Headings for runs: their method, and the settings in which rows of the method differ."""
    settings = {path: _settings(record) for path, record in records.items()}
    # Two versions of a user's data are two data sets; which is which, the digests say.
    data_sets = list(dict.fromkeys(own["data"] for own in settings.values()))
    for own in settings.values():
        own["data"] = data_sets.index(own["data"]) + 1
    titles = {}
    for path, own in settings.items():
        others = [other for other in settings.values() if other["method"] == own["method"]]
        differing = [k for k in own if any(other.get(k) != own[k] for other in others)]
        shown = [f"{name}={_shown(own[name])}" for name in differing if own[name] is not None]
        titles[path] = " ".join([own["method"], *shown])
    return titles


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    spec = RunSpec.from_json(record["spec"])
    options = {name: row.option_of(name).removeprefix("--") for name, row in all_settings().items()}
    settings = {"method": spec.method}
    settings |= {
        option: getattr(spec, name) for name, option in options.items() if name not in _NOT_COMPARED
    }
    data = dict(record.get("data") or {})
    if spec.limit is not None:
        data.pop("train data", None)  # each seed draws its own
    settings["data"] = json.dumps(data, sort_keys=True)
    return settings


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={_shown(of_key)}" for key, of_key in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _folder_name(title: str, seed: int) -> str:
    name = re.sub(r"[^\w.+-]+", "-", title, flags=re.ASCII).strip("-.")
    return f"{name[:100]}-seed-{seed}"
