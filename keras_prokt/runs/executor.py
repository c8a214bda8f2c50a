"""Carries out the runs of a list in processes that share the cores.

Finished runs are not repeated, unfinished ones go on, a failed one is recorded and the others go
on. Several executors may work on one list. This module imports no Keras.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence, Set
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, TextIO

from keras_prokt.arguments import check_flag, check_function, check_type, shown
from keras_prokt.named_code import check_all_named, names_of_code
from keras_prokt.runs.known_settings import all_settings
from keras_prokt.runs.lock import InUse
from keras_prokt.runs.run_list import Entry, RunList
from keras_prokt.runs.stopping import Interrupted, Stop, Stopped, format_seconds
from keras_prokt.runs.threads import available_cores
from keras_prokt.settings import SettingError, argument

MAX_DEATHS = 2
"""How often the process of a run may be ended from outside before the run counts as failed."""

RUNS_OF_A_PROCESS = 25
"""After so many runs a process makes place for a new one: backends do not give back all memory."""

_LAST_WORDS_SECONDS = 1.0
_POLL = 0.2
_BUSY_SECONDS = 2.0
_LINE_SECONDS = 10.0
_MARGIN = 0.05
_SHORTEST_MARGIN = 3.0
_LONGEST_MARGIN = 15.0
_LARGEST_SHARE = 0.25
"""How long before the end of the time states are saved: a share of it, of some seconds."""


@dataclass
class Execution:
    """What became of a list.

    Attributes:
        completed: Names of the completed runs.
        failed: Name -> reason, of runs that failed, now or before.
        refused: Name -> reason, of runs that cannot go on as things are.

    Reasons are as `execute`'s `show` has them.
    """

    completed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def execute(
    runs: RunList,
    *,
    names: Iterable[str] | None = None,
    jobs: int = 1,
    threads: int | None = None,
    stop: Stop | None = None,
    retries_failed: bool = False,
    propose: Callable[[], list[Entry]] | None = None,
    drops: Callable[[str, Collection[str]], bool] | None = None,
    adds_test: bool = False,
    finished: Callable[[], None] | None = None,
    stream: TextIO | None = None,
    show: Callable[[str], str] | None = None,
) -> Execution:
    """Carries out what is missing of a list.

    Args:
        runs: The list.
        names: Which of its runs; `None` for all.
        jobs: Processes at once.
        threads: Threads of each run; `None`: the cores, shared by the processes. A run that was
            begun keeps the number with which it was begun.
        stop: When to stop; then all states are saved.
        retries_failed: Whether runs that failed before are begun anew.
        propose: Adds runs to the list when no more wait, and returns all runs of the list.
        drops: Whether a run that waits is no longer wanted; it gets the names of the runs that
            wait or are carried out here too, whose records are about to change.
        adds_test: Whether the students of completed runs are measured on test data instead.
        finished: Called after every run that has been completed or has failed.
        stream: Where progress is shown; standard error by default.
        show: What people read of a reason, in which arguments are marked as in
            `SettingError.marked`; `None`: the names of the arguments. Records have those always.

    Returns:
        What became of them.

    Raises:
        SettingError: As `check_jobs`.
        UnnamedCode: If a run names code that the user has not named.
        ValueError: If processes cannot carry out runs, such as with a broken backend; no run is
            to blame for that.
        Stopped: If it was time to stop, after all states have been saved.
        OSError: If files of no run can be written.
    """
    check_jobs(jobs, threads)
    for entry in runs.entries():
        check_all_named(entry.spec.to_json())
    executor = _Executor(
        runs,
        names=names,
        jobs=jobs,
        threads=threads,
        stop=Stop() if stop is None else stop,
        retries_failed=retries_failed,
        propose=propose,
        drops=drops,
        adds_test=adds_test,
        finished=finished or (lambda: None),
        stream=stream,
        show=show or unmarked,
    )
    return executor.run()


def unmarked(text: str) -> str:
    """A reason with the plain names of its arguments."""
    return str(SettingError(text))


def check_jobs(jobs: int, threads: int | None) -> None:
    """Refuses numbers of processes and threads that mean nothing.

    Raises:
        SettingError: If one is below 1.
    """
    for name, number in (("jobs", jobs), ("threads", 1 if threads is None else threads)):
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise SettingError(
                f"Expected {argument(name)} of at least 1, received {shown(number)}."
            )


def checked_seeds(seeds: Any) -> list[int]:
    """Seeds of many runs.

    Raises:
        SettingError: If they are no list of whole numbers; each is checked by the runs.
    """
    is_list = isinstance(seeds, Sequence | Set) and not isinstance(seeds, str | bytes)
    if not is_list or not all(isinstance(seed, Integral) for seed in seeds):
        raise SettingError(
            f"Expected {argument('seeds')} as a list of whole numbers, received {shown(seeds)}; "
            "such as [0, 1, 2]."
        )
    return [all_settings()["seed"].checked("seeds", seed) for seed in seeds]


def check_execution(stop: Any, stream: Any, show: Any, retries_failed: Any) -> None:
    """Refuses arguments of `compare` and `search` that `execute` could not use.

    Raises:
        ValueError: With the argument's name.
    """
    if stop is not None:
        check_type("stop", stop, Stop, "a keras_prokt.runs.stopping.Stop")
    if stream is not None and not callable(getattr(stream, "write", None)):
        raise ValueError(
            f"Expected stream to be a file of text, received {shown(stream)}; such as sys.stderr."
        )
    if show is not None:
        check_function("show", show)
    check_flag("retries_failed", retries_failed)


class _Worker:
    """One process that carries out runs."""

    def __init__(
        self, runs: RunList, entry: Entry, threads: int, shares: bool, events: "queue.SimpleQueue"
    ):
        self.settings = worker_settings(entry, threads)
        self.name: str | None = None
        self.is_ready = False
        self.done = 0
        # What the user's own modules are found by, which may have been changed since the start.
        path = os.pathsep.join(place or os.getcwd() for place in sys.path)
        environment = {**os.environ, "PYTHONPATH": path}
        if shares:
            # On an accelerator none takes all memory.
            environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
            environment.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        command = [sys.executable, "-P", "-m", "keras_prokt.runs.worker"]
        command += [str(runs.path), runs.kind, *map(str, self.settings)]
        command += [json.dumps(names_of_code())]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,  # Ctrl-C is for the executor, which tells its processes
        )
        self.last_words: deque[str] = deque(maxlen=1)
        self._overhearing = threading.Thread(target=self._overhear, daemon=True)
        self._overhearing.start()
        threading.Thread(target=self._read, args=(events,), daemon=True).start()

    def _overhear(self) -> None:
        for line in self._process.stderr:
            if line.strip():
                self.last_words.append(line.strip())
        self._process.stderr.close()

    def _read(self, events: "queue.SimpleQueue") -> None:
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                events.put((self, json.loads(line)))
        code = self._process.wait()
        self._overhearing.join(_LAST_WORDS_SECONDS)  # a process of its own may still hold the pipe
        events.put((self, {"event": "ended", "code": code}))
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what was not said yet
                stream.close()

    def start(self, name: str, *, retries: bool, adds_test: bool) -> None:
        self.name = name
        self._tell({"name": name, "retries": retries, "adds_test": adds_test})

    def end(self) -> None:
        self._tell({"end": True})
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError, ValueError):  # it has ended, which is seen elsewhere
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._process.terminate()
        self.end()  # a signal that comes while a library is loaded may be lost there

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()


def worker_settings(entry: Entry, threads: int) -> tuple[str, int, bool]:
    """What a process is started with, which all its runs share."""
    return entry.spec.backend, threads, entry.spec.deterministic


def _end_of(code: int, last_words: str) -> str:
    return f"by signal {-code}" if code < 0 else f"with code {code}: {last_words}"


class _Executor:
    def __init__(
        self,
        runs: RunList,
        *,
        names: Iterable[str] | None,
        jobs: int,
        threads: int | None,
        stop: Stop,
        retries_failed: bool,
        propose: Callable[[], list[Entry]] | None,
        drops: Callable[[str, Collection[str]], bool] | None,
        adds_test: bool,
        finished: Callable[[], None],
        stream: TextIO | None,
        show: Callable[[str], str],
    ):
        self._runs, self._jobs, self._stop = runs, jobs, stop
        self._threads = threads or max(1, available_cores() // jobs)
        self._retries_failed, self._propose, self._drops = retries_failed, propose, drops
        self._adds_test, self._stream, self._show = adds_test, stream or sys.stderr, show
        self._finished = finished
        self._entries = {entry.name: entry for entry in runs.entries()}
        wanted = list(self._entries if names is None else names)
        self._result = Execution()
        self._waiting: deque[str] = deque()
        for name in wanted:
            self._sort_in(name)
        self._busy_until: dict[str, float] = {}
        self._own_threads: dict[str, int] = {}
        self._deaths: dict[str, int] = {}
        self._lost_starts = 0
        self._proposed_at = 0.0
        self._workers: list[_Worker] = []
        self._events: queue.SimpleQueue = queue.SimpleQueue()
        self._seconds: dict[str, list[float]] = {}
        self._shown: dict[str, float] = {}
        self._numbers = {name: number for number, name in enumerate(wanted, start=1)}

    def _sort_in(self, name: str) -> None:
        """Puts a run among those that are done, or wait."""
        from keras_prokt.runs.worker import reason_of

        try:
            status = self._runs.status(self._entries[name])
            if status == "completed":
                folder = self._runs.folder(name)
                folder.tidy(folder.read())
        except ValueError as error:
            marked = error.marked if isinstance(error, SettingError) else str(error)
            self._result.refused[name] = self._show(marked)
            return
        if status == "completed" and not self._adds_test:
            self._result.completed.append(name)
        elif status == "failed" and not self._retries_failed:
            self._result.failed[name] = reason_of(self._runs.folder(name))
        else:
            self._waiting.append(name)

    def run(self) -> Execution:
        if self._waiting and self._result.completed:
            done, count = len(self._result.completed), len(self._numbers)
            self._say(f"{done} of {count} runs are there")
        with self._stop.training():
            try:
                while self._is_work_left():
                    if self._is_due():
                        raise Stopped(self._stop.signal)
                    self._fill()
                    self._take_events(_POLL)
                self._end_workers()
            except (Stopped, OSError, ValueError):
                self._stop_workers()
                raise
            except BaseException:
                for worker in self._workers:
                    worker.kill()
                raise
        self._runs.tidy()
        return self._result

    def _is_due(self) -> bool:
        left, given = self._stop.seconds_left, self._stop.seconds
        margin = max(_SHORTEST_MARGIN, min(_LONGEST_MARGIN, _MARGIN * given))
        return self._stop.is_due() or (
            left is not None and left <= min(margin, _LARGEST_SHARE * given)
        )

    def _active(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.name is not None]

    def _is_work_left(self) -> bool:
        return bool(self._waiting or self._active() or self._add_proposed())

    def _add_proposed(self) -> bool:
        """Adds what is proposed; returns whether that was anything new."""
        count, now = len(self._numbers), time.monotonic()
        if self._active() and now < self._proposed_at + _BUSY_SECONDS:
            return False  # to ask is to read all runs
        self._proposed_at = now
        for entry in [] if self._propose is None else self._propose():
            if entry.name not in self._numbers:
                self._entries[entry.name] = entry
                self._numbers[entry.name] = len(self._numbers) + 1
                self._sort_in(entry.name)
        return len(self._numbers) > count

    def _fill(self) -> None:
        """Gives runs to processes that have none."""
        while len(self._active()) < self._jobs:
            name = self._next()
            if name is None and not self._waiting and self._add_proposed():
                name = self._next()
            if name is None:
                return
            self._start(name)

    def _next(self) -> str | None:
        now = time.monotonic()
        for name in list(self._waiting):
            if self._busy_until.get(name, 0) > now:
                continue
            self._waiting.remove(name)
            pending = {*self._waiting, *(worker.name for worker in self._active())}
            if self._drops is None or not self._drops(name, pending):
                return name
        return None

    def _start(self, name: str) -> None:
        entry = self._entries[name]
        threads = self._own_threads.get(name, self._threads)
        settings = worker_settings(entry, threads)
        idle = [worker for worker in self._workers if worker.name is None]
        fitting = [worker for worker in idle if worker.settings == settings]
        if fitting:
            worker = fitting[0]
        else:
            for other in idle:
                other.end()
                self._workers.remove(other)
            worker = _Worker(self._runs, entry, threads, self._jobs > 1, self._events)
            self._workers.append(worker)
        if name not in self._busy_until:
            self._say(f"{self._heading(name)}  {self._time_left()}")
        retries = self._retries_failed and name not in self._deaths
        worker.start(name, retries=retries, adds_test=self._adds_test)

    def _take_events(self, seconds: float) -> None:
        with contextlib.suppress(queue.Empty):
            worker, message = self._events.get(timeout=seconds)
            while True:
                self._take(worker, message)
                worker, message = self._events.get_nowait()

    def _take(self, worker: _Worker, message: dict[str, Any]) -> None:
        event, name = message["event"], worker.name
        if event == "line":
            self._show_line(message["name"], message["text"])
        elif event == "ready":
            worker.is_ready, self._lost_starts = True, 0
        elif event == "done":
            worker.name = None
            worker.done += 1
            if worker in self._workers and message["status"] == "stopped":
                self._workers.remove(worker)  # it ends by itself
            elif worker in self._workers and worker.done >= RUNS_OF_A_PROCESS:
                worker.end()
                self._workers.remove(worker)
            self._finish(message["name"], message)
        elif event == "end":  # by a signal that was not ours, before it began its run
            worker.name = None
            if worker in self._workers:
                self._workers.remove(worker)
            if name is not None:
                self._waiting.appendleft(name)
        elif event == "ended":
            if worker in self._workers:
                self._workers.remove(worker)
            worker.name = None
            if name is not None and worker.is_ready:
                self._bury(name, message["code"], " ".join(worker.last_words))
            elif name is not None:
                self._replace(worker, name, message["code"])

    def _finish(self, name: str, message: dict[str, Any]) -> None:
        status, title = message["status"], self._heading(name)
        reason = self._show(message.get("reason", ""))
        if status == "completed":
            self._result.completed.append(name)
            if not message.get("was_there"):
                kind = self._kind(name)
                self._seconds.setdefault(kind, []).append(message["seconds"])
                took = format_seconds(message["seconds"])
                self._say(f"{title}  completed in {took}  {self._time_left()}")
            self._finished()
        elif status == "failed":
            self._result.failed[name] = reason
            self._say(f"{title}  failed: {reason}")
            self._finished()
        elif status == "refused":
            self._result.refused[name] = reason
            self._say(f"{title}  cannot go on: {reason}")
        elif status == "error":
            raise OSError(message["number"], reason, message["file"])
        elif status == "threads":
            self._own_threads[name] = message["threads"]
            self._waiting.appendleft(name)
        elif status == "busy":
            self._leave_to_another(name)
        else:  # stopped, by a signal that was not ours
            self._waiting.appendleft(name)

    def _leave_to_another(self, name: str) -> None:
        """Waits for a run on which another process works."""
        if name not in self._busy_until:
            self._say(f"{self._heading(name)}  another process works on it")
        self._busy_until[name] = time.monotonic() + _BUSY_SECONDS
        self._waiting.append(name)

    def _bury(self, name: str, code: int, last_words: str) -> None:
        """What to do with a run whose process has ended in the middle of it."""
        from keras_prokt.runs.worker import record_failure

        self._deaths[name] = self._deaths.get(name, 0) + 1
        how = _end_of(code, last_words)
        if self._deaths[name] < MAX_DEATHS:
            self._say(f"{self._heading(name)}  its process ended {how}; going on with another")
            self._waiting.appendleft(name)
            return
        reason = f"its process ended {self._deaths[name]} times, the last time {how}"
        if code < 0:
            reason += "; was the memory full?"
        try:
            with self._runs.locked(name):
                record_failure(self._runs, self._entries[name], reason)
        except InUse:
            self._leave_to_another(name)
            return
        self._result.failed[name] = reason
        self._say(f"{self._heading(name)}  failed: {reason}")
        self._finished()

    def _replace(self, worker: _Worker, name: str, code: int) -> None:
        """What to do where a process has ended before it could begin its run."""
        self._lost_starts += 1
        how = _end_of(code, " ".join(worker.last_words))
        # Whoever ends a process from outside may mean that one alone.
        if code >= 0 or self._lost_starts >= MAX_DEATHS:
            backend, *_ = worker.settings
            raise ValueError(
                f"Expected a process that can carry out runs, received one that ended {how}; see "
                f"that Keras can be imported with backend {backend!r}, and start again."
            )
        self._say(f"{self._heading(name)}  its process ended {how}; going on with another")
        self._waiting.appendleft(name)

    def _end_workers(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def _stop_workers(self) -> None:
        """Ends all processes after their step, with their states saved."""
        for worker in self._workers:
            worker.stop()
        try:
            while self._workers:
                worker, message = self._events.get()
                if message["event"] == "ended" and worker in self._workers:
                    self._workers.remove(worker)
                elif message["event"] == "done" and message["status"] == "completed":
                    self._result.completed.append(message["name"])
        except Interrupted:
            for worker in self._workers:
                worker.kill()
            raise

    def _kind(self, name: str) -> str:
        spec = self._entries[name].spec
        return f"{spec.method} {spec.epochs} {spec.student}"

    def _time_left(self) -> str:
        """How long the rest will take, by the runs that this process has completed."""
        every = [seconds for kind_seconds in self._seconds.values() for seconds in kind_seconds]
        if not every:
            return ""
        mean = sum(every) / len(every)
        left = 0.0
        for name in [*self._waiting, *(worker.name for worker in self._active())]:
            kind_seconds = self._seconds.get(self._kind(name))
            left += sum(kind_seconds) / len(kind_seconds) if kind_seconds else mean
        return f"{format_seconds(left / self._jobs)} left" if left else ""

    def _heading(self, name: str) -> str:
        entry = self._entries[name]
        number, count = self._numbers[name], len(self._numbers)
        what = "test data" if self._adds_test else "run"
        return f"{what} {number} of {count}: {entry.title}, seed {entry.spec.seed}"

    def _show_line(self, name: str, text: str) -> None:
        # One epoch of many is enough to see that it goes on.
        now = time.monotonic()
        if text.endswith(" left") and now - self._shown.get(name, 0) < _LINE_SECONDS:
            return
        self._shown[name] = now
        self._say(f"{self._heading(name)}  {text}")

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # whoever reads may have gone; the runs go on
            print(text.rstrip(), file=self._stream, flush=True)
