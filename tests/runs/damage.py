"""Damaged files, and what commands make of them."""

import csv
import io
import json
import os
import random
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from click.testing import CliRunner, Result

from keras_prokt.cli import main
from keras_prokt.data.digits import load_digits
from keras_prokt.files import digest_of_json

SAME, REFUSED, WRONG, TRACEBACK = "same result", "refused", "silently wrong", "traceback"


def flipped(content: bytes, chance: random.Random) -> bytes:
    """The content with one other bit."""
    changed = bytearray(content)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


MANY = int(os.environ.get("DAMAGES", "1"))
"""How many times as many damages as usual; `DAMAGES=4 pytest -s tests/runs/test_damage.py`."""


def damages(content: bytes, seed: str, flips: int, cuts: int) -> Iterator[tuple[str, bytes | None]]:
    """Name and content of damaged files; `None` where the file is gone."""
    chance = random.Random(seed)
    flips, cuts = flips * MANY, cuts * MANY
    yield "deleted", None
    yield "emptied", b""
    for number in range(flips):
        yield f"flip {number}", flipped(content, chance)
    for number in range(cuts):
        yield f"cut {number}", content[: chance.randrange(len(content))]


def put(path: Path, content: bytes | None) -> None:
    """Makes a file what it is to be, and no other of the same inode."""
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)


def copy_of(folder: Path, place: Path) -> Path:
    """A fresh copy of a folder in a place that is emptied."""
    shutil.rmtree(place, ignore_errors=True)
    return Path(shutil.copytree(folder, place / folder.name))


def command(*arguments: object, cache: Path) -> Result:
    """What a command does in this process; a traceback is in `Result.exception`."""
    runner = CliRunner(env={"KERAS_PROKT_CACHE": str(cache), "COLUMNS": "200"})
    return runner.invoke(main, list(map(str, arguments)))


def class_of(result: Result, is_same: Callable[[], bool]) -> str:
    """Whether a command has refused, given the same result, another, or lost its head.

    Args:
        result: What the command did.
        is_same: Whether the result is that of whole files; asked only after exit code 0.
    """
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return TRACEBACK
    if "Traceback" in result.output:
        return TRACEBACK
    if result.exit_code == 0:
        return SAME if is_same() else WRONG
    said = [line for line in result.stderr.splitlines() if line and " epoch " not in line]
    is_short = len(said) == 1 and said[0].startswith("keras-prokt: ") and len(said[0]) < 1500
    return REFUSED if result.exit_code in (1, 2) and is_short else TRACEBACK


class Tally:
    """How many damages ended how, by file and command."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.faults: list[str] = []

    def add(self, file: str, read_by: str, what: str, kind: str, said: str = "") -> None:
        """Counts one."""
        self.counts[file, read_by, kind] += 1
        if kind in (WRONG, TRACEBACK):
            self.faults.append(f"{file}, {what}, {read_by}: {kind}: {said[-600:]}")

    def add_result(
        self, file: str, read_by: str, what: str, result: Result, is_same: Callable[[], bool]
    ) -> None:
        """Counts what a command did."""
        kind = class_of(result, is_same)
        said = f"{result.output[-400:]} {result.exception!r}"
        self.add(file, read_by, what, kind, said)

    def check(self) -> None:
        """Fails if any damage was taken for a whole file, or ended in a traceback."""
        faults, self.faults = self.faults, []
        assert not faults, "\n".join(faults)

    def table(self) -> str:
        """The counts, a line each."""
        return "\n".join(
            f"{file:34} {read_by:12} {kind:16} {count}"
            for (file, read_by, kind), count in sorted(self.counts.items())
        )


def without_times(text: str) -> str:
    """What a command prints, without what is another at every time."""
    text = re.sub(r"trained in \S+ s", "", text)
    return re.sub(r" +\d+\.\d{3}(?=\n|$)", "", text)


def outcome_of(folder: Path) -> dict[str, Any]:
    """All that a run found, without its times: equal for equal runs, bit for bit."""
    record = json.loads((folder / "run.json").read_text())
    models = {
        name: {
            part: {k: v for k, v in values.items() if k != "seconds"}
            if isinstance(values, dict)
            else values
            for part, values in model.items()
        }
        for name, model in record["results"]["models"].items()
    }
    results = {**record["results"], "models": models}
    return {
        "status": record["status"],
        "results": results,
        "examples": record["examples"],
        "data": record["data"],
        "weights": weights_of(folder / "student.keras"),
        "history": history_of(folder / "history.csv"),
        "predictions": {
            path.name: path.read_text() for path in sorted((folder / "predictions").glob("*.csv"))
        },
    }


def weights_of(path: Path) -> dict[str, bytes]:
    """The weights of a saved model, read without Keras."""
    found = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tobytes()

    with zipfile.ZipFile(path) as archive:
        content = archive.read("model.weights.h5")
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(add)
    return found


def history_of(path: Path) -> list[dict[str, str]]:
    """The rows of a `history.csv` without their times."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def sealed(record: dict[str, Any]) -> bytes:
    """A record as an attacker writes it: with the checksum of what is in it."""
    record = {key: value for key, value in record.items() if key != "sha256"}
    return json.dumps({**record, "sha256": digest_of_json(record)}, indent=2).encode()


def served(path: Path) -> np.ndarray:
    """What a SavedModel of digits answers."""
    import tensorflow

    images = load_digits()["test"].images[:32]
    model = tensorflow.saved_model.load(str(path))
    return np.asarray(model.signatures["serving_default"](image=images)["probabilities"])


STRANGE = (None, True, 0, -1, 1.5, 10**400, float("nan"), "", "x", "\x1b[31m", "\ud800", [], {})
"""Values that may stand where others are expected."""


def attacks(record: Any, chance: random.Random, count: int) -> Iterator[tuple[str, Any]]:
    """Records of which one value, at any depth, is missing or another, or stands where none was."""
    places = list(_places(record))
    for number in range(count):
        place = places[number % len(places)] if count >= len(places) else chance.choice(places)
        changed = json.loads(json.dumps(record))
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        kind = chance.randrange(4)
        if kind == 0:
            del inner[place[-1]]
            what = "without"
        elif kind == 1 and isinstance(inner, dict):
            inner["unheard of"] = chance.choice(STRANGE)
            what = "with a stranger beside"
        else:
            value = chance.choice(STRANGE)
            inner[place[-1]] = value
            what = f"{value!r:.20} at"
        yield f"{what} {'.'.join(map(str, place))}", changed


def _places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items: Any = []
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = list(enumerate(value))[:2]
    for key, inner in items:
        yield (*before, key)
        yield from _places(inner, (*before, key))
