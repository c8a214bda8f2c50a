"""A table of any length, some rows of it in memory: what is classified. Imports no Keras."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_prokt.data.formats import format_of
from keras_prokt.data.formats.base import check_columns

Row = tuple[int, Mapping[str, Any]]
"""Where a row begins, and all that it holds, by the name of the column."""


@dataclass(frozen=True)
class TableParts:
    """A table that has been checked, and is read again whenever its rows are wanted.

    Args:
        path: The file.
        columns: Columns that each row has.
        unit: What rows are numbered by, "line" or "row".
        count: Number of rows.
        names: Names of all columns, in the order in which they appear.
        digest: SHA-256 of the columns, hexadecimal.
        state: Size and time of change of the file.
    """

    path: Path
    columns: tuple[str, ...]
    unit: str
    count: int
    names: tuple[str, ...]
    digest: str
    state: tuple[int, int]

    def rows(self) -> Iterator[Row]:
        """All rows, one after the other.

        Raises:
            ValueError: If the file has changed since it was checked.
        """
        self._check_unchanged()
        yield from _rows(self.path, self.columns)
        self._check_unchanged()

    def _check_unchanged(self) -> None:
        if not self.path.is_file() or _state(self.path) != self.state:
            raise ValueError(
                f"Expected {str(self.path)!r} to stay as it is while it is read, received a "
                "change; begin again."
            )


def check_table(
    path: Path, columns: Sequence[str], check: Callable[[Sequence[Any], str], object]
) -> TableParts:
    """Reads a table once, a row at a time, and refuses what is wrong with it.

    Args:
        path: A file of one of `keras_prokt.data.formats.FORMATS`.
        columns: Columns that it has to have.
        check: Takes the values of these columns and the place of the row, and refuses what is
            wrong with them.

    Raises:
        ValueError: As `keras_prokt.data.table.read_table`, and as `check`.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_prokt.data.table_parts import check_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "reviews.csv")
    ...     _ = path.write_text("id,body\\n7,Good\\n8,Bad\\n")
    ...     table = check_table(path, ["body"], lambda values, place: None)
    ...     list(table.rows()), table.names
    ([(2, {'id': '7', 'body': 'Good'}), (3, {'id': '8', 'body': 'Bad'})], ('id', 'body'))
    """
    unit = format_of(path).unit
    state = _state(path)
    names: dict[str, None] = {}
    digest, count, encode = hashlib.sha256(), 0, json.JSONEncoder(default=str).encode
    for number, record in _rows(path, columns):
        if not record.keys() <= names.keys():
            names.update(dict.fromkeys(record))
        values = [record[name] for name in columns]
        check(values, f"{path}, {unit} {number}")
        digest.update(encode(values).encode() + b"\n")
        count += 1
    if not count:
        raise ValueError(f"Expected rows, received none in {path}; add rows.")
    return TableParts(path, tuple(columns), unit, count, tuple(names), digest.hexdigest(), state)


def _rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    file_format = format_of(path)
    # Of wrong names of columns the reader of some columns says most.
    with contextlib.closing(file_format.read(path, columns)) as rows:
        next(rows, None)
    with contextlib.closing(file_format.records(path, columns)) as records:
        for number, record in records:
            if any(name not in record for name in columns):
                check_columns(columns, record, f"{path}, {file_format.unit} {number}")
            yield number, record


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
