"""The common start of teacher and student: both predict the uniform distribution."""

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt.arguments import check_type, shown
from keras_prokt.keras_internals import inputs_of_operation, operation_of


class ConstantOutputWarning(UserWarning):
    """A model that has been trained, or is to teach, answers all examples alike."""


def uniform_start(model: keras.Model, outputs: Any = None) -> keras.Model:
    """Zeroes the last linear layer, so that the model starts as the uniform distribution.

    The paper (section 3.3) starts teacher and student at the same distribution,
    `q(y|x) = p(y|x) = 1/K`. With kernel and bias of the last linear layer at zero all logits
    are zero; the first gradient reaches that layer, the following ones all others. Independent
    yes-or-no labels start at ½ each, and values (regression) at `outputs`, the mean of the training
    labels, in the bias. Of a model with several outputs all are changed. What a trained model has
    learned there is lost, of which a `ConstantOutputWarning` warns.

    Args:
        model: A built functional, sequential or subclassed model that outputs logits. The last
            linear layer may be followed by layers without weights (a cast, a reshape).
        outputs: What the model is to answer all examples with, shape `(width,)`, such as
            `y.mean(axis=0)`; zeros by default.

    Returns:
        The model, changed in place.

    Raises:
        ValueError: If the model is not built, no last linear layer is found, or it cannot answer
            with `outputs`: for want of a bias, or since an activation follows.

    Example:

    >>> import keras, numpy as np
    >>> from keras_prokt import uniform_start
    >>> model = uniform_start(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    >>> model.predict(np.ones((1, 4)), verbose=0).tolist()
    [[0.0, 0.0, 0.0]]
    """
    check_type("model", model, keras.Model, "a built keras.Model")
    if not model.built:
        raise ValueError(
            f"Expected a built model, received {model.name!r} without weights; call it on a batch "
            "first."
        )
    layers = _last_linear_layers(model)
    if None in layers:
        raise ValueError(
            f"Expected a model that ends in a linear layer, received {model.name!r}, in which none "
            "was found; zero the layer that makes the logits yourself."
        )
    biases = [_bias_for(layer, outputs) for layer in layers]
    if _is_trained(model, layers):
        warnings.warn(
            f"uniform_start has set the last layer of {model.name!r} to zero, which has been "
            "trained; leave uniform_start out for a trained model.",
            ConstantOutputWarning,
            stacklevel=2,
        )
    for layer, bias in zip(layers, biases, strict=True):
        layer.kernel.assign(ops.zeros(layer.kernel.shape, layer.kernel.dtype))
        if bias is not None:
            layer.bias.assign(bias)
    return model


def has_constant_output(model: keras.Model) -> bool:
    """Whether a model is as `uniform_start` leaves it, so that all examples have one answer.

    Args:
        model: Any model; of one that is not built nothing is known.
    """
    layers = _last_linear_layers(model) if model.built else [None]
    return None not in layers and not any(ops.any(layer.kernel != 0) for layer in layers)


def _bias_for(layer: Any, outputs: Any) -> Any:
    """The bias with which a layer whose kernel is zero gives outputs; `None` if it has none."""
    bias = getattr(layer, "bias", None)
    if outputs is None:
        return None if bias is None else ops.zeros(bias.shape, bias.dtype)
    if bias is None or getattr(layer, "activation", None) not in (None, keras.activations.linear):
        raise ValueError(
            f"Expected a last layer with a bias and without activation, to start at given outputs, "
            f"received {layer.name!r}; leave outputs out, or make it keras.layers.Dense(width)."
        )
    numbers = np.asarray(outputs)
    if numbers.dtype.kind not in "iuf" or not np.isfinite(numbers).all():
        raise ValueError(
            f"Expected outputs of finite numbers, received {shown(outputs)}; give one value for "
            "each output, such as y.mean(axis=0)."
        )
    values = ops.cast(ops.convert_to_tensor(numbers), bias.dtype)
    if tuple(values.shape) not in ((), tuple(bias.shape)):
        raise ValueError(
            f"Expected outputs of shape {tuple(bias.shape)}, received {tuple(values.shape)}; give "
            "one value for each output, such as y.mean(axis=0)."
        )
    return ops.broadcast_to(values, bias.shape)


def _is_trained(model: keras.Model, layers: list[Any]) -> bool:
    """Whether a model shows that it was trained, by its optimizer or biases that started at 0."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and int(ops.convert_to_numpy(optimizer.iterations)) > 0:
        return True
    biases = [layer.bias for layer in layers if getattr(layer, "bias", None) is not None]
    zeros = keras.initializers.Zeros
    starts_at_zero = all(
        isinstance(getattr(layer, "bias_initializer", None), zeros) for layer in layers
    )
    return starts_at_zero and any(bool(ops.any(bias != 0)) for bias in biases)


def _last_linear_layers(model: keras.Model) -> list[Any]:
    """The layer that makes the logits, or those of a model with several outputs."""
    outputs = getattr(model, "outputs", None) or []
    if len(outputs) < 2:
        return [_last_linear_layer(model)]
    return [_last_linear_layer(_producer(output)) for output in outputs]


def _last_linear_layer(layer: Any) -> Any:
    """The layer with a kernel from which the output comes, through layers without weights."""
    while layer is not None:
        if isinstance(layer, keras.Sequential):
            following = _last_weighted(layer.layers)
        elif isinstance(layer, keras.Model) and getattr(layer, "outputs", None):
            following = _producer(layer.outputs[0])
        elif isinstance(layer, keras.Model):
            following = _last_weighted(layer.layers)
        else:
            is_linear = getattr(layer, "kernel", None) is not None
            return layer if is_linear else None
        layer = following
    return None


def _producer(tensor: Any) -> Any:
    """The operation with weights that a symbolic tensor comes from."""
    while not getattr(operation_of(tensor), "weights", None):
        inputs = inputs_of_operation(tensor)
        if not inputs:
            return None
        tensor = inputs[0]
    return operation_of(tensor)


def _last_weighted(layers: list[Any]) -> Any:
    return next((layer for layer in reversed(layers) if layer.weights), None)
