"""What the readers of all formats share; imports no NumPy."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_prokt.data.formats.encodings import how_to_convert, likely_encodings, wide_encoding
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


def check_columns(columns: Iterable[str], known: Iterable[str], place: str) -> None:
    known = list(known)
    for name in columns:
        if name not in known:
            raise UnknownColumn(unknown_name(f"a column at {place}", name, known))


def decoded(path: Path) -> str:
    """The text of a file.

    Raises:
        ValueError: If it cannot be read, or is not in UTF-8, with its likely encoding.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"Expected a readable file, received {str(path)!r} ({error.strerror}); check its "
            "permissions."
        ) from error
    if (wide := wide_encoding(content)) is not None:
        raise ValueError(
            f"Expected text in UTF-8, received {wide} in {path}; {how_to_convert(path, [wide])}."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8")
        line = len(re.findall(r"\r\n|\r|\n", before)) + 1
        encodings = likely_encodings(content)
        raise ValueError(
            f"{_not_utf8(error)} at {path}, line {line}, perhaps of {' or '.join(encodings)}; "
            f"{how_to_convert(path, encodings)}."
        ) from error


def not_utf8(error: UnicodeDecodeError, place: str) -> ValueError:
    return ValueError(f"{_not_utf8(error)} at {place}; write it again with texts in UTF-8.")


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"Expected text in UTF-8, received the byte 0x{error.object[error.start]:02x}"
