"""CSV and TSV, with or without quotes around fields; imports no NumPy."""

import contextlib
import csv
import itertools
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from keras_prokt.data.formats.base import (
    Records,
    Rows,
    UnknownColumn,
    check_columns,
    is_blank,
    opened,
)
from keras_prokt.names import listed

SEPARATORS = (",", ";", "\t", "|")
"""What may stand between the fields of a `.csv`; the first with which a header has the columns."""

_NAMED = re.compile(r'("?)sep=(.)\1(?:\r\n|\r|\n)', re.IGNORECASE)
"""A first line by which spreadsheets say what stands between the fields."""


Fields = tuple[int, list[str]]
"""The line in which a record begins, and its fields."""


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


def _all_columns(path: Path, records_of: Callable[[Path], Iterator[Fields]]) -> Records:
    """All columns whose name no other one has."""
    with _csv_fields_as_long_as(path):
        _, header = _first(records_of(path))
    names = [name.strip() for name in header]
    unique = [name for name in names if name and names.count(name) == 1]
    for line, values in _delimited_rows(path, unique, records_of):
        yield line, dict(zip(unique, values, strict=True))


def _first(records: Iterator[Fields]) -> Fields:
    with contextlib.closing(records):  # type: ignore[type-var]  # a generator
        return next(records, (1, []))


def _separated_records(path: Path, columns: Sequence[str]) -> Iterator[Fields]:
    """As `_csv_records`, with what separates the fields found out."""
    with opened(path) as text:
        named = _NAMED.match(text.readline())
    if named:
        return _csv_records(path, named[2], first_line=2)
    for separator in SEPARATORS:
        with contextlib.suppress(ValueError):
            _, header = _first(_csv_records(path, separator))
            # A space behind each separator stands before quotes too.
            spaced = any(name.startswith(" ") for name in header)
            if spaced:
                _, header = _first(_csv_records(path, separator, skips_spaces=True))
            # A header of one field may hold the names of several, separated otherwise.
            is_separated = separator == SEPARATORS[0] or len(header) > 1
            if is_separated and set(columns) <= {name.strip() for name in header}:
                return _csv_records(path, separator, skips_spaces=spaced)
    return _csv_records(path)


def _delimited_rows(
    path: Path, columns: Sequence[str], records_of: Callable[[Path], Iterator[Fields]]
) -> Rows:
    with _csv_fields_as_long_as(path):
        records = records_of(path)
        line, header = next(records, (1, None))
    if header is None:
        raise ValueError(
            f"Expected a header with the names of the columns, received nothing in {path}; "
            "write it into line 1."
        )
    try:
        names = _checked_header(header, columns, f"{path}, line {line}")
    except UnknownColumn as error:
        _find_header(path, columns, header)
        raise error
    positions = [names.index(name) for name in columns]
    for line, fields in _in_turns(records, path):
        if len(fields) != len(names):
            raise ValueError(
                f"Expected {len(names)} fields as in the header, received {len(fields)} at "
                f"{path}, line {line}; put fields that hold a separator or a line break in "
                "double quotes."
            )
        if fields == header and len(fields) > 1:
            raise ValueError(
                f"Expected a row, received the header again at {path}, line {line}, as where "
                "files were joined; remove the line."
            )
        yield line, [fields[position] for position in positions]


_IN_A_TURN = 256
"""Records that are read before others may read."""


def _in_turns(records: Iterator[Fields], path: Path) -> Iterator[Fields]:
    """Records of which some are read at once: `csv` is left as it was while one is used."""
    while True:
        with _csv_fields_as_long_as(path):
            some = list(itertools.islice(records, _IN_A_TURN))
        if not some:
            return
        yield from some


def _checked_header(header: list[str], columns: Sequence[str], place: str) -> list[str]:
    """The names of all columns, among which each wanted one is once."""
    header = [name.strip() for name in header]
    if len(header) == 1:
        _check_separated(header[0], columns, place)
    advice = "use one of those."
    if not set(columns) & set(header):
        advice = "use one of those, or put the names of the columns into the first line."
    check_columns(columns, header, place, advice)
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


