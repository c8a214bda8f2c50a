"""Texts and labels of the user's own table, or of any text set of TensorFlow Datasets.

This module imports no NumPy and no Keras, so that apps can be listed at once.
"""

import contextlib
import random
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_prokt.data.class_names import (
    check_repeated_labels,
    sorted_names,
    warn_of_absent_classes,
    warn_of_class_names,
)
from keras_prokt.data.formats import format_of
from keras_prokt.data.formats.base import UnknownColumn, check_columns
from keras_prokt.data.prepared import check_prepared
from keras_prokt.data.text_table import UNLABELLED, TextTable, make_table
from keras_prokt.data.tfds_files import prepared_builder, read_split
from keras_prokt.names import OneLineWarning, unknown_name
from keras_prokt.settings import SettingError, argument

TFDS = "tfds:"
"""What the name of a set of TensorFlow Datasets begins with, in place of a path."""

SPLIT_SEED = 0
"""Seed of the choice of held-out rows; fixed, so that all runs choose on the same ones."""

HELD_OUT_SHARE = 0.1
"""Share of the rows of each class that makes up one held-out part."""


class DuplicateTexts(OneLineWarning):
    """The same text is in two parts that should have none in common."""


class ScaleOfValues(OneLineWarning):
    """Values to be predicted are far larger or smaller than what networks give at first."""


class UnusedSplits(OneLineWarning):
    """Of several splits of TensorFlow Datasets for one part only the first is used."""


@dataclass(frozen=True)
class LabelledTexts:
    """All parts of a data set.

    Args:
        class_names: Names of the classes, in the order of their numbers; none of values.
        parts: "train", "validation" and, unless there is none, "test".
        positions: Of each training row among those of the data set before it was divided, from 0,
            which those of `unlabelled` follow.
        count: How many those are.
    """

    class_names: list[str]
    parts: Mapping[str, TextTable]
    positions: list[int]
    count: int

    def labels(self, part: str) -> list[int] | list[float]:
        """The number of each row's class, `UNLABELLED` of one without a label; or its value."""
        if not self.class_names:
            return [float(label) for label in self.parts[part].labels]
        numbers = {name: number for number, name in enumerate(self.class_names)}
        numbers[""] = UNLABELLED
        return [numbers[label] for label in self.parts[part].labels]


