"""Packs what must travel to go on elsewhere: lists of runs with their states, below a size.

This module imports no Keras.
"""

import math
import tarfile
import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keras_prokt.files import new_folder, replacing
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.run_list import RunList
from keras_prokt.settings import SettingError, argument

_TEACHERS, _LISTS = "teachers", "lists"
_LEFT_AT_HOME = ("tensorboard", "saved_model", "dynamics.png", ".lock")
"""What is in the folder of a run and not needed to go on."""


_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9}


def parse_size(text: str, name: str = "state_size") -> int:
    """Bytes of a size as people type it.

    Args:
        text: A number, and K, M or G.
        name: The argument's name, for the message.

    Raises:
        SettingError: If it is none.

    Example:

    >>> from keras_prokt.runs.travel import parse_size
    >>> parse_size("60M")
    60000000
    """
    number, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    try:
        size = float(number) * (_UNITS[unit] if unit else 1)
    except (ValueError, KeyError):
        size = math.nan
    if not 1 <= size < math.inf:
        raise SettingError(
            f"Expected {argument(name)} such as 60M, received {text!r}; K, M and G are "
            "thousands, millions and thousands of millions of bytes."
        )
    return int(size)


@dataclass
class Packed:
    """What travels.

    Attributes:
        size: Bytes of the file.
        runs: Paths of the runs whose states are in it.
        left_out: Paths of the runs whose states did not fit, which begin anew elsewhere.
    """

    size: int = 0
    runs: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def pack(lists: Sequence[RunList], file: Path, limit: int, teachers: Path) -> Packed:
    """Writes lists of runs, the states of those that are begun, and teachers into one file.

    Records come first, then states, those nearest to their end first, then the teachers that were
    trained last, as far as the size allows. A teacher that is left out is trained again.

    Args:
        lists: The lists.
        file: A tar file to write; the old one is replaced when the new one is whole.
        limit: Its size in bytes, at most.
        teachers: Folder of the kept teachers.

    Raises:
        ValueError: If not even the records fit.
    """
    packed = Packed()
    with replacing(file) as temporary:
        with tarfile.open(temporary, "w") as archive:
            begun: list[tuple[int, RunList, RunFolder]] = []
            for runs in lists:
                _add(archive, [runs.record], runs.path, f"{_LISTS}/{runs.path.name}")
                for entry in runs.entries():
                    folder = runs.folder(entry.name)
                    status = runs.status(entry)
                    if status == "waiting":
                        continue
                    if status == "running":
                        position = folder.position()
                        begun.append((0 if position is None else position[1], runs, folder))
                    else:
                        files = _files_of_finished(folder)
                        _add(archive, files, runs.path, f"{_LISTS}/{runs.path.name}")
            for _, runs, folder in sorted(begun, key=lambda one: -one[0]):
                files = _files_of_begun(folder)
                if archive.offset + _size(files) + _end_size() > limit:
                    packed.left_out.append(str(folder.path))
                    continue
                _add(archive, files, runs.path, f"{_LISTS}/{runs.path.name}")
                packed.runs.append(str(folder.path))
            apps = {entry.spec.app for runs in lists for entry in runs.entries()}
            for kept in _newest_first(teachers, apps):
                files = [path for path in sorted(kept.rglob("*")) if path.is_file()]
                if archive.offset + _size(files) + _end_size() <= limit:
                    _add(archive, files, teachers, _TEACHERS)
        packed.size = temporary.stat().st_size
        if packed.size > limit:
            raise ValueError(
                f"Expected records below {limit:,} bytes, received {packed.size:,}; give a larger "
                "size of the state."
            )
    return packed


