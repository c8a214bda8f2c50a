"""Predictions of a run's model as a table, by the kind of its outputs."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from keras import ops

from keras_prokt import outputs
from keras_prokt.data.columns import Column, texts_of
from keras_prokt.files import replacing
from keras_prokt.results.cells import without_formula


def columns_of_run(logits: np.ndarray, record: Mapping[str, Any]) -> list[Column]:
    """What a run's model says of examples, as `Output.columns` has it.

    Args:
        logits: What it predicts, shape `(examples, width)`.
        record: The run's record, as in `run.json`: the kind of its outputs and their names.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.results.predictions import columns_of_run
    >>> record = {"output": "labels", "class_names": ["even", "round"]}
    >>> columns_of_run(np.array([[0.0, 5.0]], "float32"), record)[:3]
    [('even', [0]), ('round', [1]), ('p(even)', [0.5])]
    """
    # A run of an older version says nothing: it has what the width alone tells.
    kind = outputs.get(record.get("output", outputs.infer(*logits.shape[1:]).id))
    return kind.columns(ops.convert_to_tensor(logits, "float32"), record["class_names"])


def write_predictions(
    path: str | Path, logits: np.ndarray, record: Mapping[str, Any], *before: Column
) -> None:
    """Writes predictions as a CSV in UTF-8, or as Parquet, whole or not at all.

    Args:
        path: Where to; a file that is there is replaced. One that ends in `.parquet` needs the
            package pyarrow; numbers and texts keep their types in it.
        logits: As in `columns_of_run`.
        record: As in `columns_of_run`.
        *before: Columns that say which examples these are.
    """
    write_columns(path, [*before, *columns_of_run(logits, record)])


def write_columns(path: str | Path, columns: Sequence[Column]) -> None:
    """Writes columns as a CSV in UTF-8 or, by its suffix, as Parquet, whole or not at all."""
    write_parts(path, lambda: [columns])


def write_parts(path: str | Path, parts: Callable[[], Iterable[Sequence[Column]]]) -> None:
    """As `write_columns`, of which not all rows are in memory.

    Args:
        path: Where to.
        parts: Gives the columns of some rows after those of others, all with the same names; the
            same ones when it is called again, which Parquet needs to know their types.
    """
    path = Path(path)
    write = _write_parquet if path.suffix.lower() == ".parquet" else _write_csv
    with replacing(path) as temporary:
        write(temporary, parts)


def _write_csv(path: Path, parts: Callable[[], Iterable[Sequence[Column]]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(_RowsByLineFeed(file))
        for number, columns in enumerate(parts()):
            headings, values = zip(*columns, strict=True)
            if number == 0:
                writer.writerow(map(without_formula, headings))
            for row in zip(*values, strict=True):
                writer.writerow(
                    _rounded(v) if isinstance(v, float) else without_formula(v) for v in row
                )


class _RowsByLineFeed:
    """Ends rows in a line feed.

    A writer that is told to do so itself leaves a carriage return in a cell without quotes, at
    which readers end the row.
    """

    def __init__(self, file: TextIO):
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row.removesuffix("\r\n") + "\n")


def _rounded(value: float) -> str:
    """Six decimals, and of small numbers, as values of regression may be, seven digits."""
    return f"{value:.6f}" if value == 0 or abs(value) >= 0.1 else f"{value:.7g}"


_ROWS_IN_A_GROUP = 65_536
"""Of a Parquet file, about as many as others write."""


def _write_parquet(path: Path, parts: Callable[[], Iterable[Sequence[Column]]]) -> None:
    import pyarrow
    from pyarrow import parquet

    schema = _schema_of(parts())
    waiting: list[pyarrow.Table] = []
    with parquet.ParquetWriter(path, schema) as writer:
        for columns in parts():
            arrays = [
                _array(values, field.type)
                for (_, values), field in zip(columns, schema, strict=True)
            ]
            waiting.append(pyarrow.Table.from_arrays(arrays, schema=schema))
            if sum(map(len, waiting)) >= _ROWS_IN_A_GROUP:
                writer.write_table(pyarrow.concat_tables(waiting))
                waiting.clear()
        if waiting:
            writer.write_table(pyarrow.concat_tables(waiting))


def _schema_of(parts: Iterable[Sequence[Column]]) -> Any:
    """Names and types of columns; of one with values of several kinds it is that of texts."""
    import pyarrow

    def common(one: Any, other: Any) -> Any:
        if one.equals(other):
            return one
        fields = [pyarrow.schema([("column", kind)]) for kind in (one, other)]
        try:
            return pyarrow.unify_schemas(fields, promote_options="permissive").field(0).type
        except pyarrow.ArrowException:
            return pyarrow.string()

    names: list[str] = []
    types: list[Any] = []
    for columns in parts:
        found = [_array(values).type for _, values in columns]
        types = list(map(common, types, found)) if names else found
        names = [name for name, _ in columns]
    return pyarrow.schema(list(zip(names, types, strict=True)))


def _array(values: Sequence[Any], kind: Any = None) -> Any:
    """Values as an array of Arrow, of a type if one is given."""
    import pyarrow

    try:
        array = pyarrow.array(values)
        return array if kind is None or array.type.equals(kind) else array.cast(kind, safe=False)
    except (pyarrow.ArrowException, OverflowError):  # of several kinds, as JSON Lines may have
        return pyarrow.array(texts_of(values))
