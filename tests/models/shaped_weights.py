"""Weights made up from their shapes, for networks in two frameworks.

Neither has to find the other's layers: whatever has a shape has the same numbers.
"""

import functools
import zlib

import keras
import numpy as np

# Small scales, so that residual networks do not blow signals up; shifts that keep them alive.
_RANGES = {"gamma": (0.2, 0.6), "moving_variance": (0.6, 1.4)}


@functools.cache
def weight(kind: str, *shape: int) -> np.ndarray:
    """The numbers of a kernel `(height, width, inputs, outputs)`, `(inputs, outputs)` or a vector.

    Args:
        kind: "kernel", "bias", "gamma", "beta", "moving_mean" or "moving_variance".
        shape: Its shape.
    """
    random = np.random.default_rng(zlib.crc32(repr((kind, shape)).encode()))
    if kind == "kernel":
        return random.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype("float32")
    return random.uniform(*_RANGES.get(kind, (-0.3, 0.3)), shape).astype("float32")


def set_weights(model: keras.Model) -> None:
    """Gives every variable of a Keras model the numbers of its shape."""
    for variable in model.weights:
        shape = tuple(variable.shape)
        if "depthwise" in variable.path:
            # In PyTorch each of its kernels has one input channel.
            variable.assign(weight("kernel", 3, 3, 1, shape[2]).transpose(0, 1, 3, 2))
        else:
            variable.assign(weight(variable.name, *shape))
