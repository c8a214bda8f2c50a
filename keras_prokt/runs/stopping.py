"""Runs in pieces: stop when the time is over, with a checkpoint to go on from."""

import re
import time
from pathlib import Path
from typing import Any

from keras_prokt.callbacks import ResumableBackup

_UNITS = {"s": 1, "m": 60, "h": 3600}


class Stopped(Exception):
    """The time of this piece of a run is over; its state has been saved."""


class TimedBackup(ResumableBackup):
    """A `ResumableBackup` that ends training at a point in time.

    Args:
        directory: Folder of the checkpoints.
        deadline: Value of `time.monotonic()` after which the next batch is the last; `None` for
            never.

    Raises:
        Stopped: Out of `fit`, after the state has been saved. An exception and not
            `stop_training`: Keras would validate, and other callbacks would count the epoch.
    """

    def __init__(self, directory: str | Path, deadline: float | None):
        super().__init__(directory)
        self._deadline = deadline

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        is_passed_over = self._model.skip_batches > 0 or self._metrics is not None
        super().on_train_batch_end(batch, logs)
        if self._deadline is None or time.monotonic() < self._deadline:
            return
        if not is_passed_over:
            self._save(self._epoch, batch + 1)
        raise Stopped


def parse_duration(text: str) -> float:
    """Seconds of a duration as people type it.

    Args:
        text: A number with a unit `s`, `m` or `h`, such as `"90s"`, `"9m"`, `"1.5h"`.

    Raises:
        ValueError: On anything else.

    Example:

    >>> from keras_prokt.runs.stopping import parse_duration
    >>> parse_duration("9m")
    540.0
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if match is None or float(match.group(1)) == 0:
        raise ValueError(
            f"Expected a duration such as 90s, 9m or 1.5h, received {text!r}; give a number and a "
            "unit."
        )
    return float(match.group(1)) * _UNITS[match.group(2)]
