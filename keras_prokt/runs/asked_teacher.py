"""Teachers whose outputs are to be recorded, and what is refused of them; imports no Keras."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_prokt.app import get_app
from keras_prokt.bert_heads import trained_files
from keras_prokt.data.teacher_outputs import ARCHIVE
from keras_prokt.model_file import check_model_file
from keras_prokt.recorders import recorder_of
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.spec import RunSpec
from keras_prokt.settings import SettingError, argument


@dataclass(frozen=True)
class AskedTeacher:
    """One teacher.

    Attributes:
        name: As its user names it.
        path: What a recorder reads.
        spec: The data, as it reads it.
        role: Whose part of the inputs it reads, "teacher" or "student".
        run: The folder of the run that trained it, or `None`.
    """

    name: str
    path: str
    spec: RunSpec
    role: str = "teacher"
    run: RunFolder | None = None

    @property
    def knows_classes(self) -> bool:
        """Whether its outputs are in the order of the task's classes for certain."""
        return self.run is not None or recorder_of(self.path).knows_classes

    def check_reads(self, task: Any) -> None:
        """Refuses a model of a run that has other classes, or reads other word pieces.

        Args:
            task: The task of `spec`.

        Raises:
            ValueError: If it does.
        """
        if self.run is None:
            return
        if (classes := self.run.read()["class_names"]) != task.class_names:
            raise ValueError(
                f"Expected a run on the classes {task.class_names}, received {self.name!r} on "
                f"{classes}; record it on its own data."
            )
        from keras_prokt.front_ends import from_json

        front_end = task.teacher_front_end if self.role == "teacher" else task.front_end
        then = self.run.read_front_end(self.role)
        if then is not None and from_json(then) != front_end:
            raise ValueError(
                f"Expected a run that read its inputs as app {self.spec.app!r} does here, received "
                f"{self.name!r}, which read them otherwise; give the data of that run."
            )


def asked_teachers(spec: RunSpec, names: Sequence[str]) -> list[AskedTeacher]:
    """The teachers of some names, checked as far as it needs no Keras.

    Args:
        spec: The app and its data.
        names: Of them, each once.

    Raises:
        ValueError: If one is not there, or nothing reads it.
    """
    if not names or len(set(names)) < len(names):
        raise SettingError(
            f"Expected at least one {argument('teacher')}, each once, received "
            f"{', '.join(names) or 'none'}; name the teachers whose outputs are to be stored."
        )
    teachers = [_asked(spec, name) for name in names]
    for teacher in teachers:
        if Path(teacher.path).suffix == ".keras":
            check_model_file(teacher.path)
        teacher.spec.check_without_keras()
    return teachers


def _asked(spec: RunSpec, name: str) -> AskedTeacher:
    if Path(name, "run.json").is_file():
        folder = RunFolder.existing(name)
        own = folder.spec()
        if own.app != spec.app:
            raise ValueError(
                f"Expected a run of app {spec.app!r}, received {name!r} of {own.app!r}; record it "
                "on its own data."
            )
        role = "teacher" if folder.teacher.is_file() else "student"
        folder.check_has_model(role)
        models = {"teacher": own.teacher or spec.teacher, "student": own.student}
        reads = spec.replacing(**models, max_length=spec.max_length or own.max_length)
        return AskedTeacher(name, str(folder.model_of(role)), reads, role, folder)
    recorder_of(name)
    if get_app(spec.app).reads_text and trained_files(name):
        return AskedTeacher(name, name, spec.replacing(teacher=os.path.abspath(name)))
    return AskedTeacher(name, name, spec)


def check_free(out: Path, overwrite: bool) -> None:
    """Refuses a file that is there, or that runs would not read.

    Raises:
        SettingError: If it is so.
    """
    if out.suffix != ARCHIVE:
        raise SettingError(
            f"Expected {argument('out')} that ends in {ARCHIVE}, received {str(out)!r}; runs read "
            "outputs from such a file."
        )
    if out.exists() and not overwrite:
        raise SettingError(
            f"Expected {argument('out')} that is free, received {str(out)!r}, which exists; name "
            f"another file, or give {argument('overwrite')}."
        )
    if not out.parent.is_dir():
        raise SettingError(
            f"Expected {argument('out')} in a folder that is there, received {str(out)!r}; make "
            "the folder."
        )
