"""Carries out what is missing of a protocol, and keeps its results in one small file.

    OUT/PROTOCOL/ (a list of runs)   RESULTS/PROTOCOL.jsonl   RESULTS/PROTOCOL.png

This module imports no Keras.
"""

import csv
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from keras_prokt.methods import method_settings, parse_method
from keras_prokt.results.archive import add_to_archive, encoded, measured_run, read_archive
from keras_prokt.results.comparison import compare
from keras_prokt.results.figures import FIGURES
from keras_prokt.results.search import choose
from keras_prokt.results.tables import format_table
from keras_prokt.runs.executor import Execution, execute
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.protocol import Protocol, Row
from keras_prokt.runs.run_list import Entry, RunList, folder_name
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import Stop, format_seconds

COMPUTING = ("backend", "precision", "steps_per_execution", "deterministic")
"""Settings that say how a run is computed, and not what."""

_NOT_KEPT = ("files", "keeps_checkpoint", "export", "teacher_init", "sha256", "status")
_PLACES = ("data_dir", "prepared")
"""Settings that say where the data lies."""
_NO_METRICS = ("loss", "seconds")
_DIGITS = 6
"""Significant digits of curves."""


class Reproduction:
    """The runs of a protocol: those that are there, and those that are missing.

    Args:
        protocol: Which.
        out: Folder of the runs; made if need be.
        results: Folder of the finished results.
        seeds: Other seeds than the protocol's.
        settings: Settings in place of those of the rows, such as fewer `epochs`, a `limit`, a
            `backend`, or where the user's own files lie (`teacher`, `data_dir`).

    Raises:
        ValueError: If the settings mean nothing for its runs.
    """

    def __init__(
        self,
        protocol: Protocol,
        out: str | Path,
        results: str | Path,
        *,
        seeds: Sequence[int] | None = None,
        settings: Mapping[str, Any] | None = None,
    ):
        self.protocol = protocol
        self.runs = RunList(Path(out) / protocol.name, "comparison")
        self.archive = Path(results) / f"{protocol.name}.jsonl"
        self._settings = dict(settings or {})
        seeds = protocol.seeds if seeds is None else seeds
        self.rows: dict[str, Row] = {}
        """Name of each run -> its row."""
        self.entries: list[Entry] = []
        for seed in seeds:
            for row in protocol.rows:
                entry = Entry(folder_name(row.name, seed), row.name, self._spec(row, seed))
                self.rows[entry.name] = row
                self.entries.append(entry)

    def _spec(self, row: Row, seed: int) -> RunSpec:
        of_method = parse_method(row.method).settings
        shared = {
            name: value
            for name, value in self.protocol.settings.items()
            if name in of_method or name not in method_settings()
        }
        own = {**shared, **row.settings, **self._settings, "seed": seed}
        if self.protocol.split_follows_seed:
            own["split_seed"] = seed
        return RunSpec.resolve(row.app or self.protocol.app, row.method, **own)

    def archived(self) -> dict[str, dict[str, Any]]:
        """The results that are there of exactly these runs, by name.

        Raises:
            ValueError: If a file of results was changed.
        """
        wanted = {entry.name: identity(entry.spec) for entry in self.entries}
        found: dict[str, dict[str, Any]] = {}
        for protocol in (*self.protocol.includes, self.protocol.name):
            for name, run in read_archive(self.archive.with_name(f"{protocol}.jsonl")).items():
                if name in wanted and _identity_of(run) == wanted[name]:
                    found[name] = run
        return found

    def missing(self) -> list[Entry]:
        """The runs of which there are no results."""
        there = self.archived()
        return [entry for entry in self.entries if entry.name not in there]

    def check(self) -> None:
        """Refuses what can be refused without Keras, such as a checkpoint that is not there.

        Raises:
            ValueError: Naming the protocol.
        """
        self.runs.check_free()
        of_app = {entry.spec.app: entry.spec for entry in reversed(self.missing())}
        for spec in of_app.values():
            try:
                spec.check_without_keras()
            except ValueError as error:
                error.add_note(f"({self.protocol.name} needs it.)")
                raise

    def carry_out(
        self,
        *,
        jobs: int = 1,
        threads: int | None = None,
        stop: Stop | None = None,
        retries_failed: bool = False,
        show: Callable[[str], str] | None = None,
        stream: TextIO | None = None,
    ) -> Execution:
        """Carries out the missing runs, in order, and adds what is finished to the results.

        Args:
            **: As in `keras_prokt.runs.executor.execute`.

        Raises:
            Stopped: If it was time to stop; all that is finished has been added.
        """
        self.keep_finished()
        missing = self.missing()
        if not missing:
            return Execution(completed=[entry.name for entry in self.entries])
        self.check()
        if not self.runs.exists:
            self.runs.create({}, missing, measures_test=self.protocol.measures_test)
        self.runs.add(missing)
        try:
            done = execute(
                self.runs,
                names=[entry.name for entry in missing],
                jobs=jobs,
                threads=threads,
                stop=stop,
                retries_failed=retries_failed,
                show=show,
                stream=stream,
            )
        finally:
            self.keep_finished()
        names = {entry.name for entry in missing}
        done.completed += [entry.name for entry in self.entries if entry.name not in names]
        return done

    def keep_finished(self) -> list[str]:
        """Adds the finished runs of the list to the results.

        Returns:
            The names of those that were added.
        """
        if not self.runs.exists:
            return []
        finished = []
        known = {entry.name: entry for entry in self.runs.entries()}
        for name, entry in known.items():
            folder = self.runs.folder(name)
            if name in self.rows and self.runs.status(entry) == "completed":
                finished.append(
                    result_of(
                        folder,
                        name,
                        self.rows[name],
                        keeps_history=self.protocol.keeps_history,
                    )
                )
        return add_to_archive(self.archive, finished)

    def states(self) -> list[dict[str, Any]]:
        """Every run: `name`, `title`, `group`, `seed`, `state`, `minutes`, `seconds`,
        `published` and `ours`, both in percent by metric."""
        there, found = self.archived(), []
        listed = {}
        if self.runs.exists:
            listed = {entry.name: entry for entry in self.runs.entries()}
        for entry in self.entries:
            row, run = self.rows[entry.name], there.get(entry.name)
            state, seconds, ours = "missing", None, {}
            if run is not None:
                state, seconds = "done", run["training_seconds"]
                ours = self._ours(run)
            elif entry.name in listed:
                state = _state(self.runs, listed[entry.name])
            found.append(
                {
                    "name": entry.name,
                    "title": row.title,
                    "group": row.group,
                    "seed": entry.spec.seed,
                    "state": state,
                    "minutes": row.minutes,
                    "seconds": seconds,
                    "published": dict(row.published),
                    "ours": ours,
                }
            )
        return found

    def _ours(self, run: Mapping[str, Any]) -> dict[str, float]:
        student = run["results"]["models"]["student"]
        part = "test" if "test" in student else "validation"
        names = [run["results"]["metric"], *(n for n in student[part] if n not in _NO_METRICS)]
        found = {name: 100 * student[part][name] for name in dict.fromkeys(names)}
        for other, measured in student.items():
            if isinstance(measured, Mapping) and other != part:
                of_part = {k: v for k, v in measured.items() if k not in _NO_METRICS}
                found |= {f"{name} on {other}": 100 * v for name, v in of_part.items()}
        return found

    def draw(self) -> Path | None:
        """Draws the picture of the protocol beside its results; returns where, if there is one."""
        there = self.archived()
        if self.protocol.figure is None or not there:
            return None
        png = self.archive.with_suffix(".png")
        runs = [
            {**there[entry.name], "title": self.rows[entry.name].title}
            for entry in self.entries
            if entry.name in there
        ]
        FIGURES[self.protocol.figure](runs, png, self.protocol.summary)
        return png

    def compared(self) -> dict[str, dict[str, Any]]:
        """Group -> the comparison of its rows, as `keras_prokt.results.comparison.compare`."""
        there = self.archived()
        found = {}
        for group in self.protocol.groups:
            runs = [
                {**run, "title": self.rows[name].title}
                for row in self.protocol.rows
                for name, run in sorted(there.items(), key=lambda item: _seed(item[1]))
                if self.rows[name] is row and row.group == group
            ]
            if not runs:
                continue
            part = "test" if self.protocol.measures_test else "validation"
            metric = runs[0]["results"]["metric"]
            titles = {run["title"] for run in runs}
            found[group] = compare(
                [measured_run(run, part, metric) for run in runs],
                metric=metric,
                part=part,
                baselines=[one for one in self.protocol.baselines if one in titles],
                settings={"protocol": self.protocol.name},
            )
        return found

    def chosen(self) -> dict[str, str | None]:
        """Group -> the title of its best row on validation, `None` until all its runs are there.

        Equal means go to the first.
        """
        there, found = self.archived(), {}
        for group in self.protocol.groups:
            configurations = []
            for row in self.protocol.rows:
                if row.group != group:
                    continue
                names = [entry.name for entry in self.entries if self.rows[entry.name] is row]
                runs = [there[name]["results"] for name in names if name in there]
                values = [
                    {"student": one["models"]["student"]["validation"][one["metric"]]}
                    for one in runs
                ]
                is_whole = len(values) == len(names)
                configurations.append({"title": row.title, "is_whole": is_whole, "runs": values})
            is_all = all(one["is_whole"] for one in configurations)
            found[group] = choose(configurations) if is_all else None
        return found


