"""Texts with their labels in memory, each cell checked; imports no NumPy and no Keras."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keras_prokt.arguments import shown
from keras_prokt.data.formats.base import is_blank
from keras_prokt.settings import SettingError, argument

UNLABELLED = -1
"""Number of the class of a row without a label."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

_REGRESSION = (
    f"for regression say {argument('output')} values; otherwise choose another column with "
    f"{argument('label_column')}, or write classes as "
)
_AS_STRINGS = f"{_REGRESSION}strings."
_AS_WORDS = f"{_REGRESSION}words."


@dataclass(frozen=True)
class TextTable:
    """Texts with their labels in memory.

    Args:
        source: What messages call it: the path of the file, or the name of the set and its split.
        texts: A list of texts a column, one or two.
        labels: The name of each row's class, "" of one without, or its value as Python writes a
            float; empty where labels are not read.
        numbers: Where each row begins: its line in the file or its number, from 1.
        unit: What `numbers` count, "line" or "row".
    """

    source: str
    texts: tuple[list[str], ...]
    labels: list[str]
    numbers: list[int]
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.numbers)

    def place(self, row: int) -> str:
        """Where a row (from 0) is, for messages."""
        return f"{self.source}, {self.unit} {self.numbers[row]}"

    def rows(self, keep: Sequence[int]) -> "TextTable":
        """The table of some of the rows."""
        return replace(
            self,
            texts=tuple([column[i] for i in keep] for column in self.texts),
            labels=[self.labels[i] for i in keep] if self.labels else [],
            numbers=[self.numbers[i] for i in keep],
        )


def make_table(
    source: str,
    text_columns: Sequence[str],
    label_column: str | None,
    rows: Iterable[tuple[int, Sequence[Any]]],
    unit: str,
    *,
    has_numbers: bool = True,
    unlabelled_rows: bool = False,
    has_values: bool = False,
    column_setting: str = "text_columns",
) -> TextTable:
    """The table of rows that hold the values of the columns, the label last.

    Args:
        source: As in `TextTable`.
        text_columns: Names of the columns of texts.
        label_column: Name of that of labels, or `None`.
        rows: Where each row begins, and its values.
        unit: As in `TextTable`.
        has_numbers: Whether numbers among the values are no texts.
        unlabelled_rows: Whether a row may have an empty label.
        has_values: Whether labels are numbers to be predicted, and not classes.
        column_setting: The setting that names the columns of texts, for messages.
    """
    label_advice = "fill it in or remove the row"
    if column_setting == "text_columns":
        option = argument("unlabelled_rows")
        label_advice = f"fill it in, remove the row, or say that it has none, {option}"
    table = TextTable(source, tuple([] for _ in text_columns), [], [], unit)
    for number, values in rows:
        place = f"{source}, {unit} {number}"
        for column, name, value in zip(
            table.texts, text_columns, values, strict=False
        ):  # a label follows
            column.append(checked_text(value, name, place, column_setting))
        if label_column is not None:
            if unlabelled_rows and is_blank(values[-1]):
                label = ""
            elif has_values:
                label = _checked_value(values[-1], label_column, place)
            else:
                label = _checked_label(values[-1], label_column, place, label_advice)
            table.labels.append(label)
        table.numbers.append(number)
    if not table.numbers:
        raise ValueError(f"Expected rows, received none in {source}; add rows.")
    if label_column is not None and not has_numbers and not has_values:
        _read_numbers(table, label_column)
    return table


_WITH_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+")


def _read_numbers(table: TextTable, column: str) -> None:
    """Labels that all are numbers, written as texts: whole ones, otherwise they are refused.

    The spreadsheets of many countries write a comma in place of the point: `1,0` is 1, as `1.0`
    is. `1,000` stays what it is, since it may be a thousand.
    """
    labels = [label for label in table.labels if label]
    commas = [label for label in labels if _WITH_COMMA.fullmatch(label)]
    if commas and all(map(_THOUSANDS.fullmatch, commas)):
        return
    if not all(_NUMBER.fullmatch(label) or _WITH_COMMA.fullmatch(label) for label in labels):
        return
    for row, label in enumerate(table.labels):
        number = _whole(label.replace(",", "."))
        if label and not number.lstrip("+-").isdecimal():
            raise _no_class(f"{label!r}", column, table.place(row), _AS_WORDS)
        table.labels[row] = number


def _whole(label: str) -> str:
    """A number with nothing but zeros behind its point without these."""
    if re.fullmatch(r"[+-]?[0-9]{1,4000}\.0+", label):
        return str(int(label.partition(".")[0]))
    return label


def _no_class(received: str, column: str, place: str, advice: str) -> SettingError:
    return SettingError(
        f"Expected a label that is an integer or a string in column {column!r}, received "
        f"{received} at {place}; {advice}"
    )


def checked_text(value: Any, column: str, place: str, column_setting: str) -> str:
    """A text of a table as it is.

    Args:
        value: What stands there.
        column: The column.
        place: Where, for messages.
        column_setting: The setting that names the column, for messages.

    Raises:
        ValueError: If it is empty, no text, or holds half a character.
    """
    _check_filled("a text", value, column, place)
    if not isinstance(value, str):
        raise SettingError(
            f"Expected a text in column {column!r}, received {shown(value)} "
            f"({type(value).__name__}) at "
            f"{place}; write it as a string, or choose another column with "
            f"{argument(column_setting)}."
        )
    _check_characters(value, column, place)
    return value


def _checked_label(value: Any, column: str, place: str, advice_if_empty: str) -> str:
    _check_filled("a label", value, column, place, advice_if_empty)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int):
        advice = _AS_STRINGS if isinstance(value, float) else "write it as one of these."
        raise _no_class(f"{shown(value)} ({type(value).__name__})", column, place, advice)
    label = _whole(str(value).strip())
    _check_characters(label, column, place)
    return label


def _checked_value(value: Any, column: str, place: str) -> str:
    """A number as Python writes a float; that of a spreadsheet may have a comma for the point."""
    _check_filled("a number", value, column, place)
    text = str(value).strip()
    if _WITH_COMMA.fullmatch(text) and not _THOUSANDS.fullmatch(text):
        text = text.replace(",", ".")
    is_number = not isinstance(value, bool) and _NUMBER.fullmatch(text) is not None
    if not is_number or abs(float(text)) > _LARGEST:
        raise SettingError(
            f"Expected a number of at most {_LARGEST:g} in column {column!r}, received "
            f"{shown(value)} at {place}; write it as 1234.5, or choose another column with "
            f"{argument('label_column')}."
        )
    return repr(float(text))


_LARGEST = 1e18
"""Of numbers to be predicted: float32 holds its square."""


def _check_filled(
    what: str,
    value: Any,
    column: str,
    place: str,
    advice: str = "fill it in or remove the row",
) -> None:
    if is_blank(value):
        raise SettingError(
            f"Expected {what} in column {column!r}, received an empty one at {place}; {advice}."
        )


def _check_characters(value: str, column: str, place: str) -> None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"Expected whole characters in column {column!r}, received half of a surrogate pair "
            f"({value[error.start]!r}) at {place}; write the character itself or both halves."
        ) from error
