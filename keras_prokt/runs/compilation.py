"""What XLA compiles for an accelerator, kept between runs.

This module imports no Keras.
"""

from pathlib import Path

from keras_prokt import backends


def keep_compiled_programs(folder: Path) -> None:
    """Keeps JAX's programs for an accelerator in a folder, where the next run finds them.

    A run compiles for a minute or two, and each run of a search again, for other weights alone.
    Call it before anything is computed. Nothing changes where JAX computes on the CPU, whose
    programs belong to one processor, or already has a folder (`JAX_COMPILATION_CACHE_DIR`).

    Args:
        folder: Where they are kept; made when something is.

    Example:

    ```python
    keep_compiled_programs(Path("~/.cache/keras_prokt/xla").expanduser())
    ```
    """
    backends.get("jax").keep_compiled_programs(folder)
