"""What computes: a file a backend, and the only place that asks which one it is.

This module imports no Keras.
"""

import functools
import importlib
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from keras_prokt.backends.base import Backend


class Row(NamedTuple):
    """What has to be known of a backend before it is imported."""

    module: str
    """The module of this package that defines it as `BACKEND`."""
    threads: str | None
    """Environment variable that says with how many threads it computes; `None` if it counts the
    cores that its process may use."""


BACKENDS: dict[str, Row] = {
    "tensorflow": Row("tensorflow", "TF_NUM_INTRAOP_THREADS"),
    "jax": Row("jax", None),
    "torch": Row("torch", "OMP_NUM_THREADS"),
}


def configured() -> str:
    """The name of the backend that Keras is going to use, as the environment says it."""
    return os.environ.get("KERAS_BACKEND") or "tensorflow"


@functools.cache
def get(name: str) -> "Backend":
    """A backend by its name; imports it, whichever Keras uses.

    Args:
        name: A key of `BACKENDS`.

    Raises:
        ValueError: If there is no such backend.

    Example:

    >>> from keras_prokt import backends
    >>> backends.get("tensorflow").name
    'tensorflow'
    """
    if name not in BACKENDS:
        raise ValueError(
            f"Expected a backend among {', '.join(BACKENDS)}; received {name!r}; "
            "choose one of them with KERAS_BACKEND before Keras is imported."
        )
    return importlib.import_module(f"{__name__}.{BACKENDS[name].module}").BACKEND


def current() -> "Backend":
    """The backend that Keras uses.

    Example:

    >>> from keras_prokt import backends
    >>> backends.current().number_of_replicas()
    1
    """
    import keras

    return get(keras.backend.backend())
