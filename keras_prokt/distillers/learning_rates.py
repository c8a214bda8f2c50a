"""Learning rates of the optimizers, and what may set them while training goes on."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops


class RateCallback(keras.callbacks.Callback):
    """A callback of this package that may set a learning rate."""


_OF_KERAS = (keras.callbacks.LearningRateScheduler, keras.callbacks.LambdaCallback)
"""Keras's callbacks that may set one; `ReduceLROnPlateau` makes nothing of 0."""


def rate_of(optimizer: keras.optimizers.Optimizer) -> float:
    """The learning rate of an optimizer now."""
    return float(ops.convert_to_numpy(optimizer.learning_rate))


def check_rates(optimizers: Mapping[str, keras.optimizers.Optimizer], callbacks: Any) -> None:
    """Refuses a learning rate of 0 that nothing changes.

    Args:
        optimizers: By role.
        callbacks: As in `fit`.

    Raises:
        ValueError: With what to do.
    """
    callbacks = getattr(callbacks, "callbacks", callbacks)  # Keras's list, or a plain one
    if any(_may_set_rates(one) for one in keras.tree.flatten(callbacks)):
        return
    for role, optimizer in optimizers.items():
        if _has_constant_rate(optimizer) and rate_of(optimizer) == 0:
            advice = "; use FrozenTeacherDistiller for a fixed teacher" if role == "teacher" else ""
            raise ValueError(
                f"Expected a learning rate above 0 of the {role}'s optimizer, received 0, which "
                f"trains nothing; give it one, or a callback that sets it{advice}."
            )


def give_one_rate(callbacks: Any, model: Any) -> None:
    """Lets Keras's schedulers see the one learning rate of a distiller that trains both models.

    Otherwise they set each optimizer's to the same number: the teacher's to the student's.

    Args:
        callbacks: As in `fit`, which have their model already.
        model: The distiller.
    """
    for callback in keras.tree.flatten(getattr(callbacks, "callbacks", callbacks)):
        if isinstance(callback, keras.callbacks.LearningRateScheduler) and model.trains_teacher:
            callback.set_model(_ModelOfOneRate(model))


class _ModelOfOneRate:
    """A distiller whose optimizer has nothing but its learning rate."""

    def __init__(self, model: Any):
        self.__dict__["distiller"] = model  # not by assignment, which goes to the model

    @property
    def optimizer(self) -> "_OneRate":
        return _OneRate(self.distiller.optimizer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.distiller, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.distiller, name, value)


class _OneRate:
    def __init__(self, optimizer: Any):
        self._optimizer = optimizer

    @property
    def learning_rate(self) -> Any:
        return self._optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._optimizer.learning_rate = value


def _may_set_rates(callback: Any) -> bool:
    """Whether a callback may: those of the user may do anything."""
    home = type(callback).__module__.partition(".")[0]
    is_known = callback is None or home in ("keras", "keras_prokt")
    return not is_known or isinstance(callback, (RateCallback, *_OF_KERAS))


def _has_constant_rate(optimizer: keras.optimizers.Optimizer) -> bool:
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a loss scale
    return not isinstance(inner.get_config().get("learning_rate"), Mapping)
