"""What the readers of all formats share; imports no NumPy."""

import contextlib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from keras_prokt.data.formats.encodings import (
    how_to_convert,
    likely_encodings,
    read_as,
    wide_encoding,
)
from keras_prokt.data.formats.other_kinds import other_kind
from keras_prokt.names import unknown_name


class UnknownColumn(ValueError):
    """A table has no column of that name."""


Rows = Iterator[tuple[int, Sequence[Any]]]
"""Where each row begins, its line or its number from 1, with the values of the wanted columns."""


Records = Iterator[tuple[int, Mapping[str, Any]]]
"""Where each row begins, as in `Rows`, with all that it holds, by the name of the column."""


@dataclass(frozen=True)
class Format:
    """One row of `FORMATS`: a kind of file that holds a table.

    Attributes:
        read: The rows of a file that exists, with the values of some columns; raises `ValueError`
            with the place of what cannot be read, and `UnknownColumn`.
        records: The same rows with all their columns; takes the file, and names of columns that
            it has.
        unit: What the rows are numbered by, "line" or "row".
        has_numbers: Whether numbers are told from texts.
    """

    read: Callable[[Path, Sequence[str]], Rows]
    records: Callable[[Path, Sequence[str]], Records]
    unit: str = "line"
    has_numbers: bool = True


def is_blank(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)  # what pandas writes for a missing value
    return value is None or (isinstance(value, str) and not value.strip())


def check_columns(
    columns: Iterable[str],
    known: Iterable[str],
    place: str,
    advice: str = "use one of those.",
) -> None:
    known = list(known)
    for name in columns:
        if name not in known:
            raise UnknownColumn(unknown_name(f"a column at {place}", name, known, advice=advice))


def check_kind(path: Path, start: bytes) -> None:
    """Refuses a file that is of another kind than its name says, by how it begins."""
    if (found := other_kind(start)) is not None:
        kind, advice = found
        raise ValueError(
            f"Expected a {path.suffix.lower()} file, received {kind} in {str(path)!r}; {advice}."
        )


@contextlib.contextmanager
def opened(path: Path, newline: Literal["", "\n"] = "") -> Iterator[TextIO]:
    """A text file, read as its lines are wanted; line breaks stay what they are.

    Args:
        path: The file.
        newline: What ends a line, "" for carriage returns too.

    Raises:
        ValueError: If it cannot be read, is of another kind, or is not in UTF-8, with its likely
            encoding.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_START)
        check_kind(path, start)
        if (wide := wide_encoding(start)) is not None:
            advice = how_to_convert(path, [wide])
            raise ValueError(f"Expected text in UTF-8, received {wide} in {path}; {advice}.")
        with path.open(encoding="utf-8-sig", newline=newline) as text:
            yield text
    except OSError as error:
        raise ValueError(
            f"Expected a readable file, received {str(path)!r} ({error.strerror}); check its "
            "permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise _other_encoding(path) from error


_START = 4096
"""Bytes in which it shows what a file is."""


def decoded(path: Path) -> str:
    """The whole text of a file.

    Raises:
        ValueError: As `opened`.
    """
    with opened(path) as text:
        return text.read()


def _other_encoding(path: Path) -> ValueError:
    """What is said of a file that is not in UTF-8."""
    content = path.read_bytes()
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8")
        line = len(re.findall(r"\r\n|\r|\n", before)) + 1
        encodings = likely_encodings(content)
        perhaps = [f"{name} ({read_as(content, error.start, name)!r})" for name in encodings]
        return ValueError(
            f"{_not_utf8(error)} at {path}, line {line}, perhaps of {' or '.join(perhaps)}; "
            f"{how_to_convert(path, encodings)}."
        )
    return ValueError(f"Expected {path} to stay as it is, received a change; try again.")


def not_utf8(error: UnicodeDecodeError, place: str) -> ValueError:
    return ValueError(f"{_not_utf8(error)} at {place}; write it again with texts in UTF-8.")


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"Expected text in UTF-8, received the byte 0x{error.object[error.start]:02x}"
