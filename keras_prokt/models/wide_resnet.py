"""Wide residual networks for 32x32 images (Zagoruyko & Komodakis 2016)."""

import keras
from keras import layers

from keras_prokt.models.blocks import (
    classify,
    convolve,
    normalize_and_activate,
    scale_channels,
)
from keras_prokt.typing import Tensor


def wide_resnet(
    depth: int,
    num_classes: int = 100,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    *,
    width: float = 2,
    name: str | None = None,
) -> keras.Model:
    """WRN-depth-width: pre-activation basic blocks in three stages of (depth − 4) / 6 blocks.

    Channels 16, then 16·width, 32·width, 64·width; no biases but the head's; the 1x1 shortcut
    of a stage reads what batch normalisation and ReLU gave.

    Args:
        depth: 16, 22, 28, 40, ...: 4 more than a multiple of 6.
        num_classes: Width of the logits.
        input_shape: `(height, width, channels)`.
        width: Widening factor.
        name: Name of the model.

    Returns:
        A model from images, float `(batch, height, width, channels)`, to float32 logits
        `(batch, num_classes)`. `stage_1` to `stage_3` are the blocks' outputs after the batch
        normalisation and ReLU that follow them.

    Raises:
        ValueError: If the depth is not 4 more than a multiple of 6, or the width leaves no
            channels.

    Example:

    >>> from keras_prokt.models.wide_resnet import wide_resnet
    >>> wide_resnet(16).count_params()
    705108
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"Expected a depth of 6n + 4 with n >= 1, received {depth!r}; e.g. 16.")
    inputs = keras.Input(input_shape, name="image")
    x = convolve(inputs, 16)
    for stage, unscaled in enumerate((16, 32, 64)):
        channels = scale_channels(unscaled, width)
        for block in range((depth - 4) // 6):
            # A stage ends with the activation that the next one begins with.
            ends = f"stage_{stage}" if stage and not block else None
            x = _block(x, channels, strides=2 if stage and not block else 1, activation_name=ends)
    x = normalize_and_activate(x, "stage_3")
    logits = classify(x, num_classes, stddev=0.01)
    return keras.Model(inputs, logits, name=name or f"wrn_{depth}_{width:g}")


def _block(x: Tensor, channels: int, strides: int, activation_name: str | None) -> Tensor:
    activated = normalize_and_activate(x, activation_name)
    shortcut = x
    if x.shape[-1] != channels:
        shortcut = convolve(activated, channels, 1, strides)
    x = convolve(activated, channels, 3, strides)
    x = convolve(normalize_and_activate(x), channels)
    return layers.Add()([x, shortcut])
