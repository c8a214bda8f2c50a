"""Layers that work on groups of channels, for the ShuffleNets."""

from typing import Any

import keras
from keras import ops

Tensor = Any
Shape = tuple[int | None, ...]


@keras.saving.register_keras_serializable(package="keras_prokt")
class GroupedConvolution(keras.layers.Conv2D):
    """`keras.layers.Conv2D` whose grouped 1x1 convolutions are fast on a CPU.

    `y_g = x_g K_g` at each position, for each group of channels g. Keras hands grouped
    convolutions on a CPU to XLA, which takes about nine times as long as products of matrices.
    On JAX and PyTorch such products run here. On TensorFlow its own grouped convolution runs,
    whose gradient some CPUs lack: ours is a grouped convolution and products (with
    `jit_compile=True` on a CPU XLA has the convolution, and is slower). Variables and results are
    those of Keras's layer. Convolutions that are larger, strided or not grouped are Keras's own.

    Args:
        filters: Output channels, a multiple of `groups`.
        kernel_size: Side of the kernel.
        **arguments: Those of `keras.layers.Conv2D`, with its defaults; `groups` among them.

    Call arguments:
        inputs: Shape `(batch, height, width, channels)`, float; channels a multiple of `groups`.

    Returns:
        Shape `(batch, height, width, filters)`.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.models.channel_groups import GroupedConvolution
    >>> layer = GroupedConvolution(4, 1, groups=2, kernel_initializer="ones")
    >>> outputs = layer(np.array([[[[1.0, 2.0, 30.0, 40.0]]]], "float32"))
    >>> [float(output) for output in outputs[0, 0, 0]]
    [3.0, 3.0, 70.0, 70.0]
    """

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        is_pointwise = {*self.kernel_size, *self.strides} == {1}
        if self.groups == 1 or not is_pointwise or self.data_format != "channels_last":
            return super().convolution_op(inputs, kernel)
        kernel = ops.convert_to_tensor(kernel)
        if keras.backend.backend() == "tensorflow":
            return _convolve_on_tensorflow(inputs, kernel, self.groups)
        # The gradient splits the inputs again, instead of keeping the groups in memory beside them.
        return keras.remat(self._products)(inputs, kernel)

    def _products(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        shape = ops.shape(inputs)
        # Positions in one dimension: a product of matrices with more of them is a loop.
        groups = ops.split(ops.reshape(inputs, (-1, shape[-1])), self.groups, axis=-1)
        kernels = ops.split(ops.squeeze(kernel, (0, 1)), self.groups, axis=-1)
        products = [ops.matmul(*pair) for pair in zip(groups, kernels, strict=True)]
        outputs = ops.concatenate(products, axis=-1)
        return ops.reshape(outputs, (-1, *shape[1:3], self.filters))


def _convolve_on_tensorflow(inputs: Tensor, kernel: Tensor, groups: int) -> Tensor:
    """A grouped 1x1 convolution whose gradients are one of the same kind and matrix products."""
    import tensorflow as tf

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
            of_inputs = _convolve_on_tensorflow(upstream, transposed[None, None], groups)
            return of_inputs, tf.concat(products, axis=-1)[None, None]

        # TensorFlow would join what follows (a bias, batch normalisation, ReLU) to the convolution,
        # and has no such kernel for groups without oneDNN; a check of the shape keeps them apart.
        # As one image, since its kernel gives no images the wrong number of channels.
        batch, height, width, channels = ops.shape(inputs)
        image = tf.reshape(inputs, (1, batch * height, width, channels))
        outputs = tf.ensure_shape(tf.nn.conv2d(image, kernel, 1, "VALID"), [None] * 4)
        return tf.reshape(outputs, (batch, height, width, kernel.shape[-1])), gradient

    return convolve(inputs, tf.identity(kernel))


@keras.saving.register_keras_serializable(package="keras_prokt")
class ChannelShuffle(keras.layers.Layer):
    """Deals the channels of each group out to all groups.

    Channel `g · (C / G) + c` becomes channel `c · G + g`. Zhang et al. 2018 (arXiv 1707.01083),
    figure 1.

    Args:
        groups: Number of groups G.
        **arguments: Those of `keras.layers.Layer`.

    Call arguments:
        inputs: Shape `(batch, height, width, channels)`; channels a multiple of `groups`.

    Returns:
        The same shape.

    Raises:
        ValueError: If the channels are not a multiple of `groups`.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.models.channel_groups import ChannelShuffle
    >>> outputs = ChannelShuffle(2)(np.arange(6.0).reshape(1, 1, 1, 6))
    >>> [float(output) for output in outputs[0, 0, 0]]
    [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    """

    def __init__(self, groups: int, **arguments: Any):
        super().__init__(**arguments)
        self.groups = groups

    def build(self, input_shape: Shape) -> None:
        if self.groups < 1 or input_shape[-1] % self.groups:
            raise ValueError(
                f"Expected channels in groups of equal size, received {input_shape[-1]} channels "
                f"and groups={self.groups}; give a divisor of the channels."
            )

    def call(self, inputs: Tensor) -> Tensor:
        _, height, width, channels = ops.shape(inputs)
        x = ops.reshape(inputs, (-1, height, width, self.groups, channels // self.groups))
        return ops.reshape(ops.swapaxes(x, 3, 4), (-1, height, width, channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": self.groups}
