"""VGG with batch normalisation for 32x32 images (Simonyan and Zisserman 2015)."""

import keras
from keras import layers

from keras_prokt.models.blocks import (
    classify,
    convolve,
    normalize_and_activate,
    scale_channels,
)


def vgg(
    convolutions: int,
    num_classes: int = 100,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    *,
    width: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """Five blocks of 3x3 convolutions, of which the first is the stem and each other a stage.

    Simonyan and Zisserman 2015 (arXiv 1409.1556), configurations with 64, 128, 256, 512 and 512
    channels, and one linear layer on the pooled features instead of three. The biases of the
    convolutions are held by the batch normalisations after them. A max-pooling is between all
    blocks, before the last one from 64 pixels on.

    Args:
        convolutions: Convolutions a block: 1 is VGG-8, 2 is VGG-13.
        num_classes: Width of the logits.
        input_shape: `(height, width, channels)`, at least 8 pixels a side.
        width: Factor of the channels.
        name: Name of the model.

    Returns:
        A model from images, float `(batch, height, width, channels)`, to float32 logits
        `(batch, num_classes)`. `stage_1` to `stage_4` have 128, 256, 512 and 512 channels, after
        ReLU.

    Raises:
        ValueError: If the width leaves no channels, or a side of the images is open.

    Example:

    >>> from keras_prokt.models.vgg import vgg
    >>> vgg(1).count_params()
    3967972
    """
    if None in input_shape:
        raise ValueError(
            f"Expected an input_shape of numbers, received {input_shape}; the size of the images "
            "decides how often they are pooled."
        )
    inputs = keras.Input(input_shape, name="image")
    x = inputs
    names = ("stem", "stage_1", "stage_2", "stage_3", "stage_4")
    for block, channels in zip(names, (64, 128, 256, 512, 512), strict=True):
        if block in names[1:4] or (block == names[4] and input_shape[0] >= 64):
            x = layers.MaxPooling2D()(x)
        for own_name in [None] * (convolutions - 1) + [block]:
            x = convolve(x, scale_channels(channels, width))
            x = normalize_and_activate(x, own_name, input_bias=True)
    logits = classify(x, num_classes, stddev=0.01)
    return keras.Model(inputs, logits, name=name or f"vgg_{5 * convolutions + 3}")
