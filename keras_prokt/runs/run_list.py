"""A list of runs in one folder, on which several processes may work.

    search.json or comparison.json   NAME/ (run folders)   .locks/NAME

This module imports no Keras.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from keras_prokt.files import (
    digest_of_json,
    new_folder,
    read_json,
    temporary_of,
    without_checksum,
    write_record,
)
from keras_prokt.named_code import read_code
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.lock import InUse, Lock, waiting_for
from keras_prokt.runs.records import FORMAT, UnknownKey, check_shape, of_newer_version
from keras_prokt.runs.spec import RunSpec, UnknownSettings
from keras_prokt.settings import SettingError, argument

RECORDS = {"search": "search.json", "comparison": "comparison.json"}
"""Kinds of lists, and the name of the record of each."""

_SHAPE = {
    "kind": str,
    "about": dict,
    "measures_test": bool,
    "runs": [{"name": str, "title": str, "spec": dict}],
}

_ABOUT = {
    "comparison": {"methods?": [str], "baselines?": [str]},
    "search": {
        "app": str,
        "method": str,
        "given": dict,
        "over": {"*": (list, {"low": (int, float), "high": (int, float)})},
        "seeds": [int],
        "trials": (int, type(None)),
        "configurations": {"*": dict},
        "latency?": (int, float),
        "latencies?": {"*": (int, float)},
        "teacher_latency?": (int, float, type(None)),
    },
}

_LONGEST_NAME = 120

_PATIENCE = 60.0
"""Seconds to wait for another process that writes the list."""


@dataclass(frozen=True)
class Entry:
    """One run of a list.

    Attributes:
        name: Name of its folder.
        title: What it is, for people, without the seed.
        spec: The run.
    """

    name: str
    title: str
    spec: RunSpec

    def to_json(self) -> dict[str, Any]:
        """The entry as a JSON object."""
        return {"name": self.name, "title": self.title, "spec": self.spec.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The entry of a JSON object."""
        return cls(values["name"], values["title"], RunSpec.from_json(values["spec"]))


def folder_name(title: str, seed: int) -> str:
    """The name of the folder of a run, of characters that every file system and shell takes.

    Args:
        title: As in `Entry`.
        seed: Of the run.

    Example:

    >>> from keras_prokt.runs.run_list import folder_name
    >>> folder_name("prokt lambda=0.3", 1)
    'prokt-lambda-0.3-seed-1'
    """
    name = re.sub(r"[^\w.+-]+", "-", title, flags=re.ASCII).strip("-.")
    is_told = re.fullmatch(r"\w([\w.+ =-]*[\w+])?", title, flags=re.ASCII) is not None
    if not is_told or len(name) > _LONGEST_NAME:
        # Two titles that differ in what is left out are two runs.
        name = f"{name[:_LONGEST_NAME]}-{digest_of_json(title)[:8]}".lstrip("-")
    return f"{name}-seed-{seed}"


