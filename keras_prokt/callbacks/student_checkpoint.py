"""Keeps the best student, alone."""

import glob
import json
import re
import string
import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras

from keras_prokt.arguments import (
    check_choice,
    check_text,
    checked_integer,
    checked_number,
    checked_path,
)
from keras_prokt.files import replacing
from keras_prokt.names import unknown_name

MODES = ("auto", "min", "max")

_HIGHER_IS_BETTER = re.compile(
    r"acc|auc|f1|f_score|fbeta|precision|recall|specificity|iou|r2|cosine|correlation"
)

_RECORD = "student_checkpoint.json"
"""Member of the `.keras` file (a zip archive) that says how good this student was."""

_UNREADABLE = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,  # no JSON, no UTF-8
    RuntimeError,  # encrypted, it says
    NotImplementedError,  # compressed by a method that there is not, it says
)


class StudentCheckpoint(keras.callbacks.Callback):
    """Saves the student, without teacher and optimizers, whenever a metric has improved.

    The file is replaced in one move, so that there is never half a model under its name. It also
    holds the metric's value: a run continued at a later epoch (`ResumableBackup`, or
    `initial_epoch` above 0) goes on comparing with the best of its earlier epochs.

    Args:
        filepath: Where to save, ending in `.keras`. As in Keras it may hold the epoch, counted from
            1, and values of its logs: `"student-{epoch:02d}-{val_student_accuracy:.3f}.keras"`;
            then every student is kept that was the best one of its time.
        monitor: Name in the epoch's logs; by default the student's main metric on the
            validation data, such as `val_student_accuracy`.
        mode: "max" or "min": whether higher or lower is better. "auto" takes "max" for names of
            accuracies, AUC, F1, precision, recall and the like, otherwise "min".
        initial_value_threshold: Value that has to be surpassed by the first student saved.
        verbose: 1 prints a line at each save.

    Attributes:
        best: Best value so far, or `None`.
        best_epoch: Epoch (0-based) of `best`, or `None`.

    Raises:
        ValueError: If `filepath` or `mode` is not as above, or, after the first epoch, the logs
            lack `monitor` or what `filepath` names; when a run is continued, if `filepath` is
            damaged.

    Example:

    >>> import keras, numpy as np, tempfile
    >>> from keras_prokt import StudentCheckpoint, StudentOnly
    >>> model = StudentOnly(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    >>> model.compile(optimizer="adam")
    >>> x, y = np.random.rand(64, 4).astype("float32"), np.random.randint(0, 3, 64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = StudentCheckpoint(f"{folder}/best.keras")
    ...     _ = model.fit(x, y, validation_data=(x, y), callbacks=[checkpoint], verbose=0)
    ...     student = keras.saving.load_model(f"{folder}/best.keras")
    >>> checkpoint.best_epoch
    0
    """

    def __init__(
        self,
        filepath: str | Path,
        *,
        monitor: str | None = None,
        mode: str = "auto",
        initial_value_threshold: float | None = None,
        verbose: int = 0,
    ):
        super().__init__()
        self.filepath = checked_path("filepath", filepath)
        if self.filepath.suffix != ".keras":
            raise ValueError(
                f"Expected a filepath ending in .keras, received {str(filepath)!r}; Keras chooses "
                "the format by the ending."
            )
        check_choice("mode", mode, MODES)
        if monitor is not None:
            check_text("monitor", monitor)
        if initial_value_threshold is not None:
            checked_number("initial_value_threshold", initial_value_threshold, is_bounded=True)
        checked_integer("verbose", int(verbose) if isinstance(verbose, bool) else verbose, least=0)
        self.monitor = monitor
        self.mode = mode
        self._resolve_mode()
        self.initial_value_threshold = initial_value_threshold
        self.verbose = verbose
        self.best = initial_value_threshold
        self.best_epoch: int | None = None
        self._is_first_epoch = False

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        if self.monitor is None:
            kind = model.output_kind
            self.monitor = f"val_student_{kind.main_metric}"
            if self.mode == "auto":
                self.mode = "min" if kind.main_metric in kind.lower_is_better else "max"

    def _resolve_mode(self) -> None:
        if self.mode == "auto" and self.monitor is not None:
            self.mode = "max" if _HIGHER_IS_BETTER.search(self.monitor.lower()) else "min"

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.best = self.initial_value_threshold
        self.best_epoch = None
        self._is_first_epoch = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Only here it is known whether another callback has made this a continued run.
        if self._is_first_epoch and epoch > 0:
            self._recall()
        self._is_first_epoch = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        if self.monitor not in logs:
            advice = (
                " Validation is reported with validation_data= and validation_freq=1."
                if self.monitor.startswith("val_")
                else ""
            )
            raise ValueError(unknown_name("a monitor", self.monitor, logs) + advice)
        value = float(logs[self.monitor])
        if not self._is_better(value):
            return
        filepath = self._path_of(epoch, logs)
        with replacing(filepath) as temporary:
            self.model.student.save(temporary)
            record = {"monitor": self.monitor, "value": value, "epoch": epoch}
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(_RECORD, json.dumps(record))
        if self.verbose:
            before = "none" if self.best is None else f"{self.best:.5g}"
            print(
                f"\nEpoch {epoch + 1}: {self.monitor} improved from {before} to {value:.5g}; "
                f"student saved to {filepath}"
            )
        self.best, self.best_epoch = value, epoch

    def _path_of(self, epoch: int, logs: dict[str, Any]) -> Path:
        """Where the student of an epoch is saved."""
        try:
            return Path(str(self.filepath).format(**{**logs, "epoch": epoch + 1}))
        except (LookupError, ValueError) as error:
            raise ValueError(
                f"Expected a filepath with fields among {', '.join(['epoch', *logs])}, received "
                f"{str(self.filepath)!r} and {type(error).__name__}: {error}; a brace is {{{{."
            ) from error

    def _written(self) -> list[Path]:
        """Files that are there of this name, whatever stands in its fields."""
        name = ""
        for text, field, *_ in string.Formatter().parse(self.filepath.name):
            name += glob.escape(text) + ("*" if field is not None else "")
        return sorted(self.filepath.parent.glob(name))

    def _is_better(self, value: float) -> bool:
        # False for NaN as well.
        if self.best is None:
            return value == value
        return value > self.best if self.mode == "max" else value < self.best

    def _recall(self) -> None:
        """Takes over the value of the student that is in the file already."""
        for path in self._written():
            record = _record_of(path)
            if record is None or record["monitor"] != self.monitor:
                continue
            if self._is_better(record["value"]):
                self.best, self.best_epoch = record["value"], record["epoch"]


def _record_of(path: Path) -> dict[str, Any] | None:
    """What a student's file says of how good it was; `None` if another wrote the file.

    All of the file is compared with its checksums: better now than when training has ended.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"{damaged} has changed since it was written")
            if _RECORD in archive.namelist():
                return json.loads(archive.read(_RECORD))
        # It stands last: a list of members that was cut would lack it.
        if _RECORD.encode() in path.read_bytes():
            raise zipfile.BadZipFile("its list of members is incomplete")
        return None
    except _UNREADABLE as error:
        problem = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"Expected the best student so far in {str(path)!r}, received a damaged file "
            f"({problem}); restore it from a copy, or train from the first epoch."
        ) from error
