"""Parquet, by the package pyarrow, which is imported when a file is read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_prokt.data.formats.base import Records, Rows, check_columns, is_blank, not_utf8


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
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            check_columns(columns, names, str(path))
            table = file.read(columns=list(columns))
    except (OSError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"Expected a Parquet file, received {str(path)!r} ({reason}); write it again."
        ) from error
    try:
        content = table.to_pydict()
    except UnicodeDecodeError:
        _find_undecodable(table, path)
        raise
    others = None
    for row, values in enumerate(zip(*(content[name] for name in columns), strict=True), start=1):
        if all(map(is_blank, values)):
            if others is None:  # seldom needed
                unread = [name for name in names if name not in columns]
                others = parquet.read_table(path, columns=unread)
            if all(is_blank(column[row - 1].as_py()) for column in others.columns):
                continue
        yield row, list(values)


def parquet_records(path: Path, columns: Sequence[str]) -> Records:
    """All columns of each row of a Parquet file."""
    from pyarrow import parquet

    names = parquet.read_schema(path).names
    unique = [name for name in names if names.count(name) == 1]
    for row, values in parquet_rows(path, unique):
        yield row, dict(zip(unique, values, strict=True))


def _find_undecodable(table: Any, path: Path) -> None:
    """Raises with the row of the first text of a Parquet table that is not UTF-8."""
    for column in table.columns:
        for row, value in enumerate(column, start=1):
            try:
                value.as_py()
            except UnicodeDecodeError as error:
                raise not_utf8(error, f"{path}, row {row}") from error
