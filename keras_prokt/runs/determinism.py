"""The same bits in every run, on accelerators too.

This module imports no Keras.
"""

import os
import sys

_XLA_FLAG = "--xla_gpu_deterministic_ops"


def use_deterministic_operations(backend: str) -> None:
    """Makes a backend choose operations that give the same bits every time.

    On the CPU they do so anyway. On a GPU sums are formed in whatever order threads finish, and
    convolutions are chosen by how long they took a moment ago: then a run that was cut and resumed
    is as good as one that was not, but not equal to it. An operation that has no deterministic
    form is an error of the backend's.

    Args:
        backend: "tensorflow", "jax" or "torch".

    Raises:
        ValueError: If JAX has started, which reads this when it does: call it before anything is
            computed.

    Example:

    ```python
    use_deterministic_operations("jax")
    run(RunSpec.resolve("digits", "prokt", backend="jax", deterministic=True), "runs/digits")
    ```
    """
    if not _is_xla_deterministic():
        if backend == "jax" and _has_jax_started():
            raise ValueError(
                "Expected a JAX that has not computed anything yet, received one that has; call "
                "use_deterministic_operations first in the process."
            )
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_XLA_FLAG}=true".strip()
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
    return _is_xla_deterministic()


def _is_xla_deterministic() -> bool:
    flags = os.environ.get("XLA_FLAGS", "").split()
    of_ours = [flag for flag in flags if flag.partition("=")[0] == _XLA_FLAG]
    return bool(of_ours) and of_ours[-1] in (_XLA_FLAG, f"{_XLA_FLAG}=true")  # the last one counts


def _has_jax_started() -> bool:
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bridge.backends_are_initialized()
