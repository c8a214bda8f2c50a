"""The folder of a run: where everything is kept, each file written whole or not at all.

    run.json  front_end.json  history.csv  dynamics.png  tensorboard/  checkpoint/  first_stage/
    predictions/  student.keras  saved_model/1/
    teacher.keras  teacher_front_end.json  teacher_saved_model/1/    where the teacher is kept

Each form of export has its place beside `saved_model` (`keras_prokt.export.FORMATS`).

This module imports no Keras.
"""

import contextlib
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from keras_prokt.app_file import app_title
from keras_prokt.export import DEFAULT, FORMATS, FormatCard, get
from keras_prokt.files import (
    CHECKSUM,
    digest_of_file,
    new_folder,
    read_json,
    remove_unfinished,
    without_checksum,
    write_record,
    write_text,
)
from keras_prokt.names import is_known, unknown_name
from keras_prokt.runs.lock import InUse, Lock, holder_of
from keras_prokt.runs.records import FORMAT, read_run_record
from keras_prokt.runs.spec import RunSpec
from keras_prokt.settings import ROLES, SettingError, argument


def _places(forms: Iterable[FormatCard]) -> tuple[str, ...]:
    """Where exports of some forms are, in the folder of a run."""
    return tuple(
        f"{prefix}{place}"
        for form in forms
        for place in form.places().values()
        for prefix in ("", "teacher_")
    )


EXPORTS = _places(FORMATS.values())
"""All that exports write into it; they can be written again."""

BENCHMARK = "benchmark.json"
"""What `benchmark` has measured of a run; its picture is `BENCHMARK_FIGURE`."""

BENCHMARK_FIGURE = "benchmark.png"

WRITTEN_BY_RUNS = (
    "run.json",
    "front_end.json",
    "history.csv",
    "dynamics.png",
    "tensorboard",
    "checkpoint",
    "first_stage",
    "predictions",
    "student.keras",
    "teacher.keras",
    "teacher_front_end.json",
    *EXPORTS,
    BENCHMARK,
    BENCHMARK_FIGURE,
    ".lock",
)
"""All that a run writes into its folder; whatever else lies there is the user's."""

_SHARED = (
    "predictions",
    "tensorboard",
    *_places(form for form in FORMATS.values() if form.has_versions),
)
"""Folders of a run in which others may keep files too."""

_NONE = "null\n"
_MOST_NEW_LEVELS = 32


