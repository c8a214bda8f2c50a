"""Weights of objectives and of the labels over epochs or steps."""

from typing import Any

from keras import ops

from keras_prokt.arguments import check_text, is_weight
from keras_prokt.callbacks.schedule import Schedule, WeightSchedule
from keras_prokt.distillers import Distiller
from keras_prokt.distillers.student_loss import WeightCallback
from keras_prokt.names import unknown_name

LABELS = "labels"


class ObjectiveSchedule(WeightSchedule, WeightCallback):
    """Sets the weight of one term of the student's loss as training goes on.

    `γ · CE + Σ βᵢ · objectiveᵢ`: a weight is a variable of the distiller, so that changing it does
    not compile the step anew (the one exception is γ leaving 0). The schedule is a function of the
    position alone, so that a continued run has the weights of an uninterrupted one.

    Args:
        objective: Name of the objective in the logs, such as `"crd"`; `"labels"` is γ.
        schedule: Function of the epoch (0-based) or of the global step (0-based) that returns a
            weight of at least 0; or a `LearningRateSchedule`; or a dict `{start: weight}`.
        per: "epoch" or "step".

    Raises:
        ValueError: On negative weights, and when `fit` begins if there is no such objective.

    Example: the features are matched at the beginning only.

    >>> from keras_prokt import ObjectiveSchedule
    >>> fade = ObjectiveSchedule("at", lambda epoch: 1000.0 * max(0.0, 1 - epoch / 30))
    """

    def __init__(self, objective: str, schedule: Schedule, *, per: str = "epoch"):
        super().__init__(schedule, per=per)
        check_text("objective", objective, "the name of one of the distiller's, or 'labels'")
        self.objective = objective

    def current(self) -> float:
        return float(ops.convert_to_numpy(self._variable()))

    def set_weight(self, value: float) -> None:
        if self.objective == LABELS:
            self.model.set_label_weight(value)
        else:
            self._objectives()[self.objective].set_weight(value)

    def check(self, value: float, position: str) -> float:
        if not is_weight(value):
            raise ValueError(
                f"Expected a weight of at least 0 at every {position.split()[0]}, received "
                f"{value!r} at {position}; change the schedule."
            )
        return value

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not isinstance(self._model, Distiller):
            raise ValueError(f"Expected a distiller, received {type(self._model).__name__}.")
        known = [*self._objectives(), LABELS]
        if self.objective not in known:
            raise ValueError(unknown_name("an objective of the distiller", self.objective, known))
        super().on_train_begin(logs)

    def _objectives(self) -> dict[str, Any]:
        return {objective.name: objective for objective in self.model.objectives}

    def _variable(self) -> Any:
        if self.objective == LABELS:
            return self.model.label_weight
        return self._objectives()[self.objective].weight
