"""A run folder: where everything about one run is kept, each file written whole or not at all.

run.json  front_end.json  history.csv  dynamics.png  tensorboard/  checkpoint/  student.keras
saved_model/1/
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from keras_prokt.experiments.spec import RunSpec, read_json

FORMAT = 1
"""Version of `run.json`."""


class RunFolder:
    """Paths of a run folder and its `run.json`.

    Args:
        path: The folder; need not exist.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.record = self.path / "run.json"
        self.history = self.path / "history.csv"
        self.checkpoint = self.path / "checkpoint"
        self.student = self.path / "student.keras"
        self.saved_model = self.path / "saved_model"
        self.front_end = self.path / "front_end.json"

    @classmethod
    def unused(cls, root: Path, app: str, method: str) -> "RunFolder":
        """The first folder `root/app-method-N` that does not exist yet."""
        number = 1
        while (folder := root / f"{app}-{method}-{number}").exists():
            number += 1
        return cls(folder)

    @classmethod
    def existing(cls, path: str | Path) -> "RunFolder":
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
            raise ValueError(
                f"Expected a new folder, received {str(self.path)!r}, which exists; name another "
                "one with --out, or add --overwrite."
            )
        if not self.record.is_file():
            raise ValueError(
                f"Expected a run folder to overwrite, received {str(self.path)!r} without a "
                "run.json; delete it yourself or name another one with --out."
            )

    def create(self, record: dict[str, Any]) -> None:
        """Makes the folder with its first record, in place of a run that was there."""
        if self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True)
        self.write(record)

    def write(self, record: dict[str, Any]) -> None:
        """Writes `run.json`."""
        write_text(self.record, json.dumps({"format": FORMAT, **record}, indent=2) + "\n")

    def read(self) -> dict[str, Any]:
        """Reads `run.json`."""
        record = read_json(self.record)
        if record.get("format") != FORMAT:
            raise ValueError(
                f"Expected a run.json of format {FORMAT}, received {record.get('format')!r}."
            )
        return record

    def spec(self) -> RunSpec:
        """The spec of the run."""
        return RunSpec.from_json(self.read()["spec"])


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name and renames it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