def load_texts(
    dataset: str,
    *,
    text_columns: Sequence[str],
    label_column: str,
    validation: str | None = None,
    test: str | None = None,
    data_dir: str | None = None,
    unlabelled_rows: bool = False,
    unlabelled: str | None = None,
    has_values: bool = False,
) -> LabelledTexts:
    """Reads a labelled data set of texts and cuts off what it has not held out.

    Without a validation part, a tenth of the rows of each class becomes one, and without a test
    part either another tenth becomes that, chosen by `SPLIT_SEED` alone. With a validation part
    and no test part there is no test part.

    Args:
        dataset: A file as `read_table` reads it, or `tfds:` and the name of a set of TensorFlow
            Datasets, whose splits "train", "validation" and "test" are used, a test split with
            hidden labels excepted. Of a set such as `glue/mnli`, which has none of that name, it
            is the first split whose name begins so; others that do are named in a warning.
        text_columns: The column of the texts, or the two of pairs.
        label_column: The column of the labels.
        validation: A file with the same columns to validate on.
        test: A file with the same columns to test on.
        data_dir: Directory of the sets of TensorFlow Datasets; see `tfds_directory`.
        unlabelled_rows: Whether rows of `dataset` may have an empty label; all of them train.
        unlabelled: A file with the columns of texts, whose rows train without a label.
        has_values: Whether labels are numbers to be predicted, all of which are labelled.

    Returns:
        The parts and the class names: those of TensorFlow Datasets, otherwise sorted, numerically
        if all are integers.

    Raises:
        ValueError: As `read_table`; also if training has a single class, a held-out part has a
            class that training lacks, or a class has too few rows to be divided. Messages name the
            file and the line.

    Example:

    ```python
    data = load_texts("reviews.csv", text_columns=["body"], label_column="stars")
    data.class_names, data.parts["train"].texts[0][:3], data.labels("train")[:3]
    ```
    """
    held_out = {"validation": validation, "test": test}
    given = {name: path for name, path in held_out.items() if path is not None}
    columns = (*text_columns, label_column)
    class_names = None
    if dataset.startswith(TFDS):
        _check_no_files(given)
        name = dataset.removeprefix(TFDS)
        parts, class_names = _tfds_parts(name, columns, data_dir, unlabelled_rows, has_values)
    else:
        parts = {
            name: read_table(
                path,
                text_columns=text_columns,
                label_column=label_column,
                unlabelled_rows=unlabelled_rows and name == "train",
                has_values=has_values,
            )
            for name, path in {"train": dataset, **given}.items()
        }
    train = parts["train"]
    present = sorted_names(filter(None, train.labels))
    if not present and unlabelled_rows and "validation" in parts:
        present = sorted_names(parts["validation"].labels)  # training may have no label at all
    if len(present) < 2:
        received = f"{present[0]!r} in each of" if present else "none in any of"
        raise SettingError(
            f"Expected at least two {'values' if has_values else 'classes'} in column "
            f"{label_column!r}, received {received} the {len(train)} rows of {train.source}; "
            f"choose another column with {argument('label_column')}."
        )
    to_divide = [name for name in held_out if name not in parts]
    if has_values:
        class_names = []
        check_scale(train.labels, str(label_column))
    else:
        class_names = class_names or present
        for name in held_out:
            if name in parts:
                _check_known_labels(parts[name], class_names)
        check_repeated_labels(train.labels, train.source)
        warn_of_class_names(class_names)
    if "validation" not in parts:
        parts |= split_values(train, to_divide) if has_values else split_table(train, to_divide)
    position_of = {number: position for position, number in enumerate(train.numbers)}
    positions = [position_of[number] for number in parts["train"].numbers]
    count = len(train)
    if unlabelled is not None:
        more = read_table(unlabelled, text_columns=text_columns, label_column=None)
        parts["train"] = _joined(parts["train"], more)
        positions += range(count, count + len(more))
        count += len(more)
    if not has_values:
        of_parts = {name: set(part.labels) for name, part in parts.items()}
        warn_of_absent_classes(of_parts, class_names)
    _warn_of_duplicates(parts)
    return LabelledTexts(class_names, parts, positions, count)


def check_set(
    dataset: str,
    *,
    validation: str | None = None,
    test: str | None = None,
    data_dir: str | None = None,
) -> None:
    """Refuses what `load_texts` would, of a set of TensorFlow Datasets, without importing those.

    Args: as `load_texts`; `dataset` begins with `tfds:`.

    Raises:
        ValueError: If the set is not there, or files are given beside it.
    """
    held_out = {"validation": validation, "test": test}
    _check_no_files({name: path for name, path in held_out.items() if path is not None})
    check_prepared(dataset.removeprefix(TFDS), data_dir=data_dir)


def _check_no_files(given: Mapping[str, str]) -> None:
    for name, path in given.items():
        raise SettingError(
            f"Expected no {argument(name)} with a set of TensorFlow Datasets, received {path!r}; "
            "its own splits are used."
        )


