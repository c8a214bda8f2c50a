"""What optimizers need to call TensorFlow's fused kernels."""

from collections.abc import Sequence
from typing import Any

import keras


def resource_handle(variable: Any) -> Any:
    """TensorFlow's handle of a variable, of Keras or of TensorFlow.

    Keras hands over TensorFlow's variable in `update_step` and keeps its own for its moments.
    """
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


def clip_by_global_norm(gradients: Sequence[Any], norm: float) -> list[Any]:
    """Gradients times `min(1, norm / n)`, `n` the Euclidean norm of them all.

    Keras's own makes each embedding's gradient as large as the whole table first, and writes the
    squares of each gradient to memory.

    Args:
        gradients: Tensors or `tf.IndexedSlices`, in which rows may repeat.
        norm: The largest norm that stays as it is.

    Returns:
        The same, the rows of slices added up where they repeated; NaN if `n` is not finite.
    """
    import tensorflow as tf

    def with_unique_rows(gradient: Any) -> Any:
        if not isinstance(gradient, tf.IndexedSlices):
            return tf.convert_to_tensor(gradient)
        rows, places = tf.unique(gradient.indices)
        values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
        return tf.IndexedSlices(values, rows, gradient.dense_shape)

    def values_of(gradient: Any) -> Any:
        return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient

    def scaled(gradient: Any) -> Any:
        values = values_of(gradient)
        values = values * tf.cast(scale, values.dtype)
        if isinstance(gradient, tf.IndexedSlices):
            return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
        return values

    gradients = [with_unique_rows(gradient) for gradient in gradients]
    halves = [tf.cast(tf.nn.l2_loss(values_of(gradient)), tf.float32) for gradient in gradients]
    total = tf.sqrt(2.0 * tf.add_n(halves))
    # The last term makes NaN of all of them, as Keras does, where the norm is not finite.
    scale = norm * tf.minimum(1.0 / total, 1.0 / norm) + (total - total)
    return [scaled(gradient) for gradient in gradients]
