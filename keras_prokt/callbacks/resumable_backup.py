"""Kill training at any moment; it goes on exactly where it was."""

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras
from keras import ops

from keras_prokt.arguments import checked_integer, checked_path, checked_paths, shown
from keras_prokt.distillers import Distiller
from keras_prokt.files import (
    digest_of_file,
    new_folder,
    read_record,
    remove_unfinished,
    replacing,
    write_record,
)

_STATE = "state.weights.h5"
_POSITION = "position.json"
_FILES = "files"
_REMOVING = ".removing-"
_WRITING = ".writing"  # what an older version of this class was writing when it was killed
_NAME = re.compile(r"epoch-([0-9]+)-batch-([0-9]+)")
_KEYS = {"epoch", "batch", "metrics", "state", "belongs_to", "files"}
_OLD_KEYS = {"arrays"}  # older versions wrote a digest of arrays that are not in the state, too
_ABSENT = object()
_DIFFERENCES_SHOWN = 3


class ResumableBackup(keras.callbacks.Callback):
    """Saves everything that training needs to go on, and takes it up again.

    Each checkpoint is a folder `directory/epoch-E-batch-B/` with the state of both models, both
    optimizers, the random seeds and λ or β (`state.weights.h5`), copies of `files`, and the
    position in the data, the epoch's running metrics and checksums of all this
    (`position.json`). It is written under another name, flushed to the disk and renamed, so that
    a kill at any moment, during writing too, leaves the last complete checkpoint, and a state
    never stands beside another's position. A checkpoint of which anything has changed since is
    passed over in favour of the one before.

    When `fit` begins, the newest intact checkpoint is restored and `fit` continues after it: the
    epochs before are left out, and in the middle of an epoch the batches before are drawn and
    passed over. The final weights of both models are equal, bit for bit, to those of a run that
    was never stopped (on one machine and backend), if the order of the data depends on the seed
    and the epoch alone: `keras_prokt.data.batches.Batches`, arrays with `fit(shuffle=False)`,
    `tf.data` without a shuffle that differs in each pass. A pipeline that runs through all
    epochs has to begin at the epoch of `position()`. On PyTorch, dropout without a `seed` draws
    from a global generator that is not saved: give it a seed.

    Put it last among the callbacks: what is saved at an epoch's end then counts that epoch as
    done when the others have seen it. `StudentCheckpoint`, `TrainingDynamics` and
    `ProximalSchedule` go on exactly; Keras's callbacks that count epochs (`EarlyStopping`,
    `ReduceLROnPlateau`) begin to count anew.

    Args:
        directory: Folder of the checkpoints. It stays after training, so that training can be
            prolonged; delete it to begin anew.
        save_freq: "epoch" saves at the end of each epoch; a number saves also whenever that many
            batches have been trained since the last time. Either saves when another callback sets
            `stop_training` within an epoch.
        keep: Number of checkpoints kept. With 2 there is another one if a disk damages the last.
        belongs_to: What this training is, a JSON mapping: its settings, digests of its data. A
            checkpoint that was written with another one, or with none, is refused.
        files: Paths of files that other callbacks write and read again, such as `history.csv`
            and the best student so far. Each checkpoint has copies of them, and they are put back
            as they were then when training goes on from it; those that did not exist are removed.
            Two files of one name cannot be told apart.

    Raises:
        ValueError: If an argument is not as above; before the first step, if the model is not a
            distiller or not the one whose state was saved; and on reading, if no checkpoint in
            the folder is intact, or the newest one belongs to another training.
        OSError: If a checkpoint cannot be written. Those before it stay.

    Example:

    >>> import keras, numpy as np, tempfile
    >>> from keras_prokt import ResumableBackup, StudentOnly
    >>> model = StudentOnly(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    >>> model.compile(optimizer="adam")
    >>> x, y = np.random.rand(64, 4).astype("float32"), np.random.randint(0, 3, 64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     backup = ResumableBackup(folder, belongs_to={"seed": 0})
    ...     _ = model.fit(x, y, epochs=2, shuffle=False, callbacks=[backup], verbose=0)
    ...     print(backup.position())
    ...     try:
    ...         ResumableBackup(folder, belongs_to={"seed": 1}).position()
    ...     except ValueError as error:
    ...         print(str(error).partition("received ")[2])
    (2, 0)
    one of another: seed was 0, is 1; undo the change, or delete the folder to begin anew.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        save_freq: str | int = "epoch",
        keep: int = 2,
        belongs_to: Mapping[str, Any] | None = None,
        files: Sequence[str | Path] = (),
    ):
        super().__init__()
        if not isinstance(save_freq, str) or save_freq != "epoch":
            checked_integer("save_freq", save_freq, advice='a number of batches, or "epoch"')
        self.directory = checked_path("directory", directory)
        self.save_freq = save_freq
        self.keep = checked_integer("keep", keep)
        self.belongs_to = _as_json(belongs_to)
        self.files = _by_name(files)

    def position(self) -> tuple[int, int]:
        """Where training will go on: `(epoch, batch)`, both 0-based; `(0, 0)` without checkpoint.

        Raises:
            ValueError: If there are checkpoints, but none is intact, or the newest one belongs to
                another training.
        """
        checkpoint = self._newest_intact()
        return (0, 0) if checkpoint is None else _position_of(checkpoint.folder)

    def restore_files(self) -> None:
        """Puts `files` back as they were when the newest intact checkpoint was written.

        `fit` does so when training begins; this is for who reads them before. Without a
        checkpoint they are left as they are.

        Raises:
            ValueError: As `position`.
        """
        checkpoint = self._newest_intact()
        if checkpoint is not None:
            self._put_back(checkpoint)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        if not isinstance(model, Distiller):
            raise ValueError(
                f"Expected a distiller, received {type(model).__name__}; use StudentOnly(model), "
                "or Keras's BackupAndRestore, which does not keep random seeds."
            )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.directory.exists() and not self.directory.is_dir():
            raise ValueError(
                f"Expected directory to be a folder or a new path, received {str(self.directory)!r}"
                ", which is a file; choose another path."
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        self._epoch, self._last_saved = 0, 0
        self._stopped_within_epoch = False
        self._metrics: list[Any] | None = None
        checkpoint = self._newest_intact()
        if checkpoint is not None:
            self._load(checkpoint)
        # Only now: what is refused stays as it is.
        self._tidy(checkpoint)
        if checkpoint is None:
            return
        self._put_back(checkpoint)
        record = checkpoint.record
        self.model._initial_epoch = self._epoch = record["epoch"]
        self.model.skip_batches = self._last_saved = record["batch"]
        if record["batch"]:
            self._metrics = record["metrics"]

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Otherwise the next fit of this model would begin here as well.
        self._model._initial_epoch = None
        if epoch != self._epoch:
            self._epoch, self._last_saved = epoch, 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._metrics is not None:
            # Not earlier: Keras resets the metrics before an epoch, and TensorFlow makes those
            # of the user at the first batch.
            if self._model.skip_batches <= 0:
                _assign_metrics(self.model, self._metrics)
                self._metrics = None
            return
        # Stopped here by another callback, the epoch ends for Keras, but is not done.
        self._stopped_within_epoch = self._model.stop_training
        is_due = self.save_freq != "epoch" and batch + 1 - self._last_saved >= self.save_freq
        if is_due or self._stopped_within_epoch:
            self._save(self._epoch, batch + 1)
            self._last_saved = batch + 1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._stopped_within_epoch:
            self._save(epoch + 1, 0)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._model._initial_epoch = None

    def _save(self, epoch: int, batch: int) -> None:
        model = self.model  # On JAX this brings the variables up to date.
        state = _StateInMemory()
        model.save_weights(state)
        folder = self.directory / f"epoch-{epoch:06d}-batch-{batch:09d}"
        with new_folder(folder) as writing:
            (writing / _STATE).write_bytes(state.getbuffer())
            record = {
                "epoch": epoch,
                "batch": batch,
                "metrics": _metric_values(model) if batch else None,
                "state": hashlib.sha256(state.getbuffer()).hexdigest(),
                "belongs_to": self.belongs_to,
                "files": self._copy_files(writing / _FILES),
            }
            write_record(writing / _POSITION, record)
        for old in self._checkpoints()[self.keep :]:
            _remove(old)

    def _load(self, checkpoint: "_Checkpoint") -> None:
        """Gives the model the state of a checkpoint."""
        model = self.model
        own_state = _StateInMemory()
        model.save_weights(own_state)
        # Keras takes up some states of other models with no more than a warning.
        if _arrays_of(checkpoint.folder / _STATE) == _arrays_of(own_state):
            model.load_weights(checkpoint.folder / _STATE)
        else:
            raise ValueError(
                f"Expected a checkpoint of this model in {str(self.directory)!r}, received one of "
                "another architecture or optimizer; build the model as it was, or delete the "
                "folder to begin anew."
            )

    def _tidy(self, newest: "_Checkpoint | None") -> None:
        """Removes what kills have left, damaged checkpoints, and those beyond `keep`."""
        remove_unfinished(self.directory)
        shutil.rmtree(self.directory / _WRITING, ignore_errors=True)
        for path in self.directory.glob(f"{_REMOVING}epoch-*"):
            shutil.rmtree(path)
        kept = 0
        for folder in self._checkpoints():
            is_newest = newest is not None and folder == newest.folder
            if kept < self.keep and (is_newest or _read_intact(folder) is not None):
                kept += 1
            else:
                _remove(folder)

    def _copy_files(self, folder: Path) -> dict[str, str | None]:
        """Copies `files` into a folder; returns their digests, `None` for what does not exist."""
        digests: dict[str, str | None] = {}
        if self.files:
            folder.mkdir()
        for name, path in self.files.items():
            digests[name] = None
            if path.is_file():
                # A copy of its own: one damaged sector must not damage two checkpoints.
                copy = folder / name
                shutil.copyfile(path, copy)
                digests[name] = digest_of_file(copy)
        return digests

    def _put_back(self, checkpoint: "_Checkpoint") -> None:
        for name, path in self.files.items():
            # A checkpoint from before a file was named says nothing of it.
            digest = checkpoint.record["files"].get(name, _ABSENT)
            if digest is None:
                path.unlink(missing_ok=True)
            elif digest is not _ABSENT and not (path.is_file() and digest_of_file(path) == digest):
                with replacing(path) as temporary:
                    shutil.copyfile(checkpoint.folder / _FILES / name, temporary)

    def _checkpoints(self) -> list[Path]:
        """Folders of checkpoints, newest first."""
        if not self.directory.is_dir():
            return []
        found = (path for path in self.directory.iterdir() if _NAME.fullmatch(path.name))
        return sorted((path for path in found if path.is_dir()), key=_position_of, reverse=True)

    def _newest_intact(self) -> "_Checkpoint | None":
        folders = self._checkpoints()
        for folder in folders:
            record = _read_intact(folder)
            if record is not None:
                self._check_belonging(self.read_identity(record["belongs_to"]))
                return _Checkpoint(folder, record)
        if folders:
            raise ValueError(
                f"Expected an intact checkpoint in {str(self.directory)!r}, received "
                f"{len(folders)} damaged or of another version; delete the folder to begin anew."
            )
        return None

    def read_identity(self, stored: Any) -> Any:
        """What a checkpoint says of the training that it belongs to, in the form of `belongs_to`.

        As it is stored, unless a subclass reads what its older versions wrote.
        """
        return stored

    def _check_belonging(self, then: Any) -> None:
        """Refuses a checkpoint of another training."""
        if then == self.belongs_to:
            return
        old, new = (_ABSENT if value is None else value for value in (then, self.belongs_to))
        differences = [
            f"{_printable(key) or 'belongs_to'} was {_shown(was)}, is {_shown(is_now)}"
            for key, was, is_now in _differences(old, new)
        ]
        shown = differences[:_DIFFERENCES_SHOWN]
        if len(differences) > len(shown):
            shown.append(f"and {len(differences) - len(shown)} more")
        raise ValueError(
            f"Expected a checkpoint of this training in {str(self.directory)!r}, received one of "
            f"another: {'; '.join(shown)}; undo the change, or delete the folder to begin anew."
        )


class _Checkpoint(NamedTuple):
    folder: Path
    record: dict[str, Any]


class _StateInMemory(io.BytesIO):
    """A file for weights in memory.

    When a disk is full HDF5 cannot close its file, reports that many times over, and crashes as
    the process ends. What is in memory is written by Python, with one error.
    """

    def __str__(self) -> str:
        # Keras writes into files of this class, and looks at the ending of any file's name.
        return _STATE


def _position_of(folder: Path) -> tuple[int, int]:
    """Epoch and batch in the name of a checkpoint."""
    epoch, batch = _NAME.fullmatch(folder.name).groups()
    return int(epoch), int(batch)


def _read_intact(folder: Path) -> dict[str, Any] | None:
    """The record of a checkpoint, or `None` if anything in the folder is not as it was written."""
    try:
        record = read_record(folder / _POSITION)
        is_intact = (
            record.keys() - _OLD_KEYS == _KEYS
            and (record["epoch"], record["batch"]) == _position_of(folder)
            and (record["metrics"] is None or _are_metrics(record["metrics"]))
            and record["state"] == digest_of_file(folder / _STATE)
            and all(
                digest is None or digest == digest_of_file(folder / _FILES / name)
                for name, digest in record["files"].items()
            )
        )
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    return record if is_intact else None


def _are_metrics(metrics: Any) -> bool:
    """Whether a value can be path and value of running metrics."""
    return isinstance(metrics, list) and all(
        isinstance(one, list) and len(one) == 2 and isinstance(one[0], str) for one in metrics
    )


def _remove(checkpoint: Path) -> None:
    """Removes a checkpoint, which is none any more from the first moment on."""
    removing = checkpoint.with_name(f"{_REMOVING}{checkpoint.name}")
    shutil.rmtree(removing, ignore_errors=True)
    os.rename(checkpoint, removing)
    shutil.rmtree(removing)


def _as_json(belongs_to: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What `belongs_to` will be when it is read from a file."""
    if belongs_to is None:
        return None
    if not isinstance(belongs_to, Mapping):
        raise ValueError(
            f"Expected belongs_to as a mapping, received {shown(belongs_to)}; give it a name, such "
            "as belongs_to={'spec': ...}."
        )
    try:
        return json.loads(json.dumps(dict(belongs_to), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            "Expected belongs_to of what JSON has (text, finite numbers, true, false, null, lists "
            f"and mappings), received another value: {error}; convert it first."
        ) from error


def _by_name(files: Sequence[str | Path]) -> dict[str, Path]:
    paths = checked_paths("files", files)
    by_name = {path.name: path for path in paths}
    if len(by_name) < len(paths):
        raise ValueError(
            f"Expected files of different names, received {[str(path) for path in paths]}; name "
            "each file once, and rename those that share a name."
        )
    return by_name


def _differences(then: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted key, old and new value wherever two JSON values differ."""
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        then, now = ({str(i): item for i, item in enumerate(value)} for value in (then, now))
    if isinstance(then, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*then, *now]):
            inner = f"{key}.{name}" if key else name
            yield from _differences(then.get(name, _ABSENT), now.get(name, _ABSENT), inner)
    elif then is _ABSENT or now is _ABSENT or then != now:
        yield key, then, now


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "not given"
    text = _printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _printable(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _arrays_of(state: Path | io.BytesIO) -> dict[str, tuple[tuple[int, ...], str]]:
    """Place, shape and dtype of every array in a file of weights."""
    arrays: dict[str, tuple[tuple[int, ...], str]] = {}

    def add(place: str, value: h5py.Group | h5py.Dataset) -> None:
        if isinstance(value, h5py.Dataset):
            arrays[place] = (value.shape, str(value.dtype))

    with h5py.File(state, "r") as file:
        file.visititems(add)
    return arrays


def _metric_variables(model: keras.Model) -> list[keras.Variable]:
    # One metric may be listed twice.
    return list({id(v): v for v in model.metrics_variables}.values())


def _metric_values(model: keras.Model) -> list[tuple[str, Any]]:
    """Path and value of every metric variable, in order."""
    return [
        (variable.path, ops.convert_to_numpy(variable.value).tolist())
        for variable in _metric_variables(model)
    ]


def _assign_metrics(model: keras.Model, values: list[tuple[str, Any]]) -> None:
    variables = _metric_variables(model)
    expected, received = [path for path, _ in values], [v.path for v in variables]
    if expected != received:
        raise ValueError(
            f"Expected the metrics that the checkpoint was written with, {expected}, received "
            f"{received}; compile with the same metrics in the same order."
        )
    for variable, (_, value) in zip(variables, values, strict=True):
        variable.assign(ops.convert_to_tensor(value, dtype=variable.dtype))
