"""A folder from which a run takes all its data and start weights, without TensorFlow.

Plain files: `prepared.json`, which says what is where, and parts `part-001.npz`, ... below a stated
size, so that they can travel one by one; no pickles. Written by `keras_prokt.runs.preparation`.
This module imports no Keras and no NumPy, so that a folder can be refused at once.
"""

import contextlib
import itertools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_prokt.files import (
    cache_folder,
    digest_of_file,
    digest_of_json,
    is_kept,
    new_folder,
    new_kept_folder,
    read_record,
    write_record,
)
from keras_prokt.settings import DataSettings, SettingError, argument, settings_of

if TYPE_CHECKING:
    import numpy as np

    from keras_prokt.data.batches import Batches

FORMAT = 1
"""To be raised when folders are written in another way."""

CONTENTS = "prepared.json"

SMALLEST_PART = 100_000

_OVERHEAD = 512
"""Most bytes that one array adds to an archive beside its own: names and headers."""

SETTINGS_OF_PREPARED = ("app", "pair", "teacher", "student", "seed")
SETTINGS_OF_PREPARED += tuple(
    name for name in settings_of(DataSettings) if name not in ("prepared", "label_noise")
)
"""Names of the settings with which a folder is prepared."""

_OF_THE_RUN = ("prepared", "data_dir", "limit", "label_noise")
"""Settings of the data that a run may have otherwise than the folder."""


@dataclass
class Contents:
    """What a folder is to hold.

    Attributes:
        app: Name of the app.
        settings: What a run takes from here unless it is told otherwise, by name.
        data: All settings of the data with which it was prepared, by name.
        seed: The seed of the examples that `limit` chose; `None` where it chose none.
        models: Teacher and student with which it was prepared, by role.
        class_names: Names of the classes.
        metrics: What is reported.
        parts: All data by name, "train" first.
        validates_on_training_set: As in `Task`.
        front_ends: How raw input is read, a JSON object by role; empty where there are none.
        checkpoints: Folders of the checkpoints that models start from, by the name of the preset.
        digests: SHA-256 of the user's own files, by the name of their setting.
    """

    app: str
    settings: Mapping[str, Any]
    data: Mapping[str, Any]
    seed: int | None
    models: Mapping[str, str]
    class_names: list[str]
    metrics: tuple[str, ...]
    parts: "Mapping[str, Batches]"
    validates_on_training_set: bool = False
    front_ends: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    checkpoints: Mapping[str, Path] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)


def write_folder(folder: str | Path, contents: Contents, *, part_size: int = 16_000_000) -> None:
    """Writes a folder as a whole.

    Args:
        folder: The folder, which must not be there.
        contents: What it is to hold.
        part_size: Most bytes of each of its files, at least `SMALLEST_PART`.

    Raises:
        ValueError: If something is there, or parts are to be too small.
    """
    folder = Path(folder)
    check_new(folder, part_size)
    with new_folder(folder, may_exist=False) as writing:
        writer = _Writer(writing, part_size)
        parts = {
            name: {
                "inputs": _mapped(batches.inputs, writer.add),
                "labels": writer.add(batches.labels),
                "sample_weight": _or_none(writer.add, batches.sample_weight),
                "shuffle": batches.shuffle,
                "max_length": batches.max_length,
                "on_device": batches.on_device,
                "positions": writer.add(batches.origin.positions),
                "count": batches.origin.count,
            }
            for name, batches in contents.parts.items()
        }
        checkpoints = {
            name: {path.name: writer.add(_bytes_of(path)) for path in sorted(of_one.iterdir())}
            for name, of_one in contents.checkpoints.items()
        }
        front_ends = {role: writer.add_json(of) for role, of in contents.front_ends.items()}
        writer.finish()
        record = {
            "format": FORMAT,
            "app": contents.app,
            "settings": dict(contents.settings),
            "data": dict(contents.data),
            "seed": contents.seed,
            "models": dict(contents.models),
            "class_names": list(contents.class_names),
            "metrics": list(contents.metrics),
            "validates_on_training_set": contents.validates_on_training_set,
            "digests": dict(contents.digests),
            "front_ends": front_ends,
            "parts": parts,
            "checkpoints": checkpoints,
            "arrays": writer.arrays,
            "files": {
                path.name: {"bytes": path.stat().st_size, "sha256": digest_of_file(path)}
                for path in sorted(writing.glob("part-*.npz"))
            },
        }
        write_record(writing / CONTENTS, record)


