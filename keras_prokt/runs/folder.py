"""Folders of runs and searches: where everything is kept, each file written whole or not at all.

A run:     run.json  front_end.json  history.csv  dynamics.png  tensorboard/  checkpoint/
           student.keras  saved_model/1/
A search:  search.json  search.png  lambda-0.3-seed-0/ and so on (run folders)
"""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from keras_prokt.files import new_folder, read_json, write_text
from keras_prokt.runs.spec import RunSpec

FORMAT = 1
"""Version of `run.json` and `search.json`."""


class _Folder:
    """A folder with a JSON record in it.

    Args:
        path: The folder; need not exist.
    """

    record_name: str

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.record = self.path / self.record_name

    @classmethod
    def unused(cls, root: Path, app: str, method: str) -> Self:
        """The first folder `root/app-method-N` that does not exist yet."""
        number = 1
        while (folder := root / f"{app}-{method}-{number}").exists():
            number += 1
        return cls(folder)

    def write(self, record: dict[str, Any]) -> None:
        """Writes the record."""
        _write(self.record, record)

    def read(self) -> dict[str, Any]:
        """Reads the record."""
        return _read(self.record)

    def spec(self) -> RunSpec:
        """The spec in the record; that of a search has no λ, and seed 0."""
        return RunSpec.from_json(self.read()["spec"])


class RunFolder(_Folder):
    """Paths of a run folder and its `run.json`.

    Args:
        path: The folder; need not exist.
    """

    record_name = "run.json"

    def __init__(self, path: str | Path):
        super().__init__(path)
        self.history = self.path / "history.csv"
        self.checkpoint = self.path / "checkpoint"
        self.student = self.path / "student.keras"
        self.saved_model = self.path / "saved_model"
        self.front_end = self.path / "front_end.json"

    @classmethod
    def existing(cls, path: str | Path) -> Self:
        """A folder that holds a run.

        Raises:
            ValueError: If it does not.
        """
        folder = cls(path)
        if not folder.record.is_file():
            raise ValueError(
                f"Expected a run folder with a run.json, received {str(path)!r}; `keras-prokt run` "
                "prints the path of the folder it makes."
            )
        return folder

    def check_free(self, overwrite: bool) -> None:
        """Refuses to write over anything.

        Raises:
            ValueError: If the folder exists and is not to be overwritten, or holds something
                that is not a run.
        """
        if not self.path.exists():
            return
        if not overwrite:
            raise ValueError(_exists(self.path, ", or add --overwrite"))
        if not self.record.is_file():
            raise ValueError(
                f"Expected a run folder to overwrite, received {str(self.path)!r} without a "
                "run.json; delete it yourself or name another one with --out."
            )

    def create(
        self,
        record: dict[str, Any],
        front_end: dict[str, Any] | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        """Makes the folder with its first record.

        Args:
            record: As in `run.json`.
            front_end: How texts are read, as in `front_end.json`.
            overwrite: Whether a run that is there is replaced.

        Raises:
            ValueError: As `check_free`; another process may have made the folder since.
        """
        self.check_free(overwrite)
        if self.path.exists():
            shutil.rmtree(self.path)
        with _new(self.path) as writing:
            _write(writing / self.record.name, record)
            write_text(writing / self.front_end.name, json.dumps(front_end) + "\n")


class SearchFolder(_Folder):
    """Paths of the folder of a search for λ, its `search.json` and its run folders.

    Args:
        path: The folder; need not exist.
    """

    record_name = "search.json"

    def __init__(self, path: str | Path):
        super().__init__(path)
        self.figure = self.path / "search.png"

    def run(self, value: float, seed: int) -> RunFolder:
        """The run of one λ and seed."""
        # All digits, so that no two values share a folder.
        return RunFolder(self.path / f"lambda-{float(value)!r}-seed-{seed}")

    def check_free(self) -> None:
        """Refuses to write over anything.

        Raises:
            ValueError: If the folder exists.
        """
        if self.path.exists():
            raise ValueError(_exists(self.path))

    def create(self, record: dict[str, Any]) -> None:
        """Makes the folder with its first record."""
        with _new(self.path) as writing:
            _write(writing / self.record.name, record)


@contextlib.contextmanager
def _new(path: Path) -> Iterator[Path]:
    try:
        with new_folder(path, may_exist=False) as writing:
            yield writing
    except OSError as error:
        if path.is_dir():
            raise ValueError(_exists(path)) from error
        raise


def _exists(path: Path, other_way: str = "") -> str:
    return (
        f"Expected a new folder, received {str(path)!r}, which exists; name another one with "
        f"--out{other_way}."
    )


def _write(path: Path, record: dict[str, Any]) -> None:
    write_text(path, json.dumps({"format": FORMAT, **record}, indent=2) + "\n")


def _read(path: Path) -> dict[str, Any]:
    record = read_json(path)
    if (received := record.pop("format", None)) != FORMAT:
        raise ValueError(f"Expected a {path.name} of format {FORMAT}, received {received!r}.")
    return record
