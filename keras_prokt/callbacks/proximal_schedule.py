"""λ over epochs or steps."""

from typing import Any

from keras import ops

from keras_prokt.callbacks.schedule import WeightSchedule
from keras_prokt.distillers import ProKTDistiller


class ProximalSchedule(WeightSchedule):
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

    def current(self) -> float:
        return float(ops.convert_to_numpy(self.model.proximal_weight))

    def set_weight(self, value: float) -> None:
        self.model.set_proximal_weight(value)

    def check(self, value: float, position: str) -> float:
        if not 0 <= value < 1:
            raise ValueError(
                f"Expected λ in [0, 1) at every {position.split()[0]}, received {value!r} at "
                f"{position}; change the schedule."
            )
        return value

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        model = self.model
        if not isinstance(model, ProKTDistiller) or model.proximal_weight is None:
            kind = "the bounded form" if isinstance(model, ProKTDistiller) else type(model).__name__
            raise ValueError(
                f"Expected a ProKTDistiller with a proximal_weight (λ), received {kind}; "
                "ProximalSchedule has nothing to set there, so leave it out."
            )
        super().on_train_begin(logs)
