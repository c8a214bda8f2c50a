"""Convolutions between feature maps of the two networks, which objectives own."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_prokt.losses.adapters import uniform_by_inputs
from keras_prokt.losses.base import Shape
from keras_prokt.typing import Tensor

Layers = list[keras.layers.Layer]


def regressor(teacher: Shape, student: Shape, name: str) -> Layers | None:
    """A convolution with batch normalisation from the student's feature map to the teacher's.

    As in the CRD codebase: 1×1 where the maps have the same size, 3×3 with stride 2 where the
    student's is twice as large, 4×4 transposed with stride 2 where it is half as large.

    Args:
        teacher: `(batch, height, width, channels)` of the teacher's feature map.
        student: The same of the student's.
        name: Start of the layers' names.

    Returns:
        The built layers in order, float32, channels last; `None` for other sizes.

    Example:

    >>> from keras_prokt.losses.regressors import regressor
    >>> layers = regressor((None, 8, 8, 6), (None, 4, 4, 3), "stage_1")
    >>> [layer.name for layer in layers]
    ['stage_1_up', 'stage_1_normalization']
    """
    of_teacher, of_student, channels = teacher[1:3], student[1:3], teacher[3]
    normalization = normalization_layer(name)
    if of_student == of_teacher:
        layers = [convolution(student[3], channels, 1, f"{name}_same"), normalization]
    elif of_student == tuple(2 * size for size in of_teacher):
        # What a "same" convolution of stride 2 pads depends on the framework that it imitates.
        padding = keras.layers.ZeroPadding2D(
            1, data_format="channels_last", dtype="float32", name=f"{name}_padding"
        )
        down = convolution(student[3], channels, 3, f"{name}_down", strides=2, padding="valid")
        layers = [padding, down, normalization]
    elif of_teacher == tuple(2 * size for size in of_student):
        up = convolution(student[3], channels, 4, f"{name}_up", strides=2, is_transposed=True)
        layers = [up, normalization]
    else:
        return None
    build_in_turn(layers, student)
    return layers


def convolution(
    inputs: int,
    channels: int,
    kernel_size: int,
    name: str,
    *,
    strides: int = 1,
    padding: str = "same",
    is_transposed: bool = False,
) -> keras.layers.Layer:
    """A convolution that starts as PyTorch's do, in float32 and with the channels last.

    Args:
        inputs: Channels that it reads.
        channels: Channels that it makes.
        kernel_size: Height and width of the kernel.
        name: Name of the layer.
        strides: Its strides.
        padding: "same" or "valid".
        is_transposed: Whether it is a transposed convolution.

    Returns:
        The layer, not yet built.

    Example:

    >>> from keras_prokt.losses.regressors import convolution
    >>> convolution(4, 6, 3, "first").kernel_initializer.maxval == 36**-0.5
    True
    """
    layer = keras.layers.Conv2DTranspose if is_transposed else keras.layers.Conv2D
    # PyTorch counts the outputs of a transposed kernel as its inputs.
    counted = kernel_size**2 * (channels if is_transposed else inputs)
    return layer(
        channels,
        kernel_size,
        strides=strides,
        padding=padding,
        kernel_initializer=uniform_by_inputs(counted),
        bias_initializer=uniform_by_inputs(counted),
        data_format="channels_last",
        dtype="float32",
        name=name,
    )


def normalization_layer(name: str) -> keras.layers.Layer:
    """Batch normalisation over the last axis with PyTorch's constants, in float32.

    Args:
        name: Start of the layer's name.

    Returns:
        The layer, not yet built.

    Example:

    >>> from keras_prokt.losses.regressors import normalization_layer
    >>> normalization_layer("first").epsilon
    1e-05
    """
    return keras.layers.BatchNormalization(
        axis=-1, momentum=0.9, epsilon=1e-5, dtype="float32", name=f"{name}_normalization"
    )


def build_in_turn(layers: Sequence[keras.layers.Layer], shape: Shape) -> Shape:
    """Builds each layer for what the one before it makes.

    Args:
        layers: The layers, in order.
        shape: What the first one reads.

    Returns:
        The shape of what the last one makes.

    Example:

    >>> from keras_prokt.losses.regressors import build_in_turn, convolution
    >>> build_in_turn([convolution(4, 6, 3, "a"), convolution(6, 2, 3, "b")], (None, 8, 8, 4))
    (None, 8, 8, 2)
    """
    for layer in layers:
        layer.build(shape)
        shape = tuple(layer.compute_output_shape(shape))
    return shape


def run_in_turn(layers: Sequence[Any], tensor: Tensor, training: bool | None) -> Tensor:
    """What the last of some layers makes.

    Args:
        layers: The layers, in order.
        tensor: What the first one reads.
        training: Whether batch normalisation is in training mode.

    Returns:
        The output of the last layer.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.regressors import normalization_layer, run_in_turn
    >>> tuple(run_in_turn([normalization_layer("a")], np.ones((2, 3, 3, 1)), False).shape)
    (2, 3, 3, 1)
    """
    for layer in layers:
        tensor = layer(tensor, training=training)
    return tensor
