"""Reads splits of data sets from TensorFlow Datasets' own files."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from keras_prokt.data.prepared import (
    check_prepared,
    how_to_prepare,
    not_prepared,
    tfds_directory,
)
from keras_prokt.names import unknown_name
from keras_prokt.settings import SettingError, argument
from keras_prokt.tensorflow_beside import import_tensorflow

_READING = "reading data of TensorFlow Datasets"


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
        raise SettingError(
            f"Expected the split {split!r} of {name} in {tfds_directory(data_dir)!r}, received "
            f"{', '.join(builder.info.splits)}; {how_to_prepare(name, data_dir)}"
        )
    import tensorflow_datasets as tfds

    with _unreadable_data_named(name, data_dir):
        # One batch of everything: example by example TFDS is much slower.
        return tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))


class EncodedImages(NamedTuple):
    """One split of a set of images, none of them decoded."""

    contents: list[bytes]
    """The encoded images."""
    labels: list[int]
    """The number of each image's class; -1 where it is hidden."""
    class_names: list[str]
    """Names of the classes, in the order of their numbers."""


def read_encoded_images(
    name: str,
    split: str,
    *,
    image: str | None = None,
    label: str | None = None,
    data_dir: str | None = None,
) -> EncodedImages | None:
    """A whole split of a set of images, in the order of the files.

    Args:
        name: As in `read_split`.
        split: One of its splits.
        image: The feature that is the image; `None` for the only one.
        label: The feature that is the class; `None` for "label", or the only one.
        data_dir: As in `read_split`.

    Returns:
        The images, or `None` if there is no such split.

    Raises:
        ValueError: If the data is missing or unreadable, or there is no such feature.
    """
    builder = prepared_builder(name, data_dir=data_dir)
    import tensorflow_datasets as tfds

    features = builder.info.features
    image = _feature(name, features, tfds.features.Image, "image_column", image, "image")
    label = _feature(name, features, tfds.features.ClassLabel, "label_column", label, "label")
    if split not in builder.info.splits:
        return None
    decoders = {image: tfds.decode.SkipDecoding()}
    with _unreadable_data_named(name, data_dir):
        rows = tfds.as_numpy(builder.as_dataset(split=split, decoders=decoders))
        pairs = [(row[image], int(row[label])) for row in rows]
    contents, labels = ([pair[part] for pair in pairs] for part in (0, 1))
    return EncodedImages(contents, labels, list(features[label].names))


def _feature(
    name: str, features: Any, kind: type, setting: str, asked: str | None, usual: str
) -> str:
    """The name of a set's feature of a kind."""
    known = [key for key, feature in features.items() if isinstance(feature, kind)]
    if asked is not None and asked not in known:
        raise SettingError(
            unknown_name(f"{argument(setting)} of {name} that is a {kind.__name__}", asked, known)
        )
    if asked is None and len(known) != 1 and usual not in known:
        raise SettingError(
            f"Expected {argument(setting)} with {name}, received none; it has "
            f"{', '.join(known) or 'no ' + kind.__name__} of that kind."
        )
    return asked or (usual if usual in known else known[0])


def prepared_builder(name: str, *, data_dir: str | None = None, download: bool = False) -> Any:
    """TFDS's own description of a data set that is there; its `info` names features and splits.

    Args: as `read_split`.

    Returns:
        The builder.

    Raises:
        ValueError: If the data is missing or unreadable.
    """
    if not download:
        check_prepared(name, data_dir=data_dir)  # before TFDS is imported, which takes seconds
    data_dir = tfds_directory(data_dir)
    import_tensorflow(_READING)
    import tensorflow_datasets as tfds

    with _unreadable_data_named(name, data_dir):
        try:
            builder = tfds.builder(name, data_dir=data_dir)
        except json.JSONDecodeError:
            raise  # files that are there and broken
        except (AssertionError, ValueError) as error:
            # TFDS knows neither the name nor such files, and says so with all names it knows.
            raise not_prepared(name, data_dir, "no whole version there") from error
        if download:
            builder.download_and_prepare()
        if not builder.is_prepared():
            raise not_prepared(name, data_dir, f"no version {builder.version} there")
        return builder


@contextlib.contextmanager
def _unreadable_data_named(name: str, data_dir: str | None) -> Iterator[None]:
    tf = import_tensorflow(_READING)
    from google.protobuf.json_format import ParseError

    try:
        yield
    except (OSError, json.JSONDecodeError, ParseError, tf.errors.OpError) as error:
        lines = str(error).splitlines() or [""]
        raise SettingError(
            f"Expected readable TFDS data of {name} in {tfds_directory(data_dir)!r}, received "
            f"{type(error).__name__}: {lines[0][:300]}; {how_to_prepare(name, data_dir)}"
        ) from error
