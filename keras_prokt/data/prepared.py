"""Whether TensorFlow Datasets has prepared a set, by the names of files alone.

Importing TensorFlow Datasets takes seconds; this module imports nothing of it.
"""

import difflib
import os
from fnmatch import fnmatchcase
from pathlib import Path

from keras_prokt.settings import SettingError, argument


def tfds_directory(data_dir: str | None) -> str:
    """The directory of the data: as given, `$TFDS_DATA_DIR`, or `~/tensorflow_datasets`."""
    # Read here and not left to TFDS, which looks at the variable only when it is imported.
    return os.path.expanduser(
        data_dir or os.environ.get("TFDS_DATA_DIR") or os.path.join("~", "tensorflow_datasets")
    )


def check_prepared(name: str, *, data_dir: str | None = None) -> None:
    """Refuses a directory that holds no version of a set.

    A directory elsewhere (`gs://...`) is not looked at.

    Args:
        name: The set as TFDS calls it, such as `"glue/sst2"` or `"glue/sst2:2.0.0"`.
        data_dir: Directory that holds the set as TFDS writes it; see `tfds_directory`.

    Raises:
        ValueError: If it is not there.

    Example:

    >>> from keras_prokt.data.prepared import check_prepared
    >>> try:
    ...     check_prepared("glue/sst2", data_dir="nowhere")
    ... except ValueError as error:
    ...     print(str(error).partition(";")[0])
    Expected prepared TFDS data of glue/sst2 in 'nowhere', received no such directory
    """
    directory = tfds_directory(data_dir)
    set_name, _, version = name.partition(":")
    if "://" in directory or _versions(Path(directory, set_name), version or "*"):
        return
    is_there = os.path.isdir(directory)
    raise not_prepared(name, directory, f"no {name} there" if is_there else "no such directory")


def not_prepared(name: str, directory: str, found: str) -> SettingError:
    """The error that a set is not there, with those that have the most similar names.

    Args:
        name: The set.
        directory: Directory of the data.
        found: What is there instead.
    """
    near = difflib.get_close_matches(name, _prepared(directory), n=3, cutoff=0)
    if near:
        found = f"{found} (nearest prepared: {', '.join(near)})"
    return SettingError(
        f"Expected prepared TFDS data of {name} in {directory!r}, received {found}; "
        f"{how_to_prepare(name, directory)}"
    )


def how_to_prepare(name: str, data_dir: str | None) -> str:
    """What to do about data that is missing or damaged, as the end of a message."""
    return (
        f"point {argument('data_dir')} or TFDS_DATA_DIR to the data, or prepare it once with "
        f"`tfds build {name} --data_dir {tfds_directory(data_dir)}`."
    )


def _versions(folder: Path, pattern: str) -> list[Path]:
    """Folders of versions that TFDS has finished, of those that a pattern (`2.*.*`) names."""
    files = folder.glob("*/dataset_info.json")
    return [file.parent for file in files if fnmatchcase(file.parent.name, pattern)]


def _prepared(directory: str) -> list[str]:
    """All sets that are there, with their versions."""
    folders = [
        version.relative_to(directory)
        for levels in ("*", "*/*")
        for folder in Path(directory).glob(levels)
        for version in _versions(folder, "*")
    ]
    return sorted(f"{folder.parent.as_posix()}:{folder.name}" for folder in folders)