def unpack(file: Path, out: Path, teachers: Path) -> list[str]:
    """Puts what `pack` wrote where it goes on.

    A list that is there takes the runs which it does not have, and a run that is there gives way
    to one that is further.

    Args:
        file: The tar file.
        out: Folder of the lists.
        teachers: Folder of the kept teachers.

    Returns:
        Names of the runs that were put there.

    Raises:
        ValueError: If it is no such file.
    """
    placed: list[str] = []
    try:
        with tarfile.open(file) as archive:
            members = [one for one in archive.getmembers() if one.isfile()]
            parents: dict[tuple[str, str, str], list[tarfile.TarInfo]] = {}
            for member in members:
                parts = Path(member.name).parts
                is_record = len(parts) == 3 and parts[0] == _LISTS
                if len(parts) < 3 or ".." in parts or parts[0] not in (_LISTS, _TEACHERS):
                    raise ValueError(_no_state(file, f"one with {member.name!r}"))
                folder = "" if is_record or parts[0] == _TEACHERS else parts[2]
                parents.setdefault((parts[0], parts[1], folder), []).append(member)
            for (kind, name, folder), files in sorted(parents.items()):
                top = (out if kind == _LISTS else teachers) / name
                target = top / folder
                depth = 2 + bool(folder)
                if kind == _LISTS and not folder:
                    _take_list(archive, files[0], top)
                elif _put(archive, files, target, depth, is_run=kind == _LISTS):
                    placed.append(target.name)
    except (tarfile.TarError, EOFError, KeyError) as error:
        raise ValueError(_no_state(file, str(error))) from error
    return placed


def _no_state(file: Path, received: str) -> str:
    return (
        f"Expected a state that this command wrote at {str(file)!r}, received {received}; bring it "
        "here once more."
    )


def _take_list(archive: tarfile.TarFile, member: tarfile.TarInfo, top: Path) -> None:
    """Makes a list, or adds its runs to the one that is there."""
    name = Path(member.name).name
    content = archive.extractfile(member).read()
    if not top.exists():
        with new_folder(top) as writing:
            (writing / name).write_bytes(content)
        RunList.existing(top).read()
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        entries = RunList.existing(folder).entries()
    RunList.existing(top).add(entries)


def _put(
    archive: tarfile.TarFile,
    members: Iterable[tarfile.TarInfo],
    target: Path,
    depth: int,
    *,
    is_run: bool,
) -> bool:
    """Writes a folder, unless one is there that is as far; returns whether it has."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=target.parent) as folder:
        arrived = Path(folder) / target.name
        for member in members:
            path = arrived.joinpath(*Path(member.name).parts[depth:])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.extractfile(member).read())
        if not target.exists():
            arrived.rename(target)
            return True
        if not is_run:
            return False
        there = RunFolder(target)
        with there.locked():
            if _progress(RunFolder(arrived)) <= _progress(there):
                return False
            replaced = Path(folder) / "replaced"
            target.rename(replaced)
            arrived.rename(target)
        return True


def _progress(folder: RunFolder) -> tuple[int, str, int]:
    """How far a run is: finished ones last, then the training it is in, then its epoch."""
    if not folder.record.is_file():
        return 0, "", 0
    if folder.read()["status"] == "completed":
        return 2, "", 0
    position = folder.position()
    if position is None:
        return 1, "", 0
    # The distillation itself has no name, and comes after what is trained before it.
    name, epoch = position
    return 1, "1" if name else "2", epoch


def _files_of_finished(folder: RunFolder) -> list[Path]:
    files = [folder.record, folder.history, *sorted(folder.predictions.glob("*.csv"))]
    return [path for path in files if path.is_file()]


def _files_of_begun(folder: RunFolder) -> list[Path]:
    return [
        path
        for path in sorted(folder.path.rglob("*"))
        if path.is_file() and path.relative_to(folder.path).parts[0] not in _LEFT_AT_HOME
    ]


def _newest_first(teachers: Path, apps: Collection[str]) -> list[Path]:
    """Kept teachers of some apps, by whose names their folders begin."""
    kept = [one for app in apps for one in teachers.glob(f"{app}-*") if one.is_dir()]
    return sorted(kept, key=lambda one: one.stat().st_mtime, reverse=True)


def _size(files: Iterable[Path]) -> int:
    """Bytes of files in a tar file, with a header of up to three blocks for each."""
    block = tarfile.BLOCKSIZE
    return sum(4 * block + -(-path.stat().st_size // block) * block for path in files)


def _end_size() -> int:
    return 2 * tarfile.RECORDSIZE


def _add(archive: tarfile.TarFile, files: Iterable[Path], top: Path, under: str) -> None:
    for path in files:
        archive.add(path, f"{under}/{path.relative_to(top).as_posix()}", recursive=False)
