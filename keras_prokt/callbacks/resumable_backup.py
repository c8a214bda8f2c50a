"""Kill training at any moment; it goes on exactly where it was."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import keras
from keras import ops

from keras_prokt.distillers import Distiller
from keras_prokt.files import digest_of_file, flush

_STATE = "state.weights.h5"
_POSITION = "position.json"
_WRITING = ".writing"
_NAME = re.compile(r"epoch-\d{6}-batch-\d{9}")


class ResumableBackup(keras.callbacks.Callback):
    """Saves everything that training needs to go on, and takes it up again.

    Each checkpoint is a folder `directory/epoch-E-batch-B/` with the state of both models, both
    optimizers, the random seeds and λ or β (`state.weights.h5`) and the position in the data, the
    epoch's running metrics and the state's checksum (`position.json`). It is written under
    another name, flushed to the disk and renamed, so that a kill at any moment, during writing
    too, leaves the last complete checkpoint, and a state never stands beside another's position.

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

    Raises:
        ValueError: If an argument is not as above; before the first step, if the model is not a
            distiller; and on reading, if no checkpoint in the folder is intact.

    Example:

    >>> import keras, numpy as np, tempfile
    >>> from keras_prokt import ResumableBackup, StudentOnly
    >>> model = StudentOnly(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    >>> model.compile(optimizer="adam")
    >>> x, y = np.random.rand(64, 4).astype("float32"), np.random.randint(0, 3, 64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     backup = ResumableBackup(folder)
    ...     _ = model.fit(x, y, epochs=2, shuffle=False, callbacks=[backup], verbose=0)
    ...     backup.position()
    (2, 0)
    """

    def __init__(self, directory: str | Path, *, save_freq: str | int = "epoch", keep: int = 2):
        super().__init__()
        is_count = isinstance(save_freq, int) and save_freq >= 1
        if save_freq != "epoch" and not is_count:
            raise ValueError(
                'Expected save_freq "epoch" or a number of batches of at least 1, received '
                f"{save_freq!r}."
            )
        if keep < 1:
            raise ValueError(f"Expected keep of at least 1, received {keep!r}.")
        self.directory = Path(directory)
        self.save_freq = save_freq
        self.keep = keep

    def position(self) -> tuple[int, int]:
        """Where training will go on: `(epoch, batch)`, both 0-based; `(0, 0)` without checkpoint.

        Raises:
            ValueError: If there are checkpoints, but none is intact.
        """
        _, record = self._newest_intact()
        return (0, 0) if record is None else (record["epoch"], record["batch"])

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        if not isinstance(model, Distiller):
            raise ValueError(
                f"Expected a distiller, received {type(model).__name__}; use StudentOnly(model), "
                "or Keras's BackupAndRestore, which does not keep random seeds."
            )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._epoch, self._last_saved = 0, 0
        self._stopped_within_epoch = False
        self._metrics: list[Any] | None = None
        checkpoint, record = self._newest_intact()
        # Unfinished ones, and damaged ones whose place a later checkpoint would take.
        shutil.rmtree(self.directory / _WRITING, ignore_errors=True)
        for newer in self._checkpoints():
            if checkpoint is None or newer.name > checkpoint.name:
                shutil.rmtree(newer)
        if record is None:
            return
        model = self.model
        model.load_weights(checkpoint / _STATE)
        model._initial_epoch = self._epoch = record["epoch"]
        model.skip_batches = self._last_saved = record["batch"]
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
        writing = self.directory / _WRITING
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir()
        model.save_weights(writing / _STATE)
        record = {
            "epoch": epoch,
            "batch": batch,
            "metrics": _metric_values(model) if batch else None,
            "sha256": digest_of_file(writing / _STATE),
        }
        (writing / _POSITION).write_text(json.dumps(record), encoding="utf-8")
        for path in (writing / _STATE, writing / _POSITION, writing):
            flush(path)
        os.rename(writing, self.directory / f"epoch-{epoch:06d}-batch-{batch:09d}")
        flush(self.directory)
        for old in self._checkpoints()[self.keep :]:
            shutil.rmtree(old)

    def _checkpoints(self) -> list[Path]:
        """Folders of checkpoints, newest first."""
        if not self.directory.is_dir():
            return []
        found = (path for path in self.directory.iterdir() if _NAME.fullmatch(path.name))
        return sorted(found, reverse=True)

    def _newest_intact(self) -> tuple[Path | None, dict[str, Any] | None]:
        checkpoints = self._checkpoints()
        for checkpoint in checkpoints:
            record = _read_intact(checkpoint)
            if record is not None:
                return checkpoint, record
        if checkpoints:
            raise ValueError(
                f"Expected an intact checkpoint in {str(self.directory)!r}, received "
                f"{len(checkpoints)} damaged; delete the folder to begin anew."
            )
        return None, None


def _read_intact(checkpoint: Path) -> dict[str, Any] | None:
    """The record of a checkpoint, or `None` if it or the state beside it is damaged."""
    try:
        record = json.loads((checkpoint / _POSITION).read_text(encoding="utf-8"))
        is_intact = record["sha256"] == digest_of_file(checkpoint / _STATE)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if is_intact else None


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
