"""Carries out what is missing of a protocol, and keeps its results in one small file.

    OUT/PROTOCOL/ (a list of runs)   RESULTS/PROTOCOL.jsonl   RESULTS/PROTOCOL.png

This module imports no Keras.
"""

import csv
import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from keras_prokt.methods import method_settings, parse_method
from keras_prokt.results.archive import add_to_archive, encoded, measured_run, read_archive
from keras_prokt.results.comparison import compare
from keras_prokt.results.figures import FIGURES
from keras_prokt.results.search import choose
from keras_prokt.runs.executor import Execution, execute
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.lock import Lock, waiting_for
from keras_prokt.runs.method_comparison import kept_predictions
from keras_prokt.runs.protocol import Protocol, Row
from keras_prokt.runs.run_list import Entry, RunList, folder_name
from keras_prokt.runs.spec import RunSpec, without_places
from keras_prokt.runs.stopping import Stop
from keras_prokt.settings import SettingError, argument

COMPUTING = ("backend", "precision", "steps_per_execution", "deterministic")
"""Settings that say how a run is computed."""

_SAME_RESULT = ("backend", "steps_per_execution", "deterministic")
"""Those of them with which a run is the same run up to rounding."""

_NOT_KEPT = ("files", "keeps_checkpoint", "export", "teacher_init", "sha256", "status")
_NO_METRICS = ("loss", "seconds")
_FAULT = re.compile(r"(Step|Epoch) [0-9]+: ")
"""How `keras_prokt.distillers.faults` begin."""
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
        self.seeds = tuple(protocol.seeds if seeds is None else seeds)
        self._check_settings()
        self.rows: dict[str, Row] = {}
        """Name of each run -> its row."""
        self.entries: list[Entry] = []
        for seed in self.seeds:
            for row in protocol.rows:
                spec = self._spec(row, seed, self._settings)
                entry = Entry(folder_name(row.name, seed), row.name, spec)
                self.rows[entry.name] = row
                self.entries.append(entry)

    def _check_settings(self) -> None:
        has_pairs = any("pair" in row.settings for row in self.protocol.rows)
        if "teacher" in self._settings and has_pairs:
            raise SettingError(
                f"Expected no {argument('teacher')} with protocol {self.protocol.name!r}, received "
                f"{self._settings['teacher']!r}; its rows name pairs of models."
            )

    def _spec(self, row: Row, seed: int, settings: Mapping[str, Any]) -> RunSpec:
        own_settings = parse_method(row.method).settings
        shared = {
            name: value
            for name, value in self.protocol.settings.items()
            if name in own_settings or name not in method_settings()
        }
        own = {**shared, **row.settings}
        if "epochs" in settings and {"epochs", "teacher_epochs"} <= set(own):
            share = settings["epochs"] / own["epochs"]
            own["teacher_epochs"] = max(1, round(share * own["teacher_epochs"]))
        own |= {**settings, "seed": seed}
        if self.protocol.split_follows_seed:
            own["split_seed"] = seed
        return RunSpec.resolve(row.app or self.protocol.app, row.method, **own)

    @functools.cached_property
    def _official(self) -> dict[str, str]:
        """Name -> identity of each run as the protocol has it, without the user's settings."""
        places = {k: v for k, v in self._settings.items() if k in ("teacher", "prepared")}
        return {
            entry.name: identity(self._spec(self.rows[entry.name], entry.spec.seed, places))
            for entry in self.entries
        }

    def archived(self) -> dict[str, dict[str, Any]]:
        """The results that are there of exactly these runs, by name.

        Raises:
            ValueError: If a file of results was changed.
        """
        return {name: run for name, run in self._lines().items() if "failure" not in run}

    def failed(self) -> dict[str, str]:
        """Name -> reason, of the runs that failed."""
        lines = self._lines()
        return {name: run["failure"] for name, run in lines.items() if "failure" in run}

    def _lines(self) -> dict[str, dict[str, Any]]:
        wanted = {identity(entry.spec): entry.name for entry in self.entries}
        found: dict[str, dict[str, Any]] = {}
        for protocol in (*self.protocol.includes, self.protocol.name):
            path = self.archive.with_name(f"{protocol}.jsonl")
            for run in read_archive(path).values():
                name = wanted.get(_identity_in(path, run))
                if name is not None and not ("failure" in run and name in found):
                    found[name] = run
        return found

    def unknown(self) -> list[str]:
        """Names of results that are of no row of the protocol, as it was before."""
        own = Reproduction(self.protocol, self.runs.path.parent, self.archive.parent)
        wanted = set(own._official.values())
        lines = read_archive(self.archive).items()
        return [name for name, run in lines if _identity_in(self.archive, run) not in wanted]

    def missing(self) -> list[Entry]:
        """The runs of which there are no results, and that have not failed."""
        there = self._lines()
        return [entry for entry in self.entries if entry.name not in there]

    def check(self) -> None:
        """Refuses what can be refused without Keras, such as a checkpoint that is not there.

        Raises:
            ValueError: Naming the protocol.
        """
        self.runs.check_free()
        self._check_checkpoint()
        spec_by_app = {entry.spec.app: entry.spec for entry in reversed(self.missing())}
        for spec in spec_by_app.values():
            try:
                spec.check_without_keras()
            except ValueError as error:
                error.add_note(f"({self.protocol.name} needs it.)")
                raise

    def _check_checkpoint(self) -> None:
        """Without it every run would fail after Keras has been loaded."""
        if not self.protocol.checkpoint or "prepared" in self._settings:
            return
        name = self.protocol.settings["teacher"]
        path = Path(self._settings.get("teacher", name)).resolve()
        if not path.is_dir() or path.name != name:
            raise SettingError(
                f"Expected a directory {name!r} with {self.protocol.checkpoint} for "
                f"{argument('teacher')} of protocol {self.protocol.name!r}, received "
                f"{str(path)!r}; bring it, and name it."
            )

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
        """Carries out the missing runs, in order, and adds each to the results when it is finished.

        Args:
            **: As in `keras_prokt.runs.executor.execute`.

        Raises:
            Stopped: If it was time to stop.
        """
        self.keep_finished()
        failed = self.failed()
        wanted = self.missing()
        if retries_failed:
            wanted += [entry for entry in self.entries if entry.name in failed]
        done = Execution()
        if wanted:
            self.check()
            self._put_on_list(wanted)
            done = execute(
                self.runs,
                names=[entry.name for entry in wanted],
                jobs=jobs,
                threads=threads,
                stop=stop,
                retries_failed=retries_failed,
                finished=self.keep_finished,
                show=show,
                stream=stream,
            )
        names = {entry.name for entry in wanted}
        done.failed |= {name: reason for name, reason in failed.items() if name not in names}
        known = {*names, *failed}
        done.completed += [entry.name for entry in self.entries if entry.name not in known]
        return done

    def _put_on_list(self, entries: Sequence[Entry]) -> None:
        """Adds runs to the list; of those that are there the places of files are brought up to
        date, and of those that are not begun what computes them."""
        if not self.runs.exists:
            self.runs.create({}, entries, measures_test=self.protocol.measures_test)
        known = {entry.name: entry for entry in self.runs.entries()}
        moved = []
        for entry in entries:
            there = known.get(entry.name)
            if there is None or there.spec == entry.spec:
                continue
            if identity(there.spec) != identity(entry.spec):
                raise SettingError(
                    f"Expected a new folder or that of the same runs, received "
                    f"{str(self.runs.path)!r}, whose run {entry.name!r} has other settings; name "
                    f"another one with {argument('out')}."
                )
            moved.append(entry)
        self.runs.move(moved)
        self.runs.add([entry for entry in entries if entry.name not in known])

    def keep_finished(self) -> None:
        """Adds the finished runs of the list to the results, failed ones with the reason."""
        if not self.runs.exists:
            return
        there = self.archived()
        finished = []
        for entry in self.runs.entries():
            if entry.name not in self.rows or entry.name in there:
                continue
            folder = self.runs.folder(entry.name)
            try:
                status = self.runs.status(entry)
                # What failed before its training is no result.
                if status == "completed" or _has_failed_in_training(folder, status):
                    row = self.rows[entry.name]
                    keeps_history = self.protocol.keeps_history
                    finished.append(result_of(folder, entry.name, row, keeps_history=keeps_history))
            except ValueError:
                continue  # the executor says what is wrong with it
        if not finished:
            return
        self.archive.parent.mkdir(parents=True, exist_ok=True)
        with waiting_for(archive_lock(self.archive)):
            add_to_archive(self.archive, finished, self._is_official)

    def _is_official(self, run: Mapping[str, Any]) -> bool:
        return self._official.get(run["name"]) == _identity_in(self.archive, run)

    def states(self) -> list[dict[str, Any]]:
        """Every run: `name`, `title`, `group`, `seed`, `state`, `minutes`, `seconds`, `flops`,
        `published` and `ours`, both in percent by metric."""
        there, failed, found = self.archived(), self.failed(), []
        listed = {}
        if self.runs.exists:
            listed = {entry.name: entry for entry in self.runs.entries()}
        for entry in self.entries:
            row, run = self.rows[entry.name], there.get(entry.name)
            known = listed.get(entry.name)
            state = "waiting"
            if run is not None:
                state = "completed"
            elif entry.name in failed:
                state = "failed"
            elif known is not None and identity(known.spec) == identity(entry.spec):
                state = _state(self.runs, known)
            found.append(
                {
                    "name": entry.name,
                    "title": row.title,
                    "group": row.group,
                    "seed": entry.spec.seed,
                    "state": state,
                    "minutes": row.minutes,
                    "seconds": None if run is None else run["training_seconds"],
                    "flops": None if run is None else _flops(run),
                    "published": dict(row.published),
                    "ours": {} if run is None else _in_percent(run),
                }
            )
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
        draw = FIGURES[self.protocol.figure]
        draw(runs, png, self.protocol.summary, self.protocol.figure_parts)
        return png

    def compared(self) -> dict[str, dict[str, Any]]:
        """Group -> the comparison of its rows, as `keras_prokt.results.comparison.compare`.

        On test data where all runs have measured it, otherwise on validation. A difference has no
        verdict before both rows have all seeds.

        Raises:
            ValueError: If runs of one seed were measured on different data.
        """
        there, found = self.archived(), {}
        for group in self.protocol.groups:
            runs = [
                {**there[entry.name], "title": row.title}
                for row in self.protocol.rows
                if row.group == group
                for entry in sorted(self.entries, key=lambda entry: entry.spec.seed)
                if self.rows[entry.name] is row and entry.name in there
            ]
            if not runs:
                continue
            students = [run["results"]["models"]["student"] for run in runs]
            part = "test" if all("test" in student for student in students) else "validation"
            self._check_same_data(runs, part)
            metric = runs[0]["results"]["metric"]
            titles = {run["title"] for run in runs}
            comparison = compare(
                [measured_run(run, part, metric) for run in runs],
                metric=metric,
                part=part,
                mode=runs[0]["results"].get("mode", "max"),
                baselines=[one for one in self.protocol.baselines if one in titles],
                settings={"protocol": self.protocol.name},
            )
            for one in comparison["comparisons"]:
                if one["n"] < len(self.protocol.seeds):
                    one["verdict"] = None
            found[group] = comparison
        return found

    def _check_same_data(self, runs: Iterable[Mapping[str, Any]], part: str) -> None:
        run_by_seed: dict[int, Mapping[str, Any]] = {}
        for run in runs:
            first = run_by_seed.setdefault(run["spec"]["training"]["seed"], run)
            name = f"{part} data"
            if run["data"].get(name) != first["data"].get(name):
                raise ValueError(
                    f"Expected runs of one seed on the same {name} in {str(self.archive)!r}, "
                    f"received {first['name']!r} and {run['name']!r} on different ones; repeat one "
                    "of them."
                )

    def chosen(self) -> dict[str, str | None]:
        """Group -> the title of its best row on validation, as `best_of`."""
        found = {}
        for group in self.protocol.groups:
            best = self.best_of([row for row in self.protocol.rows if row.group == group])
            found[group] = None if best is None else best.title
        return found

    def best_of(self, rows: Sequence[Row]) -> Row | None:
        """The best of some rows on validation, `None` until all their runs are there.

        A row of which a run has failed is not chosen. Equal means go to the first.
        """
        archived, failed, configurations = self.archived(), self.failed(), []
        mode = "max"
        for row in rows:
            names = [entry.name for entry in self.entries if self.rows[entry.name] is row]
            if any(name in failed for name in names):
                continue
            runs = [archived[name]["results"] for name in names if name in archived]
            values = [
                {"student": one["models"]["student"]["validation"][one["metric"]]} for one in runs
            ]
            mode = runs[0].get("mode", mode) if runs else mode
            is_whole = len(values) == len(names)
            configurations.append({"title": row.name, "is_whole": is_whole, "runs": values})
        if not all(one["is_whole"] for one in configurations):
            return None
        best = choose(configurations, mode)
        return next((row for row in rows if row.name == best), None)


