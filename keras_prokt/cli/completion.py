"""What a shell completes where a command wants a run; imports no Keras.

Settings of a run are completed by their own options (`keras_prokt.options`).
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from keras_prokt.runs.run_list import RECORDS

_RECORDS = ("run.json", *RECORDS.values())
"""Files that make a folder one of a run, a comparison or a search."""


class RunPath(click.ParamType):
    """A run folder, or that of a comparison or a search.

    Args:
        or_file: Whether a file is taken too.
    """

    name = "run"

    def __init__(self, *, or_file: bool = False):
        self._or_file = or_file

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return os.path.expanduser(value) if isinstance(value, str) else value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The folders of runs that begin so, here and one level below; otherwise any folder."""
        found: list[CompletionItem] = [CompletionItem(run) for run in _runs(incomplete)]
        if self._or_file:
            found.append(CompletionItem(incomplete, type="file"))
        return found or [CompletionItem(incomplete, type="dir")]


def _runs(incomplete: str) -> Iterator[str]:
    head, slash, begin = incomplete.rpartition("/")
    for folder in _folders(Path(head + slash).expanduser(), begin):
        for one in (folder, *_folders(folder)):
            if any((one / record).is_file() for record in _RECORDS):
                yield head + slash + one.relative_to(folder.parent).as_posix()


def _folders(path: Path, begin: str = "") -> list[Path]:
    try:
        found = [one for one in path.iterdir() if one.name.startswith(begin) and one.is_dir()]
    except OSError:
        return []
    return sorted(one for one in found if begin.startswith(".") or not one.name.startswith("."))


def completing(
    words: Iterable[str],
) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """What click takes as `shell_complete`, of a value among some words."""
    return lambda _, __, incomplete: [word for word in words if word.startswith(incomplete)]
