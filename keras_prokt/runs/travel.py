"""Packs what must travel to go on elsewhere: results, lists of runs and their states, below a size.

    results/NAME.jsonl   lists/NAME/comparison.json   lists/NAME/RUN/...   teachers/NAME/...

This module imports no Keras.
"""

import contextlib
import math
import re
import shutil
import tarfile
import tempfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from keras_prokt.files import new_folder, replacing
from keras_prokt.results.archive import add_to_archive, read_archive
from keras_prokt.runs.folder import EXPORTS, RunFolder
from keras_prokt.runs.lock import InUse, waiting_for
from keras_prokt.runs.reproduction import archive_lock
from keras_prokt.runs.run_list import RunList
from keras_prokt.settings import SettingError, argument

_RESULTS, _LISTS, _TEACHERS = "results", "lists", "teachers"
_LEFT_AT_HOME = ("tensorboard", "dynamics.png", ".lock", *EXPORTS)
"""What is in the folder of a run and not needed to go on."""

_STATE = re.compile(r"epoch-([0-9]+)-batch-([0-9]+)")
_REPLACED = ".replaced-"
_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9}
_STAGES = {"": 4, "first_stage": 3, "head_start": 3, "teacher": 1}
_ASSISTANT = 2
"""Order of the trainings of a run; the distillation itself has no name and is the last."""


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
        left_out: Path -> reason, of the runs whose states are not, which begin anew elsewhere.
    """

    size: int = 0
    runs: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def pack(out: Path, results: Path, file: Path, limit: int, teachers: Path) -> Packed:
    """Writes all lists of runs in a folder, with their results and states, into one file.

    Results and lists come first, then the states of unfinished runs, those nearest to their end
    first, then the teachers that were trained last, as far as the size allows. Finished runs are
    in the results; a teacher that is left out is trained again.

    Args:
        out: Folder of the lists.
        results: Folder of the results.
        file: A tar file to write; the old one is replaced when the new one is whole.
        limit: Its size in bytes, at most.
        teachers: Folder of the kept teachers.

    Raises:
        SettingError: If not even results and lists fit.
    """
    packed = Packed()
    lists = [found for path in sorted(out.glob("*")) if (found := RunList.at(path)) is not None]
    with replacing(file) as temporary:
        with tarfile.open(temporary, "w") as archive:
            for runs in lists:
                path = results / f"{runs.path.name}.jsonl"
                if path.is_file():
                    _add(archive, [path], results, _RESULTS)
                _add(archive, [runs.record], runs.path, f"{_LISTS}/{runs.path.name}")
            begun = [
                (runs, runs.folder(entry.name))
                for runs in lists
                for entry in runs.entries()
                if runs.folder(entry.name).record.is_file()
            ]
            for runs, folder in sorted(begun, key=lambda one: _progress(one[1]), reverse=True):
                if _is_over(folder):
                    continue
                try:
                    with folder.locked():
                        files = _files_of_begun(folder)
                        if archive.offset + _size(files) + _end_size() > limit:
                            packed.left_out[str(folder.path)] = "it does not fit"
                            continue
                        _add(archive, files, runs.path, f"{_LISTS}/{runs.path.name}")
                except InUse:
                    packed.left_out[str(folder.path)] = "another process works on it"
                    continue
                packed.runs.append(str(folder.path))
            apps = {entry.spec.app for runs in lists for entry in runs.entries()}
            for kept in _newest_first(teachers, apps):
                files = [path for path in sorted(kept.rglob("*")) if path.is_file()]
                if archive.offset + _size(files) + _end_size() <= limit:
                    _add(archive, files, teachers, _TEACHERS)
        packed.size = temporary.stat().st_size
        if packed.size > limit:
            raise SettingError(
                f"Expected {argument('state_size')} of at least {packed.size:,} bytes, received "
                f"{limit:,}; results and lists alone are as large."
            )
    return packed


def unpack(file: Path, out: Path, results: Path, teachers: Path) -> list[str]:
    """Puts what `pack` wrote where it goes on.

    Results are added to those that are there, a list that is there takes the runs which it does
    not have, and a run that is there gives way to one that is further.

    Args:
        file: The tar file.
        out: Folder of the lists.
        results: Folder of the results.
        teachers: Folder of the kept teachers.

    Returns:
        Names of the runs and teachers that were put there.

    Raises:
        ValueError: If it is no such file.
    """
    placed: list[str] = []
    for left in out.glob(f"*/{_REPLACED}*"):
        shutil.rmtree(left, ignore_errors=True)
    try:
        with tarfile.open(file) as archive, tempfile.TemporaryDirectory() as folder:
            for kind, top, members in _groups(archive, file):
                arrived = Path(folder) / kind / top
                _extract(archive, members, arrived.parent, 1)
                if kind == _RESULTS:
                    _take_results(arrived, results / top)
                elif kind == _TEACHERS:
                    placed += _put(arrived, teachers / top)
                else:
                    placed += _take_list(arrived, out / top)
                shutil.rmtree(arrived, ignore_errors=True)
    except (tarfile.TarError, EOFError, KeyError) as error:
        raise ValueError(_no_state(file, str(error))) from error
    return placed


def _groups(
    archive: tarfile.TarFile, file: Path
) -> Iterator[tuple[str, str, list[tarfile.TarInfo]]]:
    """The files in a state by kind and list, results or teacher."""
    groups: dict[tuple[str, str], list[tarfile.TarInfo]] = {}
    for member in archive.getmembers():
        parts = Path(member.name).parts
        least = {_RESULTS: 2, _LISTS: 3, _TEACHERS: 3}.get(parts[0], math.inf)
        if not member.isfile() or ".." in parts or len(parts) < least:
            raise ValueError(_no_state(file, f"one with {member.name!r}"))
        groups.setdefault((parts[0], parts[1]), []).append(member)
    for (kind, top), members in groups.items():
        yield kind, top, members


def _extract(
    archive: tarfile.TarFile, members: Iterable[tarfile.TarInfo], folder: Path, depth: int
) -> None:
    for member in members:
        path = folder.joinpath(*Path(member.name).parts[depth:])
        path.parent.mkdir(parents=True, exist_ok=True)
        with archive.extractfile(member) as content, path.open("wb") as file:
            shutil.copyfileobj(content, file)


def _no_state(file: Path, received: str) -> str:
    return (
        f"Expected a state that this command wrote at {str(file)!r}, received {received}; bring it "
        "here once more."
    )


def _take_results(arrived: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with waiting_for(archive_lock(path)):
        add_to_archive(path, read_archive(arrived).values())


def _take_list(arrived: Path, top: Path) -> list[str]:
    """Makes a list, or adds its runs to the one that is there, and takes runs that are further."""
    entries = RunList.existing(arrived).entries()
    here = RunList.at(top)
    if here is None:
        with new_folder(top, may_exist=False) as writing:
            shutil.copy(RunList.existing(arrived).record, writing)
    else:
        known = {entry.name for entry in here.entries()}
        here.add([entry for entry in entries if entry.name not in known])
    placed = []
    for path in sorted(one for one in arrived.iterdir() if one.is_dir()):
        placed += _put(path, top / path.name)
    return placed


def _put(arrived: Path, target: Path) -> list[str]:
    """Copies a folder, unless one is there that is as far; returns its name if it was copied."""
    if not target.exists():
        with new_folder(target) as writing:
            shutil.copytree(arrived, writing, dirs_exist_ok=True)
        return [target.name]
    there = RunFolder(target)
    if _progress(RunFolder(arrived)) <= _progress(there):
        return []
    with contextlib.suppress(InUse), there.locked():
        with tempfile.TemporaryDirectory(prefix=_REPLACED, dir=target.parent) as folder:
            target.rename(Path(folder) / target.name)
            with new_folder(target) as writing:
                shutil.copytree(arrived, writing, dirs_exist_ok=True)
        return [target.name]
    return []


def _is_over(folder: RunFolder) -> bool:
    try:
        return folder.read()["status"] != "running"
    except ValueError:
        return True  # damaged; it is of no use elsewhere


def _progress(folder: RunFolder) -> tuple[int, int, int, int]:
    """How far a run is: finished ones last, then its training, epoch and step."""
    if not folder.record.is_file():
        return 0, 0, 0, 0
    if _is_over(folder):
        return 2, 0, 0, 0
    position = folder.position()
    if position is None:
        return 1, 0, 0, 0
    name, epoch = position
    numbers = [
        tuple(map(int, found.groups()))
        for path in (folder.checkpoint / name).glob("epoch-*")
        if (found := _STATE.fullmatch(path.name)) is not None
    ]
    return 1, _STAGES.get(name, _ASSISTANT), *max(numbers, default=(epoch, 0))


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