def check_new(folder: Path, part_size: int) -> None:
    """Refuses a folder that is there, and parts that are too small.

    Args: as `write_folder`.

    Raises:
        ValueError: If one of them is so.
    """
    if folder.exists():
        raise SettingError(
            f"Expected a new folder, received {str(folder)!r}, which exists; name another one with "
            f"{argument('out')}."
        )
    if part_size < SMALLEST_PART:
        raise SettingError(
            f"Expected {argument('part_size')} of at least {SMALLEST_PART:,} bytes, received "
            f"{part_size:,}; 16,000,000 is usual."
        )


class PreparedFolder:
    """A folder that was written by `write_folder`.

    Args:
        path: The folder.

    Attributes:
        path: The folder.
        record: What its `prepared.json` says.

    Raises:
        ValueError: If there is none, or a part is missing or has another size.

    Example:

    ```python
    folder = PreparedFolder("prepared/sst2")
    folder.data(batch_size=32, seed=0)["train"].digest()
    ```
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).expanduser()
        if not (self.path / CONTENTS).is_file():
            raise SettingError(
                f"Expected a folder of `keras-prokt prepare` for {argument('prepared')}, received "
                f"{str(path)!r} without {CONTENTS}; write it where TensorFlow is installed."
            )
        self.record = read_record(self.path / CONTENTS)
        if self.record.get("format") != FORMAT:
            raise SettingError(
                f"Expected a folder of format {FORMAT} for {argument('prepared')}, received "
                f"{str(path)!r} of format {self.record.get('format')}; prepare it again."
            )
        for name, of_file in self.record["files"].items():
            part = self.path / name
            if not part.is_file() or part.stat().st_size != of_file["bytes"]:
                raise self._damaged(name)

    @property
    def models(self) -> dict[str, str]:
        """Teacher and student with which it was prepared, by role."""
        return self.record["models"]

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the user's own files, by the name of their setting."""
        return self.record["digests"]

    @property
    def knows_rows(self) -> bool:
        """Whether it says which rows of the user's data its examples are; older ones do not."""
        return all("positions" in part for part in self.record["parts"].values())

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.stat().st_size for file in self.path.iterdir())

    def examples(self) -> dict[str, int]:
        """Number of examples in each part of the data, by name."""
        arrays = self.record["arrays"]
        return {
            name: arrays[part["labels"]]["shape"][0] for name, part in self.record["parts"].items()
        }

    def check(self, request: Any, app: str) -> None:
        """Refuses to take from here what was prepared with other settings.

        Args:
            request: What the app is asked for.
            app: Name of the app.

        Raises:
            ValueError: On the first setting that is another.
        """
        if self.record["app"] != app:
            raise SettingError(
                f"Expected {argument('prepared')} for app {app!r}, received {str(self.path)!r} for "
                f"app {self.record['app']!r}; prepare another folder."
            )
        if request.data_dir is not None:
            raise SettingError(
                f"Expected no {argument('data_dir')} with {argument('prepared')}, received "
                f"{request.data_dir!r}; the folder holds the data."
            )
        for name in settings_of(DataSettings):
            value = getattr(request, name)
            if name not in _OF_THE_RUN and _as_json(value) != self.record["data"].get(name):
                raise self._other(name, self.record["data"].get(name), value)
        if self.record["data"]["limit"] is not None:
            if request.limit != self.record["data"]["limit"]:
                raise self._other("limit", self.record["data"]["limit"], request.limit)
            if request.seed != self.record["seed"]:
                raise self._other("seed", self.record["seed"], request.seed)

    def check_model(self, role: str, name: str) -> None:
        """Refuses another model than it was prepared for.

        Args:
            role: "teacher" or "student".
            name: The model that is asked for.

        Raises:
            ValueError: If it is another.
        """
        if name != self.models[role]:
            raise self._other(role, self.models[role], name)

    def data(
        self,
        *,
        batch_size: int,
        seed: int,
        limit: int | None = None,
        transform: Any = None,
        inputs: Callable[[Any], Any] = lambda structure: structure,
    ) -> "dict[str, Batches]":
        """All data by name, as the app itself makes it.

        Args:
            batch_size: Examples a batch.
            seed: Seed of the order, and of what `limit` chooses.
            limit: Training examples to use, if the folder was prepared without a limit.
            transform: As in `Batches`.
            inputs: What to take of the inputs: of a nested dict with a number in the place of each
                array, one with some of the numbers.

        Raises:
            ValueError: If a part was changed since it was written.
        """
        from keras_prokt.data.batches import Batches, Origin

        described = {
            name: {**part, "inputs": inputs(part["inputs"])}
            for name, part in self.record["parts"].items()
        }
        needed = set()
        for part in described.values():
            needed |= {part["labels"], part["sample_weight"], *_leaves(part["inputs"])}
            needed |= {part.get("positions")}
        read = self._read(needed - {None})
        data = {}
        for name, part in described.items():
            origin = None
            if self.knows_rows:
                origin = Origin(read[part["positions"]], part["count"])
            data[name] = Batches(
                _mapped(part["inputs"], read.__getitem__),
                read[part["labels"]],
                batch_size=batch_size,
                seed=seed,
                shuffle=part["shuffle"],
                sample_weight=_or_none(read.__getitem__, part["sample_weight"]),
                transform=transform,
                max_length=part["max_length"],
                on_device=part["on_device"],
                origin=origin,
            )
        if limit is not None and self.record["data"]["limit"] is None:
            data["train"] = data["train"].limited(limit)
        return data

    def task_data(self, request: Any, **settings: Any) -> dict[str, Any]:
        """The fields of a `Task` that are data.

        Args:
            request: What the app is asked for.
            **settings: `transform` and `inputs`, as in `data`.
        """
        data = self.data(
            batch_size=request.batch_size, seed=request.seed, limit=request.limit, **settings
        )
        return {
            "train": data.pop("train"),
            "validation": data.pop("validation"),
            "test": data.pop("test", None),
            "more_validation": data,
            "class_names": self.record["class_names"],
            "metrics": tuple(self.record["metrics"]),
            "validates_on_training_set": self.record["validates_on_training_set"],
        }

    def front_ends(self) -> dict[str, dict[str, Any]]:
        """How raw input is read, a JSON object by role."""
        read = self._read(self.record["front_ends"].values())
        return {
            role: json.loads(bytes(read[number]))
            for role, number in self.record["front_ends"].items()
        }

    def checkpoint(self, preset: str) -> str:
        """A directory with a checkpoint that models start from.

        It is made anew out of the parts and kept in the cache.

        Args:
            preset: Its name, as when the folder was prepared.

        Raises:
            ValueError: If it is not in the folder, or was changed since.
        """
        files = self.record["checkpoints"].get(preset)
        if files is None:
            known = ", ".join(self.record["checkpoints"]) or "no weights"
            raise SettingError(
                f"Expected the weights of {preset!r} in {str(self.path)!r}, received {known}; "
                "prepare the folder with them, and for these models."
            )
        key = {"checkpoint": files, "parts": self.record["files"]}
        digest = digest_of_json(key)
        kept = cache_folder() / "data" / f"checkpoint-{digest[:32]}"
        # Another process may make it too, or the disk be full or read-only.
        with contextlib.suppress(OSError):
            if not is_kept(kept, key):
                with new_kept_folder(kept, key) as writing:
                    self._write_files(files, writing)
            return str(kept)
        if digest not in _SCRATCH:
            _SCRATCH[digest] = tempfile.TemporaryDirectory()
            self._write_files(files, Path(_SCRATCH[digest].name))
        return _SCRATCH[digest].name

    def _write_files(self, files: Mapping[str, int], folder: Path) -> None:
        read = self._read(files.values())
        for name, number in files.items():
            read[number].tofile(folder / name)

    def _read(self, numbers: Iterable[int]) -> "dict[int, Any]":
        """Arrays by number; ragged ones as lists."""
        import numpy as np

        arrays = self.record["arrays"]
        wanted = set(numbers)
        wanted |= {arrays[n]["lengths"] for n in wanted if arrays[n]["lengths"] is not None}
        flat = {n: np.empty(arrays[n]["size"], arrays[n]["stored"]) for n in sorted(wanted)}
        filled = dict.fromkeys(flat, 0)
        places = [
            (file, number, piece)
            for number in wanted
            for piece, file in enumerate(arrays[number]["files"])
        ]
        places.sort(key=lambda place: (len(place[0]), place))  # part-1000 after part-999
        for name, of_file in itertools.groupby(places, key=lambda place: place[0]):
            self._check_part(name)
            with np.load(self.path / name, allow_pickle=False) as archive:
                for _, number, piece in of_file:
                    values = archive[_key(number, piece)]
                    start = filled[number]
                    flat[number][start : start + len(values)] = values
                    filled[number] += len(values)
        read = {}
        for number, values in flat.items():
            values = values.astype(arrays[number]["dtype"], copy=False)
            read[number] = values.reshape(arrays[number]["shape"])
        for number in wanted:
            lengths = arrays[number]["lengths"]
            if lengths is not None:
                read[number] = np.split(read[number], np.cumsum(read[lengths])[:-1])
        return read

    def _check_part(self, name: str) -> None:
        if digest_of_file(self.path / name) != self.record["files"][name]["sha256"]:
            raise self._damaged(name)

    def _damaged(self, name: str) -> SettingError:
        return SettingError(
            f"Expected {name} in {str(self.path)!r} as it was written, received none or another; "
            "copy the whole folder again, or prepare it again."
        )

    def _other(self, name: str, prepared: Any, received: Any) -> SettingError:
        return SettingError(
            f"Expected {argument(name)} {_shown(prepared)}, with which {str(self.path)!r} was "
            f"prepared, received {_shown(received)}; leave it out, or prepare another folder."
        )


