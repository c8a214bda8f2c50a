"""A process that carries out runs of a list, one after the other, as the executor tells it.

It reads names of runs from standard input, a JSON object a line, and answers in the same way on
standard output. Where the executor has ended, whatever its end was, it saves and ends too.
"""

import contextlib
import errno
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keras_prokt import backends
from keras_prokt.files import cache_folder
from keras_prokt.named_code import name_modules
from keras_prokt.names import warnings_in_one_line
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.lock import InUse
from keras_prokt.runs.run_list import Entry, RunList
from keras_prokt.runs.stopping import Interrupted, Stop, Stopped
from keras_prokt.runs.threads import threads_in_use, use_threads
from keras_prokt.settings import SettingError

_OF_ALL = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS),
    *(errno.EMFILE, errno.ENFILE, errno.EFBIG),
)
"""Errors of files that the other runs would have too."""

Send = Callable[[dict[str, Any]], None]


def main(
    path: str, kind: str, backend: str, threads: str, deterministic: str, named: str = "[]"
) -> None:
    """Carries out runs until standard input ends.

    Args:
        path: Folder of the list.
        kind: Its kind.
        backend: What computes.
        threads: How many threads.
        deterministic: "True" if the backend is held to deterministic operations.
        named: Code that the user has named, a JSON list.
    """
    name_modules(json.loads(named))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else prints does not answer
    writing = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        with writing, contextlib.suppress(BrokenPipeError):
            answers.write(json.dumps(message) + "\n")
            answers.flush()

    tasks: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    stop = Stop()
    try:
        with stop.listening():
            threading.Thread(target=_read_tasks, args=(tasks,), daemon=True).start()
            _use_backend(backend, int(threads), deterministic == "True")
            send({"event": "ready"})
            shown: set[str] = set()
            while (task := tasks.get()) is not None:
                sys.stderr = _Lines(send, task["name"])
                try:
                    with warnings_in_one_line(lambda line: _show_once(line, shown)):
                        answer = _carry_out(RunList(path, kind), task, stop)
                finally:
                    sys.stderr = sys.__stderr__
                send({"event": "done", "name": task["name"], **answer})
                if answer["status"] == "stopped":
                    break
    except Interrupted:
        send({"event": "end"})
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    # Without the end of the interpreter: threads of a backend may wait for each other there.
    os._exit(0)


def _show_once(line: str, shown: set[str]) -> None:
    """Runs of a list share their data, and what is to be said of it."""
    if line not in shown:
        shown.add(line)
        print(line, file=sys.stderr)


def _read_tasks(tasks: "queue.SimpleQueue[dict[str, Any] | None]") -> None:
    for line in sys.stdin:
        task = json.loads(line)
        if task.get("end"):
            tasks.put(None)
            return
        tasks.put(task)
    # The executor has ended without a word.
    os.kill(os.getpid(), signal.SIGTERM)
    # The signal may be lost where native code calls Python, such as that of fonts; then the process
    # ends after its run.
    tasks.put(None)


_STOPPED_BY: list[BaseException] = []
"""Kept until the process ends: freed with its frames, TensorFlow's data set in them sometimes waits
for a thread of its own, for seconds."""


def _use_backend(backend: str, threads: int, is_deterministic: bool) -> None:
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    use_threads(threads)
    if is_deterministic:
        from keras_prokt.runs.determinism import use_deterministic_operations

        use_deterministic_operations(backend)

    assert backends.current().name == backend
    backends.current().keep_compiled_programs(cache_folder() / "xla")


def _carry_out(runs: RunList, task: dict[str, Any], stop: Stop) -> dict[str, Any]:
    """Carries out one run; returns its status, and the reason where it is not completed.

    Arguments are marked in a reason, as in `SettingError.marked`, and not in a record.
    """
    started = time.monotonic()
    folder = runs.folder(task["name"])
    try:
        with runs.locked(task["name"]):
            status = _run_or_resume(runs, runs.entry(task["name"]), task, stop)
    except InUse:
        return {"status": "busy"}
    except (Stopped, Interrupted) as error:
        _STOPPED_BY.append(error)
        return {"status": "stopped"}
    except ValueError as error:
        reason = error.marked if isinstance(error, SettingError) else str(error)
        status = {"status": "failed" if _is_failed(folder) else "refused", "reason": reason}
    except Exception as error:  # a run's fault is not to end the others
        if isinstance(error, OSError) and (number := _number_of_all(error, runs)) is not None:
            return _error(error, number, folder)
        reason = f"{type(error).__name__}: {error}"
        if task.get("adds_test"):
            return {"status": "refused", "reason": reason}
        try:
            record_failure(runs, runs.entry(task["name"]), reason)
        except OSError as record_error:
            return _error(record_error, record_error.errno, folder)
        except ValueError as record_error:  # what is damaged is not written over
            return {"status": "refused", "reason": f"{reason}; {record_error}"}
        status = {"status": "failed", "reason": reason}
    return {**status, "seconds": time.monotonic() - started}