def has_accelerator() -> bool:
    """Whether the machine shows a card of NVIDIA or AMD; asked without loading a backend."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/kfd").exists()


def listed_runs(parts: Sequence[Reproduction], *, every: bool) -> str:
    """Tables of the runs of protocols.

    Args:
        parts: The protocols.
        every: Whether every run has a line, and not every row.
    """
    lines = []
    for part in parts:
        states, protocol = part.states(), part.protocol
        done = sum(one["state"] == "done" for one in states)
        lines += ["", f"{protocol.name}: {protocol.summary}"]
        lines.append(f"{done} of {len(states)} runs are done; sized for {protocol.sized_for}")
        columns = ["run", "seed" if every else "done", "state", "cost", "paper", "ours"]
        rows = _every_run(states) if every else _every_row(states)
        lines.append(format_table(columns, rows, left=True))
        lines += [protocol.note] if protocol.note else []
    return "\n".join(lines[1:])


def _every_run(states: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            _called(one),
            str(one["seed"]),
            one["state"],
            _cost(one["minutes"], [one["seconds"]]),
            _percent(one["published"], one["published"]),
            _percent(one["ours"], one["published"]),
        ]
        for one in states
    ]


def _every_row(states: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    of_row: dict[str, list[Mapping[str, Any]]] = {}
    for one in states:
        of_row.setdefault(_called(one), []).append(one)
    rows = []
    for title, runs in of_row.items():
        done = [one for one in runs if one["state"] == "done"]
        others = [one["state"] for one in runs if one["state"] != "done"]
        begun = [state for state in others if state != "missing"]
        state = "done" if not others else ", ".join(dict.fromkeys(begun)) or "missing"
        ours = {
            name: statistics.mean(one["ours"][name] for one in done)
            for name in (done[0]["ours"] if done else {})
        }
        rows.append(
            [
                title,
                f"{len(done)} of {len(runs)}",
                state,
                _cost(runs[0]["minutes"], [one["seconds"] for one in done]),
                _percent(runs[0]["published"], runs[0]["published"]),
                _percent(ours, runs[0]["published"]),
            ]
        )
    return rows


def _called(state: Mapping[str, Any]) -> str:
    return Row(state["title"], "", group=state["group"]).name


def _cost(minutes: float, seconds: Sequence[float | None]) -> str:
    """What a run took, where that is known, or about how long it takes."""
    known = [one for one in seconds if one is not None]
    if known:
        return format_seconds(statistics.mean(known))
    return f"about {format_seconds(60 * minutes)}"


def _percent(values: Mapping[str, float], published: Mapping[str, float]) -> str:
    """The values that the paper has too, or the first one."""
    names = [name for name in published if name in values] or list(values)[:1]
    return "/".join(f"{values[name]:.2f}" for name in names)


def _seed(run: Mapping[str, Any]) -> int:
    return run["spec"]["training"]["seed"]


def _state(runs: RunList, entry: Entry) -> str:
    status = runs.status(entry)
    if status == "running":
        position = runs.folder(entry.name).position()
        if position is None:
            return "begun"
        return f"{position[0] or entry.spec.method}: epoch {position[1]}"
    return status


def identity(spec: RunSpec) -> dict[str, Any]:
    """What a run is, whatever computes it and wherever its files lie."""
    return _identity(spec.to_json())


def _identity_of(run: Mapping[str, Any]) -> dict[str, Any]:
    return _identity(RunSpec.from_json(run["spec"]).to_json())


def _identity(spec: Mapping[str, Any]) -> dict[str, Any]:
    values = {key: value for key, value in spec.items() if key != "computing"}
    values["data"] = {k: v for k, v in values["data"].items() if k not in _PLACES}
    values["models"] = {k: _name_alone(v) for k, v in values["models"].items()}
    return json.loads(json.dumps(values))


def _name_alone(value: Any) -> Any:
    """Of a directory its name: the same checkpoint lies elsewhere on another machine."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def result_of(folder: RunFolder, name: str, row: Row, *, keeps_history: bool) -> dict[str, Any]:
    """The line of an archive for a finished run.

    Args:
        folder: The run's.
        name: Of the run in its list.
        row: What it is.
        keeps_history: Whether all curves are kept.

    Raises:
        ValueError: If a file of it was changed.
    """
    record = folder.read()
    spec = _without_places(record["spec"])
    kept = {key: value for key, value in record.items() if key not in _NOT_KEPT}
    line = {"name": name, "title": row.title, "group": row.group, **kept, "spec": spec}
    history = _curves(folder, record)
    metric = record["results"]["metric"]
    line["validation"] = history.get(f"val_student_{metric}", history.get(f"val_{metric}", []))
    if keeps_history:
        line["history"] = history
    predictions = {}
    for part in ("test",):
        path = folder.predictions / f"{part}.csv"
        if f"{folder.predictions.name}/{path.name}" in record.get("files", {}):
            folder.check_file(path, dict(record))
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            predictions[part] = {
                key: encoded([int(one[column]) for one in rows])
                for key, column in {"labels": "label", "student": "student"}.items()
            }
    if predictions:
        line["predictions"] = predictions
    return line


def _without_places(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec without what is not given, and without paths of this machine."""
    values = json.loads(json.dumps(spec))
    values["data"] = {k: v for k, v in values["data"].items() if k not in _PLACES}
    values["models"] = {k: _name_alone(v) for k, v in values["models"].items()}
    return {
        key: {k: v for k, v in value.items() if v is not None}
        if isinstance(value, dict) and key != "optimizers"
        else value
        for key, value in values.items()
    }


def _curves(folder: RunFolder, record: Mapping[str, Any]) -> dict[str, list[float | None]]:
    if not folder.history.is_file():
        return {}
    folder.check_file(folder.history, dict(record))
    with folder.history.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name not in ("epoch", "seconds")] if rows else []
    return {
        name: [float(f"{float(row[name]):.{_DIGITS}g}") if row[name] else None for row in rows]
        for name in columns
    }
