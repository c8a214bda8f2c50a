"""A grouped 1x1 convolution, which TensorFlow's own gradient does without a fast kernel."""

from typing import Any

import tensorflow as tf
from keras import ops

from keras_prokt.typing import Tensor


def grouped_pointwise_convolution(inputs: Tensor, kernel: Tensor, groups: int) -> Tensor:
    """A grouped 1x1 convolution whose gradients are one of the same kind and matrix products."""

    def split(x: Tensor) -> list[Tensor]:
        return tf.split(tf.reshape(x, (-1, x.shape[-1])), groups, axis=-1)

    @tf.custom_gradient
    def convolve(inputs: Tensor, kernel: Tensor) -> tuple[Tensor, Any]:
        def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
            transposed = tf.concat([tf.transpose(k) for k in split(kernel)], axis=-1)
            # Split when they are needed: not in the forward pass, where they would stay in memory.
            with tf.control_dependencies([upstream]):
                pairs = zip(split(inputs), split(upstream), strict=True)
            products = [tf.matmul(x, dy, transpose_a=True) for x, dy in pairs]
            of_inputs = grouped_pointwise_convolution(upstream, transposed[None, None], groups)
            return of_inputs, tf.concat(products, axis=-1)[None, None]

        # TensorFlow would join what follows (a bias, batch normalisation, ReLU) to the convolution,
        # and has no such kernel for groups without oneDNN; a check of the shape keeps them apart.
        # As one image, since its kernel gives no images the wrong number of channels.
        batch, height, width, channels = ops.shape(inputs)
        image = tf.reshape(inputs, (1, batch * height, width, channels))
        outputs = tf.ensure_shape(tf.nn.conv2d(image, kernel, 1, "VALID"), [None] * 4)
        return tf.reshape(outputs, (batch, height, width, kernel.shape[-1])), gradient

    return convolve(inputs, tf.identity(kernel))
