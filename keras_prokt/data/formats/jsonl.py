"""JSON Lines: an object a line; imports no NumPy."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_prokt.data.formats.base import Records, Rows, check_columns, is_blank, opened


def jsonl_rows(path: Path, columns: Sequence[str]) -> Rows:
    """The rows of a file with a JSON object a line."""
    for line, record in jsonl_records(path, columns):
        check_columns(columns, record, f"{path}, line {line}")
        yield line, [record[name] for name in columns]


def jsonl_records(path: Path, columns: Sequence[str]) -> Records:
    """All that each row of a file with a JSON object a line holds."""
    _check_an_object_a_line(path)
    # Strings may hold the other line separators of Unicode.
    with opened(path, newline="\n") as text:
        for line, entry in enumerate(text, start=1):
            if not entry.strip():
                continue
            place = f"{path}, line {line}"
            try:
                record = json.loads(entry, object_pairs_hook=_without_repeats)
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


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of a key that it has twice one value would be lost unsaid."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {repeated!r} twice")
    return found


def _check_an_object_a_line(path: Path) -> None:
    """Refuses one array of all rows, and objects over several lines, with how to change them."""
    with opened(path) as text:
        first = next((line.strip() for line in text if line.strip()), "")
    if first.startswith("["):
        what, program = "one JSON array", "'.[]'"
    elif first == "{":
        what, program = "objects over several lines", "."
    else:
        return
    new = path.with_name(f"{path.stem}.lines{path.suffix}")
    command = f"jq -c {program} {shlex.quote(str(path))} > {shlex.quote(str(new))}"
    raise ValueError(
        f"Expected a JSON object a line, received {what} in {str(path)!r}; write an object a "
        f"line, such as by `{command}`."
    )
