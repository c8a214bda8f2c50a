"""Kullback-Leibler divergence between two distributions given by their logits."""

import keras
from keras import ops

from keras_prokt.typing import Tensor


def kl_divergence(target_logits: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """KL divergence of a distribution from its target, one value per example.

    `KL(a ‖ b) = Σ_k a_k (log a_k − log b_k)` with `a = softmax(target_logits / T)` and
    `b = softmax(logits / T)`. It differs from the cross entropy `H(a, b)` of the paper
    (section 3.1) by the entropy of the target, which is a constant: the gradients are equal.
    Computed in float32 from log-softmaxes, so that no probability is ever clipped.

    Args:
        target_logits: Logits of the target, shape `(batch, classes)`, any float dtype. The
            caller decides whether gradients flow into them.
        logits: Logits of the distribution that is to match, same shape.
        temperature: `T > 0`, divides both logits.

    Returns:
        Shape `(batch,)`, float32, in nats, never negative up to rounding.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses import kl_divergence
    >>> value = kl_divergence(np.array([[0.0, 0.0]]), np.log(np.array([[0.25, 0.75]])))
    >>> round(float(value[0]), 4)
    0.1438
    """
    target = ops.log_softmax(ops.cast(target_logits, "float32") / temperature, axis=-1)
    other = ops.log_softmax(ops.cast(logits, "float32") / temperature, axis=-1)
    return ops.sum(ops.exp(target) * (target - other), axis=-1)


def weighted_mean(values: Tensor, sample_weight: Tensor | None = None) -> Tensor:
    """Mean over a batch as Keras takes it: `Σ w_i v_i / batch`.

    Args:
        values: Shape `(batch,)`.
        sample_weight: `None` or shape `(batch,)` or `(batch, 1)`.

    Returns:
        A float32 scalar. The divisor is the number of examples, not the sum of the weights
        (Keras's `reduction="sum_over_batch_size"`).
    """
    values = ops.cast(values, "float32")
    if sample_weight is not None:
        weight = ops.cast(sample_weight, "float32")
        values = values * ops.reshape(weight, ops.shape(values))
    return ops.mean(values)


def one_hot_labels(labels: Tensor, num_classes: int) -> Tensor:
    """Labels as a float32 one-hot matrix, whichever form they came in.

    Args:
        labels: Integers of shape `(batch,)` or `(batch, 1)`, or distributions of shape
            `(batch, num_classes)`.
        num_classes: Width of the result.

    Returns:
        Shape `(batch, num_classes)`, float32.
    """
    if are_distributions(labels, num_classes):
        return ops.cast(labels, "float32")
    return ops.one_hot(class_indices(labels, num_classes), num_classes, dtype="float32")


def class_indices(labels: Tensor, num_classes: int) -> Tensor:
    """Labels as int32 class indices of shape `(batch,)`; the inverse of `one_hot_labels`."""
    if are_distributions(labels, num_classes):
        return ops.cast(ops.argmax(labels, axis=-1), "int32")
    return ops.cast(ops.reshape(labels, (-1,)), "int32")


def are_distributions(labels: Tensor, num_classes: int) -> bool:
    """Whether labels are one distribution a row rather than class indices."""
    shape = labels.shape
    return len(shape) == 2 and shape[-1] == num_classes and num_classes > 1


def float_dtype(value: Tensor) -> bool:
    """Whether a tensor or array holds floating-point numbers."""
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(value.dtype))
