"""Runs in pieces that end at chosen steps, whatever the time."""

from pathlib import Path
from typing import Any

import keras

from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import Stop
from keras_prokt.runs.training_run import resume, run


class Killed(Exception):
    """What `KillAt` ends a training with."""


class KillAt(keras.callbacks.Callback):
    """Ends training after a number of batches with no state saved for it, as a kill would.

    Args:
        batches: How many.
    """

    def __init__(self, batches: int):
        super().__init__()
        self.left = batches

    # It may stand where `Progress` does.
    def __enter__(self) -> "KillAt":
        return self

    def __exit__(self, *error: object) -> None: ...

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


class StopLater(Stop):
    """Due when it has been asked often enough.

    It is asked before each training, after each step, those passed over included, and after each
    epoch.

    Args:
        questions: The question at which it is due, from 1.
    """

    def __init__(self, questions: int):
        super().__init__()
        self._left = questions

    def is_due(self) -> bool:
        self._left -= 1
        return self._left <= 0


def stopped_run(
    spec: RunSpec, out: Path, pieces: list[int], *, cache: Path, **settings: Any
) -> dict[str, Any]:
    """The record of a run that has been stopped at each of some places, to be resumed.

    Args:
        spec: The run.
        out: Its folder.
        pieces: Of each piece the question of `StopLater` at which it ends.
        cache: Where teachers are kept.
        **settings: More arguments of `run`.
    """
    first, *others = pieces
    record = run(spec, out, cache=cache, stop=StopLater(first), **settings)
    for piece in others:
        assert record["status"] == "running"
        record = resume(out, cache=cache, stop=StopLater(piece))
    assert record["status"] == "running"
    return record
