"""Batch normalisation by TensorFlow's fused kernel."""

from functools import partial
from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_prokt")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` that is one kernel on TensorFlow.

    `y = γ · (x − mean) / √(variance + ε) + β`, Ioffe and Szegedy 2015 (arXiv 1502.03167),
    algorithm 1. Keras composes it of half a dozen operations, each of which reads the whole
    feature map, and as many gradients. Variables, results and their updates are those of Keras's
    layer, moving statistics included; weights go from one to the other with `set_weights`.

    The fused kernel runs on the TensorFlow backend, for feature maps
    `(batch, height, width, channels)` in float32 or less whose channels are a multiple of 4. In
    inference TensorFlow joins it with the ReLU after it and, in float32, with a convolution before
    it that is neither grouped nor depthwise and that nothing else reads.
    Everything else is Keras's own code: other numbers of channels, where the kernel is no faster,
    other backends and ranks, masks, float64, `synchronized`, `renorm`, another axis than the last.

    Args:
        **arguments: Those of `keras.layers.BatchNormalization`, with its defaults.

    Call arguments:
        inputs: Shape `(batch, ..., channels)`, float. Half precision is computed in float32.
        training: Whether to normalise by the batch's statistics and move the averages.
        mask: As in Keras.

    Returns:
        Same shape, in the layer's compute dtype.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.models.batch_normalization import FusedBatchNormalization
    >>> layer = FusedBatchNormalization(momentum=0.75)
    >>> images = np.repeat(np.array([1.0, 3.0], "float32"), 4).reshape(2, 1, 1, 4)
    >>> [round(float(output), 2) for output in layer(images, training=True)[:, 0, 0, 0]]
    [-1.0, 1.0]
    >>> float(layer.moving_mean[0])
    0.5
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        if mask is not None or not self._is_fusible(inputs):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        def in_float32(value: Tensor) -> Tensor:
            return ops.cast(value, "float32")

        inputs, channels = in_float32(inputs), inputs.shape[-1]
        normalize = partial(
            tf.compat.v1.nn.fused_batch_norm,
            inputs,
            in_float32(self.gamma) if self.scale else tf.ones(channels),
            in_float32(self.beta) if self.center else tf.zeros(channels),
            epsilon=self.epsilon,
        )
        if not (training and self.trainable):
            moving = in_float32(self.moving_mean), in_float32(self.moving_variance)
            return ops.cast(normalize(*moving, is_training=False)[0], self.compute_dtype)
        outputs, mean, variance = normalize(is_training=True)
        # The kernel returns the unbiased estimate (divided by n − 1, or by 1 where n is 1);
        # Keras keeps the biased one.
        count = tf.cast(tf.size(inputs, out_type=tf.int64), "float32") / channels
        variance *= tf.maximum(count - 1.0, 1.0) / count
        for moving, of_batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(in_float32(moving) * self.momentum + of_batch * (1.0 - self.momentum))
        return ops.cast(outputs, self.compute_dtype)

    def _is_fusible(self, inputs: Tensor) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            # Of 54 to 62 channels on a CPU those that fill its vectors take 0.6 of Keras's time,
            # the others 1.5 of it.
            and inputs.shape[-1] % 4 == 0
            and keras.backend.standardize_dtype(inputs.dtype) in ("float32", "float16", "bfloat16")
            and not self.synchronized
            and not self.renorm
        )
