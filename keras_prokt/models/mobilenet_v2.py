"""MobileNetV2 for 32x32 images (Sandler et al. 2018)."""

import keras
from keras import layers

from keras_prokt.models.blocks import (
    classify,
    convolve,
    convolve_depthwise,
    normalize,
    normalize_and_activate,
    scale_channels,
)
from keras_prokt.typing import Tensor

# Expansion, channels, blocks, stride of the first block, name of the last block's output.
_GROUPS = (
    (1, 16, 1, 1, None),
    (6, 24, 2, 1, "stage_1"),
    (6, 32, 3, 2, "stage_2"),
    (6, 64, 4, 2, None),
    (6, 96, 3, 1, "stage_3"),
    (6, 160, 3, 2, None),
    (6, 320, 1, 1, "stage_4"),
)


def mobilenet_v2(
    num_classes: int = 100,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    *,
    width: float = 0.5,
    name: str | None = None,
) -> keras.Model:
    """Inverted residual blocks with linear bottlenecks, as the CRD codebase has them.

    Sandler et al. 2018 (arXiv 1801.04381), table 2, with these differences: the second group has
    stride 1, ReLU instead of ReLU6, channels are not rounded to multiples of 8, the first block
    keeps its expansion, and there is no dropout.

    Args:
        num_classes: Width of the logits.
        input_shape: `(height, width, channels)`.
        width: Factor of the channels, of the last convolution's 1280 only when above 1. The
            paper's experiments use 0.5.
        name: Name of the model.

    Returns:
        A model from images, float `(batch, height, width, channels)`, to float32 logits
        `(batch, num_classes)`. `stage_1` to `stage_4` are the last block's output at each
        resolution (12, 16, 48 and 160 channels at width 0.5): linear, no ReLU follows.

    Raises:
        ValueError: If the width leaves no channels.

    Example:

    >>> from keras_prokt.models.mobilenet_v2 import mobilenet_v2
    >>> mobilenet_v2().count_params()
    831204
    """
    inputs = keras.Input(input_shape, name="image")
    x = normalize_and_activate(convolve(inputs, scale_channels(32, width), 3, 2), "stem")
    for expansion, channels, blocks, strides, stage in _GROUPS:
        for block in range(blocks):
            x = _inverted_residual(
                x,
                scale_channels(channels, width),
                expansion,
                strides if block == 0 else 1,
                stage if block == blocks - 1 else None,
            )
    x = normalize_and_activate(convolve(x, scale_channels(1280, max(width, 1.0)), 1))
    logits = classify(x, num_classes, stddev=0.01)
    return keras.Model(inputs, logits, name=name or "mobilenet_v2")


def _inverted_residual(
    inputs: Tensor, channels: int, expansion: int, strides: int, name: str | None
) -> Tensor:
    x = normalize_and_activate(convolve(inputs, expansion * inputs.shape[-1], 1))
    x = normalize_and_activate(convolve_depthwise(x, strides))
    x = convolve(x, channels, 1)
    if strides == 1 and inputs.shape[-1] == channels:
        return layers.Add(name=name)([inputs, normalize(x)])
    return normalize(x, name)