def read_table(
    path: str | Path,
    *,
    text_columns: Sequence[str],
    label_column: str | None,
    unlabelled_rows: bool = False,
    has_values: bool = False,
    column_setting: str = "text_columns",
) -> TextTable:
    """Reads texts and labels from a file.

    The suffix says the format: `.csv` and `.tsv` with a header, where fields in double quotes may
    hold separators, line breaks and doubled quotes, and a `.csv` may have semicolons, tabs or bars
    in place of commas, as its header or a first line `sep=;` says; `.jsonl` with an object a line;
    `.parquet`, which needs the package `pyarrow`. Text is UTF-8, with or without a byte-order mark.
    Wholly empty rows are skipped.

    Not every `.tsv` quotes its fields; GLUE's do not. Double quotes are characters of the text,
    and every line is a row, if the file cannot be read otherwise, or if a field in quotes would
    hold a tab or a line break although every line has as many fields as the header. A header with
    quotes around a name says that fields are quoted.

    Args:
        path: The file.
        text_columns: The column of the texts, or the two of pairs.
        label_column: The column of the labels: integers, booleans or strings, without spaces
            around them. Whole numbers are integers in every format: `1.0` is the class `1`.
            Fractions are no classes; in JSON Lines and Parquet they may be strings. `None` reads
            no labels.
        unlabelled_rows: Whether a row may have an empty label, which then is `""`.
        has_values: Whether labels are numbers to be predicted, fractions too.
        column_setting: The setting that names the columns, for messages; "image_column" where the
            texts are paths of images.

    Returns:
        The rows in the order of the file.

    Raises:
        ValueError: If the file is missing, unreadable, of another format or without rows, a column
            is missing, a text or a label is empty or of another kind, or a row has more or fewer
            fields than the header. The message names the file and the line.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_prokt.data.table import read_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "reviews.csv")
    ...     _ = path.write_text('stars,body\\n5,"Good,\\nreally"\\n1,Bad\\n')
    ...     table = read_table(path, text_columns=["body"], label_column="stars")
    >>> table.texts, table.labels, table.numbers
    ((['Good,\\nreally', 'Bad'],), ['5', '1'], [2, 4])
    """
    path = Path(path)
    columns = (*text_columns, *([] if label_column is None else [label_column]))
    file_format = format_of(path)
    with contextlib.closing(file_format.read(path, columns)) as rows:
        return make_table(
            str(path),
            text_columns,
            label_column,
            rows,
            file_format.unit,
            has_numbers=file_format.has_numbers,
            unlabelled_rows=unlabelled_rows,
            has_values=has_values,
            column_setting=column_setting,
        )


def read_records(path: str | Path, *, text_columns: Sequence[str]) -> list[Mapping[str, Any]]:
    """All columns of each row that `read_table` reads, in the same order.

    Args:
        path: As in `read_table`, which has read it.
        text_columns: As in `read_table`.
    """
    path = Path(path)
    return [record for _, record in format_of(path).records(path, text_columns)]


def parse_text_columns(text: str, dataset: str | None) -> tuple[str, ...]:
    """The columns that a text names: the whole if the table has such a column, or a list.

    Args:
        text: `COLUMN`, or `FIRST,SECOND` for pairs.
        dataset: The table, as `load_texts` reads it.

    Returns:
        The names, without spaces around them.
    """
    whole = text.strip()
    names = tuple(name.strip() for name in text.split(","))
    path = Path(dataset or "").expanduser()
    # Of other faults of the file reading it says more.
    if len(names) == 1 or not path.is_file():
        return names
    try:
        with contextlib.closing(format_of(path).read(path, [whole])) as rows:
            next(rows, None)
    except UnknownColumn:
        return names
    except ValueError:
        pass
    return (whole,)


def split_table(table: TextTable, held_out: Sequence[str]) -> dict[str, TextTable]:
    """Cuts held-out parts off a table, a tenth of each class for each of them.

    Args:
        table: The rows.
        held_out: Names of the parts to cut off.

    Returns:
        The parts by name, and under "train" the rest, in the order of the table. Every part has at
        least one row of every class; rows without a label are all in "train".

    Raises:
        ValueError: If a class has fewer rows than there are parts.
    """
    rows_of: dict[str, list[int]] = {}
    for row, label in enumerate(table.labels):
        rows_of.setdefault(label, []).append(row)
    unlabelled = rows_of.pop("", [])
    names = ("train", *held_out)
    keep: dict[str, list[int]] = {name: [] for name in names}
    keep["train"] += unlabelled
    generator = random.Random(SPLIT_SEED)
    for label in sorted_names(rows_of):
        rows = rows_of[label]
        if len(rows) < len(names):
            raise SettingError(
                f"Expected at least {len(names)} rows of each class to divide into "
                f"{', '.join(names)}, received {len(rows)} of {label!r}, the first at "
                f"{table.place(rows[0])}; add rows, correct the label, or give a file as "
                f"{argument('validation')}."
            )
        # Of this module's generators only random() is promised to stay the same.
        order = [row for _, row in sorted((generator.random(), row) for row in rows)]
        size = max(1, round(len(rows) * HELD_OUT_SHARE))
        for name in held_out:
            keep[name] += order[:size]
            order = order[size:]
        keep["train"] += order
    return {name: table.rows(sorted(rows)) for name, rows in keep.items()}


def split_values(table: TextTable, held_out: Sequence[str]) -> dict[str, TextTable]:
    """As `split_table` of labels that are no classes: a tenth of all rows for each part."""
    same = split_table(replace(table, labels=["any"] * len(table)), held_out)
    row_of = {number: row for row, number in enumerate(table.numbers)}
    return {
        name: table.rows([row_of[number] for number in part.numbers]) for name, part in same.items()
    }


