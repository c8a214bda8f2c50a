"""JSON Lines: an object a line; imports no NumPy."""

import json
from collections.abc import Sequence
from pathlib import Path

from keras_prokt.data.formats.base import Records, Rows, check_columns, decoded, is_blank


def jsonl_rows(path: Path, columns: Sequence[str]) -> Rows:
    """The rows of a file with a JSON object a line."""
    for line, record in jsonl_records(path, columns):
        check_columns(columns, record, f"{path}, line {line}")
        yield line, [record[name] for name in columns]


def jsonl_records(path: Path, columns: Sequence[str]) -> Records:
    """All that each row of a file with a JSON object a line holds."""
    # Not by splitlines: strings may hold the other line separators of Unicode.
    for line, entry in enumerate(decoded(path).split("\n"), start=1):
        if not entry.strip():
            continue
        place = f"{path}, line {line}"
        try:
            record = json.loads(entry)
        # Integers of more than 4,300 digits are a plain ValueError.
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"Expected a JSON object a line, received one that cannot be read ({error}) at "
                f"{place}; correct the line."
            ) from error
        if not isinstance(record, dict):
            raise ValueError(
                f"Expected a JSON object a line, received {type(record).__name__} at {place}; "
                "write the columns as the keys of an object."
            )
        if all(map(is_blank, record.values())):
            continue
        yield line, record
