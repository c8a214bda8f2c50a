"""Residual networks for 32x32 images (He et al. 2016)."""

from collections.abc import Callable, Sequence

import keras
from keras import layers

from keras_prokt.models.blocks import (
    classify,
    convolve,
    normalize,
    normalize_and_activate,
    scale_channels,
)
from keras_prokt.typing import Tensor


def resnet_x4(
    depth: int,
    num_classes: int = 100,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    *,
    width: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """ResNet-depth x4: basic blocks in three stages of (depth − 2) / 6, four times as wide.

    He et al. 2016 (arXiv 1512.03385), section 4.2, with 64, 128 and 256 channels instead of 16, 32
    and 64, and a stem of 32. Where a block changes the shape, its shortcut is a 1x1 convolution.

    Args:
        depth: 8, 14, 20, 26, 32, ...: 2 more than a multiple of 6.
        num_classes: Width of the logits.
        input_shape: `(height, width, channels)`.
        width: Factor of these channels.
        name: Name of the model.

    Returns:
        A model from images, float `(batch, height, width, channels)`, to float32 logits
        `(batch, num_classes)`. `stage_1` to `stage_3` are the blocks' outputs after ReLU.

    Raises:
        ValueError: If the depth is not 2 more than a multiple of 6, or the width leaves no
            channels.

    Example:

    >>> from keras_prokt.models.resnet import resnet_x4
    >>> resnet_x4(8).count_params()
    1236292
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(
            f"Expected a depth of 6n + 2 with n >= 1, received {depth!r}; e.g. 8 or 32."
        )
    stages = [((depth - 2) // 6, channels) for channels in (64, 128, 256)]
    return _resnet(
        _basic_residual, 32, stages, num_classes, input_shape, width, name or f"resnet_{depth}x4"
    )


def resnet_50(
    num_classes: int = 100,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    *,
    width: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """ResNet-50: bottleneck blocks in four stages of 3, 4, 6 and 3, made for small images.

    He et al. 2016 (arXiv 1512.03385), table 1, with a 3x3 stem and no max-pooling; the 3x3
    convolutions have the strides.

    Args:
        num_classes: Width of the logits.
        input_shape: `(height, width, channels)`.
        width: Factor of the channels.
        name: Name of the model.

    Returns:
        A model from images, float `(batch, height, width, channels)`, to float32 logits
        `(batch, num_classes)`. `stage_1` to `stage_4` have 256, 512, 1024 and 2048 channels, after
        ReLU.

    Raises:
        ValueError: If the width leaves no channels.

    Example:

    >>> from keras_prokt.models.resnet import resnet_50
    >>> resnet_50(10, (8, 8, 1), width=0.25).output_shape
    (None, 10)
    """
    stages = [(3, 64), (4, 128), (6, 256), (3, 512)]
    return _resnet(
        _bottleneck_residual, 64, stages, num_classes, input_shape, width, name or "resnet_50"
    )


def _resnet(
    residual: Callable[[Tensor, int, int], Tensor],
    stem: int,
    stages: Sequence[tuple[int, int]],
    num_classes: int,
    input_shape: tuple[int, int, int],
    width: float,
    name: str,
) -> keras.Model:
    inputs = keras.Input(input_shape, name="image")
    x = normalize_and_activate(convolve(inputs, scale_channels(stem, width)), "stem")
    for stage, (blocks, channels) in enumerate(stages):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            branch = residual(x, scale_channels(channels, width), strides)
            if branch.shape != x.shape:
                x = normalize(convolve(x, branch.shape[-1], 1, strides))
            is_last = block == blocks - 1
            x = layers.ReLU(name=f"stage_{stage + 1}" if is_last else None)(
                layers.Add()([branch, x])
            )
    return keras.Model(inputs, classify(x, num_classes), name=name)


def _basic_residual(x: Tensor, channels: int, strides: int) -> Tensor:
    x = normalize_and_activate(convolve(x, channels, 3, strides))
    return normalize(convolve(x, channels))


def _bottleneck_residual(x: Tensor, channels: int, strides: int) -> Tensor:
    x = normalize_and_activate(convolve(x, channels, 1))
    x = normalize_and_activate(convolve(x, channels, 3, strides))
    return normalize(convolve(x, 4 * channels, 1))