class RunFolder:
    """Paths of a run folder, its record and its lock.

    Args:
        path: The folder; need not exist.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.record = self.path / "run.json"
        self.history = self.path / "history.csv"
        self.checkpoint = self.path / "checkpoint"
        self.best_teacher = self.checkpoint / "best_teacher"
        self.student = self.path / "student.keras"
        self.front_end = self.path / "front_end.json"
        self.teacher = self.path / "teacher.keras"
        self.teacher_front_end = self.path / "teacher_front_end.json"
        self.predictions = self.path / "predictions"
        self._lock = self.path / ".lock"

    @classmethod
    def unused(cls, root: Path, app: str, method: str) -> Self:
        """The first folder `root/app-method-N` that does not exist yet."""
        while True:
            folder = cls(unused_path(root / f"{app_title(app)}-{method}"))
            folder.recover()
            if not folder.path.exists():
                return folder

    @classmethod
    def existing(cls, path: str | Path) -> Self:
        """A folder that holds a run.

        Raises:
            ValueError: If it does not.
        """
        folder = cls(path)
        folder.recover()
        if not folder.record.is_file():
            raise ValueError(
                f"Expected a run folder with a run.json, received {str(path)!r}; `keras-prokt run` "
                "prints the path of the folder it makes."
            )
        folder.check_links()
        return folder

    def check_links(self) -> None:
        """Refuses links out of the folder: what is read or written would be a file elsewhere.

        Raises:
            ValueError: With the first.
        """
        root = self.path.resolve()
        for name in WRITTEN_BY_RUNS:
            found = [self.path / name]
            for place, folders, files in os.walk(self.path / name):
                found += [Path(place, one) for one in (*folders, *files)]
            for path in found:
                if path.is_symlink() and not path.resolve().is_relative_to(root):
                    raise ValueError(
                        f"Expected files of its own in the run folder {str(self.path)!r}, received "
                        f"{path.relative_to(self.path).as_posix()}, a link out of it; put the file "
                        "itself there."
                    )

    def read(self) -> dict[str, Any]:
        """Reads the record.

        Raises:
            ValueError: If it was changed or is not whole.
        """
        return read_run_record(self.record)

    def write(self, record: dict[str, Any]) -> None:
        """Writes the record."""
        write_record(self.record, {"format": FORMAT, **record})

    def model_of(self, role: str) -> Path:
        """The file of the student or the teacher."""
        return self.student if _is_student(role) else self.teacher

    def export_of(self, role: str, format: str = DEFAULT, quantize: str | None = None) -> Path:
        """Where it is in a form of `keras_prokt.export.FORMATS`."""
        card = get(format)
        place = card.places()[quantize]
        folder = self.path / (place if _is_student(role) else f"teacher_{place}")
        return folder if card.file is None else folder / card.file

    def front_end_of(self, role: str) -> Path:
        """The file that says how it reads raw input."""
        return self.front_end if _is_student(role) else self.teacher_front_end

    def write_front_end(self, front_end: dict[str, Any] | None, role: str = "student") -> None:
        """Writes how raw input is read; with a checksum, since it is read before the end too."""
        path = self.front_end_of(role)
        if front_end is None:
            write_text(path, _NONE)
        else:
            write_record(path, front_end)

    def read_front_end(self, role: str = "student") -> dict[str, Any] | None:
        """How raw input is read; `None` where only what the model reads is.

        Raises:
            ValueError: If it was changed.
        """
        path = self.front_end_of(role)
        if path.read_bytes() == _NONE.encode():
            return None
        front_end = read_json(path)
        # Of version 0.1.0, without a checksum; a record that lost its own has an unknown key.
        return without_checksum(path, front_end) if CHECKSUM in front_end else front_end

    def spec(self) -> RunSpec:
        """The spec in the record."""
        return RunSpec.from_json(self.read()["spec"])

    def locked(self) -> Lock:
        """A lock that keeps other processes from working on the run.

        Raises:
            InUse: On entering, if another process does.
        """
        return Lock(self._lock, f"a run in {str(self.path)!r}")

    def position(self) -> tuple[str, int] | None:
        """What was trained when the last state was saved, and how many of its epochs were done.

        Returns:
            Name of the training ("" for the distillation itself) and the epochs; `None` where
            nothing was saved yet.
        """
        for name in ("", "first_stage", "head_start", *self._other_trainings()):
            done = [
                int(path.name.split("-")[1])
                for path in (self.checkpoint / name).glob("epoch-*-batch-*")
                if path.name.split("-")[1].isdecimal()
            ]
            if done:
                return name, max(done)
        return None

    def _other_trainings(self) -> list[str]:
        found = [path.name for path in self.checkpoint.glob("assistant-*")]
        return [*sorted(found), "teacher"]

    def holder(self) -> dict[str, Any] | None:
        """The process that works on the run now, as `keras_prokt.runs.lock.holder_of`."""
        return holder_of(self._lock)

    def check_file(self, path: Path, record: dict[str, Any]) -> None:
        """Refuses a file of a completed run that is not the one which the run wrote.

        Args:
            path: The file.
            record: The run's record.

        Raises:
            ValueError: If it was changed, or is gone.
        """
        name = path.relative_to(self.path).as_posix()
        expected = record.get("files", {}).get(name)
        if expected is not None and (not path.is_file() or digest_of_file(path) != expected):
            raise ValueError(
                f"Expected {name} as the run in {str(self.path)!r} wrote it, received "
                f"{'another' if path.is_file() else 'none'}; restore it from a copy, or repeat "
                "the run."
            )

    def check_has_model(self, role: str) -> None:
        """Refuses a run that is not completed, has no such model, or of which it was changed.

        What a run has before its end is the best student so far, and not what it is to find.

        Args:
            role: "student" or "teacher".

        Raises:
            ValueError: If it is one of these.
            InUse: If it is not completed yet, since a process works on it.
        """
        path, record = self.model_of(role), self.read()
        if role == "teacher" and not record.get("save_teacher", False):
            raise SettingError(
                f"Expected a run that kept its teacher, received {str(self.path)!r} without; "
                f"repeat it with {argument('save_teacher')}."
            )
        if record["status"] != "completed":
            if self.holder() is not None:
                raise InUse(self.locked().in_use())
            raise ValueError(
                f"Expected a completed run at {str(self.path)!r}, received one whose status is "
                f"{record['status']!r}; finish it with `{self.resume_hint()}`."
            )
        self.check_file(path, record)
        if not path.is_file():
            raise ValueError(
                f"Expected a saved {role} at {str(path)!r}, received none; repeat the run."
            )

    def digests(self) -> dict[str, str]:
        """SHA-256 of the files that others read, by their path in the folder."""
        files = [self.student, self.history, self.front_end, *self.predictions.glob("*.csv")]
        files += [self.teacher, self.teacher_front_end]
        return {
            path.relative_to(self.path).as_posix(): digest_of_file(path)
            for path in sorted(files)
            if path.is_file()
        }

    def check_free(self, overwrite: bool = False) -> None:
        """Refuses to write over anything.

        Raises:
            ValueError: If the folder exists and is not to be overwritten, or cannot be.
        """
        self.recover()
        missing = sum(not os.path.lexists(parent) for parent in self.path.absolute().parents)
        if missing > _MOST_NEW_LEVELS:
            raise SettingError(
                f"Expected a folder of which at most {_MOST_NEW_LEVELS} levels are new, received "
                f"{missing} for {argument('out')}; make the folder around it first."
            )
        if not os.path.lexists(self.path):
            return
        if not overwrite:
            raise SettingError(
                f"Expected a new folder, received {str(self.path)!r}, which exists; name another "
                f"one with {argument('out')}, or add {argument('overwrite')}."
            )
        if not self.record.is_file():
            raise SettingError(
                f"Expected a run folder to overwrite, received {str(self.path)!r} without a "
                f"run.json; delete it yourself or name another one with {argument('out')}."
            )
        resolved = self.path.resolve()
        reason = None
        if self.path.is_symlink():
            reason = "a link"
        elif os.path.ismount(resolved):
            reason = "a mount point"
        elif Path.cwd().is_relative_to(resolved):
            reason = "the folder in which this command runs"
        elif not os.access(resolved.parent, os.W_OK):
            reason = "in a folder that cannot be written"
        if reason is not None:
            raise SettingError(
                f"Expected a run folder that can be moved aside, received {str(self.path)!r}, "
                f"{reason}; name another one with {argument('out')}."
            )

    @contextlib.contextmanager
    def created(
        self,
        record: dict[str, Any],
        front_end: dict[str, Any] | None = None,
        *,
        overwrite: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Makes the folder with its first record, and holds its lock while the block runs.

        A run that is replaced is moved aside as a whole and deleted when the new one is completed
        (`delete_replaced`).

        Args:
            record: As in `run.json`.
            front_end: How raw input is read, as in `front_end.json`.
            overwrite: Whether a run that is there is replaced.

        Yields:
            The record.

        Raises:
            ValueError: As `check_free`; another process may have made the folder since.
            InUse: If another process works on the run that would be replaced.
        """
        self.check_free(overwrite)
        with contextlib.ExitStack() as stack:
            replaced = None
            if self.path.exists():
                stack.enter_context(self.locked())
                replaced = unused_path(self.path.with_name(f"{self.path.name}.replaced"))
                record = {**record, "replaces": replaced.name}
            try:
                with new_folder(self.path, may_exist=False) as writing:
                    new = RunFolder(writing)
                    new.write(record)
                    new.write_front_end(front_end)
                    lock = new.locked()
                    stack.enter_context(lock)
                    if replaced is not None:
                        os.rename(self.path, replaced)
                lock.path = self._lock
            except BaseException as error:
                if replaced is not None and replaced.exists() and not self.path.exists():
                    os.rename(replaced, self.path)
                elif isinstance(error, OSError) and replaced is None and self.path.is_dir():
                    self.check_free()
                raise error
            yield record

    def recover(self) -> None:
        """Puts a run back that was moved aside for one that was killed before it was there."""
        if self.path.exists() or not self.path.parent.is_dir():
            return
        found = [folder for folder in map(RunFolder, self._replaced()) if folder.record.is_file()]
        if not found:
            return
        replaced = found[-1]
        # Another process may be about to replace it, or have no right to write here.
        with contextlib.suppress(InUse, OSError), replaced.locked() as lock:
            if not os.path.lexists(self.path):
                os.rename(replaced.path, self.path)
                lock.path = self._lock

    def tidy(self, record: dict[str, Any]) -> None:
        """Removes what a process has left that was killed after the run was completed.

        Args:
            record: The run's record.
        """
        if record["status"] != "completed":
            return
        with contextlib.suppress(InUse, OSError), self.locked():
            if not record.get("keeps_checkpoint", True):
                shutil.rmtree(self.checkpoint, ignore_errors=True)
            remove_unfinished(self.path)
            self.delete_replaced(record)

    def delete_replaced(self, record: dict[str, Any]) -> list[Path]:
        """Deletes the run that this one has replaced, and those that that one had.

        Args:
            record: The run's record.

        Returns:
            The folders in which files of the user's own were found and left.
        """
        name = record.get("replaces")
        # A record from elsewhere is not to name any folder for deletion.
        replaced = [] if name is None else [p for p in self._replaced() if p.name == name]
        # A completed run that is itself moved aside may get the name of the one that it replaced.
        if not replaced or replaced[0] == Path(os.path.abspath(self.path)):
            return []
        [folder] = map(RunFolder, replaced)
        kept = []
        with contextlib.suppress(ValueError):
            kept = folder.delete_replaced(folder.read())
        return kept if folder.delete() else [folder.path, *kept]

    def _replaced(self) -> list[Path]:
        """Runs that were moved aside for this one, the oldest first."""
        place = Path(os.path.abspath(self.path))
        name = re.sub(r"\.replaced-[0-9]+$", "", place.name)
        numbers = {}
        for path in place.parent.iterdir():
            match = re.fullmatch(rf"{re.escape(name)}\.replaced-([0-9]+)", path.name)
            # An empty one is what a kill has left of its deletion.
            if match and (RunFolder(path).record.is_file() or _is_empty(path)):
                numbers[path] = int(match[1])
        return sorted(numbers, key=numbers.__getitem__)

    def delete(self) -> bool:
        """Deletes what a run wrote; returns whether nothing else was there."""
        remove_unfinished(self.path)
        record: dict[str, Any] = {}
        with contextlib.suppress(ValueError):
            record = self.read()
        self._delete_beside_others(record)
        # The record last: a folder without it would be no run, and stay.
        for name in sorted(WRITTEN_BY_RUNS, key=lambda name: name == "run.json"):
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                if name not in _SHARED:
                    shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        try:
            self.path.rmdir()
        except OSError:
            return False
        return True

    def _delete_beside_others(self, record: dict[str, Any]) -> None:
        """Deletes what the run wrote into folders where people put files of their own."""
        for name in _SHARED:
            folder = self.path / name
            if folder.is_symlink():
                continue
            for place, folders, files in os.walk(folder, topdown=False):
                for path in (Path(place, one) for one in files):
                    if _is_own(path.relative_to(self.path), record):
                        path.unlink()
                for path in (*(Path(place, one) for one in folders), Path(place)):
                    with contextlib.suppress(OSError):  # not empty
                        path.rmdir()

    def restore_replaced(self, record: dict[str, Any]) -> Path | None:
        """Puts the run back that this one was to replace, after this one has failed.

        Args:
            record: The run's record.

        Returns:
            Where the failed run is now, if anything of it was trained; otherwise `None`.
        """
        name = record.get("replaces")
        if name is None or not self.path.with_name(name).is_dir():
            return None
        aside = unused_path(self.path.with_name(f"{self.path.name}.unfinished"))
        os.rename(self.path, aside)
        os.rename(self.path.with_name(name), self.path)
        failed = RunFolder(aside)
        failed._lock.unlink(missing_ok=True)
        if any(failed.checkpoint.rglob("position.json")):
            with contextlib.suppress(OSError):  # the disk may be full
                failed.write({k: v for k, v in record.items() if k != "replaces"})
            return aside
        failed.delete()
        return None

    def resume_hint(self) -> str:
        """The command that goes on with the run."""
        return resume_hint(self.path)


