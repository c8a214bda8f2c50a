"""Kills a process at a numbered file event; used by scripts that tests start."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "shutil.rmtree"}


class FileEvents:
    """Numbers what this process does with the files of a folder, reading included.

    Args:
        folder: The folder.
        kill_at: Number, from 1, of the event at which the process kills itself, before the event
            happens; `None` for none.
    """

    def __init__(self, folder: Path, kill_at: int | None = None):
        self.count = 0
        self._folder = str(folder)
        self._kill_at = kill_at
        self._is_counting = False
        sys.addaudithook(self._on_event)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Events count within this block alone."""
        self._is_counting = True
        try:
            yield
        finally:
            self._is_counting = False

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_counting or event not in _EVENTS:
            return
        path = arguments[0]
        # `rmtree` names files relative to a folder that it holds open.
        if isinstance(path, int) or (
            os.path.isabs(path) and not os.fspath(path).startswith(self._folder)
        ):
            return
        self.count += 1
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