def _is_failed(folder: RunFolder) -> bool:
    """Whether the record of a run says that it has failed."""
    try:
        return folder.record.is_file() and folder.read()["status"] == "failed"
    except ValueError:  # a damaged one says nothing
        return False


def _number_of_all(error: OSError, runs: RunList) -> int | None:
    """The number of an error that is no fault of one run; `None` of one that is."""
    # Libraries such as HDF5 say it in their words alone.
    said = [number for number in _OF_ALL if os.strerror(number) in str(error)]
    number = next(iter(said), None) if error.errno is None else error.errno
    if number in _OF_ALL:
        return number
    is_ours = number == errno.EACCES and isinstance(error.filename, str)
    if is_ours:
        place = Path(error.filename).resolve()
        is_ours = any(place.is_relative_to(own.resolve()) for own in (runs.path, cache_folder()))
    return number if is_ours else None


def _error(error: OSError, number: int | None, folder: RunFolder) -> dict[str, Any]:
    """The answer where no other run can be carried out either."""
    reason = error.strerror or f"{type(error).__name__}: {error}"
    where = str(error.filename or folder.path)
    return {"status": "error", "number": number, "reason": reason, "file": where}


def _run_or_resume(runs: RunList, entry: Entry, task: dict[str, Any], stop: Stop) -> dict[str, Any]:
    from keras_prokt.runs.finished_run import add_test
    from keras_prokt.runs.training_run import resume, run

    folder = runs.folder(entry.name)
    status = runs.status(entry)
    if status == "failed" and task.get("retries"):
        with folder.locked():
            folder.delete()
        status = runs.status(entry)  # refused where files of the user's own are left
    if status == "completed" and task.get("adds_test"):
        start_afresh()
        add_test(folder)
        return {"status": status}
    if status in ("completed", "failed"):
        reason = {"reason": reason_of(folder)} if status == "failed" else {}
        return {"status": status, "was_there": True, **reason}
    start_afresh()
    if status == "waiting":
        if folder.path.exists():
            folder.path.rmdir()
        try:
            record = run(
                entry.spec,
                folder.path,
                export=False,
                measures_test=runs.read()["measures_test"],
                keeps_checkpoint=False,
                stop=stop,
            )
        except ValueError as error:
            # Refused before anything was written: the list is to say so.
            if not folder.record.is_file() and not isinstance(error, InUse):
                record_failure(runs, entry, str(error))
            raise
    else:
        threads = folder.read().get("threads")
        if threads is not None and threads != threads_in_use():
            return {"status": "threads", "threads": threads}
        record = resume(folder.path, stop=stop)
    return {"status": record["status"] if record["status"] != "running" else "stopped"}


def record_failure(runs: RunList, entry: Entry, reason: str) -> None:
    """Records that a run has failed, and why."""
    folder = runs.folder(entry.name)
    if folder.record.is_file():
        folder.write({**folder.read(), "status": "failed", "failure": reason})
        return
    record = {
        "status": "failed",
        "failure": reason,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "spec": entry.spec.to_json(),
        "data": {},
        "class_names": [],
        "export": False,
        "package": {"version": "", "git": None},
        "versions": {},
        "hardware": {"machine": "", "processor": "", "cores": 0, "accelerators": []},
    }
    with folder.created(record):
        pass


def reason_of(folder: RunFolder) -> str:
    """Why a run has failed."""
    return folder.read().get("failure", "unknown")


def start_afresh() -> None:
    """Forgets Keras's global state as in a process of its own; what the user has set stays."""
    import keras

    policy, distribution = keras.config.dtype_policy(), keras.distribution.distribution()
    keras.backend.clear_session()
    keras.config.set_dtype_policy(policy)
    keras.distribution.set_distribution(distribution)


class _Lines:
    """A stream whose lines are sent to the executor."""

    def __init__(self, send: Send, name: str):
        self._send, self._name, self._text = send, name, ""

    def write(self, text: str) -> int:
        *lines, self._text = f"{self._text}{text}".split("\n")
        for line in filter(str.strip, lines):
            self._send({"event": "line", "name": self._name, "text": line})
        return len(text)

    def flush(self) -> None:
        """Lines are sent as they are whole."""

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return 2


if __name__ == "__main__":
    main(*map(str, map(Path, sys.argv[1:2])), *sys.argv[2:])
