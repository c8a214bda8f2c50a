"""A `.keras` file seen as a file: what can be refused before Keras is loaded."""

import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_UNREADABLE = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,  # no config.json
    ValueError,  # no JSON, no UTF-8
    RecursionError,
    RuntimeError,  # encrypted
    NotImplementedError,  # compressed by a method that this Python lacks
)

_CODE = ("__lambda__", "TFSMLayer", "TorchModuleWrapper")
"""Class names in a `config.json` of what Keras would have to run code from elsewhere for."""


def check_model_file(path: str | Path) -> str:
    """Refuses a file that cannot be a whole Keras model, and one that holds code.

    Every member of the archive is read and compared with its checksum. Whether Keras knows the
    layers is seen when `load_student` loads the model.

    Args:
        path: The file.

    Returns:
        Its `config.json`.

    Raises:
        ValueError: If there is no such file, it is no model, it is damaged, or it holds code.

    Example:

    >>> from keras_prokt.model_file import check_model_file
    >>> try:
    ...     check_model_file("nowhere.keras")
    ... except ValueError as error:
    ...     print(str(error).partition(";")[2])
     give the path of a student.keras in a run folder.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            config = archive.read("config.json").decode("utf-8") if damaged is None else ""
        content = json.loads(config) if damaged is None else {}
    except _UNREADABLE as error:
        raise ValueError(_refusal(path, _one_line(error))) from error
    if damaged is not None:
        raise ValueError(
            f"Expected a whole model file (.keras), received {str(path)!r} whose {damaged} has "
            "changed since it was written; restore the file from a copy, or train again."
        )
    if not isinstance(content, dict):
        raise ValueError(_refusal(path, f"its config.json holds a {type(content).__name__}"))
    if path.suffix != ".keras":
        raise ValueError(_refusal(path, "its name does not end in .keras"))
    if code := set(_class_names(content)) & set(_CODE):
        raise ValueError(code_refusal(path, min(code)))
    return config


def code_refusal(path: Path, what: str) -> str:
    """The message for a file that would run code.

    Args:
        path: The file.
        what: What in it is code.
    """
    return (
        f"Expected a model file (.keras) of layers and weights alone, received {str(path)!r}, "
        f"which holds code ({what}) and is not loaded; build the model from layers, without "
        "Lambda, and save it again."
    )


def _refusal(path: Path, problem: str) -> str:
    return (
        f"Expected a model file (.keras), received {str(path)!r}: {problem}; give the path of a "
        "student.keras in a run folder."
    )


def _one_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _class_names(content: Any) -> Iterator[str]:
    """All values of the key `class_name`, at any depth."""
    left = [content]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if isinstance(name := value.get("class_name"), str):
                yield name
            left += value.values()
        elif isinstance(value, list):
            left += value
