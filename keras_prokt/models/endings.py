"""Where a model makes probabilities: the softmax or sigmoid in which its graph ends."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from keras_prokt import backends
from keras_prokt.keras_internals import (
    call_of,
    inputs_of_operation,
    is_output_of_operation,
    operation_of,
)
from keras_prokt.models.logit_layers import (
    ACTIVATIONS,
    LogitsFromProbabilities,
    RemovedActivation,
)
from keras_prokt.typing import Tensor

# What leaves numbers as they are, and rows where these stay as long: layers, and operations.
_SHAPES = (keras.layers.Reshape, keras.layers.Flatten)
_OF_SHAPES = ("reshape", "squeeze", "expanddims", "cast")

# A mean of probabilities is one.
_MEANS = (
    *(keras.layers.Average, keras.layers.GlobalAveragePooling1D),
    *(keras.layers.GlobalAveragePooling2D, keras.layers.GlobalAveragePooling3D),
)

# What a softmax or a sigmoid ends in that is written by hand, or something near it.
_BY_HAND = ("divide", "truedivide", "exp", "reciprocal", "hard_sigmoid", "hardsigmoid", "<lambda>")


class Ending(NamedTuple):
    """Where a model makes probabilities."""

    activation: str
    """One of `ACTIVATIONS`."""
    layer: str
    """Name of the layer or operation that it is, or is in."""
    can_be_removed: bool
    """Whether it can be taken off; not inside a subclass."""


def ending_of(model: keras.Model, inputs: Any = None) -> Ending | None:
    """Where a model makes probabilities, if one of its outputs is known to be some.

    Inside a subclassed model it is found once that is built, and if it is a layer or an operation
    of Keras's.

    Args:
        model: Any model.
        inputs: Symbolic inputs of a subclassed model, where it has more than one.
    """
    if has_graph(model):
        endings = (ending_at(output) for output in model.outputs)
        return next((ending for ending in endings if ending), None)
    if isinstance(model, keras.Sequential):
        last = model.layers[-1] if model.layers else None
        if isinstance(last, keras.Model):
            return ending_of(last)
        activation = _activation_of(last)
        return Ending(activation, last.name, False) if activation else None
    return ending_of_subclassed(model, inputs)[0]


def shows_its_end(model: keras.Model, inputs: Any = None) -> bool:
    """Whether it is known what a model's outputs are, once `ending_of` has found no activation.

    Not behind functions of the user's or the backend's own, and not where a softmax or a sigmoid
    may be written by hand.

    Args:
        model: A built model.
        inputs: As in `ending_of`.
    """
    if has_graph(model):
        return all(_shows_its_end(output) for output in model.outputs)
    args = _arguments_of(model) if inputs is None else (inputs,)
    return args is not None and _shows_its_end_inside(model, args, {})


def has_graph(model: Any) -> bool:
    """Whether it is a functional model, or a sequential one that knows its inputs."""
    if isinstance(model, keras.Sequential) and not model.built:
        return False
    return isinstance(model, keras.Model) and bool(getattr(model, "outputs", None))


def ending_at(tensor: Tensor) -> Ending | None:
    """Where the graph of a symbolic tensor makes probabilities as its last step."""
    call = call_of(tensor)
    operation = call.operation
    if passes_on(tensor):
        return ending_at(inputs_of_operation(tensor)[0])
    if has_graph(operation):
        return ending_at(operation.outputs[call.index])
    if isinstance(operation, _MEANS):
        endings = [ending_at(value) for value in inputs_of_operation(tensor)]
        activations = {ending and ending.activation for ending in endings}
        activation = activations.pop() if len(activations) == 1 else None
        return Ending(activation, operation.name, False) if activation else None
    if isinstance(operation, keras.layers.Wrapper):
        activation = _activation_of(operation.layer)
        return Ending(activation, operation.name, False) if activation else None
    if isinstance(operation, keras.layers.Layer) and _is_custom(operation):
        ending, _ = _ending_inside(operation, call.args, call.kwargs)
        return ending and Ending(ending.activation, operation.name, False)
    if activation := _activation_of(operation):
        # Of two tensors the second one is a mask.
        return Ending(activation, operation.name, len(inputs_of_operation(tensor)) == 1)
    return None


def _shows_its_end(tensor: Tensor) -> bool:
    call = call_of(tensor)
    operation = call.operation
    if has_graph(operation):
        return _shows_its_end(operation.outputs[call.index])
    if isinstance(operation, keras.layers.Layer) and _is_custom(operation):
        return _shows_its_end_inside(operation, call.args, call.kwargs)
    if isinstance(operation, RemovedActivation | LogitsFromProbabilities):
        return True
    if _function_name(operation) in _BY_HAND:
        return False
    if isinstance(operation, keras.layers.Layer) and operation.weights:
        return True
    # What has learnt nothing may leave probabilities what they are, as a reshape does.
    before = inputs_of_operation(tensor)
    return all(ending_at(value) is None and _shows_its_end(value) for value in before)


def _shows_its_end_inside(
    layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool:
    outputs = _outputs_inside(layer, args, kwargs)
    return outputs is not None and all(_shows_its_end(output) for output in outputs)


def passes_on(tensor: Tensor) -> bool:
    """Whether a layer or operation leaves the last axis as it is, but for its precision."""
    operation = operation_of(tensor)
    if isinstance(operation, keras.layers.Activation):
        return operation.activation is keras.activations.linear
    if isinstance(operation, _SHAPES) or _function_name(operation) in _OF_SHAPES:
        before = inputs_of_operation(tensor)[0].shape[-1:]
        return before == tensor.shape[-1:] != (None,)
    return isinstance(operation, keras.layers.Identity)


def _activation_of(operation: Any) -> str | None:
    """Which of `ACTIVATIONS` an operation or layer ends in, as far as it says so."""
    if isinstance(operation, keras.layers.Softmax):
        return "softmax"
    if isinstance(operation, keras.layers.RNN):
        return None  # its activation is that of a state
    name = _function_name(operation)
    return name if name in ACTIVATIONS else None


def _function_name(operation: Any) -> str:
    """Name of the function that an operation is, or that a layer has as its activation."""
    # A function such as `keras.ops.softmax` is an operation of that name.
    is_layer = isinstance(operation, keras.layers.Layer)
    function = getattr(operation, "activation", None) if is_layer else operation
    name = getattr(function, "__name__", type(function).__name__.lower())
    return name.removesuffix("_v2")  # TensorFlow's softmax


# Subclasses.


def _is_custom(layer: keras.layers.Layer) -> bool:
    is_own = isinstance(layer, RemovedActivation | LogitsFromProbabilities)
    is_keras = type(layer).__module__.partition(".")[0] == "keras"
    return not is_own and (not is_keras or isinstance(layer, keras.layers.Lambda))


def ending_of_subclassed(model: keras.Model, inputs: Any = None) -> tuple[Ending | None, bool]:
    """As `_ending_inside`, called as it was built, or on symbolic inputs."""
    args = _arguments_of(model) if inputs is None else (inputs,)
    if args is None:
        return None, False
    ending, is_seen = _ending_inside(model, args, {})
    return ending and Ending(ending.activation, model.name, False), is_seen


def _arguments_of(model: keras.Model) -> tuple[Any, ...] | None:
    """What a subclassed model was built with, if that is one tensor."""
    shape = (model.get_build_config() or {}).get("input_shape") if model.built else None
    is_one = isinstance(shape, list | tuple) and all(
        size is None or isinstance(size, int) for size in shape
    )
    return (keras.KerasTensor((None, *shape[1:])),) if is_one else None


def _ending_inside(
    layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Ending | None, bool]:
    """Where a subclassed layer or model makes probabilities, and whether its end could be seen."""
    outputs = _outputs_inside(layer, args, kwargs)
    if outputs is None:
        activation = _activation_of(layer) or _last_activation(layer, args, kwargs)
        return (Ending(activation, layer.name, False) if activation else None), False
    return next((ending for ending in map(ending_at, outputs) if ending), None), True


def _last_activation(
    layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> str | None:
    """Which of `ACTIVATIONS` a layer ends in that calls functions of the backend."""
    try:
        name = backends.current().last_operation(layer.call, *args, **kwargs)
    except Exception:  # what it does with tensors of a graph is the user's
        return None
    return name if name in ACTIVATIONS else None


def _outputs_inside(
    layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[Tensor] | None:
    """Outputs of a subclassed layer or model on symbolic tensors: its layers and operations.

    Args:
        layer: Built.
        args: What it is called with; symbolic tensors.
        kwargs: The same by name.

    Returns:
        `None` if it does what symbolic tensors cannot.
    """

    def fresh(value: Any) -> Any:
        if isinstance(value, keras.KerasTensor):
            return keras.Input(batch_shape=value.shape, dtype=value.dtype)
        return value

    args, kwargs = keras.tree.map_structure(fresh, (args, dict(kwargs)))
    try:
        outputs = keras.tree.flatten(layer.call(*args, **kwargs))
    except Exception:  # what it does with tensors of the backend is the user's
        return None
    # A spec that the user computes comes from nowhere.
    return outputs if all(is_output_of_operation(output) for output in outputs) else None
