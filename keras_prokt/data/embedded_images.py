"""Encoded images that lie in a Parquet file, as Hugging Face's data sets have them.

A row of such a file cannot be read by itself, so all of them are copied once into a file that can.
This module imports no Keras.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_prokt.data.formats.parquet import image_columns, opened_parquet
from keras_prokt.files import cache_folder, digest_of_file, digest_of_json, is_kept, new_kept_folder

FORMAT = 1
"""To be raised when what is kept changes."""

_ROWS_AT_ONCE = 64
"""Images that are in memory while they are copied."""


class EmbeddedImages:
    """The encoded images of a column, copied when the first one is wanted.

    Args:
        path: A Parquet file.
        column: A column of bytes, or of records with the field `bytes`, one of `image_columns`.
        cache: Where the copy is kept; `None`: `$KERAS_PROKT_CACHE` or `~/.cache/keras_prokt`.
    """

    def __init__(self, path: Path, column: str, cache: str | Path | None = None) -> None:
        self._path, self._column, self._cache = path, column, cache
        self._copy: tuple[np.ndarray, np.ndarray] | None = None

    def state(self) -> list[Any]:
        """What changes with the file: its path, size and time of change, and the column."""
        status = os.stat(self._path)
        return [str(self._path.absolute()), status.st_size, status.st_mtime_ns, self._column]

    def read(self, row: int) -> bytes:
        """The bytes of a row's image, from 0; none where the row has none."""
        if self._copy is None:
            self._copy = self._copied()
        content, ends = self._copy
        return content[ends[row] : ends[row + 1]].tobytes()

    def _copied(self) -> tuple[np.ndarray, np.ndarray]:
        # Not by its time: another file of the same size and time would be taken for it.
        key = {"format": FORMAT, "of": digest_of_file(self._path), "column": self._column}
        folder = cache_folder(self._cache) / "data" / f"embedded-{digest_of_json(key)[:24]}"
        if not is_kept(folder, key):
            with new_kept_folder(folder, key) as writing:
                self._write(writing)
        ends = np.load(folder / "ends.npy")
        if ends[-1] == 0:  # an empty file cannot be mapped
            return np.zeros(0, "uint8"), ends
        return np.memmap(folder / "images.bin", "uint8", "r"), ends

    def _write(self, folder: Path) -> None:
        ends = [0]
        with opened_parquet(self._path) as file, (folder / "images.bin").open("wb") as out:
            part = image_columns(file.schema_arrow)[self._column]
            wanted = self._column if part is None else f"{self._column}.{part}"
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[wanted]):
                values = batch.column(0)
                for value in values.to_pylist():
                    content = value if part is None or value is None else value[part]
                    ends.append(ends[-1] + out.write(content or b""))
        np.save(folder / "ends.npy", np.array(ends, "int64"))
