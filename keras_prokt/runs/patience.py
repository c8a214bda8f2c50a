"""When a run has trained long enough: the best epoch in its history, and how long ago that was."""

import csv
from pathlib import Path
from typing import Any

import keras


def best_epoch(history: Path, monitor: str, mode: str) -> int:
    """The first epoch, from 1, with the best value of a metric.

    Args:
        history: The `history.csv`.
        monitor: Name of its column.
        mode: "max" or "min": whether the highest or the lowest value is best.
    """
    values = _values(history, monitor)
    return 1 + values.index(max(values) if mode == "max" else min(values))


def epochs_done(history: Path) -> int:
    """How many epochs a `history.csv` has."""
    return len(_rows(history))


class Patience(keras.callbacks.Callback):
    """Ends training when a metric has not been better than before for some epochs.

    As Keras's `EarlyStopping`, which counts in memory; this reads the history of the run, which
    is put back with each checkpoint, so that a run in pieces stops where a whole one does. It has
    to come after what writes the history.

    Args:
        history: The `history.csv`.
        monitor: Name of the metric in it.
        mode: "max" or "min": whether higher or lower values are better.
        epochs: How many, from 1, may be no better than the best one before them.
    """

    def __init__(self, history: Path, monitor: str, mode: str, epochs: int):
        super().__init__()
        self._history, self._monitor, self._mode, self._epochs = history, monitor, mode, epochs

    def is_over(self) -> bool:
        """Whether so many epochs have been no better."""
        done = epochs_done(self._history)
        if done == 0:
            return False
        return done - best_epoch(self._history, self._monitor, self._mode) >= self._epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.is_over():
            self.model.stop_training = True


def _values(history: Path, monitor: str) -> list[float]:
    return [float(row[monitor]) for row in _rows(history)]


def _rows(history: Path) -> list[dict[str, str]]:
    if not history.is_file():
        return []
    with history.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