def archive_lock(archive: Path) -> Lock:
    """The lock on a file of results, held while it is changed."""
    return Lock(archive.with_name(f".{archive.name}.lock"), f"results in {str(archive)!r}")


def identity(spec: RunSpec) -> str:
    """What a run is, whatever computes it and wherever its files lie, as a text."""
    values = without_places(spec.to_json())
    computing = values["computing"]
    values["computing"] = {k: v for k, v in computing.items() if k not in _SAME_RESULT}
    return json.dumps(values, sort_keys=True)


def _identity_in(path: Path, run: Mapping[str, Any]) -> str:
    try:
        return _identity_of(json.dumps(run["spec"], sort_keys=True))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"Expected runs of this version in {str(path)!r}, received {run['name']!r}, which it "
            f"cannot read ({error}); read it with the version that wrote it."
        ) from error


@functools.cache
def _identity_of(spec: str) -> str:
    """As `identity`, of a spec in a file; the same lines are read for each row of a table."""
    return identity(RunSpec.from_json(json.loads(spec)))


def _has_failed_in_training(folder: RunFolder, status: str) -> bool:
    return status == "failed" and _FAULT.match(folder.read().get("failure", "")) is not None


def _state(runs: RunList, entry: Entry) -> str:
    try:
        status = runs.status(entry)
        if status != "running":
            return status
        position = runs.folder(entry.name).position()
    except ValueError:
        return "damaged"
    if position is None:
        return "begun"
    return f"{position[0] or entry.spec.method}: epoch {position[1]}"