def settings_from(folder: str | Path, *, with_models: bool) -> dict[str, Any]:
    """What a run takes from a folder unless it is told otherwise.

    Args:
        folder: The folder.
        with_models: Whether the names of models are among it.

    Returns:
        Settings by name, as `RunSpec.resolve` takes them.

    Raises:
        ValueError: As `PreparedFolder`.
    """
    settings = PreparedFolder(folder).record["settings"]
    settings = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
    return {k: v for k, v in settings.items() if with_models or k not in ("teacher", "student")}


_SCRATCH: dict[str, tempfile.TemporaryDirectory[str]] = {}
"""Checkpoints that the cache cannot take, as long as the process lives."""


class _Writer:
    """Packs arrays into archives below a size."""

    def __init__(self, folder: Path, part_size: int):
        self.arrays: list[dict[str, Any]] = []
        self._folder = folder
        # What cannot be compressed grows by less than a thousandth.
        self._capacity = part_size - part_size // 1000 - _OVERHEAD
        self._numbers: dict[int, int] = {}
        self._kept_alive: list[Any] = []
        self._part: dict[str, Any] = {}
        self._used = 0
        self._count = 0

    def add(self, values: Any) -> int:
        """Adds an array or a list of 1-d arrays, each object once; returns its number."""
        if id(values) not in self._numbers:
            self._kept_alive.append(values)  # so that no other object gets its id
            self._numbers[id(values)] = self._added(values)
        return self._numbers[id(values)]

    def add_json(self, value: Any) -> int:
        """Adds a JSON value as the bytes of its text."""
        import numpy as np

        return self.add(np.frombuffer(json.dumps(value).encode(), "uint8"))

    def finish(self) -> None:
        """Writes the last part."""
        if self._part:
            import numpy as np

            self._count += 1
            name = self._name(self._count)
            np.savez_compressed(self._folder / name, **self._part)
        self._part, self._used = {}, 0

    def _name(self, count: int) -> str:
        return f"part-{count:03d}.npz"

    def _added(self, values: Any) -> int:
        import numpy as np

        lengths = None
        if isinstance(values, list):
            lengths = self._added(np.array([len(row) for row in values], "int64"))
            values = np.concatenate(values) if values else np.zeros(0, "int32")
        values = np.asarray(values)  # rows that are read when they are wanted
        number = len(self.arrays)
        stored = _smallest_type(values)
        flat = values.reshape(-1)
        files: list[str] = []
        start = 0
        while start < len(flat) or not files:
            room = (self._capacity - self._used - _OVERHEAD) // np.dtype(stored).itemsize
            if room < min(len(flat) - start, 1024):
                self.finish()
                continue
            piece = flat[start : start + max(room, 1)].astype(stored, copy=False)
            self._part[_key(number, len(files))] = piece
            self._used += piece.nbytes + _OVERHEAD
            files.append(self._name(self._count + 1))
            start += max(len(piece), 1)
        self.arrays.append(
            {
                "dtype": str(values.dtype),
                "stored": str(stored),
                "shape": list(values.shape),
                "size": int(flat.size),
                "lengths": lengths,
                "files": files,
            }
        )
        return number


