"""λ over epochs or steps."""

import bisect
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from keras_prokt.distillers import ProKTDistiller

UNITS = ("epoch", "step")

Schedule = (
    Callable[[int], float] | keras.optimizers.schedules.LearningRateSchedule | Mapping[int, float]
)


class ProximalSchedule(keras.callbacks.Callback):
    """Sets the proximal weight λ of a `ProKTDistiller` as training goes on.

    λ is a variable of the distiller, so that changing it does not compile the step anew; the one
    exception is λ leaving 0, where the step needs a term that it did not have. The schedule is a
    function of the position alone, so that a continued run has the λ of an uninterrupted one.

    Args:
        schedule: Function of the epoch (0-based) or of the global step (0-based) that returns
            λ in [0, 1); or a `LearningRateSchedule`; or a dict `{start: λ}`, whose values hold
            from their start to the next (before the first start λ is left as it is).
        per: "epoch" or "step": what the schedule's argument counts. With
            `steps_per_execution` k, λ changes every k steps.

    Raises:
        ValueError: At construction or at the beginning of `fit`, if a value is outside [0, 1) or
            the model has no λ; with `per="step"` and a function, at the step of that value.

    Example: λ grows from 0 to 0.4 in ten epochs.

    >>> from keras_prokt import ProximalSchedule
    >>> ramp = ProximalSchedule(lambda epoch: 0.4 * min(1.0, epoch / 10))
    >>> steps = ProximalSchedule({0: 0.0, 1000: 0.3}, per="step")
    """

    def __init__(self, schedule: Schedule, *, per: str = "epoch"):
        super().__init__()
        if per not in UNITS:
            raise ValueError(f"Expected per in {UNITS}, received {per!r}.")
        self.per = per
        if isinstance(schedule, Mapping):
            self._value_at: Callable[[int], Any] = _piecewise_constant(schedule, per)
        elif callable(schedule):
            self._value_at = schedule
        else:
            raise ValueError(
                "Expected a function, a LearningRateSchedule or a dict {start: value}, received "
                f"{schedule!r}; for a constant set the distiller's proximal_weight."
            )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        model = self.model
        if not isinstance(model, ProKTDistiller) or model.proximal_weight is None:
            kind = "the bounded form" if isinstance(model, ProKTDistiller) else type(model).__name__
            raise ValueError(
                f"Expected a ProKTDistiller with a proximal_weight (λ), received {kind}; "
                "ProximalSchedule has nothing to set there, so leave it out."
            )
        if self.per == "epoch":
            for epoch in range(self.params["epochs"]):
                self._checked_value(epoch)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        model = self.model
        self._current = float(ops.convert_to_numpy(model.proximal_weight))
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
        if value is not None and value != self._current:
            self.model.set_proximal_weight(value)
            self._current = value

    def _checked_value(self, position: int) -> float | None:
        value = self._value_at(position)
        if value is None and isinstance(self._value_at, _PiecewiseConstant):
            return None
        return _checked(float(ops.convert_to_numpy(value)), f"{self.per} {position}")


class _PiecewiseConstant:
    def __init__(self, values: Mapping[int, float]):
        self._starts = sorted(values)
        self._values = [values[start] for start in self._starts]

    def __call__(self, position: int) -> float | None:
        """The value that holds at a position, or `None` before the first start."""
        index = bisect.bisect_right(self._starts, position)
        return self._values[index - 1] if index else None


def _piecewise_constant(schedule: Mapping[int, float], per: str) -> _PiecewiseConstant:
    if not schedule or not all(isinstance(s, int) and s >= 0 for s in schedule):
        raise ValueError(
            f"Expected a dict whose keys are {per}s from 0 on, received {dict(schedule)!r}."
        )
    return _PiecewiseConstant({s: _checked(v, f"{per} {s}") for s, v in schedule.items()})


def _checked(value: float, position: str) -> float:
    if not 0 <= value < 1:
        raise ValueError(
            f"Expected λ in [0, 1) at every {position.split()[0]}, received {value!r} at "
            f"{position}; change the schedule."
        )
    return value
