"""Networks for images that come normalised, with what each of them does to pixels in front."""

import inspect
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_prokt import models
from keras_prokt.models.elsewhere import (
    APPLICATIONS,
    HUB,
    Builder,
    application,
    hub_classifier,
    with_float32_logits,
)
from keras_prokt.settings import SettingError

IMAGENET_CLASSES = 1000

_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def image_network(
    name: str,
    *,
    mean: Sequence[float],
    standard_deviation: Sequence[float],
    weights: str | Path | None = None,
) -> Builder:
    """The builder of a network whose input is (value / 255 - mean) / standard deviation.

    A network of `keras.applications` gets its pixels back, and then its own `preprocess_input`, as
    layers of the model, so that its published weights see what they were trained on; one of
    keras-hub the scale of its preset. Others read what comes.

    Args:
        name: As `keras_prokt.models.get` takes it.
        mean: As of `ImageFrontEnd`.
        standard_deviation: As of `ImageFrontEnd`.
        weights: A local file of weights, `.weights.h5` or `.h5`: those of the whole network, and
            of one of `keras.applications` also those without its top, or with the 1,000 classes
            of ImageNet, whose last layer is left out.

    Returns:
        A function of `num_classes` and `input_shape`; it raises `ValueError` if the weights are
        those of another network.

    Example:

    >>> from keras_prokt.models.image_networks import image_network
    >>> half = {"mean": [0.5] * 3, "standard_deviation": [0.5] * 3}
    >>> image_network("keras:MobileNetV2", **half)(10, (32, 32, 3)).output_shape
    (None, 10)
    """
    pixels = partial(_pixels, mean=mean, standard_deviation=standard_deviation)
    if name.startswith(APPLICATIONS):
        return partial(_application, name.removeprefix(APPLICATIONS), pixels, weights)
    build = models.get(name)
    if name.startswith(HUB):
        build = partial(hub_classifier, name.removeprefix(HUB), pixels=pixels)
    return partial(_loaded, name, build, weights)


def _pixels(normalized: Any, *, mean: Sequence[float], standard_deviation: Sequence[float]) -> Any:
    """Values from 0 to 255 again."""
    scale = [255 * deviation for deviation in standard_deviation]
    offset = [255 * one for one in mean]
    return keras.layers.Rescaling(scale, offset, name="pixels")(normalized)


def _loaded(
    name: str,
    build: Builder,
    weights: str | Path | None,
    num_classes: int,
    input_shape: tuple[int, int, int],
) -> keras.Model:
    model = build(num_classes, input_shape)
    if weights is not None and not _loads(model, weights):
        raise SettingError(
            f"Expected weights of {name} for {num_classes} classes, received {str(weights)!r} with "
            "others; name the network that they are of."
        )
    return model


def _application(
    name: str,
    pixels: Callable[[Any], Any],
    weights: str | Path | None,
    num_classes: int,
    input_shape: tuple[int, int, int],
) -> keras.Model:
    build = application(name)
    inputs = keras.Input(input_shape, name="image")
    network = build(
        weights=None,
        input_tensor=_preprocessing(name)(pixels(inputs)),
        classes=num_classes,
        classifier_activation=None,
    )
    # Keras gives it a list of one input, which a single tensor is no match for.
    network = keras.Model(inputs, network.output, name=network.name)
    if weights is not None:
        _load_application(name, network, weights, num_classes, input_shape)
    return with_float32_logits(network)


def _preprocessing(name: str) -> Callable[[Any], Any]:
    """The `preprocess_input` of the module that a network is of; nothing where it has none.

    Where a network preprocesses by layers of its own, that function does nothing.
    """
    for module in vars(keras.applications).values():
        if inspect.ismodule(module) and name in vars(module):
            return getattr(module, "preprocess_input", lambda pixels: pixels)
    return lambda pixels: pixels


def _load_application(
    name: str,
    network: keras.Model,
    weights: str | Path,
    num_classes: int,
    input_shape: tuple[int, int, int],
) -> None:
    """Gives a network the weights of a file, but for the last layer if it has other classes."""
    build = partial(application(name), weights=None, input_shape=input_shape)
    without_top = build(include_top=False)
    sources = (
        lambda: build(classes=num_classes),
        lambda: without_top,
        lambda: build(classes=IMAGENET_CLASSES),
    )
    for make in sources:
        source = make()
        if not _loads(source, weights):
            continue
        below_top = len(_with_weights(without_top))
        pairs = zip(_with_weights(source), _with_weights(network), strict=False)
        for number, (loaded, layer) in enumerate(pairs):
            values = loaded.get_weights()
            shapes = [tuple(weight.shape) for weight in layer.weights]
            # What is above may have the shapes of other classes, or of another size.
            if number < below_top or [value.shape for value in values] == shapes:
                _give(layer, values)
        return
    raise SettingError(
        f"Expected weights of keras:{name} for {num_classes} or {IMAGENET_CLASSES} classes or "
        f"without its top, received {str(weights)!r} with others; name the network that they are "
        "of, or make the file again with this Keras."
    )


def _give(layer: keras.layers.Layer, values: list[np.ndarray]) -> None:
    if not isinstance(layer, keras.layers.Normalization):
        layer.set_weights(values)
        return
    mean, variance, *count = values
    # The files of EfficientNet have the standard deviation of ImageNet as the variance. Keras
    # divides by its root once more, of weights="imagenet" alone.
    if variance.shape == (3,) and np.allclose(variance, _IMAGENET_DEVIATION, atol=1e-4):
        variance = np.square(variance)
    layer.set_weights([mean, variance, *count])
    layer.finalize_state()  # it computes with copies of its weights


def _with_weights(network: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in network.layers if layer.weights]


def _loads(model: keras.Model, path: str | Path) -> bool:
    """Gives a model the weights of a file; returns whether all of both fit."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # of what the file has nothing for
            model.load_weights(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserWarning):
        return False
    return True