def check_scale(labels: Sequence[str], column: str) -> None:
    """Warns of values to be predicted that are far larger or smaller than 1.

    Args:
        labels: The values of the training rows.
        column: Where they stand, for the message.
    """
    values = [float(label) for label in labels]
    mean, deviation = statistics.fmean(values), statistics.pstdev(values)
    if not _SMALLEST_SCALE <= deviation <= _LARGEST_SCALE:
        warnings.warn(
            f"Expected values with a standard deviation of about 1 in column {column!r}, received "
            f"{deviation:.3g} about a mean of {mean:.3g}; write (value - {mean:.6g}) / "
            f"{deviation:.6g} in their place, or they are learnt slowly.",
            ScaleOfValues,
            stacklevel=3,
        )


_SMALLEST_SCALE, _LARGEST_SCALE = 0.05, 20.0


def _tfds_parts(
    name: str,
    columns: Sequence[str],
    data_dir: str | None,
    unlabelled_rows: bool = False,
    has_values: bool = False,
) -> tuple[dict[str, TextTable], list[str] | None]:
    """The splits of a set of TensorFlow Datasets, and its class names if it has any."""
    info = prepared_builder(name, data_dir=data_dir).info
    check_columns(columns, info.features, f"{TFDS}{name}")
    if "train" not in info.splits:
        raise ValueError(
            f"Expected a set with a split 'train', received {TFDS}{name} with "
            f"{', '.join(info.splits)}; choose another set."
        )
    class_names = None if has_values else getattr(info.features[columns[-1]], "names", None)
    parts = {}
    for part in ("train", "validation", "test"):
        splits = [split for split in info.splits if split.startswith(part)]
        if not splits:
            continue
        if part in splits:
            splits = [part]
        split = splits[0]
        arrays = read_split(name, split, data_dir=data_dir)
        values = [[_plain(value) for value in arrays[column]] for column in columns]
        if class_names is not None:
            if part == "test" and set(values[-1]) == {-1}:
                continue
            values[-1] = [class_names[i] if i >= 0 else None for i in values[-1]]
        rows = enumerate(zip(*values, strict=True), start=1)
        parts[part] = make_table(
            f"{TFDS}{name} {split}",
            columns[:-1],
            columns[-1],
            rows,
            "row",
            unlabelled_rows=unlabelled_rows and part == "train",
            has_values=has_values,
        )
        if len(splits) > 1:
            warnings.warn(
                f"Expected one {part} split in {TFDS}{name}, received {', '.join(splits)}; "
                f"the first is used, without {', '.join(splits[1:])}.",
                UnusedSplits,
                stacklevel=3,
            )
    return parts, class_names


def _plain(value: Any) -> Any:
    """A value of an array as a plain one; bytes as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _joined(table: TextTable, more: TextTable) -> TextTable:
    """A table, and after it texts without labels."""
    return replace(
        table,
        texts=tuple([*a, *b] for a, b in zip(table.texts, more.texts, strict=True)),
        labels=[*table.labels, *[""] * len(more)],
        numbers=[*table.numbers, *more.numbers],
    )


def _check_known_labels(table: TextTable, class_names: Sequence[str]) -> None:
    for row, label in enumerate(table.labels):
        if label not in class_names:
            kind = f"a label at {table.place(row)} that training has,"
            raise ValueError(unknown_name(kind, label, class_names))


def _warn_of_duplicates(parts: Mapping[str, TextTable]) -> None:
    seen: set[tuple[str, ...]] = set()
    for name in ("train", "validation", "test"):
        if name not in parts:
            continue
        table = parts[name]
        texts = [tuple(text.strip() for text in row) for row in zip(*table.texts, strict=True)]
        repeated = [row for row, text in enumerate(texts) if text in seen]
        if repeated:
            count = "1 text" if len(repeated) == 1 else f"{len(repeated)} texts"
            warnings.warn(
                f"Expected the {name} part to have no text of the parts before it, received "
                f"{count} again, the first at {table.place(repeated[0])}; remove duplicates, or "
                "results will look too good.",
                DuplicateTexts,
                stacklevel=3,
            )
        seen.update(texts)
