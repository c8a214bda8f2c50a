"""CSV and TSV, with or without quotes around fields; imports no NumPy."""

import contextlib
import csv
import io
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from keras_prokt.data.formats.base import (
    Records,
    Rows,
    UnknownColumn,
    check_columns,
    decoded,
    is_blank,
)

SEPARATORS = (",", ";", "\t", "|")
"""What may stand between the fields of a `.csv`; the first with which a header has the columns."""

_NAMED = re.compile(r"sep=(.)(?:\r\n|\r|\n)", re.IGNORECASE)
"""A first line by which spreadsheets say what stands between the fields."""


def csv_rows(path: Path, columns: Sequence[str]) -> Rows:
    """The rows of a file with commas between its fields, or what its header has instead."""
    yield from _delimited_rows(path, columns, partial(_separated_records, columns=columns))


def csv_records(path: Path, columns: Sequence[str]) -> Records:
    """All columns of each row of such a file."""
    yield from _all_columns(path, partial(_separated_records, columns=columns))


def tsv_rows(path: Path, columns: Sequence[str]) -> Rows:
    """The rows of a file with tabs between its fields, quoted or not."""
    yield from _delimited_rows(path, columns, _tsv_records)


def tsv_records(path: Path, columns: Sequence[str]) -> Records:
    """All columns of each row of such a file."""
    yield from _all_columns(path, _tsv_records)


def _all_columns(
    path: Path, records_of: Callable[[str, str], Iterable[tuple[int, list[str]]]]
) -> Records:
    """All columns whose name no other one has."""
    _, header = next(iter(records_of(str(path), decoded(path))), (1, []))
    names = [name.strip() for name in header]
    unique = [name for name in names if name and names.count(name) == 1]
    for line, values in _delimited_rows(path, unique, records_of):
        yield line, dict(zip(unique, values, strict=True))


def _separated_records(
    source: str, content: str, columns: Sequence[str]
) -> Iterable[tuple[int, list[str]]]:
    """As `_csv_records`, with what separates the fields found out."""
    if named := _NAMED.match(content):
        return _csv_records(source, content[named.end() :], named[1], first_line=2)
    for separator in SEPARATORS:
        with contextlib.suppress(ValueError):
            _, header = next(_csv_records(source, content, separator), (1, []))
            if set(columns) <= {name.strip() for name in header}:
                return _csv_records(source, content, separator)
    return _csv_records(source, content)


def _delimited_rows(
    path: Path,
    columns: Sequence[str],
    records_of: Callable[[str, str], Iterable[tuple[int, list[str]]]],
) -> Rows:
    source, content = str(path), decoded(path)
    with _csv_fields_as_long_as(len(content)):
        records = iter(records_of(source, content))
        line, header = next(records, (1, None))
        if header is None:
            raise ValueError(
                f"Expected a header with the names of the columns, received nothing in {source}; "
                "write it into line 1."
            )
        names = _checked_header(header, columns, f"{source}, line {line}")
        positions = [names.index(name) for name in columns]
        for line, fields in records:
            if len(fields) != len(names):
                raise ValueError(
                    f"Expected {len(names)} fields as in the header, received {len(fields)} at "
                    f"{source}, line {line}; put fields that hold a separator or a line break in "
                    "double quotes."
                )
            yield line, [fields[position] for position in positions]


def _checked_header(header: list[str], columns: Sequence[str], place: str) -> list[str]:
    """The names of all columns, among which each wanted one is once."""
    header = [name.strip() for name in header]
    if len(header) == 1:
        _check_separated(header[0], columns, place)
    check_columns(columns, header, place)
    for name in columns:
        if header.count(name) > 1:
            raise ValueError(
                f"Expected one column {name!r}, received {header.count(name)} at {place}; rename "
                "all but one."
            )
    return header


def _check_separated(field: str, columns: Sequence[str], place: str) -> None:
    """Refuses a header of one field that holds the names of all columns, and others too."""
    if all(name in field for name in columns) and set(columns) - {field}:
        raise UnknownColumn(
            f"Expected several fields in the header, received one, {field!r}, at {place}; separate "
            "them with a comma, semicolon, tab or bar, those of a .tsv with a tab."
        )


_CSV_LIMIT = threading.Lock()


@contextlib.contextmanager
def _csv_fields_as_long_as(characters: int) -> Iterator[None]:
    """Lets fields be that long: the module `csv` refuses 131,073 characters, for all its users."""
    with _CSV_LIMIT:
        usual = csv.field_size_limit()
        try:
            # No more than a C long holds everywhere.
            csv.field_size_limit(max(usual, min(characters, 2**31 - 1)))
            yield
        finally:
            csv.field_size_limit(usual)


def _tsv_records(source: str, content: str) -> list[tuple[int, list[str]]]:
    """As `_csv_records`, with quotes around fields or in texts, as `read_table` says."""
    literal = list(_csv_records(source, content, "\t", csv.QUOTE_NONE))
    header = literal[0][1] if literal else []
    uneven = [(line, len(fields)) for line, fields in literal if len(fields) != len(header)]
    may_be_literal = not any(name.startswith('"') for name in header)
    try:
        quoted = list(_csv_records(source, content, "\t"))
    except ValueError as error:
        if not may_be_literal:
            raise
        if not uneven:
            return literal
        line, count = uneven[0]
        raise ValueError(
            f"{str(error).removesuffix('.')}; or, if its quotes belong to the texts, give line "
            f"{line} the {len(header)} fields of the header, not {count}."
        ) from error
    if may_be_literal and not uneven:
        texts = (field for _, fields in quoted for field in fields)
        if any(re.search(r"[\t\r\n]", text) for text in texts):
            return literal
    return quoted


def _csv_records(
    source: str,
    content: str,
    delimiter: str = ",",
    quoting: int = csv.QUOTE_MINIMAL,
    first_line: int = 1,
) -> Iterator[tuple[int, list[str]]]:
    """Every record that is not wholly empty, with the line in which it begins."""
    # Without translation, so that line breaks inside fields stay what they are.
    lines = io.StringIO(content, newline="")
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    line = first_line
    try:
        for fields in reader:
            if not all(map(is_blank, fields)):
                yield line, fields
            line = reader.line_num + first_line
    except csv.Error as error:
        raise ValueError(
            f"Expected fields separated by {delimiter!r}, received a record that cannot be read "
            f"({error}) at {source}, line {line}; close its double quotes, and write quotes inside "
            "a quoted field twice."
        ) from error
