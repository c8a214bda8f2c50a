"""Locks that end with their process, so that no two processes work on one run."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there
    fcntl = None  # type: ignore[assignment]

_TRIES = 6
_PAUSE = 0.05


class InUse(ValueError):
    """Another process works on it."""


class Lock:
    """A lock on a file, held by one process until it is released or the process ends.

    Who holds it, and since when, stands in the file. Release removes the file; a process that is
    killed leaves it, and the next one takes it over.

    Args:
        path: The file.
        what: What is locked, for messages.
        makes_folder: Whether its folder is made if need be; otherwise it must exist.

    Raises:
        InUse: On entering, if another process, or another lock of this one, holds it.

    Example:

    >>> import tempfile
    >>> from keras_prokt.runs.lock import Lock
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / ".lock"
    ...     with Lock(path, "the run"):
    ...         holder_of(path)["pid"] == os.getpid()
    ...     holder_of(path) is None
    True
    True
    """

    def __init__(self, path: Path, what: str, *, makes_folder: bool = False):
        self.path = path
        self.makes_folder = makes_folder
        self.what = what
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        if fcntl is None:
            return self
        tries = 0
        while self._descriptor is None:
            if self.makes_folder:
                self.path.parent.mkdir(exist_ok=True)
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:
                if not self.makes_folder:
                    raise
                continue  # another process has just removed the folder
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_current = _is_at(self.path, descriptor)
            except BlockingIOError:
                os.close(descriptor)
                tries += 1
                if tries == _TRIES:
                    raise InUse(self.in_use()) from None
                time.sleep(_PAUSE)  # whoever only asks for the holder has it for a moment
                continue
            except BaseException:
                os.close(descriptor)
                raise
            if is_current:
                self._descriptor = descriptor
            else:  # whoever held it has removed the file since
                os.close(descriptor)
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with contextlib.suppress(OSError):  # on a full disk it holds all the same
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(holder).encode(), 0)
        return self

    def __exit__(self, *error: Any) -> None:
        if self._descriptor is not None:
            # The folder may have been moved, and have made place for another with its own lock.
            if _is_at(self.path, self._descriptor):
                self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def in_use(self) -> str:
        """What is said to whoever wants it while another process holds it."""
        holder = _read(self.path)
        who = "by another process" if holder is None else describe(holder)
        return (
            f"Expected {self.what} on which no other process works, received one that is running, "
            f"{who}; wait for it, or stop it."
        )


@contextlib.contextmanager
def waiting_for(lock: Lock, seconds: float = 60.0) -> Iterator[None]:
    """Holds a lock as soon as whoever holds it lets it go.

    Args:
        lock: The lock.
        seconds: How long to wait.

    Raises:
        InUse: If it is still held then.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            lock.__enter__()
            break
        except InUse:
            if time.monotonic() > until:
                raise
            time.sleep(_PAUSE)
    try:
        yield
    finally:
        lock.__exit__()


def holder_of(path: Path) -> dict[str, Any] | None:
    """Who holds the lock at a path: `pid`, `host` and `since`; `None` if nobody does."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path) or {"pid": None, "host": None, "since": None}
    except OSError:
        return None  # no locks on this file system
    finally:
        os.close(descriptor)
    return None


def describe(holder: dict[str, Any]) -> str:
    """Who holds a lock, in words: `pid 12, since 2026-01-01T00:00:00+00:00`."""
    host = holder["host"]
    place = "" if host in (None, socket.gethostname()) else f" on {host}"
    return f"pid {holder['pid']}{place}, since {holder['since']}"


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


def _read(path: Path) -> dict[str, Any] | None:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return {key: holder[key] for key in ("pid", "host", "since")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