def _in_percent(run: Mapping[str, Any]) -> dict[str, float]:
    student = run["results"]["models"]["student"]
    part = "test" if "test" in student else "validation"
    names = [run["results"]["metric"], *(n for n in student[part] if n not in _NO_METRICS)]
    found = {name: 100 * student[part][name] for name in dict.fromkeys(names)}
    for other, measured in student.items():
        if isinstance(measured, Mapping) and other != part:
            part_metrics = {k: v for k, v in measured.items() if k not in _NO_METRICS}
            found |= {f"{name} on {other}": 100 * v for name, v in part_metrics.items()}
    return found


def _flops(run: Mapping[str, Any]) -> float | None:
    """Operations of all training of a run, with what was trained before it."""
    cost = run.get("cost") or {}
    forwards, flops = cost.get("forwards", {}), cost.get("flops", {})
    if not forwards or any(count and flops.get(name) is None for name, count in forwards.items()):
        return None
    return float(sum(count * flops[name] for name, count in forwards.items() if count))


def result_of(folder: RunFolder, name: str, row: Row, *, keeps_history: bool) -> dict[str, Any]:
    """The line of an archive for a finished or failed run.

    Args:
        folder: The run's.
        name: Of the run in its list.
        row: What it is.
        keeps_history: Whether all curves are kept.

    Raises:
        ValueError: If a file of it was changed.
    """
    record = folder.read()
    kept = {key: value for key, value in record.items() if key not in _NOT_KEPT}
    spec = _without_nothing(without_places(record["spec"]))
    line = {"name": name, "title": row.title, "group": row.group, **kept, "spec": spec}
    if record["status"] == "failed":
        line["failure"] = " ".join(record.get("failure", "").split())
        return line
    # What it has of each class would be larger than all else.
    line["results"] = {k: v for k, v in record["results"].items() if k != "reports"}
    history = _curves(folder, record)
    metric = record["results"]["metric"]
    line["validation"] = history.get(f"val_student_{metric}", history.get(f"val_{metric}", []))
    if keeps_history:
        line["history"] = history
    labels, students = kept_predictions(folder, record, "test")
    if labels is not None and students is not None:
        kept_answers = {"labels": encoded(labels), "student": encoded(students)}
        if None not in kept_answers.values():
            line["predictions"] = {"test": kept_answers}
    return line


def _without_nothing(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec without what is not given."""
    return {
        key: {k: v for k, v in value.items() if v is not None}
        if isinstance(value, dict) and key != "optimizers"
        else value
        for key, value in spec.items()
    }


def _curves(folder: RunFolder, record: Mapping[str, Any]) -> dict[str, list[float | None]]:
    if not folder.history.is_file():
        return {}
    folder.check_file(folder.history, dict(record))
    rows = list(_rows(folder.history))
    columns = [name for name in rows[0] if name not in ("epoch", "seconds")] if rows else []
    return {
        name: [float(f"{float(row[name]):.{_DIGITS}g}") if row[name] else None for row in rows]
        for name in columns
    }


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def has_accelerator() -> bool:
    """Whether the machine shows a card of NVIDIA or AMD; asked without loading a backend."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/kfd").exists()
