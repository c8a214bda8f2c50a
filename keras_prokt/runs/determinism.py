"""The same bits in every run, on accelerators too.

This module imports no Keras.
"""

from keras_prokt import backends


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
    backends.get(backend).make_deterministic()


def is_deterministic(backend: str) -> bool:
    """Whether a backend has been told to; of JAX, whether XLA's flag is set."""
    return backends.get(backend).is_deterministic()
