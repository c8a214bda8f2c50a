"""Runs of a list without training: the code of a real process, whose results a test says."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keras_prokt.distillers.faults import TrainingFault
from keras_prokt.runs import executor, finished_run, training_run, worker
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.run_list import Entry, RunList
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import Stop

_NOWHERE = {"machine": "", "processor": "", "cores": 1, "accelerators": []}


def record_of(spec: RunSpec, threads: int = 1, **changes: Any) -> dict[str, Any]:
    """The record of a run that has just begun."""
    return {
        "status": "running",
        "started": "2026-01-01T00:00:00+00:00",
        "spec": spec.to_json(),
        "data": {},
        "class_names": ["0", "1"],
        "export": False,
        "threads": threads,
        "package": {"version": "0", "git": None},
        "versions": {},
        "hardware": _NOWHERE,
        **changes,
    }


def completed(record: dict[str, Any], accuracy: float, **parts: Any) -> dict[str, Any]:
    """The record of a run whose student is so good."""
    measured = {"accuracy": accuracy, "loss": 1.0, "seconds": 0.1}
    student = {"parameters": 1, "bytes": 4, "validation": measured, **parts}
    return {
        **record,
        "status": "completed",
        "training_seconds": 1.0,
        "examples": {"train": 1},
        "results": {
            "best_epoch": 1,
            "last_epoch": 1,
            "metric": "accuracy",
            "models": {"student": student},
        },
    }


def write_run(path: Path, spec: RunSpec, accuracy: float | None = None, **changes: Any) -> None:
    """A run folder: completed with an accuracy, or not."""
    record = record_of(spec, **changes)
    if accuracy is not None:
        measured = {"accuracy": accuracy, "loss": 1.0, "seconds": 0.1}
        record = completed(record, accuracy, test=measured)
    with RunFolder(path).created(record):
        pass


class Pretended:
    """Puts runs that are not trained in the place of real ones.

    Attributes:
        outcome: Spec -> accuracy of the student on validation; may raise what a run raises.
        fails_early: Whether `outcome` raises before anything of the run is written.
        seconds: How long each run is said to have taken; `None`: as it has.
        begun: Name of each run that was begun, in order.
        resumed: Name of each run that went on.
        tested: Name of each run that was measured on test data.
        threads: Threads of each process that was started.
        ends: Called with a worker and a name before the run begins; `True` if the process has
            ended in it, so that there is no answer.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.outcome: Callable[[RunSpec], float] = lambda spec: 0.5
        self.fails_early = False
        self.seconds: float | None = None
        self.begun: list[str] = []
        self.resumed: list[str] = []
        self.tested: list[str] = []
        self.threads: list[int] = []
        self.ends: Callable[[Any, str], bool] = lambda worker, name: False
        monkeypatch.setattr(executor, "_Worker", self._worker)
        monkeypatch.setattr(executor, "_POLL", 0.001)
        monkeypatch.setattr(executor, "_BUSY_SECONDS", 0.01)
        monkeypatch.setattr(training_run, "run", self._run)
        monkeypatch.setattr(training_run, "resume", self._resume)
        monkeypatch.setattr(finished_run, "add_test", self._add_test)
        monkeypatch.setattr(worker, "start_afresh", lambda: None)
        monkeypatch.setattr(worker, "threads_in_use", lambda: self._threads)

    def _worker(self, runs: RunList, entry: Entry, threads: int, shares: bool, events: Any) -> Any:
        self.threads.append(threads)
        return _Worker(self, runs, entry, threads, events)

    def carry_out(self, runs: RunList, threads: int, task: dict[str, Any]) -> dict[str, Any]:
        """What a process answers to a task."""
        self._threads = threads
        return worker._carry_out(runs, task, Stop())

    def _run(self, spec: RunSpec, out: Path, **settings: Any) -> dict[str, Any]:
        self.begun.append(Path(out).name)
        folder = RunFolder(out)
        if self.fails_early:
            self.outcome(spec)
        record = record_of(spec, self._threads, measures_test=settings["measures_test"])
        with folder.created(record) as record:
            return self._finish(folder, spec, record)

    def _resume(self, out: Path, **settings: Any) -> dict[str, Any]:
        self.resumed.append(Path(out).name)
        folder = RunFolder(out)
        return self._finish(folder, folder.spec(), folder.read())

    def _finish(self, folder: RunFolder, spec: RunSpec, record: dict[str, Any]) -> dict[str, Any]:
        try:
            accuracy = self.outcome(spec)
        except TrainingFault as fault:
            folder.write({**record, "status": "failed", "failure": str(fault)})
            raise
        parts = {}
        if record.get("measures_test", True):
            parts["test"] = {"accuracy": accuracy, "loss": 1.0, "seconds": 0.1}
        folder.write(completed(record, accuracy, **parts))
        return folder.read()

    def _add_test(self, folder: RunFolder) -> None:
        self.tested.append(folder.path.name)
        record = folder.read()
        student = record["results"]["models"]["student"]
        student["test"] = {"accuracy": student["validation"]["accuracy"] / 2, "seconds": 0.1}
        folder.write(record)


class _Worker:
    """In the place of a process; it has carried out a run when it has been told to."""

    def __init__(self, pretended: Pretended, runs: RunList, entry: Entry, threads: int, events):
        self.settings = executor.worker_settings(entry, threads)
        self.name: str | None = None
        self.is_ready = True
        self.done = 0
        self.last_words: list[str] = ["these words"]
        self._pretended, self._runs, self._events = pretended, runs, events
        self._has_ended = False

    def start(self, name: str, **task: Any) -> None:
        assert not self._has_ended
        self.name = name
        if self._pretended.ends(self, name):
            return
        threads = self.settings[1]
        answer = self._pretended.carry_out(self._runs, threads, {"name": name, **task})
        if self._pretended.seconds is not None:
            answer["seconds"] = self._pretended.seconds
        self.answer({"event": "done", "name": name, **answer})

    def answer(self, message: dict[str, Any]) -> None:
        self._events.put((self, message))

    def end(self, code: int = 0) -> None:
        if not self._has_ended:
            self._has_ended = True
            self.answer({"event": "ended", "code": code})

    stop = kill = end


@contextlib.contextmanager
def unchanged(folder: Path):
    """No file in a folder is written, made or deleted while the block runs."""

    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}

    before = times()
    yield
    assert times() == before
