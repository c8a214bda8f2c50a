"""What computes: a file a backend, and the only place that asks which one it is.

This module imports no Keras.
"""

import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from keras_prokt.names import is_known

if TYPE_CHECKING:
    from keras_prokt.backends.base import Backend


class BackendCard(NamedTuple):
    """What has to be known of a backend before it is imported."""

    title: str
    """Its name in sentences."""
    package: str
    """What `pip install` takes to install it."""
    threads: str | None
    """Environment variable that says with how many threads it computes; `None` if it counts the
    cores that its process may use."""
    several_steps: bool
    """Whether Keras's trainer takes `steps_per_execution` above 1 on it."""
    environment: Mapping[str, str]
    """Environment variables that are set before Keras is imported, if they are not."""


# Keras imports TensorFlow, where it is installed, to save models: not to hold the GPU's memory.
_BESIDE_TENSORFLOW = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}

BACKENDS: dict[str, BackendCard] = {
    "tensorflow": BackendCard("TensorFlow", "tensorflow", "TF_NUM_INTRAOP_THREADS", True, {}),
    "jax": BackendCard("JAX", "keras-prokt[jax]", None, True, _BESIDE_TENSORFLOW),
    "torch": BackendCard(
        "PyTorch", "keras-prokt[torch]", "OMP_NUM_THREADS", False, _BESIDE_TENSORFLOW
    ),
}
"""The backends by the name that Keras has for them, which is also that of the file here."""


def configured() -> str:
    """The name of the backend that Keras is going to use, as the environment says it."""
    return os.environ.get("KERAS_BACKEND") or "tensorflow"


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
    if not is_known(name, BACKENDS):
        raise ValueError(
            f"Expected a backend among {', '.join(BACKENDS)}; received {name!r}; "
            "choose one of them with KERAS_BACKEND before Keras is imported."
        )
    return importlib.import_module(f"{__name__}.{name}").BACKEND


def current() -> "Backend":
    """The backend that Keras uses.

    Example:

    >>> from keras_prokt import backends
    >>> backends.current().number_of_replicas()
    1
    """
    import keras

    return get(keras.backend.backend())
