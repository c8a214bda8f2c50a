"""Layers that work on groups of channels, for the ShuffleNets."""

from typing import Any

import keras
from keras import ops

from keras_prokt import backends
from keras_prokt.typing import Tensor

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
        outputs = backends.current().by_kernel(
            "grouped_pointwise_convolution", inputs, kernel, self.groups
        )
        if outputs is not None:
            return outputs
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
