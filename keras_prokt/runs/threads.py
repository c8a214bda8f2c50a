"""How many threads a run computes with, which decides the order of its sums.

This module imports no Keras.
"""

import os

from keras_prokt import backends


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_threads(count: int | None) -> None:
    """Makes the backend compute with so many threads; call it before the backend is imported.

    Most read the environment; one that counts the cores that its process may use is held to as
    many of them.

    Args:
        count: Threads; `None` for those of the environment, or one for each core.
    """
    if count is None:
        return
    # All of them: libraries of one compute beside another.
    for variable in filter(None, (card.threads for card in backends.BACKENDS.values())):
        os.environ[variable] = str(count)
    counts_cores = backends.BACKENDS[backends.configured()].threads is None
    if counts_cores and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if count < len(cores):
            # Processes started side by side are not to share the same cores.
            first = os.getpid() % len(cores)
            os.sched_setaffinity(0, {cores[(first + n) % len(cores)] for n in range(count)})


def threads_in_use() -> int:
    """Threads that this process computes with."""
    # A backend that reads none of its own leaves TensorFlow's to say what the run was given.
    variable = backends.BACKENDS[backends.configured()].threads or "TF_NUM_INTRAOP_THREADS"
    given = os.environ.get(variable, "")
    return int(given) if given.isdecimal() and int(given) > 0 else available_cores()