def _smallest_type(values: "np.ndarray") -> Any:
    """The smallest type that holds the same whole numbers; of others their own."""
    import numpy as np

    if values.dtype.kind not in "iu" or values.size == 0:
        return values.dtype
    low, high = int(values.min()), int(values.max())
    for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32"):
        limits = np.iinfo(name)
        if limits.min <= low and high <= limits.max:
            smallest = np.dtype(name)
            return smallest if smallest.itemsize < values.dtype.itemsize else values.dtype
    return values.dtype


def _key(number: int, piece: int) -> str:
    """The name of a piece of an array in its part."""
    return f"{number}-{piece}"


def _bytes_of(path: Path) -> "np.ndarray":
    import numpy as np

    return np.fromfile(path, "uint8")


def _mapped(structure: Any, function: Callable[[Any], Any]) -> Any:
    """A nested dict with what a function makes of each of its leaves."""
    if isinstance(structure, Mapping):
        return {key: _mapped(value, function) for key, value in structure.items()}
    return function(structure)


def _leaves(structure: Any) -> Iterator[Any]:
    if isinstance(structure, Mapping):
        for value in structure.values():
            yield from _leaves(value)
    else:
        yield structure


def _or_none(function: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else function(value)


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    if value is None or value is False:
        return "not given"
    return ",".join(value) if isinstance(value, (list, tuple)) else repr(value)
