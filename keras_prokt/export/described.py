"""What a written student says of itself beside its layers and weights, in the file or folder.

    student.keras             the member `keras_prokt.json` of the archive, which Keras passes over
    saved_model/1/assets.extra/keras_prokt.json     where TensorFlow leaves room for such files
    model.onnx              the entry `keras_prokt.json` of its metadata
    model.tflite            as an associated file of TensorFlow Lite: an archive behind the model

With it a student that has been sent elsewhere alone still reads raw input and names its classes.
This module imports no Keras.
"""

import json
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_prokt.export.base import Description
from keras_prokt.files import replacing
from keras_prokt.front_ends import FrontEnd, from_json
from keras_prokt.model_file import LARGEST_JSON

NAME = "keras_prokt.json"
"""The file, or member of an archive, that holds it."""

EXTRA = "assets.extra"
"""Folder of a SavedModel for what is not TensorFlow's."""


class Described(NamedTuple):
    """What a written student says of itself; empty where it says nothing."""

    front_end: FrontEnd | None = None
    class_names: Sequence[str] = ()
    output: str | None = None
    """A key of `keras_prokt.outputs.OUTPUTS`."""


def describe_file(path: Path, description: Description) -> None:
    """Adds a description to a `.keras` file, whole or not at all; one that has one keeps it."""
    with zipfile.ZipFile(path) as archive:
        if NAME in archive.namelist():
            return
    with replacing(path) as temporary:
        shutil.copyfile(path, temporary)
        add_description(temporary, description)


def add_description(path: Path, description: Description) -> None:
    """Adds a description to an archive, or as one behind what else a file holds."""
    with zipfile.ZipFile(path, "a") as archive:
        # Without the time, so that equal students are equal files.
        archive.writestr(zipfile.ZipInfo(NAME), as_text(description))


def describe_saved_model(directory: Path, description: Description) -> None:
    """Adds a description to a SavedModel that nobody serves yet."""
    folder = directory / EXTRA
    folder.mkdir()
    (folder / NAME).write_text(as_text(description), encoding="utf-8")


def described(path: Path) -> Described:
    """The description of a `.keras` file, or of the directory of a SavedModel.

    Raises:
        ValueError: If it is there and cannot be read.
    """
    try:
        if path.exists() and not (path.is_dir() or path.is_file()):
            raise OSError("no file")  # a device may have no end
        if path.is_dir():
            file = path / EXTRA / NAME
            text = file.read_text(encoding="utf-8") if file.is_file() else None
        else:
            with zipfile.ZipFile(path) as archive:
                is_there = NAME in archive.namelist()
                if is_there and archive.getinfo(NAME).file_size > LARGEST_JSON:
                    raise ValueError("it is too large")
                text = archive.read(NAME).decode("utf-8") if is_there else None
        return Described() if text is None else _of_json(json.loads(text))
    except (OSError, zipfile.BadZipFile, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"Expected a student whose {NAME} can be read, received {str(path)!r} "
            f"({' '.join(str(error).split())[:200]}); export it again."
        ) from error


def as_text(description: Description) -> str:
    front_end, output = description.front_end, description.output
    values = {
        "front_end": None if front_end is None else front_end.to_json(),
        "class_names": list(description.class_names or ()),
        "output": None if output is None else output.id,
    }
    return json.dumps(values, ensure_ascii=False)


def _of_json(values: dict[str, Any]) -> Described:
    names, front_end = values["class_names"], values["front_end"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its class_names are no list of strings")
    return Described(None if front_end is None else from_json(front_end), names, values["output"])
