"""Progress of a run on a terminal or in a log: where it is, and how long it will take."""

import sys
import time
from typing import Any, TextIO

import keras

from keras_prokt.runs.stopping import format_seconds


class Progress(keras.callbacks.Callback):
    """One line an epoch with the time left; between epochs a live count on a terminal.

    Args:
        title: What is being trained.
        trained: What the trained model is called; a teacher that is trained alone is the student
            of its own training.
        stream: Where to write; standard error by default, so that results can be piped.
    """

    def __init__(self, title: str, trained: str = "student", stream: TextIO | None = None):
        super().__init__()
        self._title, self._trained = title, trained
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic()
        self._first_epoch: int | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._first_epoch is None:
            self._first_epoch = epoch
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        steps = self.params.get("steps")
        if self._live and steps and batch % max(1, steps // 20) == 0:
            self._write(f"{self._head()} step {batch + 1}/{steps}", end="\r")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        metric = self.model.output_kind.main_metric
        done = epoch + 1 - self._first_epoch
        left = (time.monotonic() - self._started) / done * (self.params["epochs"] - epoch - 1)
        shown = [
            f"{label} {logs[key]:.4f}"
            for label, key in (
                ("loss", "loss"),
                (self._trained, f"val_student_{metric}"),
                ("teacher", f"val_teacher_{metric}"),
                ("gap", "gap"),
            )
            if key in logs
        ]
        self._write(f"{self._head()}  {'  '.join(shown)}  {format_seconds(left)} left")

    def _head(self) -> str:
        return f"{self._title} epoch {self._epoch + 1}/{self.params['epochs']}"

    def _write(self, text: str, end: str = "\n") -> None:
        clear = "\x1b[2K\r" if self._live else ""
        print(f"{clear}{text}", end=end, file=self._stream, flush=True)


def say(text: str) -> None:
    """One line about what a run does, where its progress is shown."""
    print(text, file=sys.stderr, flush=True)
