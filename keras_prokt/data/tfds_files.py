"""Reads splits of data sets from TensorFlow Datasets' own files."""

import contextlib
import difflib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def tfds_directory(data_dir: str | None) -> str:
    """The directory of the data: as given, `$TFDS_DATA_DIR`, or `~/tensorflow_datasets`."""
    # Read here and not left to TFDS, which looks at the variable only when it is imported.
    return os.path.expanduser(
        data_dir or os.environ.get("TFDS_DATA_DIR") or os.path.join("~", "tensorflow_datasets")
    )


def read_split(
    name: str, split: str, *, data_dir: str | None = None, download: bool = False
) -> dict[str, Any]:
    """A whole split, in the order of the files.

    Args:
        name: Data set as TFDS calls it, such as `"glue/sst2"` or `"glue/sst2:2.0.0"`.
        split: One of its splits.
        data_dir: Directory that holds the data set as TFDS writes it; see `tfds_directory`.
        download: Whether to download and prepare the data into `data_dir` when it is not there
            (TFDS then needs the package `importlib_resources`).

    Returns:
        Feature name -> array with one entry an example.

    Raises:
        ValueError: If the data or the split is missing or unreadable.
    """
    builder = prepared_builder(name, data_dir=data_dir, download=download)
    if split not in builder.info.splits:
        raise ValueError(
            f"Expected the split {split!r} of {name} in {tfds_directory(data_dir)!r}, received "
            f"{', '.join(builder.info.splits)}; {_how_to_prepare(name, data_dir)}"
        )
    import tensorflow_datasets as tfds

    with _unreadable_data_named(name, data_dir):
        # One batch of everything: example by example TFDS is much slower.
        return tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))


def prepared_builder(name: str, *, data_dir: str | None = None, download: bool = False) -> Any:
    """TFDS's own description of a data set that is there; its `info` names features and splits.

    Args: as `read_split`.

    Returns:
        The builder.

    Raises:
        ValueError: If the data is missing or unreadable.
    """
    advice = _how_to_prepare(name, data_dir)
    data_dir = tfds_directory(data_dir)
    missing = f"Expected prepared TFDS data of {name} in {data_dir!r}, received "
    # Before TFDS is imported: it takes seconds, and logs a warning of its own about this.
    is_local = "://" not in data_dir
    folder = re.sub(r":[0-9.*]+$", "", name)  # without a version, as in glue/cola:2.0.0
    if is_local and not download and not os.path.isdir(os.path.join(data_dir, *folder.split("/"))):
        found = "no such directory"
        if os.path.isdir(data_dir):
            found = f"no {name} there{_nearest_prepared(name, data_dir)}"
        raise ValueError(f"{missing}{found}; {advice}")

    import tensorflow_datasets as tfds

    with _unreadable_data_named(name, data_dir):
        try:
            builder = tfds.builder(name, data_dir=data_dir)
        except json.JSONDecodeError:
            raise  # files that are there and broken
        except (AssertionError, ValueError) as error:
            # TFDS knows neither the name nor such files, and says so with all names it knows.
            near = _nearest_prepared(name, data_dir)
            raise ValueError(f"{missing}no whole version there{near}; {advice}") from error
        if download:
            builder.download_and_prepare()
        if not builder.is_prepared():
            near = _nearest_prepared(name, data_dir)
            raise ValueError(f"{missing}no version {builder.version} there{near}; {advice}")
        return builder


def _nearest_prepared(name: str, data_dir: str) -> str:
    """The sets with the most similar names in a local directory, as a part of a message."""
    files = (
        file.relative_to(data_dir).parent
        for levels in ("*/*", "*/*/*")
        for file in Path(data_dir).glob(f"{levels}/dataset_info.json")
    )
    prepared = sorted(f"{folder.parent.as_posix()}:{folder.name}" for folder in files)
    near = difflib.get_close_matches(name, prepared, n=3, cutoff=0)
    return f" (nearest prepared: {', '.join(near)})" if near else ""


@contextlib.contextmanager
def _unreadable_data_named(name: str, data_dir: str | None) -> Iterator[None]:
    import tensorflow as tf
    from google.protobuf.json_format import ParseError

    try:
        yield
    except (OSError, json.JSONDecodeError, ParseError, tf.errors.OpError) as error:
        lines = str(error).splitlines() or [""]
        raise ValueError(
            f"Expected readable TFDS data of {name} in {tfds_directory(data_dir)!r}, received "
            f"{type(error).__name__}: {lines[0][:300]}; {_how_to_prepare(name, data_dir)}"
        ) from error


def _how_to_prepare(name: str, data_dir: str | None) -> str:
    return (
        "point --data-dir or TFDS_DATA_DIR to the data, or prepare it once with "
        f"`tfds build {name} --data_dir {tfds_directory(data_dir)}`."
    )
