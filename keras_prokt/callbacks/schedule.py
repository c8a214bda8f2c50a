"""A weight of a distiller as a function of the epoch or the step."""

import bisect
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from keras_prokt.arguments import check_choice, checked_number, shown

UNITS = ("epoch", "step")

Schedule = (
    Callable[[int], float] | keras.optimizers.schedules.LearningRateSchedule | Mapping[int, float]
)


class WeightSchedule(keras.callbacks.Callback):
    """Base of the schedules: sets a weight that the distiller keeps in a variable.

    A subclass implements `current`, `set_weight` and `check`.

    Args:
        schedule: Function of the epoch (0-based) or of the global step (0-based); or a
            `LearningRateSchedule`; or a dict `{start: value}`, whose values hold from their start
            to the next (before the first start the weight is left as it is).
        per: "epoch" or "step": what the schedule's argument counts. With
            `steps_per_execution` k, the weight changes every k steps.
    """

    def __init__(self, schedule: Schedule, *, per: str = "epoch"):
        super().__init__()
        check_choice("per", per, UNITS)
        self.per = per
        if isinstance(schedule, Mapping):
            self._value_at: Callable[[int], Any] = self._piecewise_constant(schedule)
        elif callable(schedule) and not isinstance(schedule, type):
            self._value_at = schedule
        else:
            raise ValueError(
                "Expected a function, a LearningRateSchedule or a dict {start: value}, received "
                f"{shown(schedule)}; set a constant when the distiller is made."
            )

    def current(self) -> float:
        """The weight as it is."""
        raise NotImplementedError

    def set_weight(self, value: float) -> None:
        """Sets the weight for the steps to come."""
        raise NotImplementedError

    def check(self, value: float, position: str) -> float:
        """Returns the value, or raises a `ValueError` if the weight cannot have it."""
        raise NotImplementedError

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.per == "epoch":
            for epoch in range(self.params["epochs"]):
                self._checked_value(epoch)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        model = self.model
        self._present = self.current()
        if self.per == "epoch":
            self._set(self._checked_value(epoch))
            return
        # Batches that are passed over are in the restored number of steps already.
        passed_over = max(0, model.skip_batches)
        self._first_step = int(ops.convert_to_numpy(model.optimizer.iterations)) - passed_over
        self._first_batch = passed_over

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.per == "step" and batch >= self._first_batch:
            self._set(self._checked_value(self._first_step + batch))

    def _set(self, value: float | None) -> None:
        # On JAX `self.model` waits for the step that is running, so only if there is a change.
        if value is not None and value != self._present:
            self.set_weight(value)
            self._present = value

    def _checked_value(self, position: int) -> float | None:
        value = self._value_at(position)
        if value is None and isinstance(self._value_at, _PiecewiseConstant):
            return None
        try:
            number = float(ops.convert_to_numpy(value))
        except (TypeError, ValueError):
            raise ValueError(
                f"Expected a schedule that gives a number at each {self.per}, received "
                f"{shown(value)} at {self.per} {position}."
            ) from None
        return self.check(number, f"{self.per} {position}")

    def _piecewise_constant(self, schedule: Mapping[int, float]) -> "_PiecewiseConstant":
        if not schedule or not all(isinstance(s, int) and s >= 0 for s in schedule):
            raise ValueError(
                f"Expected a dict whose keys are {self.per}s from 0 on, received "
                f"{dict(schedule)!r}."
            )
        return _PiecewiseConstant(
            {
                s: self.check(checked_number(f"the value at {self.per} {s}", v), f"{self.per} {s}")
                for s, v in schedule.items()
            }
        )


class _PiecewiseConstant:
    def __init__(self, values: Mapping[int, float]):
        self._starts = sorted(values)
        self._values = [values[start] for start in self._starts]

    def __call__(self, position: int) -> float | None:
        """The value that holds at a position, or `None` before the first start."""
        index = bisect.bisect_right(self._starts, position)
        return self._values[index - 1] if index else None
