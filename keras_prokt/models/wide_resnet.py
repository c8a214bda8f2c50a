"""Wide residual networks for 32x32 images (Zagoruyko & Komodakis 2016)."""

import keras
from keras import layers


def wide_resnet(
    depth: int,
    width: int,
    num_classes: int = 100,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    *,
    name: str | None = None,
) -> keras.Model:
    """WRN-depth-width: pre-activation basic blocks in three stages of (depth − 4) / 6 blocks.

    Channels 16, then 16·width, 32·width, 64·width; no biases but the head's; the 1x1 shortcut
    of a stage reads what batch normalisation and ReLU gave.

    Args:
        depth: 16, 22, 28, 40, ...: 4 more than a multiple of 6.
        width: Widening factor.
        num_classes: Width of the logits.
        input_shape: `(height, width, channels)`.
        name: Name of the model.

    Returns:
        A model from images to logits `(batch, num_classes)`.

    Raises:
        ValueError: If the depth is not 4 more than a multiple of 6.

    Example:

    >>> from keras_prokt.models.wide_resnet import wide_resnet
    >>> wide_resnet(16, 2).count_params()
    705108
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"Expected a depth of 6n + 4 with n >= 1, received {depth!r}.")
    inputs = keras.Input(input_shape, name="image")
    x = _convolution(16)(inputs)
    for stage, channels in enumerate((16 * width, 32 * width, 64 * width)):
        for block in range((depth - 4) // 6):
            # A stage ends with the activation that the next one begins with.
            ends = f"stage_{stage}" if stage and not block else None
            x = _block(x, channels, strides=2 if stage and not block else 1, activation_name=ends)
    x = _activate(x, name="stage_3")
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    head_init = keras.initializers.RandomNormal(stddev=0.01)
    logits = layers.Dense(
        num_classes, kernel_initializer=head_init, dtype="float32", name="logits"
    )(x)
    return keras.Model(inputs, logits, name=name or f"wrn_{depth}_{width}")


def _block(x, channels: int, strides: int, activation_name: str | None):
    activated = _activate(x, activation_name)
    shortcut = x
    if x.shape[-1] != channels:
        shortcut = _convolution(channels, size=1, strides=strides)(activated)
    x = _convolution(channels, strides=strides)(activated)
    x = _convolution(channels)(_activate(x))
    return layers.Add()([x, shortcut])


def _activate(x, name: str | None = None):
    return layers.ReLU(name=name)(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))


def _convolution(channels: int, size: int = 3, strides: int = 1) -> layers.Conv2D:
    # N(0, sqrt(2 / (k^2 c_out))), the fan-out form of He et al.
    return layers.Conv2D(
        channels,
        size,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, mode="fan_out", distribution="untruncated_normal"
        ),
    )
