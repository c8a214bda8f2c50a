"""Which files hold a table: a file a format, and the table of them; imports no NumPy."""

import re
import shlex
from pathlib import Path

from keras_prokt.data.formats.base import Format
from keras_prokt.data.formats.delimited import csv_records, csv_rows, tsv_records, tsv_rows
from keras_prokt.data.formats.jsonl import jsonl_records, jsonl_rows
from keras_prokt.data.formats.parquet import parquet_records, parquet_rows

FORMATS: dict[str, Format] = {
    ".csv": Format(csv_rows, csv_records, has_numbers=False),
    ".tsv": Format(tsv_rows, tsv_records, has_numbers=False),
    ".jsonl": Format(jsonl_rows, jsonl_records),
    ".parquet": Format(parquet_rows, parquet_records, unit="row"),
}
"""Formats of tables by the suffix of the file: a row a format."""


_CONVERSIONS = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), 'save it as "CSV UTF-8" in the spreadsheet'),
    ".json": "write an object a line, such as by `jq -c '.[]' {path} > {new}`",
    **dict.fromkeys((".txt", ".dat", ""), "name it .csv or .tsv, by what separates its fields"),
    **dict.fromkeys((".ndjson", ".jsonlines"), "name it .jsonl, which it is"),
    ".tab": "name it .tsv, which it is",
    **dict.fromkeys((".pq", ".parq"), "name it .parquet, which it is"),
    **dict.fromkeys((".arrow", ".feather"), "write it as Parquet"),
    **dict.fromkeys(
        (".pkl", ".pickle"), "write it as .csv or .parquet, since a pickle may run programs"
    ),
    **dict.fromkeys((".gz", ".zip", ".bz2", ".xz", ".zst"), "unpack it"),
}
"""What to do with files that are not read, by their suffix."""


def format_of(path: Path) -> Format:
    """The format of a file, by its suffix.

    Raises:
        ValueError: If there is none of that suffix, or no such file.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        _check_place(path)
        advice = _CONVERSIONS.get(
            suffix, "convert the file, or write tfds:NAME for a set of TensorFlow Datasets"
        ).format(path=shlex.quote(str(path)), new=shlex.quote(str(path.with_suffix(".jsonl"))))
        raise ValueError(
            f"Expected a file with a suffix among {', '.join(FORMATS)}, received {str(path)!r}; "
            f"{advice}."
        )
    if not path.is_file():
        there = ", a folder" if path.is_dir() else " where there is none"
        raise ValueError(
            f"Expected a file of texts and labels, received {str(path)!r}{there}; check the path."
        )
    return FORMATS[suffix]


def _check_place(path: Path) -> None:
    """Refuses what is no file, whatever it is called."""
    if re.match(r"[a-z0-9+]+:/", str(path)):
        received, advice = "an address", "download the file, and name it"
    elif path.is_dir():
        received, advice = "a folder", "name a file in it"
    elif not path.exists() and not path.suffix:
        received = "nothing of that name"
        advice = "check the path, or write tfds:NAME for a set of TensorFlow Datasets"
    else:
        return
    raise ValueError(
        f"Expected a file with a suffix among {', '.join(FORMATS)}, received {str(path)!r}, "
        f"{received}; {advice}."
    )
