"""Random seeds of a run."""

import sys
from types import SimpleNamespace

import keras


def set_random_seed(seed: int) -> None:
    """`keras.utils.set_random_seed`, which does not import TensorFlow beside another backend.

    Keras's own imports it wherever it is installed, to set its seed as well. One that has been
    imported already gets the seed here too.

    Args:
        seed: The seed of Python, NumPy, Keras and the backend.

    Example:

    >>> import random
    >>> from keras_prokt.runs.seeding import set_random_seed
    >>> set_random_seed(0)
    >>> random.randint(1, 100)
    50
    """
    if keras.backend.backend() == "tensorflow" or "tensorflow" in sys.modules:
        keras.utils.set_random_seed(seed)
        return
    # Private: Keras has no other way to leave TensorFlow alone.
    from keras.src.utils import rng_utils

    of_keras = rng_utils.tf
    rng_utils.tf = SimpleNamespace(available=False)
    try:
        keras.utils.set_random_seed(seed)
    finally:
        rng_utils.tf = of_keras
