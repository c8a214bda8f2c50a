"""What the image networks are made of, so that they agree with the CIFAR-100 recipe.

Batch normalisation with momentum 0.9 and ε 1e-5 (momentum 0.1 where PyTorch counts), and PyTorch's
padding: a strided convolution pads both sides alike, so that it is centred on the pixels that the
1x1 convolution beside it reads; "same" in Keras is half a step off them.
"""

import math
from collections.abc import Callable
from functools import partial

import keras
from keras import layers

from keras_prokt.models.batch_normalization import FusedBatchNormalization
from keras_prokt.models.channel_groups import GroupedConvolution
from keras_prokt.typing import Tensor

Initializer = Callable[[int, int], keras.initializers.Initializer]
"""A function of fan-in and fan-out, counted as PyTorch does: fan-out without regard to groups."""


def he_normal(fan_in: int, fan_out: int) -> keras.initializers.Initializer:
    """N(0, √(2 / fan-out)): He et al. 2015 (arXiv 1502.01852), equation 14."""
    return keras.initializers.RandomNormal(stddev=math.sqrt(2 / fan_out))


def uniform(fan_in: int, fan_out: int) -> keras.initializers.Initializer:
    """U(−1/√fan-in, 1/√fan-in): PyTorch's default for layers that nothing is said about."""
    bound = 1 / math.sqrt(fan_in)
    return keras.initializers.RandomUniform(-bound, bound)


def scale_channels(channels: int, width: float, multiple: int = 1) -> int:
    """Channels at a width multiplier, rounded down to a multiple.

    Raises:
        ValueError: If none are left.
    """
    scaled = int(channels * width) // multiple * multiple
    if scaled < 1:
        raise ValueError(
            f"Expected a width that leaves at least {multiple} of {channels} channels, received "
            f"{width!r}; 1.0 is the usual network."
        )
    return scaled


def convolve(
    x: Tensor,
    channels: int,
    size: int = 3,
    strides: int = 1,
    *,
    groups: int = 1,
    initializer: Initializer = he_normal,
) -> Tensor:
    """A square convolution with an odd side, padded by half of it, without bias."""
    x, padding = _pad(x, size, strides)
    layer = layers.Conv2D if groups == 1 else partial(GroupedConvolution, groups=groups)
    return layer(
        channels,
        size,
        strides,
        padding,
        use_bias=False,
        kernel_initializer=initializer(size**2 * x.shape[-1] // groups, size**2 * channels),
    )(x)


def convolve_depthwise(
    x: Tensor, strides: int = 1, *, initializer: Initializer = he_normal
) -> Tensor:
    """A 3x3 convolution of each channel by itself."""
    x, padding = _pad(x, 3, strides)
    return layers.DepthwiseConv2D(
        3,
        strides,
        padding,
        use_bias=False,
        depthwise_initializer=initializer(9, 9 * x.shape[-1]),
    )(x)


def _pad(x: Tensor, size: int, strides: int) -> tuple[Tensor, str]:
    """A feature map and what padding is left to the layer that reads it."""
    if strides == 1 or size == 1:
        return x, "same"
    return layers.ZeroPadding2D(size // 2)(x), "valid"


def normalize(x: Tensor, name: str | None = None, *, input_bias: bool = False) -> Tensor:
    """Batch normalisation, with `input_bias` holding the bias of the convolution before it."""
    layer = FusedBatchNormalization(momentum=0.9, epsilon=1e-5, input_bias=input_bias, name=name)
    return layer(x)


def normalize_and_activate(
    x: Tensor, name: str | None = None, *, input_bias: bool = False
) -> Tensor:
    """Batch normalisation as in `normalize` and ReLU, of which the second has the name."""
    return layers.ReLU(name=name)(normalize(x, input_bias=input_bias))


def classify(x: Tensor, num_classes: int, *, stddev: float | None = None) -> Tensor:
    """Global average pooling (`pooled`) and the linear layer (`logits`, float32).

    Args:
        x: Feature map.
        num_classes: Width of the logits.
        stddev: Of the kernel, drawn from N(0, stddev) with the bias at zero; without it both are
            drawn from PyTorch's default.
    """
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    if stddev is None:
        kernel, bias = uniform(x.shape[-1], 0), uniform(x.shape[-1], 0)
    else:
        kernel, bias = keras.initializers.RandomNormal(stddev=stddev), "zeros"
    # Logits stay in float32 under mixed precision: every loss here reads them.
    return layers.Dense(
        num_classes,
        kernel_initializer=kernel,
        bias_initializer=bias,
        dtype="float32",
        name="logits",
    )(x)
