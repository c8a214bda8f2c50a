"""ShuffleNetV2 for 32x32 images (Ma et al. 2018)."""

import keras
from keras import layers, ops

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


def shufflenet_v2(
    num_classes: int = 100,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    *,
    width: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """Units that compute on half of the channels and shuffle both halves.

    Ma et al. 2018 (arXiv 1807.11164), figure 3c and 3d and table 5 for ×1, with a 1x1 stem and no
    max-pooling. Each of the three stages, of 4, 8 and 4 units, halves the resolution.

    Args:
        num_classes: Width of the logits.
        input_shape: `(height, width, channels)`.
        width: Factor of the stages' channels, which are rounded down to even numbers. (The
            channels of the paper's ×0.5, ×1.5 and ×2 are no multiples of those of ×1.)
        name: Name of the model.

    Returns:
        A model from images, float `(batch, height, width, channels)`, to float32 logits
        `(batch, num_classes)`. `stage_1` to `stage_3` have 116, 232 and 464 channels, after ReLU.

    Raises:
        ValueError: If the width leaves no channels.

    Example:

    >>> from keras_prokt.models.shufflenet_v2 import shufflenet_v2
    >>> shufflenet_v2().count_params()
    1371708
    """
    inputs = keras.Input(input_shape, name="image")
    x = normalize_and_activate(convolve(inputs, 24, 1, initializer=uniform), "stem")
    for stage, (units, channels) in enumerate(((4, 116), (8, 232), (4, 464))):
        half = scale_channels(channels, width, multiple=2) // 2
        for unit in range(units):
            if unit:
                kept, x = ops.split(x, 2, axis=-1)
            else:
                kept = normalize(convolve_depthwise(x, 2, initializer=uniform))
                kept = normalize(convolve(kept, half, 1, initializer=uniform))
            x = normalize_and_activate(convolve(x, half, 1, initializer=uniform))
            x = normalize(convolve_depthwise(x, 1 if unit else 2, initializer=uniform))
            x = normalize(convolve(x, half, 1, initializer=uniform))
            x = ChannelShuffle(2)(layers.Concatenate()([kept, x]))
            # One ReLU for both halves: it changes nothing where one has been applied before.
            x = layers.ReLU(name=f"stage_{stage + 1}" if unit == units - 1 else None)(x)
    x = normalize_and_activate(convolve(x, 1024, 1, initializer=uniform))
    logits = classify(x, num_classes)
    return keras.Model(inputs, logits, name=name or "shufflenet_v2")
