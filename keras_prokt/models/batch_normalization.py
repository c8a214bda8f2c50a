"""Batch normalisation by TensorFlow's fused kernel."""

from typing import Any

import keras
from keras import ops

from keras_prokt import backends
from keras_prokt.typing import Tensor

Shape = tuple[int | None, ...]


@keras.saving.register_keras_serializable(package="keras_prokt")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` that is one kernel on TensorFlow.

    `y = γ · (x − mean) / √(variance + ε) + β`, Ioffe and Szegedy 2015 (arXiv 1502.03167),
    algorithm 1. Keras composes it of half a dozen operations, each of which reads the whole
    feature map, and as many gradients. Variables, results and their updates are those of Keras's
    layer, moving statistics included; without `input_bias` weights go from one to the other with
    `set_weights`.

    With `input_bias` it normalises `x + b`, where b is the bias of the convolution before the
    layer. The batch's mean takes b away again: in training nothing but the moving mean depends on
    it, and its gradient is zero (with Keras's own code, up to rounding). The kernel below spends
    nothing on it.

    The fused kernel runs on the TensorFlow backend, for feature maps
    `(batch, height, width, channels)` in float32 or less whose channels are a multiple of 4. In
    inference TensorFlow joins it with the ReLU after it and, in float32, with a convolution before
    it that is neither grouped nor depthwise and that nothing else reads.
    Everything else is Keras's own code: other numbers of channels, where the kernel is no faster,
    other backends and ranks, masks, float64, `synchronized`, `renorm`, another axis than the last.

    Args:
        input_bias: Whether to add a bias, trainable and zero at the start, to the inputs.
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

    def __init__(self, *, input_bias: bool = False, **arguments: Any):
        super().__init__(**arguments)
        self.input_bias = input_bias
        self.bias = None

    def build(self, input_shape: Shape) -> None:
        if self.input_bias:
            channels = (input_shape[self.axis],)
            self.bias = self.add_weight(channels, "zeros", name="bias", autocast=False)
        super().build(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "input_bias": self.input_bias}

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        if mask is None:
            kernel = backends.current().by_kernel
            outputs = kernel("batch_normalization", self, inputs, bool(training))
            if outputs is not None:
                return outputs
        if self.input_bias:
            shape = [1] * len(inputs.shape)
            shape[self.axis] = -1
            # In the bias's precision, which Keras's code computes in as well.
            inputs = ops.add(inputs, ops.reshape(self.bias, shape))
        return super().call(inputs, training=training, mask=mask)
