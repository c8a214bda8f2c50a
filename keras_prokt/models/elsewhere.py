"""Networks that are not ours: keras.applications, keras-hub, a user's own function."""

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from keras_prokt.models.as_logits import as_logits_if_seen
from keras_prokt.named_code import check_named
from keras_prokt.names import unknown_name
from keras_prokt.tensorflow_beside import keep_off_gpu

Builder = Callable[..., keras.Model]

APPLICATIONS = "keras:"
"""What names of networks of `keras.applications` begin with."""


def builder_from(name: str) -> Builder:
    """The builder that a name with a colon stands for.

    Args:
        name: `keras:ResNet50`, `hub:resnet_50_imagenet` or `my_package.networks:small`.

    Returns:
        A function of `num_classes` and `input_shape` that returns a model with logits. Those of
        `keras.applications` start with fresh weights and without the preprocessing that some
        have built in; those of keras-hub have their pretrained weights. A function's model that
        ends in softmax or sigmoid is converted (`as_logits`).

    Raises:
        ValueError: If there is nothing of that name.

    Example:

    >>> from keras_prokt.models.elsewhere import builder_from
    >>> builder_from("keras:MobileNetV2")(10, (32, 32, 3)).output_shape
    (None, 10)
    """
    source, _, rest = name.partition(":")
    if source == "keras":
        return _from_applications(rest)
    if source == "hub":
        return partial(hub_classifier, rest)
    return _from_function(source, rest)


def application(name: str) -> Callable[..., keras.Model]:
    """The function of `keras.applications` of a name.

    Raises:
        ValueError: If there is none.
    """
    networks = {
        key: value
        for key, value in vars(keras.applications).items()
        if callable(value) and key[0].isupper()
    }
    if name not in networks:
        raise ValueError(unknown_name("a network of keras.applications", name, networks))
    return networks[name]


def _from_applications(name: str) -> Builder:
    function = application(name)
    # The data comes normalised; some networks would do it a second time.
    preprocessing = {}
    if "include_preprocessing" in inspect.signature(function).parameters:
        preprocessing = {"include_preprocessing": False}

    def build(num_classes: int, input_shape: tuple[int, int, int]) -> keras.Model:
        network = function(
            weights=None,
            input_shape=input_shape,
            classes=num_classes,
            classifier_activation=None,
            **preprocessing,
        )
        return with_float32_logits(_without_preprocessing(network))

    return build


def _without_preprocessing(network: keras.Model) -> keras.Model:
    """The same network with identities for its first layers that rescale and normalise images."""
    kinds = (keras.layers.Rescaling, keras.layers.Normalization)
    if not any(isinstance(layer, kinds) for layer in network.layers):
        return network

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, kinds):
            return keras.layers.Identity(name=layer.name)
        return type(layer).from_config(layer.get_config())

    return keras.models.clone_model(network, clone_function=clone)


def with_float32_logits(network: keras.Model) -> keras.Model:
    """The same network, whose outputs are float32 under mixed precision too: losses read them."""
    if network.output.dtype == "float32":
        return network
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(network.output)
    return keras.Model(network.inputs, logits, name=network.name)


HUB = "hub:"
"""What names of presets of keras-hub begin with."""


def hub_classifier(
    preset: str,
    num_classes: int,
    input_shape: tuple[int, int, int],
    *,
    pixels: Callable[[Any], Any] | None = None,
) -> keras.Model:
    """A preset's backbone under a new linear layer.

    Args:
        preset: Its name, or a directory.
        num_classes: Number of classes.
        input_shape: Height, width and channels.
        pixels: Makes pixels of 0 to 255 out of the input; they are scaled as the preset's own
            image converter does. `None` if the input is what the backbone reads.

    Raises:
        ValueError: If there is no such preset.
    """
    import keras_hub

    keep_off_gpu()  # keras-hub imports TensorFlow, if it is there, whatever the backend
    try:
        backbone = keras_hub.models.Backbone.from_preset(preset, image_shape=input_shape)
        inputs = keras.Input(input_shape, name="image")
        scale = None if pixels is None else _scale_of_preset(preset)
        features: Any = backbone(inputs if scale is None else scale(pixels(inputs)))
    except Exception as error:  # whatever keras-hub and the network raise
        line = (str(error).strip().splitlines() or [""])[0][:200]
        raise ValueError(
            f"Expected an image preset of keras-hub, received {preset!r} and "
            f"{type(error).__name__}: {line}; check the name and the network connection."
        ) from error
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(features)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(pooled)
    return keras.Model(inputs, logits)


def _scale_of_preset(preset: str) -> keras.layers.Layer | None:
    """What a preset does to the values of pixels; `None` where it does not say."""
    import keras_hub

    try:
        converter = keras_hub.layers.ImageConverter.from_preset(preset)
    except (FileNotFoundError, ValueError):
        return None
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return keras.layers.Rescaling(scale, offset, name="preprocessing")


def _from_function(module: str, function: str) -> Builder:
    check_named(f"{module}:{function}")
    try:
        build = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"Expected module:function of a builder, received {module!r}:{function!r} and "
            f"{type(error).__name__}: {error}; the module has to be importable (PYTHONPATH)."
        ) from error
    if not callable(build):
        raise ValueError(
            f"Expected a function of num_classes and input_shape, received {module}:{function}, "
            f"a {type(build).__name__}."
        )

    def checked(num_classes: int, input_shape: tuple[int, int, int]) -> keras.Model:
        try:
            model = build(num_classes, input_shape)
        except Exception as error:  # whatever the user's code raises
            raise ValueError(
                f"Expected {module}:{function}(num_classes, input_shape) to build a model, "
                f"received {type(error).__name__}: {error}."
            ) from error
        if not isinstance(model, keras.Model):
            raise ValueError(
                f"Expected {module}:{function} to return a keras.Model, received a "
                f"{type(model).__name__}."
            )
        return as_logits_if_seen(model)

    return checked
