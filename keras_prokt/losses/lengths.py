"""Directions of vectors, whose gradient stays finite at zero."""

from keras import ops

from keras_prokt.typing import Tensor

SMALLEST_LENGTH = 1e-12
"""Shorter vectors are taken for zero; the square of a shorter one is lost in float32."""


def unit(vectors: Tensor, axis: int = -1, *, epsilon: float = 0.0) -> Tensor:
    """Vectors divided by their Euclidean length along an axis.

    `v / (‖v‖ + ε)`; zero vectors stay zero. There the formula's gradient is infinite, or not a
    number, while any direction would do as well as any other: it is taken as zero.

    Args:
        vectors: Any shape, any numbers.
        axis: The axis of the vectors.
        epsilon: `ε >= 0`.

    Returns:
        The shape of `vectors`, float32.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.lengths import unit
    >>> values = unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    >>> [[round(float(value), 4) for value in row] for row in values]
    [[0.6, 0.8], [0.0, 0.0]]
    """
    vectors = ops.cast(vectors, "float32")
    squared = ops.sum(ops.square(vectors), axis=axis, keepdims=True)
    is_zero = squared < SMALLEST_LENGTH**2
    # 1 where it is not used: a gradient goes through both branches of `where`.
    length = ops.sqrt(ops.where(is_zero, ops.ones_like(squared), squared))
    return vectors * ops.where(is_zero, ops.zeros_like(squared), 1 / (length + epsilon))
