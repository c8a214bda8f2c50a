"""Keeps one of a distiller's models after its best epoch, in a file an improvement."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras

from keras_prokt.files import digest_of_file, read_record, replacing, write_record
from keras_prokt.names import unknown_name

BEST = "best.json"
"""Which file is the best one; the only file here that is written over."""


class Best(NamedTuple):
    """A model after its best epoch.

    Attributes:
        path: Its file.
        epoch: Which epoch, from 0.
        value: How good it was.
    """

    path: Path
    epoch: int
    value: float


class BestModelCheckpoint(keras.callbacks.Callback):
    """Saves the teacher or the student whenever a metric has improved, and never writes over it.

    `StudentCheckpoint` replaces its file, of which each checkpoint of a run then needs a copy. A
    teacher may be large: here an improvement is a new file, written once, and `best.json` names
    the best one with its checksum. Give `pointer` to a `ResumableBackup` as one of its `files`:
    what a checkpoint was written with is then found again, whatever came after. Files that neither
    the newest checkpoint nor the one before can need are deleted as the next epoch begins.

    Of equal values the first epoch is kept.

    Args:
        directory: Folder of its own for the files.
        role: "teacher" or "student".
        monitor: Name in the epoch's logs.
        mode: "max" or "min": whether higher or lower values are better.
        measure: What measures the model where the logs do not have `monitor`; its value is added to
            them, so that callbacks after this one have it.

    Raises:
        ValueError: After the first epoch, if the logs lack `monitor` and nothing measures it; when
            a run is continued, if the best model of its earlier epochs is damaged or gone.

    Example:

    >>> import keras, numpy as np, tempfile
    >>> from keras_prokt import StudentOnly
    >>> from keras_prokt.callbacks.best_model_checkpoint import BestModelCheckpoint
    >>> model = StudentOnly(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    >>> model.compile(optimizer="adam")
    >>> x, y = np.random.rand(64, 4).astype("float32"), np.random.randint(0, 3, 64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     best = BestModelCheckpoint(folder, "student", monitor="val_student_accuracy")
    ...     _ = model.fit(x, y, validation_data=(x, y), callbacks=[best], verbose=0)
    ...     print(best.best().path.name)
    epoch-000000.keras
    """

    def __init__(
        self,
        directory: str | Path,
        role: str,
        *,
        monitor: str,
        mode: str = "max",
        measure: Callable[[keras.Model], float] | None = None,
    ):
        super().__init__()
        self.directory = Path(directory)
        self.role = role
        self.monitor = monitor
        self.mode = mode
        self.measure = measure
        self._value: float | None = None
        self._is_first_epoch = False

    @property
    def pointer(self) -> Path:
        """The file that names the best one."""
        return self.directory / BEST

    def best(self) -> Best:
        """The best model so far.

        Raises:
            ValueError: If it is damaged or gone.
        """
        return read_best(self.directory)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._value, self._is_first_epoch = None, True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Only here it is known whether another callback has made this a continued run.
        if self._is_first_epoch:
            if epoch > 0:
                self._value = self.best().value
            else:
                shutil.rmtree(self.directory, ignore_errors=True)
        self._is_first_epoch = False
        self._delete_unneeded(epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        model = getattr(self.model, self.role)
        if self.monitor not in logs:
            if self.measure is None:
                raise ValueError(unknown_name("a monitor", self.monitor, logs))
            logs[self.monitor] = self.measure(model)
        value = float(logs[self.monitor])
        if not self._is_better(value):
            return
        path = self._file_of(epoch)
        with replacing(path) as temporary:
            model.save(temporary)
        record = {"file": path.name, "digest": digest_of_file(path)}
        write_record(self.pointer, {**record, "epoch": epoch, "value": value})
        self._value = value

    def _is_better(self, value: float) -> bool:
        # False for NaN as well.
        if self._value is None:
            return value == value
        return value > self._value if self.mode == "max" else value < self._value

    def _file_of(self, epoch: int) -> Path:
        return self.directory / f"epoch-{epoch:06d}.keras"

    def _delete_unneeded(self, epoch: int) -> None:
        """Deletes files that no checkpoint names: `epoch` is begun, and those before are saved."""
        files = sorted(self.directory.glob("epoch-*.keras"))
        # What was the best as this epoch began, and as the one before did.
        needed = {
            max(earlier)
            for begun in (epoch, epoch - 1)
            if (earlier := [path for path in files if path < self._file_of(begun)])
        }
        for path in set(files) - needed:
            path.unlink()


def read_best(directory: Path) -> Best:
    """The best model that a `BestModelCheckpoint` has kept in a folder.

    Args:
        directory: The folder.

    Raises:
        ValueError: If it is damaged or gone.
    """
    try:
        record = read_record(directory / BEST)
        path = directory / record["file"]
        is_whole = path.is_file() and digest_of_file(path) == record["digest"]
        problem = f"{'another' if path.is_file() else 'no'} {path.name}"
        best = Best(path, int(record["epoch"]), float(record["value"]))
    except (ValueError, KeyError, TypeError):
        is_whole, problem = False, f"no {BEST} that can be read"
    if not is_whole:
        raise ValueError(
            f"Expected the best model so far in {str(directory)!r}, received {problem}; restore it "
            "from a copy, or train from the first epoch."
        )
    return best
