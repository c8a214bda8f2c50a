"""ShuffleNet for 32x32 images (Zhang et al. 2018)."""

import keras
from keras import layers

from keras_prokt.models.blocks import (
    classify,
    convolve,
    convolve_depthwise,
    normalize,
    normalize_and_activate,
    scale_channels,
    uniform,
)
from keras_prokt.models.channel_groups import ChannelShuffle
from keras_prokt.typing import Tensor

_GROUPS = 3


def shufflenet_v1(
    num_classes: int = 100,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    *,
    width: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """Units of grouped 1x1 and depthwise 3x3 convolutions, with shuffled channels between them.

    Zhang et al. 2018 (arXiv 1707.01083), figure 2 and table 1 for three groups, with a 1x1 stem and
    no max-pooling. Each of the three stages, of 4, 8 and 4 units, halves the resolution.

    Args:
        num_classes: Width of the logits.
        input_shape: `(height, width, channels)`.
        width: Factor of the stages' channels, which are rounded down to a multiple of 12.
        name: Name of the model.

    Returns:
        A model from images, float `(batch, height, width, channels)`, to float32 logits
        `(batch, num_classes)`. `stage_1` to `stage_3` have 240, 480 and 960 channels, after ReLU.

    Raises:
        ValueError: If the width leaves fewer channels than the stem has.

    Example:

    >>> from keras_prokt.models.shufflenet_v1 import shufflenet_v1
    >>> shufflenet_v1().count_params()
    972994
    """
    inputs = keras.Input(input_shape, name="image")
    x = normalize_and_activate(convolve(inputs, 24, 1, initializer=uniform), "stem")
    if int(240 * width) < 36:
        raise ValueError(
            f"Expected a width of at least 0.15, with more channels than the stem's 24, received "
            f"{width!r}."
        )
    for stage, (units, channels) in enumerate(((4, 240), (8, 480), (4, 960))):
        for unit in range(units):
            is_last = unit == units - 1
            x = _unit(
                x,
                scale_channels(channels, width, multiple=4 * _GROUPS),
                strides=1 if unit else 2,
                # The stem has too few channels to divide them.
                first_groups=1 if stage == unit == 0 else _GROUPS,
                name=f"stage_{stage + 1}" if is_last else None,
            )
    logits = classify(x, num_classes)
    return keras.Model(inputs, logits, name=name or "shufflenet_v1")


def _unit(inputs: Tensor, channels: int, strides: int, first_groups: int, name: str | None):
    # A strided unit concatenates the pooled inputs, so that its own branch makes the rest.
    own = channels if strides == 1 else channels - inputs.shape[-1]
    x = convolve(inputs, own // 4, 1, groups=first_groups, initializer=uniform)
    x = normalize_and_activate(x)
    if first_groups > 1:
        x = ChannelShuffle(first_groups)(x)
    x = normalize_and_activate(convolve_depthwise(x, strides, initializer=uniform))
    x = normalize(convolve(x, own, 1, groups=_GROUPS, initializer=uniform))
    if strides == 1:
        x = layers.Add()([x, inputs])
    else:
        # The average counts the zeros around the image, as PyTorch's does.
        pooled = layers.AveragePooling2D(3, strides)(layers.ZeroPadding2D(1)(inputs))
        x = layers.Concatenate()([x, pooled])
    return layers.ReLU(name=name)(x)
