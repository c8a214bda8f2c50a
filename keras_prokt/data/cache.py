"""What is kept on disk between runs: each folder is there as a whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def cache_folder(cache: str | Path | None = None) -> Path:
    """The folder of everything kept: as given, `$KERAS_PROKT_CACHE` or `~/.cache/keras_prokt`."""
    if cache is None:
        cache = os.environ.get("KERAS_PROKT_CACHE", "~/.cache/keras_prokt")
    return Path(cache).expanduser()


@contextlib.contextmanager
def new_folder(folder: Path, *, may_exist: bool = True) -> Iterator[Path]:
    """A folder to write into, renamed to `folder` when the block has ended without an error.

    Args:
        folder: The folder to make.
        may_exist: Whether one that another process has made meanwhile will do.

    Raises:
        OSError: If it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder.parent) as scratch:
        writing = Path(scratch) / folder.name
        writing.mkdir()
        yield writing
        try:
            os.replace(writing, folder)
        except OSError:
            # Another process may have been quicker.
            if not (may_exist and folder.is_dir()):
                raise
