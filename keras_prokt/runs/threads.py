"""How many threads a run computes with, which decides the order of its sums.

This module imports no Keras.
"""

import os

_VARIABLES = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_threads(count: int | None) -> None:
    """Makes the backend compute with so many threads; call it before the backend is imported.

    TensorFlow and PyTorch read the environment; JAX counts the cores that the process may use, so
    that it is held to as many of them.

    Args:
        count: Threads; `None` for those of the environment, or one for each core.
    """
    if count is None:
        return
    for name in _VARIABLES:
        os.environ[name] = str(count)
    if os.environ.get("KERAS_BACKEND") == "jax" and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if count < len(cores):
            # Processes started side by side are not to share the same cores.
            first = os.getpid() % len(cores)
            os.sched_setaffinity(0, {cores[(first + n) % len(cores)] for n in range(count)})


def threads_in_use() -> int:
    """Threads that this process computes with."""
    is_torch = os.environ.get("KERAS_BACKEND") == "torch"
    given = os.environ.get(_VARIABLES[1 if is_torch else 0], "")
    return int(given) if given.isdecimal() and int(given) > 0 else available_cores()