class RunList:
    """A folder with a list of runs and their run folders.

    Args:
        path: The folder; need not exist.
        kind: A key of `RECORDS`.
    """

    def __init__(self, path: str | Path, kind: str):
        self.path = Path(path)
        self.kind = kind
        self.record = self.path / RECORDS[kind]
        self._locks = self.path / ".locks"

    @classmethod
    def at(cls, path: str | Path) -> Self | None:
        """The list in a folder, or `None` if there is none."""
        for kind in RECORDS:
            found = cls(path, kind)
            if found.record.is_file():
                return found
        return None

    @classmethod
    def existing(cls, path: str | Path) -> Self:
        """The list in a folder.

        Raises:
            ValueError: If there is none.
        """
        found = cls.at(path)
        if found is None:
            raise ValueError(
                f"Expected a folder with a list of runs, received {str(path)!r} without "
                f"{' or '.join(RECORDS.values())}; bring it here once more."
            )
        return found

    @property
    def exists(self) -> bool:
        """Whether the list is there."""
        return self.record.is_file()

    def check_free(self) -> None:
        """Refuses a folder with anything else in it.

        Raises:
            SettingError: If there is something and not this list.
        """
        if not self.exists and self.path.exists():
            raise SettingError(
                f"Expected a new folder or that of a {self.kind}, received {str(self.path)!r}; "
                f"name another one with {argument('out')}."
            )

    def create(
        self, about: Mapping[str, Any], entries: Iterable[Entry], *, measures_test: bool
    ) -> None:
        """Makes the folder with its list; another process may have made it meanwhile.

        Args:
            about: What the list is, a JSON object.
            entries: Its runs.
            measures_test: Whether its runs measure test data.
        """
        record = {
            "kind": self.kind,
            "about": dict(about),
            "measures_test": measures_test,
            "runs": [entry.to_json() for entry in entries],
        }
        self._check(record)
        try:
            with new_folder(self.path, may_exist=False) as writing:
                write_record(writing / self.record.name, {"format": FORMAT, **record})
        except OSError:
            if not self.exists:
                raise

    def read(self) -> dict[str, Any]:
        """The record: `kind`, `about`, `measures_test` and `runs`.

        Raises:
            ValueError: If it was changed, is not whole, or of another version.
        """
        record = read_json(self.record)
        if (received := record.pop("format", None)) != FORMAT:
            raise ValueError(
                f"Expected {self.record.name} of format {FORMAT} at {str(self.record)!r}, received "
                f"{received!r}; go on with the version of keras_prokt that wrote it (format 1: "
                "0.1.0), or start anew."
            )
        record = without_checksum(self.record, {"format": FORMAT, **record})
        del record["format"]
        read_code([record.get("about"), record.get("runs")])
        try:
            self._check(record)
            entries = [Entry.from_json(values) for values in record["runs"]]
        except UnknownKey as error:
            raise of_newer_version(self.record, error.key) from None
        except UnknownSettings as error:
            raise of_newer_version(self.record, error.names[0]) from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"Expected a whole {self.record.name} at {str(self.record)!r}, received one that "
                f"cannot be read ({error}); restore it from a copy, or start anew."
            ) from error
        for entry in entries:
            if Path(entry.name).name != entry.name or entry.name in ("", ".", ".."):
                raise ValueError(
                    f"Expected names of folders in {str(self.record)!r}, received {entry.name!r}."
                )
        return record

    def _check(self, record: Mapping[str, Any]) -> None:
        """Refuses a record of another shape, before it is written too."""
        check_shape(record, {**_SHAPE, "kind": (self.kind,)}, self.record.name)
        check_shape(record["about"], _ABOUT[self.kind], f"{self.record.name}: about")

    def entries(self) -> list[Entry]:
        """Its runs, in order."""
        return [Entry.from_json(values) for values in self.read()["runs"]]

    def entry(self, name: str) -> Entry:
        """The run of a name."""
        return next(entry for entry in self.entries() if entry.name == name)

    def _lock(self) -> Lock:
        return Lock(self.path / ".lock", f"a list in {str(self.path)!r}")

    @contextlib.contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """The record to be changed in the block, while no other process changes it."""
        with waiting_for(self._lock(), _PATIENCE):
            record = self.read()
            before = str(record)
            yield record
            if str(record) != before:
                self._check(record)
                write_record(self.record, {"format": FORMAT, **record})

    def add(self, entries: Iterable[Entry]) -> None:
        """Adds the runs that are not there yet.

        Raises:
            ValueError: If one is there under its name with other settings.
        """
        with self.changing() as record:
            there = {values["name"]: Entry.from_json(values) for values in record["runs"]}
            for entry in entries:
                if entry.name not in there:
                    record["runs"].append(entry.to_json())
                elif there[entry.name].spec != entry.spec:
                    raise SettingError(
                        f"Expected a new folder or that of the same {self.kind}, received "
                        f"{str(self.path)!r}, whose run {entry.name!r} has other settings; name "
                        f"another one with {argument('out')}."
                    )

    def move(self, entries: Iterable[Entry]) -> None:
        """Gives runs of the list other specs: the same runs with their files elsewhere.

        One that is begun goes on with what it was begun with, but for the places of its files.
        """
        new = {entry.name: entry for entry in entries}
        if not new:
            return
        with self.changing() as record:
            for number, values in enumerate(record["runs"]):
                entry = new.get(values["name"])
                if entry is None:
                    continue
                folder = self.folder(entry.name)
                if folder.record.is_file():
                    with self.locked(entry.name), folder.locked():
                        begun = folder.read()
                        spec = RunSpec.from_json(begun["spec"])
                        moved = replace(entry.spec, computing=spec.computing)
                        folder.write({**begun, "spec": moved.to_json()})
                    entry = replace(entry, spec=moved)
                record["runs"][number] = entry.to_json()

    def folder(self, name: str) -> RunFolder:
        """The folder of a run."""
        return RunFolder(self.path / name)

    def locked(self, name: str) -> Lock:
        """A lock on one of its runs, whose folder need not exist yet."""
        return Lock(self._locks / name, f"a run {name!r}", makes_folder=True)

    def tidy(self) -> None:
        """Removes what killed processes have left beside the runs."""
        with contextlib.suppress(InUse, OSError), self._lock():
            temporary_of(self.record).unlink(missing_ok=True)
        for path in sorted(self._locks.glob("*")):
            with contextlib.suppress(InUse, OSError), self.locked(path.name):
                pass  # which removes it
        with contextlib.suppress(OSError):  # others may work on it
            self._locks.rmdir()

    def status(self, entry: Entry) -> str:
        """`waiting`, or the status in the record of the run.

        Raises:
            ValueError: If there is a folder of its name that is not this run's.
        """
        name, folder = entry.name, self.folder(entry.name)
        if not folder.record.is_file():
            if folder.path.exists() and any(folder.path.iterdir()):
                raise ValueError(
                    f"Expected the run {name!r} of the {self.kind} in {str(self.path)!r}, received "
                    "a folder without a run.json; remove it, and the run is carried out."
                )
            return "waiting"
        record = folder.read()
        if RunSpec.from_json(record["spec"]) != entry.spec:
            raise ValueError(
                f"Expected the run {name!r} of the {self.kind} in {str(self.path)!r}, received one "
                "with other settings; remove that folder, and the run is carried out."
            )
        return record["status"]
