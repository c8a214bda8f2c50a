"""The same bits in every run, on accelerators too.

This module imports no Keras.
"""

import os

_XLA_FLAG = "--xla_gpu_deterministic_ops=true"


def use_deterministic_operations(backend: str) -> None:
    """Makes a backend choose operations that give the same bits every time.

    On the CPU they do so anyway. On a GPU sums are formed in whatever order threads finish, and
    convolutions are chosen by how long they took a moment ago: then a run that was cut and resumed
    is as good as one that was not, but not equal to it. An operation that has no deterministic
    form is an error of the backend's.

    Args:
        backend: "tensorflow", "jax" or "torch". XLA and CUDA read this when they start: call it
            before anything is computed.

    Example:

    >>> import os
    >>> from keras_prokt.experiments.determinism import use_deterministic_operations
    >>> use_deterministic_operations("jax")
    >>> os.environ["XLA_FLAGS"].split()[-1]
    '--xla_gpu_deterministic_ops=true'
    """
    if not is_deterministic("jax"):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_XLA_FLAG}".strip()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    if backend == "torch":
        import torch

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


def is_deterministic(backend: str) -> bool:
    """Whether a backend has been told to; of JAX, whether XLA's flag is set."""
    if backend == "tensorflow":
        from tensorflow.python.framework import config

        return config.is_op_determinism_enabled()
    if backend == "torch":
        import torch

        return torch.are_deterministic_algorithms_enabled()
    return _XLA_FLAG in os.environ.get("XLA_FLAGS", "").split()