def _is_own(path: Path, record: dict[str, Any]) -> bool:
    """Whether a run wrote a file below one of `_SHARED`.

    Args:
        path: The file, as seen from the run folder.
        record: The run's record.
    """
    folder, *inner = path.parts
    if folder == "tensorboard":
        return path.name.startswith("events.out.tfevents")
    if folder == "predictions":
        files = record.get("files")
        return path.suffix == ".csv" and (files is None or path.as_posix() in files)
    return inner[0] == "1"  # the version of a run; others are of who serves them


def _is_student(role: Any) -> bool:
    """Whether it is the student of a run that is meant, and not its teacher.

    Raises:
        ValueError: If it is neither.
    """
    if not is_known(role, ROLES):
        raise ValueError(unknown_name("a model of a run", role, ROLES))
    return bool(role == "student")


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def resume_hint(path: Path) -> str:
    """The command that goes on with what is in a folder, as a shell takes it."""
    typed = f"./{path}" if str(path).startswith("-") else str(path)  # it would be an option
    return f"keras-prokt resume {shlex.quote(typed)}"


def unused_path(path: Path) -> Path:
    """The first of `path-1`, `path-2` and so on that does not exist yet."""
    number = 1
    while os.path.lexists(numbered := path.with_name(f"{path.name}-{number}")):
        number += 1
    return numbered
