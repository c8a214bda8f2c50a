"""A `.keras` or `.h5` file seen as a file: what can be refused before Keras is loaded."""

import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
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

LARGEST_JSON = 100_000_000
"""Bytes that the JSON of a model may have; a packed file can claim any number."""

_MOST_PACKED = 50
"""How many times smaller weights may be packed; Keras packs none."""

HDF5 = (".h5", ".hdf5")
"""Endings of files in Keras's older format."""

_CODE_OF_HDF5 = (*_CODE, "Lambda", "TFOpLambda", "SlicingOpLambda")
"""The same of the older format, which has the code of functions in their layer's own settings."""


def check_model_file(path: str | Path) -> str:
    """Refuses a file that cannot be a whole Keras model, and one that holds code.

    Every member of a `.keras` archive is read and compared with its checksum; `.h5` files have
    none. Whether Keras knows the layers is seen when `load_student` loads the model.

    Args:
        path: The file.

    Returns:
        The model's configuration, JSON.

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
    if path.exists() and not path.is_file():
        raise ValueError(_refusal(path, "it is no file"))
    if path.suffix in HDF5:
        return _check_hdf5(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > LARGEST_JSON:
                raise ValueError("its config.json is too large")
            # A model's weights may be in several files.
            size = sum(member.file_size for member in archive.infolist())
            if size > _MOST_PACKED * path.stat().st_size + LARGEST_JSON:
                raise ValueError(f"it claims {size:,} bytes when unpacked")
            if outside := [name for name in archive.namelist() if _leads_out(name)]:
                raise ValueError(f"its member {outside[0]!r:.200} lies outside of it")
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
    _check_sizes(path, content, size)
    return config


def _leads_out(name: str) -> bool:
    """Whether a member of an archive would be unpacked outside of the folder that it goes to."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return any(path.anchor or ".." in path.parts for path in paths)


_SIZES = (
    *("units", "filters", "input_dim", "output_dim", "hidden_dim", "intermediate_dim"),
    *("vocabulary_size", "max_sequence_length", "num_layers", "num_heads", "sequence_length"),
)
"""Settings of layers of which each has a row or column of weights, a byte or more, for each."""


def _check_sizes(path: Path, content: Any, size: int) -> None:
    """Refuses a model that claims more than its file can hold, before memory is taken for it."""
    for name, value in _settings(content):
        if name in _SIZES and isinstance(value, int) and value > size:
            raise ValueError(
                f"Expected a model file ({path.suffix}) with the weights of its layers, received "
                f"{str(path)!r} of {size:,} bytes that says {name} = {value!r:.40}; restore the "
                "file from a copy, or train again."
            )


def _check_hdf5(path: Path) -> str:
    import h5py

    try:
        with h5py.File(path) as file:
            config = str(file.attrs["model_config"])
        content = json.loads(config)
    except _UNREADABLE as error:
        problem = _one_line(error) if path.is_file() else "there is no such file"
        raise ValueError(
            f"Expected a model file (.h5), received {str(path)!r}: {problem}; give the path of a "
            "whole model that model.save wrote, not of its weights."
        ) from error
    if code := set(_class_names(content)) & set(_CODE_OF_HDF5):
        raise ValueError(code_refusal(path, min(code)))
    _check_sizes(path, content, path.stat().st_size)
    return config


def code_refusal(path: Path, what: str) -> str:
    """The message for a file that would run code.

    Args:
        path: The file.
        what: What in it is code.
    """
    return (
        f"Expected a model file ({path.suffix}) of layers and weights alone, received "
        f"{str(path)!r}, which holds code ({what}) and is not loaded; build the model from layers, "
        "without Lambda, and save it again."
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
    for key, value in _settings(content):
        if key == "class_name" and isinstance(value, str):
            yield value


def _settings(content: Any) -> Iterator[tuple[str, Any]]:
    """All keys with their values, at any depth."""
    left = [content]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield from value.items()
            left += value.values()
        elif isinstance(value, list):
            left += value
