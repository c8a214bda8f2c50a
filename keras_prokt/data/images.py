"""Images of the user's own, with their classes: read, divided, and what is wrong with them named.

This module imports no Keras.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_prokt.data.class_names import sorted_names, warn_of_absent_classes, warn_of_class_names
from keras_prokt.data.image_rows import ImageRows, Source, read_images
from keras_prokt.data.image_table import list_images
from keras_prokt.data.table import split_table, split_values
from keras_prokt.data.text_table import TextTable
from keras_prokt.names import OneLineWarning, unknown_name
from keras_prokt.settings import SettingError, argument

NAMED = 3
"""Broken images that a message names; of the others it says how many they are."""


class BrokenImages(OneLineWarning):
    """Some images cannot be read and are left out."""


class DuplicateImages(OneLineWarning):
    """The same image is in two parts that should have none in common."""


class ImagePart(NamedTuple):
    """One part of a data set."""

    rows: ImageRows
    """Its images."""
    labels: np.ndarray
    """The number of each image's class, `(n,)`, int32; its labels, `(n, labels)`, 0 or 1; or its
    value, `(n,)`, float32."""
    positions: np.ndarray
    """Position of each image in the data as its user has it."""
    count: int
    """How many images that data has."""


@dataclass(frozen=True)
class LabelledImages:
    """All parts of a data set.

    Args:
        class_names: Names of the classes, in the order of their numbers, or of the labels.
        parts: "train", "validation" and, unless there is none, "test".
        validates_on_training_set: Whether the validation images come out of the training set.
        output: "classes"; "labels" where an image may have several; or "values".
    """

    class_names: list[str]
    parts: Mapping[str, ImagePart]
    validates_on_training_set: bool
    output: str = "classes"


def load_images(
    dataset: str | Path,
    *,
    size: tuple[int, int],
    image_column: str | None = None,
    label_column: str | None = None,
    validation: str | Path | None = None,
    test: str | Path | None = None,
    has_values: bool = False,
    cache_images: str = "auto",
    broken_images: str = "refuse",
    cache: str | Path | None = None,
) -> LabelledImages:
    """Reads a data set of images and cuts off what it has not held out.

    Without a validation part, a tenth of the images of each class becomes one, and without a test
    part either another tenth becomes that, always the same ones. With a validation part and no
    test part there is no test part.

    Args:
        dataset: As in `list_images`, as the next four.
        size: Height and width to which images are brought.
        image_column: The column of paths, or of encoded images in Parquet.
        label_column: The column of labels.
        validation: A folder or table to validate on.
        test: A folder or table to test on.
        has_values: Whether the column of labels holds numbers to be predicted.
        cache_images: As in `read_images`.
        broken_images: "refuse", or "skip" to leave out what cannot be read.
        cache: As in `read_images`.

    Returns:
        The parts and the names of the classes, sorted, numerically if all are integers.

    Raises:
        ValueError: As `list_images` and `read_images`; also if an image cannot be read, training
            has a single class, a held-out part has a class that training lacks, or a class has too
            few images to be divided.

    Example:

    ```python
    data = load_images("flowers", size=(96, 96))
    data.class_names, data.parts["train"].rows[np.arange(4)].shape
    ```
    """
    tables = list_images(
        dataset,
        image_column=image_column,
        label_column=label_column,
        validation=validation,
        test=test,
        has_values=has_values,
        cache=cache,
    )
    sources = {name: one.source for name, one in tables.items()}
    return labelled_images(
        {name: one.table for name, one in tables.items()},
        sources,
        size=size,
        label_names=tables["train"].label_names,
        has_values=has_values,
        cache_images=cache_images,
        broken_images=broken_images,
        cache=cache,
    )


def labelled_images(
    tables: Mapping[str, TextTable],
    sources: Mapping[str, Source],
    *,
    size: tuple[int, int],
    class_names: list[str] | None = None,
    label_names: Sequence[str] = (),
    has_values: bool = False,
    cache_images: str = "auto",
    broken_images: str = "refuse",
    cache: str | Path | None = None,
) -> LabelledImages:
    """As `load_images`, of images that have been listed already.

    Args:
        tables: Names and labels of the images, by part; "train" is one of them.
        sources: Their bytes, in the same order.
        size: As in `load_images`, as the last three.
        class_names: Names of the classes in their order; `None` for those of the training images.
        label_names: Names of the labels, where an image has several.
        has_values: Whether labels are numbers to be predicted.
        cache_images: As in `read_images`.
        broken_images: "refuse" or "skip".
        cache: As in `read_images`.
    """
    if not has_values:
        _check_labels(tables, class_names, label_names)
    read = {
        name: read_images(source, size, cache_images=cache_images, cache=cache)
        for name, source in sources.items()
    }
    check_broken(sources, {name: one.broken for name, one in read.items()}, broken_images)
    readable = {name: tables[name].rows(read[name].positions.tolist()) for name in tables}
    if not has_values:
        _check_labels(readable, class_names, label_names)
    if label_names or has_values:
        class_names = list(label_names)
    else:
        class_names = class_names or sorted_names(readable["train"].labels)
        warn_of_class_names(class_names)
        warn_of_absent_classes({n: set(one.labels) for n, one in readable.items()}, class_names)
    number_of = {name: number for number, name in enumerate(class_names)}

    def part(name: str, table: TextTable, rows: ImageRows, positions: np.ndarray) -> ImagePart:
        count = len(sources[name].names)
        if has_values:
            values = np.array([float(label) for label in table.labels], "float32")
            return ImagePart(rows, values, positions, count)
        labels = [[*map(int, row)] if label_names else number_of[row] for row in table.labels]
        return ImagePart(rows, np.array(labels, "int32"), positions, count)

    parts = {
        name: part(name, readable[name], one.rows, one.positions) for name, one in read.items()
    }
    is_divided = "validation" not in parts
    if is_divided:
        train, of_all = readable["train"], read["train"]
        # Combinations of labels may be rare, so that they are no classes to be divided by.
        split = split_values if label_names or has_values else split_table
        divided = split(train, [n for n in ("validation", "test") if n not in parts])
        row_of = {number: row for row, number in enumerate(train.numbers)}
        for name, table in divided.items():
            rows = np.array([row_of[number] for number in table.numbers])
            taken = train.rows(rows.tolist())
            if name == "train" and not has_values:
                _check_labels({"train": taken}, class_names, label_names)
            parts[name] = part("train", taken, of_all.rows.taking(rows), of_all.positions[rows])
    _warn_of_duplicates(parts)
    output = "values" if has_values else "labels" if label_names else "classes"
    return LabelledImages(class_names, parts, is_divided, output)


def _check_labels(
    tables: Mapping[str, TextTable],
    class_names: Sequence[str] | None,
    label_names: Sequence[str],
) -> None:
    """Refuses a single class, a label that is always the same, and classes that training lacks.

    Args: as of `labelled_images`.
    """
    if not label_names:
        _check_classes(tables, class_names)
        return
    train = tables["train"]
    for column, name in enumerate(label_names):
        if len(present := {row[column] for row in train.labels}) < 2:
            raise SettingError(
                f"Expected images with and without the label {name!r} in {train.source}, received "
                f"{', '.join(present) or 'none'} for all of them; leave it out of "
                f"{argument('label_column')}."
            )


def _check_classes(tables: Mapping[str, TextTable], class_names: Sequence[str] | None) -> None:
    train = tables["train"]
    present = sorted_names(train.labels)
    if len(present) < 2:
        received = f"{present[0]!r} alone" if present else "none"
        raise SettingError(
            f"Expected images of at least two classes in {train.source}, received {received}; give "
            "each class a folder, or choose another column of labels with "
            f"{argument('label_column')}."
        )
    known = set(present if class_names is None else class_names)
    for table in tables.values():
        for row, label in enumerate(table.labels):
            if label not in known:
                kind = f"a class that training has for {table.texts[0][row]!r} of {table.source},"
                raise SettingError(unknown_name(kind, label, known))


def check_broken(
    sources: Mapping[str, Source], broken: Mapping[str, Mapping[int, str]], choice: str
) -> None:
    """Refuses images that cannot be read, or warns that they are left out.

    Args:
        sources: All images, by part.
        broken: Number of each of them that cannot be read -> the reason, by part.
        choice: "refuse" or "skip".

    Raises:
        ValueError: If they are refused, or all images of a part are broken.
    """
    found = [
        f"{sources[part].names[number]!r} ({reason})"
        for part, reasons in broken.items()
        for number, reason in reasons.items()
    ]
    if not found:
        return
    count = sum(len(source.names) for source in sources.values())
    more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
    line = (
        f"Expected images that can be read, received {len(found):,} of {count:,} that cannot: "
        f"{', '.join(found[:NAMED])}{more}"
    )
    if choice == "skip":
        for part, reasons in broken.items():
            if reasons and len(reasons) == len(sources[part].names):
                of_part = f" in the {part} part" if part else ""
                raise SettingError(f"{line}; repair some, since none is left{of_part}.")
        warnings.warn(f"{line}; they are left out.", BrokenImages, stacklevel=3)
    else:
        raise SettingError(
            f"{line}; repair or remove them, or leave them out with {argument('broken_images')} "
            "skip."
        )


def mean_and_deviation(rows: ImageRows, most: int = 2000) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over all pixels, in [0, 1].

    Args:
        rows: Images.
        most: Of more images so many are measured, evenly spaced.

    Returns:
        Three numbers each, rounded to four digits; of a channel without variation the deviation
        is 1.
    """
    indices = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype("int64"))
    total, squares, count = np.zeros(3), np.zeros(3), 0
    for start in range(0, len(indices), 64):
        values = rows[indices[start : start + 64]].astype("float64").reshape(-1, 3) / 255
        total, squares = total + values.sum(0), squares + np.square(values).sum(0)
        count += len(values)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    rounded = np.round(deviation, 4)
    return np.round(mean, 4).tolist(), np.where(rounded > 0, rounded, 1.0).tolist()


def _warn_of_duplicates(parts: Mapping[str, ImagePart]) -> None:
    seen: set[bytes] = set()
    for name in ("train", "validation", "test"):
        if name not in parts:
            continue
        rows = parts[name].rows
        digests = [row.tobytes() for row in rows.digests]
        repeated = [row for row, digest in enumerate(digests) if digest in seen]
        if repeated:
            warnings.warn(
                f"Expected the {name} part to have no image of the parts before it, received "
                f"{len(repeated):,} again, the first {rows.name_of(repeated[0])!r}; remove "
                "duplicates, or results will look too good.",
                DuplicateImages,
                stacklevel=4,
            )
        seen.update(digests)
