"""What `predict` is asked about: texts, images or numbers, read in parts.

This module imports no Keras.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from keras_prokt.data.columns import Column, own_columns, texts_of
from keras_prokt.data.formats import format_of
from keras_prokt.data.image_rows import ImageRows, read_images
from keras_prokt.data.image_table import list_files, read_image_column
from keras_prokt.data.images import check_broken
from keras_prokt.data.table_parts import Row, TableParts, check_table
from keras_prokt.data.text_table import checked_text
from keras_prokt.front_ends import ImageFrontEnd, TextFrontEnd
from keras_prokt.settings import SettingError, argument

if TYPE_CHECKING:
    from keras_prokt.runs.predictors import Predictor


class Origin(NamedTuple):
    """Which rows of the data are classified, or some of them."""

    place: Column
    """Where each of them is."""
    records: Sequence[Mapping[str, Any]] = ()
    """All that each of them holds, by the name of the column."""
    names: Sequence[str] | None = None
    """Names of all columns, if those of other rows are among them."""

    def columns(self, taken: Iterable[str], *, as_texts: bool) -> list[Column]:
        """Columns that say so.

        Args:
            taken: Names of the columns beside them.
            as_texts: Whether what the rows hold is to be texts.
        """
        own = own_columns(self.records, {*taken, self.place[0]}, self.names)
        return [self.place, *((n, texts_of(values) if as_texts else values) for n, values in own)]


class Rows(Protocol):
    """What is to be classified, of which some rows are in memory."""

    def __len__(self) -> int: ...

    def parts(self, size: int) -> Iterator[Any]:
        """What a model is asked about, so many rows at once."""

    def ask(self, predictor: "Predictor", part: Any) -> np.ndarray:
        """A model's logits of one of the parts."""

    def origins(self, size: int) -> Iterator[Origin]:
        """Which rows those of each part are."""

    def digest(self) -> str:
        """What they are, so that kept predictions are of the same rows."""


