"""Moves what was written to where it belongs: all of it or nothing, and nothing of anybody else's.

This module imports no Keras.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from keras_prokt.settings import SettingError, argument

MODEL_CARD = "model_card.md"

_OF_A_FOLDER = {MODEL_CARD, "vocab.txt", "tokenizer_config.json"}
"""What an earlier export of the same folder may have written beside what this one wrote."""


def card_beside(path: Path, usual: str | None) -> str:
    """The name of the model card beside a file, with the file's own where several may lie there.

    Args:
        path: Where the file goes.
        usual: What the form calls its file in a folder of its own.
    """
    return MODEL_CARD if path.name == usual else f"{path.name}.{MODEL_CARD}"


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuses a path where something is, unless it may be replaced.

    Raises:
        SettingError: With what to do.
    """
    if os.path.lexists(path) and not overwrite:
        raise SettingError(
            f"Expected a path where nothing is, received {str(path)!r}, which exists; choose "
            f"another one, or replace it ({argument('overwrite')})."
        )


def place(written: Path, path: Path, *, overwrite: bool) -> None:
    """Moves what was written, and what lies beside it, to `path` and beside that.

    Args:
        written: A file or folder, alone with its companions in a folder of the same file system.
        path: Where it goes; a file there is replaced as a whole, of a folder there only what an
            export writes.
        overwrite: Whether companions that are there and differ may be replaced.

    Raises:
        ValueError: If something is in the way. Then nothing has been moved.
        OSError: If it cannot be moved. Then everything is as it was.
    """
    beside = [one for one in sorted(written.parent.iterdir()) if one != written]
    targets = [path.with_name(one.name) for one in beside]
    _check_companions(path, beside, targets, overwrite)
    if os.path.lexists(path):
        _check_replaced(written, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    old = written.parent / ".replaced"
    old.mkdir()
    moved: list[tuple[Path, Path | None]] = []
    try:
        for source, target in (*zip(beside, targets, strict=True), (written, path)):
            kept = None
            if os.path.lexists(target):
                kept = old / target.name
                os.replace(target, kept)
            moved.append((target, kept))
            os.replace(source, target)
    except OSError:
        for target, kept in reversed(moved):
            with contextlib.suppress(OSError):
                if os.path.lexists(target):
                    os.replace(target, old / f"{target.name}.new")
                if kept is not None:
                    os.replace(kept, target)
        raise


def _check_companions(
    path: Path, beside: Sequence[Path], targets: Sequence[Path], overwrite: bool
) -> None:
    for one, target in zip(beside, targets, strict=True):
        if not os.path.lexists(target):
            continue
        is_same = target.is_file() and target.read_bytes() == one.read_bytes()
        if not target.is_file() or not (is_same or overwrite):
            raise SettingError(
                f"Expected no other {one.name} beside {path.name!r}, received {str(target)!r}; "
                f"choose another folder, or replace it ({argument('overwrite')})."
            )


def _check_replaced(written: Path, path: Path) -> None:
    if not written.is_dir():
        if path.is_dir() and not path.is_symlink():
            raise SettingError(
                f"Expected the path of a file, received the folder {str(path)!r}; name a file in "
                "it."
            )
        return
    if path.is_symlink() or not path.is_dir():
        raise SettingError(
            f"Expected the path of a folder, received {str(path)!r}, which is none; choose another "
            "path."
        )
    known = {one.name for one in written.iterdir()} | _OF_A_FOLDER
    others = sorted(one.name for one in path.iterdir() if one.name not in known)
    if others:
        raise SettingError(
            f"Expected a folder of an earlier export to replace, received {str(path)!r}, which "
            f"also holds {others[0]!r}; choose another path, or move that away."
        )
