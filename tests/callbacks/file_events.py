"""Does something before each file event, such as a kill; used by scripts that tests start."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "shutil.rmtree"}


class FileEvents:
    """Numbers what this process does with the files of a folder, reading included.

    Args:
        folder: The folder.
        before: Called before each event with its number, from 1.
    """

    def __init__(self, folder: Path, before: Callable[[int], None] = lambda number: None):
        self.count = 0
        self._folder = str(folder)
        self._before = before
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
        self._is_counting = False
        self._before(self.count)
        self._is_counting = True


def kill_at(number: int | None) -> Callable[[int], None]:
    """Ends this process at an event, as `FileEvents` calls it; `None` for never."""

    def before(event: int) -> None:
        if event == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return before