def _in_parts(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    left = iter(rows)
    while part := list(itertools.islice(left, size)):
        yield part


def _origins_of_table(table: TableParts, rows: Iterable[Row], size: int) -> Iterator[Origin]:
    for part in _in_parts(rows, size):
        numbers, records = zip(*part, strict=True)
        yield Origin((table.unit, numbers), records, table.names)


@dataclass(frozen=True)
class TextRows:
    """Texts of a table."""

    table: TableParts

    def __len__(self) -> int:
        return self.table.count

    def parts(self, size: int) -> Iterator[list[list[str]]]:
        for part in _in_parts(self.table.rows(), size):
            yield [[record[name] for _, record in part] for name in self.table.columns]

    def ask(self, predictor: "Predictor", part: list[list[str]]) -> np.ndarray:
        return predictor.texts(part)

    def origins(self, size: int) -> Iterator[Origin]:
        return _origins_of_table(self.table, self.table.rows(), size)

    def digest(self) -> str:
        return self.table.digest


@dataclass(frozen=True)
class PixelRows:
    """Images of a folder or table, read as in training.

    Args:
        images: Those that can be read.
        channels: Of what the model reads.
        positions: Number of each of them among all.
        paths: Of all.
        table: What lists them, if a table does.
    """

    images: ImageRows
    channels: int
    positions: np.ndarray
    paths: Sequence[str]
    table: TableParts | None = None

    def __len__(self) -> int:
        return len(self.images)

    def parts(self, size: int) -> Iterator[slice]:
        return (slice(start, start + size) for start in range(0, len(self), size))

    def ask(self, predictor: "Predictor", part: slice) -> np.ndarray:
        pixels = self.images[np.arange(len(self))[part]]
        if self.channels == 1:  # as Pillow makes them grey
            pixels = np.rint(pixels @ np.array([0.299, 0.587, 0.114])[:, None]).astype("uint8")
        return predictor.images(pixels)

    def origins(self, size: int) -> Iterator[Origin]:
        if self.table is None:
            for part in self.parts(size):
                yield Origin(("path", [self.paths[number] for number in self.positions[part]]))
            return
        kept = np.zeros(len(self.paths), bool)
        kept[self.positions] = True
        rows = itertools.compress(self.table.rows(), kept)
        yield from _origins_of_table(self.table, rows, size)

    def digest(self) -> str:
        return self.images.digest().hex()


@dataclass(frozen=True)
class NumberRows:
    """Columns of a table, one value an example for each input of the model.

    Args:
        table: The table.
        dtypes: Of each input, by its name.
    """

    table: TableParts
    dtypes: Mapping[str, str]

    def __len__(self) -> int:
        return self.table.count

    def parts(self, size: int) -> Iterator[dict[str, np.ndarray]]:
        for part in _in_parts(self.table.rows(), size):
            yield {
                name: np.array(
                    [_value(record[name], dtype, name, "") for _, record in part],
                    "O" if dtype == "string" else dtype,
                )
                for name, dtype in self.dtypes.items()
            }

    def ask(self, predictor: "Predictor", part: dict[str, np.ndarray]) -> np.ndarray:
        return predictor.numbers(part)

    def origins(self, size: int) -> Iterator[Origin]:
        return _origins_of_table(self.table, self.table.rows(), size)

    def digest(self) -> str:
        return self.table.digest


def text_rows(data: Path, front_end: TextFrontEnd, columns: tuple[str, ...] | None) -> TextRows:
    """The texts of a table.

    Args:
        data: The table.
        front_end: Of the model.
        columns: The columns of its texts, as far as anybody has said.

    Raises:
        ValueError: If they are not as many as the model reads, or it cannot be read.
    """
    if columns is None or len(columns) != (2 if front_end.pair else 1):
        names = "FIRST,SECOND" if front_end.pair else "COLUMN"
        raise SettingError(
            f"Expected {argument('text_columns')} {names} for a model of "
            f"{'pairs' if front_end.pair else 'single texts'}, received "
            f"{'none' if columns is None else ','.join(columns)}; name its columns."
        )

    def check(values: Sequence[Any], place: str) -> None:
        for name, value in zip(columns, values, strict=True):
            checked_text(value, name, place, "text_columns")

    return TextRows(check_table(data, columns, check))


def pixel_rows(
    data: Path,
    front_end: ImageFrontEnd,
    text_columns: tuple[str, ...] | None,
    *,
    image_column: str | None,
    broken_images: str,
) -> PixelRows:
    """The images of a folder, or those that a table lists.

    Args:
        data: The folder or table.
        front_end: Of the model.
        text_columns: The column of paths that the user has named.
        image_column: That of the model's training.
        broken_images: What is done with those that cannot be read, as in a run.

    Raises:
        ValueError: If there are none, or some cannot be read.
    """
    columns = text_columns or ((image_column,) if image_column else None)
    table = None
    if data.is_dir():
        if text_columns is not None:
            raise no_columns(data, text_columns, "as a folder of images, which has no columns")
        images = list_files(data)
    else:
        format_of(data)
        if columns is None or len(columns) != 1:
            raise SettingError(
                f"Expected one column of paths in {argument('text_columns')} with a table of "
                f"images, received {'none' if columns is None else ','.join(columns)}; name it."
            )
        images = read_image_column(data, columns[0], None, setting="text_columns")
        table = check_table(data, columns, lambda values, place: None)
    files = images.source
    size = (front_end.size[0], front_end.size[1])
    found = read_images(
        files,
        size,
        crop_to_aspect_ratio=front_end.crop_to_aspect_ratio,
        cache_images="never",
    )
    check_broken({"": files}, {"": found.broken}, broken_images)
    return PixelRows(found.rows, len(front_end.mean), found.positions, images.paths, table)


def no_columns(data: Path, text_columns: tuple[str, ...], reason: str) -> SettingError:
    """What is said of columns that nothing reads."""
    return SettingError(
        f"Expected no {argument('text_columns')} with {str(data)!r}, which is read {reason}, "
        f"received {','.join(text_columns)}; leave it out."
    )


def number_rows(predictor: "Predictor", data: Path) -> NumberRows:
    """The columns of a table that are the inputs of a model.

    Args:
        predictor: The model.
        data: The table.

    Raises:
        ValueError: If the model reads no single values, or the table does not hold them.
    """
    inputs = predictor.number_inputs
    if not inputs or predictor.described.front_end is not None:
        raise ValueError(
            "Expected a model of texts, of images, or of inputs that are one value each, received "
            f"{str(predictor.path)!r}; ask its SavedModel for what it reads."
        )

    def check(values: Sequence[Any], place: str) -> None:
        for (name, dtype), value in zip(inputs.items(), values, strict=True):
            _value(value, dtype, name, place)

    return NumberRows(check_table(data, list(inputs), check), inputs)


def _value(value: Any, dtype: str, name: str, place: str) -> Any:
    if dtype == "string":
        return "" if value is None else str(value)
    is_whole = dtype.startswith(("int", "uint"))
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        if not is_whole:
            return float(value)
        limits, number = np.iinfo(dtype), _whole_number(value)
        if limits.min <= number <= limits.max:
            return number
    kind = f"a whole number ({dtype})" if is_whole else "a number"
    otherwise = "" if is_whole else ", or write nan if the model takes missing values"
    raise ValueError(
        f"Expected {kind} in column {name!r}, received {value!r} at {place}; correct it{otherwise}."
    )


def _whole_number(value: Any) -> int:
    """A number without a fraction, of a text too; not by way of floats, which are exact to 2⁵³."""
    if isinstance(value, int):
        return value
    with contextlib.suppress(ValueError):
        if isinstance(value, str):
            return int(value)
    number = float(value)
    if not number.is_integer():
        raise ValueError("a fraction")
    return int(number)
