"""Route-constrained optimization: checkpoints of the teacher's training as targets in turn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_prokt.arguments import shown
from keras_prokt.distillers import FrozenTeacherDistiller
from keras_prokt.models.loading import load_student


class TeacherRoute(keras.callbacks.Callback):
    """Gives a fixed teacher the weights of one checkpoint after the other.

    Route Constrained Optimization (Jin et al. 2019, arXiv 1904.09149): the student follows
    unconverged states of the teacher (*anchors*), from an early one to the last. With `k`
    checkpoints and `E` epochs, epoch `e` (0-based) has checkpoint `⌊e · k / E⌋`: the epochs are
    divided evenly. The position alone decides, so that a continued run has the same targets.

    Args:
        checkpoints: Files (`.keras`) of the teacher along its training, or their weights as
            lists of arrays (`teacher.get_weights()`), in the order in which they are used. The
            paper's ProKT compares with 4.

    Raises:
        ValueError: At construction without checkpoints; when `fit` begins, if there are fewer
            epochs than checkpoints, the model has no fixed teacher, or a checkpoint does not
            fit it.

    Example:

    >>> from keras_prokt import TeacherRoute
    >>> route = TeacherRoute(["teacher-60.keras", "teacher-120.keras"])
    >>> [route.checkpoint_of(epoch, epochs=4) for epoch in range(4)]
    [0, 0, 1, 1]
    """

    def __init__(self, checkpoints: Sequence[str | Path | Sequence[Any]]):
        super().__init__()
        if isinstance(checkpoints, str | bytes | Mapping) or not isinstance(checkpoints, Sequence):
            raise ValueError(
                "Expected a list of checkpoints, files or lists of weights, received "
                f"{shown(checkpoints)}."
            )
        self._checkpoints = list(checkpoints)
        if not self._checkpoints:
            raise ValueError("Expected at least one checkpoint, received none.")

    def checkpoint_of(self, epoch: int, epochs: int) -> int:
        """Which checkpoint, counted from 0, is the target in an epoch."""
        return epoch * len(self._checkpoints) // epochs

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        epochs, count = self.params["epochs"], len(self._checkpoints)
        if not isinstance(self._model, FrozenTeacherDistiller):
            raise ValueError(
                f"Expected a FrozenTeacherDistiller, received {type(self._model).__name__}; a "
                "route is for a teacher that does not train."
            )
        if epochs < count:
            raise ValueError(
                f"Expected at least as many epochs as checkpoints, received {epochs} epochs and "
                f"{count} checkpoints; each one is the target for at least one epoch."
            )
        self._current: int | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        number = self.checkpoint_of(epoch, self.params["epochs"])
        if number == self._current:
            return
        weights = self._checkpoints[number]
        if isinstance(weights, str | Path):
            weights = load_student(weights).get_weights()
        teacher = self.model.teacher
        received = [np.shape(w) for w in weights]
        expected = [tuple(v.shape) for v in teacher.weights]
        if received != expected:
            raise ValueError(
                f"Expected checkpoints of {teacher.name!r}, received number {number + 1} with "
                f"other weights ({len(received)} arrays instead of {len(expected)}, or of other "
                "shapes); save them from the same architecture."
            )
        teacher.set_weights(weights)
        self._current = number
