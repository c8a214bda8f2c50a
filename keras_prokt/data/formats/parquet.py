"""Parquet, by the package pyarrow, which is imported when a file is read."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from keras_prokt.data.formats.base import (
    Records,
    Rows,
    check_columns,
    check_kind,
    is_blank,
    not_utf8,
)


def parquet_rows(path: Path, columns: Sequence[str]) -> Rows:
    """The rows of a Parquet file, by the package pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(
            f"Expected the package pyarrow to read {str(path)!r}, received an environment without "
            "it; install it with `pip install pyarrow`, or convert the file to .csv."
        ) from error
    row, others = 0, None
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            check_columns(columns, names, str(path))
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(columns)):
                for values in _values(batch, columns, path, row):
                    row += 1
                    if all(map(is_blank, values)):
                        if others is None:  # seldom needed
                            others = _empty_rows(path, [n for n in names if n not in columns])
                        if others is True or others[row - 1]:
                            continue
                    yield row, values
    except (OSError, pyarrow.ArrowException) as error:
        _check_start(path)
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"Expected a Parquet file, received {str(path)!r} ({reason}); write it again."
        ) from error


_ROWS_AT_ONCE = 4096
"""Rows that are in memory."""


def _values(batch: Any, columns: Sequence[str], path: Path, before: int) -> Iterator[list[Any]]:
    """The values of each row of a part of the table."""
    try:
        content = batch.to_pydict()
    except UnicodeDecodeError:
        _find_undecodable(batch, path, before)
        raise
    yield from map(list, zip(*(content[name] for name in columns), strict=True))


def _empty_rows(path: Path, columns: Sequence[str]) -> list[bool] | Literal[True]:
    """Whether each row is empty in some columns; `True` of no columns."""
    from pyarrow import parquet

    if not columns:
        return True
    with parquet.ParquetFile(path) as file:
        return [
            all(is_blank(value.as_py()) for value in row)
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns)
            for row in zip(*batch.columns, strict=True)
        ]


def parquet_records(path: Path, columns: Sequence[str]) -> Records:
    """All columns of each row of a Parquet file."""
    from pyarrow import parquet

    names = parquet.read_schema(path).names
    unique = [name for name in names if names.count(name) == 1]
    for row, values in parquet_rows(path, unique):
        yield row, dict(zip(unique, values, strict=True))


def _check_start(path: Path) -> None:
    """Says what a file is that is no Parquet file, where its first bytes tell."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        start = file.read(64)
        if not start.startswith(b"PAR1"):  # of another end, as a file that was cut
            check_kind(path, start)


def _find_undecodable(batch: Any, path: Path, before: int) -> None:
    """Raises with the row of the first text of a Parquet table that is not UTF-8."""
    for column in batch.columns:
        for row, value in enumerate(column, start=before + 1):
            try:
                value.as_py()
            except UnicodeDecodeError as error:
                raise not_utf8(error, f"{path}, row {row}") from error
