"""Keras's own losses by what they are, whether given as a class, a function or an object."""

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

import keras


def both_forms(*classes: str) -> tuple[Any, ...]:
    """Classes of `keras.losses` and the functions that they wrap, by the names of the classes."""
    return tuple(getattr(keras.losses, name) for c in classes for name in (c, _function_name(c)))


def is_one_of(loss: Any, losses: tuple[Any, ...]) -> bool:
    """Whether a loss is one of these functions, with or without settings, or of these classes."""
    while isinstance(loss, functools.partial):
        loss = loss.func
    return loss in losses or isinstance(loss, tuple(c for c in losses if inspect.isclass(c)))


def configuration(loss: Any) -> dict[str, Any]:
    """What a loss object was made with; Keras's own keep it in private attributes."""
    return loss.get_config() if isinstance(loss, keras.losses.Loss) else {}


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Arguments of a function, or of a PyTorch module's `forward`."""
    try:
        return dict(inspect.signature(getattr(function, "forward", function)).parameters)
    except (ValueError, TypeError):  # some built-in functions have no signature
        return {}


def name_of(loss: Any) -> str:
    """A loss in a message."""
    if isinstance(loss, str):
        return repr(loss)
    return repr(getattr(loss, "__name__", type(loss).__name__))


def _function_name(class_name: str) -> str:
    if class_name.isupper():
        return class_name.lower()
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=KL)(?=D)", "_", class_name).lower()
