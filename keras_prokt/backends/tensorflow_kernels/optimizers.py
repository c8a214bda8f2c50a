"""Updates of weights by TensorFlow's fused kernels, in one pass and in place.

Composed of operations they read and write each variable about twice as often.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops


def momentum_update(
    variable: Any, momentum: Any, rate: Any, step: Any, factor: float
) -> bool | None:
    """`m ← factor m + step`, `w ← w − rate m`; `None` where the kernel can't.

    Args:
        variable: w, as `update_step` of an optimizer receives it.
        momentum: m.
        rate: Scalar of w's dtype.
        step: The gradient, of w's dtype.
        factor: In (0, 1).
    """
    if tf.distribute.has_strategy():  # variables are then several, one on each device
        return None
    tf.raw_ops.ResourceApplyMomentum(
        var=_resource_handle(variable),
        accum=_resource_handle(momentum),
        lr=rate,
        grad=step,
        momentum=tf.cast(factor, step.dtype),
    )
    return True


def adam_update(
    variable: Any,
    moments: tuple[Any, Any],
    gradient: Any,
    rate: Any,
    iterations: Any,
    betas: tuple[float, float],
    epsilon: float,
) -> bool | None:
    """Adam's update, as `keras_prokt.optimizers.FusedAdam` says; `None` where the kernel can't.

    Args:
        variable: w, as `update_step` of an optimizer receives it.
        moments: m and v.
        gradient: g, a tensor or `tf.IndexedSlices`.
        rate: η.
        iterations: Updates before this one.
        betas: β₁ and β₂.
        epsilon: ε.
    """
    if tf.distribute.has_strategy():  # variables are then several, one on each device
        return None
    dtype = variable.dtype
    step = ops.cast(iterations + 1, dtype)
    first_power, second_power = (ops.power(ops.cast(beta, dtype), step) for beta in betas)
    tf.raw_ops.ResourceApplyAdam(
        var=_resource_handle(variable),
        m=_resource_handle(moments[0]),
        v=_resource_handle(moments[1]),
        beta1_power=first_power,
        beta2_power=second_power,
        lr=ops.cast(rate, dtype),
        beta1=tf.cast(betas[0], dtype),
        beta2=tf.cast(betas[1], dtype),
        epsilon=tf.cast(epsilon, dtype),
        grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
    )
    return True


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


def _resource_handle(variable: Any) -> Any:
    """TensorFlow's handle of a variable, of Keras or of TensorFlow.

    Keras hands over TensorFlow's variable in `update_step` and keeps its own for its moments.
    """
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
