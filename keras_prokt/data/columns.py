"""A value of each example, or several, as columns of a table, and back. Imports no Keras."""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

Column = tuple[str, Sequence[Any]]
"""Heading and values."""


def columns_of(name: str, values: Any) -> list[Column]:
    """Columns of an array: `name`, or `name[0]`, `name[1]`, ... of several values an example.

    Args:
        name: Heading.
        values: Array of shape `(examples,)` or `(examples, values)`.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.data.columns import columns_of
    >>> columns_of("label", np.array([[1, 0], [0, 0]]))
    [('label[0]', [1, 0]), ('label[1]', [0, 0])]
    """
    rows = values.reshape(len(values), -1)
    if rows.shape[1] == 1:
        return [(name, rows[:, 0].tolist())]
    return [(f"{name}[{number}]", column.tolist()) for number, column in enumerate(rows.T)]


def values_in(rows: Sequence[Mapping[str, str]], name: str) -> list[Any]:
    """What `columns_of` was given, from the rows of a table of texts: a number, or a list of them.

    Example:

    >>> from keras_prokt.data.columns import values_in
    >>> values_in([{"label": "7"}], "label"), values_in([{"a[0]": "1", "a[1]": "0.5"}], "a")
    ([7], [[1, 0.5]])
    """
    if not rows or name in rows[0]:
        return [_number(row[name]) for row in rows]
    headings = [
        f"{name}[{number}]" for number in range(len(rows[0])) if f"{name}[{number}]" in rows[0]
    ]
    return [[_number(row[heading]) for heading in headings] for row in rows]


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def own_columns(
    records: Sequence[Mapping[str, Any]],
    taken: Container[str] = (),
    names: Iterable[str] | None = None,
) -> list[tuple[str, list[Any]]]:
    """The columns of rows, in the order in which they appear; `None` where a row has none.

    Args:
        records: What each row holds, by the name of the column.
        taken: Names of other columns beside them; one of these is marked as given.
        names: Names of all columns; `None`: of those that the rows have.

    Example:

    >>> from keras_prokt.data.columns import own_columns
    >>> own_columns([{"id": 1, "text": "a"}, {"text": "b", "class_name": "x"}], {"class_name"})
    [('id', [1, None]), ('text', ['a', 'b']), ('class_name (given)', [None, 'x'])]
    """
    if names is None:
        names = dict.fromkeys(name for record in records for name in record)
    return [
        (f"{name} (given)" if name in taken else name, [record.get(name) for record in records])
        for name in names
    ]


def texts_of(values: Sequence[Any]) -> list[str]:
    """Values of any kind as texts: none is empty, what is no text is JSON.

    Example:

    >>> from keras_prokt.data.columns import texts_of
    >>> texts_of(["a", None, 0.1, [1, "ä"], True])
    ['a', '', '0.1', '[1, "ä"]', 'true']
    """
    return [
        value or ""
        if value is None or isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, default=str)
        for value in values
    ]
