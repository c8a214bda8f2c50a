"""Plain convolutional networks for small images."""

from collections.abc import Sequence

import keras
from keras import layers

from keras_prokt.models.batch_normalization import FusedBatchNormalization


def convnet(
    num_classes: int,
    input_shape: tuple[int, int, int],
    *,
    widths: Sequence[int],
    convolutions: int = 1,
    batch_normalization: bool = False,
    name: str | None = None,
) -> keras.Model:
    """A stack of 3x3 convolutions with a 2x2 max-pooling between stages.

    Args:
        num_classes: Width of the logits.
        input_shape: `(height, width, channels)`.
        widths: Channels of each stage.
        convolutions: Convolutions a stage.
        batch_normalization: Whether to normalise after each convolution.
        name: Name of the model.

    Returns:
        A model from images, float32 `(batch, height, width, channels)`, to logits
        `(batch, num_classes)`. Pooled features are averaged over positions.

    Example:

    >>> from keras_prokt.models.convolutional import convnet
    >>> convnet(10, (8, 8, 1), widths=(4, 8)).output_shape
    (None, 10)
    """
    inputs = keras.Input(input_shape, name="image")
    x = inputs
    for stage, width in enumerate(widths):
        if stage:
            x = layers.MaxPooling2D()(x)
        for convolution in range(convolutions):
            x = layers.Conv2D(width, 3, padding="same", use_bias=not batch_normalization)(x)
            if batch_normalization:
                x = FusedBatchNormalization(momentum=0.9)(x)
            is_last = convolution == convolutions - 1
            x = layers.ReLU(name=f"stage_{stage + 1}" if is_last else None)(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name=name)
