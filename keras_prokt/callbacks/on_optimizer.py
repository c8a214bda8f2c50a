"""Learning-rate callbacks for one of the two optimizers."""

import functools
from typing import Any

import keras

from keras_prokt.arguments import check_choice, shown
from keras_prokt.distillers import Distiller
from keras_prokt.distillers.learning_rates import RateCallback

ROLES = ("teacher", "student")

_HOOKS = [name for name in dir(keras.callbacks.Callback) if name.startswith("on_")]


class OnOptimizer(RateCallback):
    """Makes a callback that changes `model.optimizer` act on one of the two optimizers.

    Without it a learning-rate callback sets the student's rate and scales the teacher's by the
    same factor. The `learning_rate` that such callbacks add to the logs becomes
    `teacher_learning_rate` or `student_learning_rate`.

    Args:
        which: "teacher" or "student".
        callback: The callback, such as `keras.callbacks.ReduceLROnPlateau(...)`.

    Raises:
        ValueError: If `which` is another name, or the model does not train a teacher.

    Example:

    >>> import keras
    >>> from keras_prokt import OnOptimizer
    >>> halve = keras.callbacks.ReduceLROnPlateau("val_teacher_accuracy", factor=0.5, patience=3)
    >>> callback = OnOptimizer("teacher", halve)
    """

    def __init__(self, which: str, callback: keras.callbacks.Callback):
        super().__init__()
        check_choice("which", which, ROLES)
        if not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(
                f"Expected a keras.callbacks.Callback, received {shown(callback)}; construct it "
                "first."
            )
        self.which = which
        self.callback = callback
        for hook in _HOOKS:
            # Keras runs steps ahead of the host unless some callback has a hook on batches.
            if not getattr(getattr(callback, hook), "_is_default", False):
                setattr(self, hook, functools.partial(self._forward, hook))

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        self.callback.set_params(params)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        if not isinstance(model, Distiller):
            raise ValueError(
                f"Expected a distiller, received {type(model).__name__}; give the callback to "
                "fit as it is."
            )
        if self.which == "teacher" and not model.trains_teacher:
            raise ValueError(
                f"Expected a distiller that trains its teacher, received {type(model).__name__}, "
                'which has the student\'s optimizer alone; use "student".'
            )
        self.callback.set_model(_ModelView(model, self.which))

    def _forward(self, hook: str, *position: Any, logs: dict[str, Any] | None = None) -> None:
        # Keras passes the logs by name in some hooks and as the last argument in others.
        if logs is None and position and not isinstance(position[-1], int):
            *position, logs = position
        received = dict(logs or {})
        getattr(self.callback, hook)(*position, received)
        if logs is not None:
            added = received.keys() - logs.keys()
            logs.update({f"{self.which}_{name}": received[name] for name in added})


class _ModelView:
    """A model seen through one of its optimizers; all else is the model's own."""

    def __init__(self, model: Distiller, which: str):
        # Not by assignment, which goes to the model.
        self.__dict__.update(_model=model, _which=which)

    @property
    def optimizer(self) -> keras.optimizers.Optimizer:
        model = self._model
        return model.student_optimizer if self._which == "student" else model.optimizer.teacher

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._model, name, value)
