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
    row, others = 0, None
    with opened_parquet(path) as file:
        names = file.schema_arrow.names
        check_columns(columns, names, str(path))
        if not columns:
            yield from ((number, ()) for number in range(1, file.metadata.num_rows + 1))
        for batch in file.iter_batches(_at_once(file, columns), columns=list(columns)):
            for values in _values(batch, columns, path, row):
                row += 1
                if all(map(is_blank, values)):
                    if others is None:  # seldom needed
                        others = _empty_rows(path, [n for n in names if n not in columns])
                    if others is True or others[row - 1]:
                        continue
                yield row, values


@contextlib.contextmanager
def opened_parquet(path: Path) -> Iterator[Any]:
    """A Parquet file as pyarrow's `ParquetFile`.

    Raises:
        ValueError: If pyarrow is missing, or the file cannot be read.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(
            f"Expected the package pyarrow to read {str(path)!r}, received an environment without "
            "it; install it with `pip install pyarrow`, or convert the file to .csv."
        ) from error
    try:
        # Read as it is wanted: a part of a file may hold gigabytes of images.
        with parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            yield file
    except (OSError, pyarrow.ArrowException) as error:
        _check_start(path)
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"Expected a Parquet file, received {str(path)!r} ({reason}); write it again."
        ) from error


_BUFFER = 1 << 20
"""Bytes of a column that are read at once."""


def image_columns(schema: Any) -> dict[str, str | None]:
    """The columns that may hold encoded images, and the field in which they do.

    Args:
        schema: pyarrow's schema.

    Returns:
        `None` of a column of bytes, "bytes" of a column of records with such a field.
    """
    from pyarrow import types

    def is_bytes(kind: Any) -> bool:
        return types.is_binary(kind) or types.is_large_binary(kind)

    found: dict[str, str | None] = {}
    for field in schema:
        if is_bytes(field.type):
            found[field.name] = None
        elif types.is_struct(field.type):
            parts = {part.name: part.type for part in field.type}
            if "bytes" in parts and is_bytes(parts["bytes"]):
                found[field.name] = "bytes"
    return found


_ROWS_AT_ONCE = 4096
"""Rows that are in memory."""

_IMAGES_AT_ONCE = 64
"""Rows that are in memory where they hold images."""


def _at_once(file: Any, columns: Sequence[str]) -> int:
    has_images = image_columns(file.schema_arrow).keys() & set(columns)
    return _IMAGES_AT_ONCE if has_images else _ROWS_AT_ONCE


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
    if not columns:
        return True
    with opened_parquet(path) as file:
        return [
            all(is_blank(value.as_py()) for value in row)
            for batch in file.iter_batches(_at_once(file, columns), columns=columns)
            for row in zip(*batch.columns, strict=True)
        ]


def parquet_records(path: Path, columns: Sequence[str]) -> Records:
    """All columns of each row of a Parquet file; in place of an image there is its row."""
    from pyarrow import parquet

    schema = parquet.read_schema(path)
    images, names = image_columns(schema), schema.names
    unique = [name for name in names if names.count(name) == 1]
    read = [name for name in unique if name not in images]
    for row, values in parquet_rows(path, read):
        found = dict(zip(read, values, strict=True))
        yield row, {name: found.get(name, f"row {row}") for name in unique}


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