_LINES_BEFORE = 20
"""Lines among which the names of columns are looked for where the first does not have them."""


def _find_header(path: Path, columns: Sequence[str], header: list[str]) -> None:
    """Refuses lines before the header, such as a title, if the header is behind them."""
    with opened(path) as text:
        start = [text.readline(100_000) for _ in range(_LINES_BEFORE)]
    for line, content in enumerate(start, start=1):
        for separator in SEPARATORS:
            fields = {field.strip().strip('"').strip() for field in content.split(separator)}
            if set(columns) <= fields and line > 1:
                raise UnknownColumn(
                    f"Expected the names of the columns in the first line of {path}, received "
                    f"{listed(header, 3)}; they are in line {line}: remove the lines before it."
                )


_CSV_LIMIT = threading.Lock()


@contextlib.contextmanager
def _csv_fields_as_long_as(path: Path) -> Iterator[None]:
    """Lets fields be as long as a file: the module `csv` refuses 131,073 characters, for all."""
    with _CSV_LIMIT:
        usual = csv.field_size_limit()
        try:
            size = path.stat().st_size if path.is_file() else 0
            # No more than a C long holds everywhere.
            csv.field_size_limit(max(usual, min(size, 2**31 - 1)))
            yield
        finally:
            csv.field_size_limit(usual)


def _tsv_records(path: Path) -> Iterator[Fields]:
    """As `_csv_records`, with quotes around fields or in texts, as `read_table` says."""
    literal = partial(_csv_records, path, "\t", csv.QUOTE_NONE)
    quoted = partial(_csv_records, path, "\t")
    _, header = _first(literal())
    uneven = ((line, len(fields)) for line, fields in literal() if len(fields) != len(header))
    with contextlib.closing(uneven):
        first_uneven = next(uneven, None)
    may_be_literal = not any(name.startswith('"') for name in header)
    holds_breaks = False
    try:
        for _, fields in quoted():
            holds_breaks = holds_breaks or any(re.search(r"[\t\r\n]", text) for text in fields)
    except _Unreadable as error:
        if not may_be_literal:
            raise
        if first_uneven is None:
            return literal()
        line, count = first_uneven
        raise ValueError(
            f"{str(error).removesuffix('.')}; or, if its quotes belong to the texts, give line "
            f"{line} the {len(header)} fields of the header, not {count}."
        ) from error
    return literal() if may_be_literal and first_uneven is None and holds_breaks else quoted()


class _Unreadable(ValueError):
    """Quotes of a file do not fit."""


def _csv_records(
    path: Path,
    delimiter: str = ",",
    quoting: int = csv.QUOTE_MINIMAL,
    first_line: int = 1,
    *,
    skips_spaces: bool = False,
) -> Iterator[Fields]:
    """Every record that is not wholly empty, with the line in which it begins.

    Args:
        path: The file.
        delimiter: What separates its fields.
        quoting: As of the module `csv`.
        first_line: Where its header is, 1 or 2.
        skips_spaces: Whether spaces behind a separator are no part of a field.
    """
    with opened(path) as text:
        for _ in range(first_line - 1):
            text.readline()
        # Line breaks inside fields stay what they are.
        reader = csv.reader(
            text, delimiter=delimiter, quoting=quoting, strict=True, skipinitialspace=skips_spaces
        )
        line = first_line
        try:
            for fields in reader:
                if not all(map(is_blank, fields)):
                    yield line, fields
                line = reader.line_num + first_line
        except csv.Error as error:
            raise _Unreadable(
                f"Expected fields separated by {delimiter!r}, received a record that cannot be "
                f"read ({error}) at {path}, line {line}; close its double quotes, and write quotes "
                "inside a quoted field twice."
            ) from error
