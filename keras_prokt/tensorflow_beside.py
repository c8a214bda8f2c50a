"""TensorFlow beside another backend: needed for little, missing in some environments, off the GPU.

This module imports no Keras and no TensorFlow.
"""

import contextlib
import importlib
import sys
from typing import Any

from keras_prokt import backends


def import_tensorflow(needed_for: str) -> Any:
    """TensorFlow, which on another backend leaves the GPU alone.

    Args:
        needed_for: What it is needed for, for the message.

    Returns:
        The module.

    Raises:
        ValueError: If it is not installed.

    Example:

    >>> from keras_prokt.tensorflow_beside import import_tensorflow
    >>> import_tensorflow("reading texts").__name__
    'tensorflow'
    """
    try:
        tensorflow = importlib.import_module("tensorflow")
    except ImportError as error:
        raise ValueError(
            f"Expected TensorFlow for {needed_for}, received an environment without it; do this "
            "where it is installed: `keras-prokt prepare` writes data from which runs need none."
        ) from error
    keep_off_gpu()
    return tensorflow


def keep_off_gpu() -> None:
    """Hides the GPUs from a TensorFlow that has been imported beside another backend.

    It would take all of their memory at its first operation. To be called before that; of one that
    has begun already nothing can be hidden. Does nothing where TensorFlow is the backend, or has
    not been imported.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or backends.current().builds_tensorflow_graphs:
        return
    with contextlib.suppress(RuntimeError):
        tensorflow.config.set_visible_devices([], "GPU")
