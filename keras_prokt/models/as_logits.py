"""Models that end in softmax or sigmoid, as models of logits with the same weights."""

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_prokt import backends
from keras_prokt.arguments import shown
from keras_prokt.keras_internals import (
    call_of,
    copy_sharing_weights,
    inputs_of_operation,
    is_output_of_operation,
    operation_of,
)
from keras_prokt.names import is_known
from keras_prokt.typing import Tensor

ACTIVATIONS = ("softmax", "sigmoid")
"""Activations that make probabilities of logits."""

LEAST_PROBABILITY = 1e-7
"""Probabilities nearer than this to 0, or with sigmoid to 1, count as this far: float32 has
1 − 6e-8 as the last number below 1."""

# Keras's layers whose `activation` is the last thing that they compute.
_LINEAR = (
    *(keras.layers.Dense, keras.layers.EinsumDense),
    *(keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D),
    *(keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose),
    *(keras.layers.SeparableConv1D, keras.layers.SeparableConv2D),
    *(keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D),
)


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


class InexactLogitsWarning(UserWarning):
    """Logits are computed back from probabilities, since the activation cannot be taken off."""


class Ending(NamedTuple):
    """Where a model makes probabilities."""

    activation: str
    """One of `ACTIVATIONS`."""
    layer: str
    """Name of the layer or operation that it is, or is in."""
    can_be_removed: bool
    """Whether it can be taken off; not inside a subclass."""


def as_logits(model: keras.Model, activation: str | None = None) -> keras.Model:
    """A model without its last softmax or sigmoid: the same layers and weights, logits as outputs.

    Training what this returns trains `model`, whose outputs stay probabilities: `model.predict` and
    `model.save` serve what was learned. Distillers, which read logits, convert what they are given
    by themselves; where the activation cannot be seen it has to be named here. `export` of a
    distiller and `keras_prokt.export.export_student` give the original outputs.

    The activation is taken off exactly where it can be seen: as `activation` of the last dense or
    convolutional layer, as a layer (`Softmax`, `Activation`), or as a function
    (`keras.ops.softmax`), in functional and sequential models and models nested in them. Inside a
    subclassed layer or model it stays, and the logits are `log p` of softmax or
    `log p − log(1 − p)` of sigmoid, with `p` clipped by 1e-7; an `InexactLogitsWarning` says so.
    Values that are no probabilities become NaN there, which the first step of training refuses.

    Args:
        model: A functional, built sequential, or subclassed model. Of several outputs each that
            ends in an activation is converted.
        activation: "softmax" or "sigmoid", of a model in which it cannot be seen, such as one that
            calls functions of JAX or PyTorch; its logits are computed back. Of a subclassed
            model the width decides by default: sigmoid for one output, softmax for more.

    Returns:
        The model of logits; `model` itself if it ends in no such activation.

    Raises:
        ValueError: If it is no Keras model, a sequential model that has not seen its inputs, or
            its softmax is not over the last axis, or over one output.

    Example:

    >>> import keras, numpy as np
    >>> from keras_prokt import as_logits
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    >>> logits = as_logits(model)(np.ones((2, 4)))
    >>> bool(np.allclose(keras.ops.softmax(logits), model(np.ones((2, 4))), atol=1e-6))
    True
    """
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"Expected a keras.Model, received {type(model).__name__}; as_logits converts models "
            "of Keras."
        )
    if activation is not None and not is_known(activation, ACTIVATIONS):
        raise ValueError(
            f"Expected activation 'softmax' or 'sigmoid', received {shown(activation)}; leave it "
            "out where it can be seen."
        )
    if isinstance(model, keras.Sequential) and not _has_graph(model):
        if ending_of(model) is None:
            return model
        raise ValueError(
            f"Expected a sequential model that knows its inputs, received {model.name!r} without; "
            "give it keras.Input(shape) as its first layer, or call it on a batch."
        )
    if not _has_graph(model):
        return _subclassed_as_logits(model, activation)
    endings = [_ending(output) for output in model.outputs]
    if not any(endings):
        if activation is None or removed_activation(model):
            return model
        _warn_inexact(model, None)
        to_logits = LogitsFromProbabilities(activation)
        return _with_outputs(model, [to_logits(output) for output in model.outputs])
    for ending in endings:
        if ending and not ending.can_be_removed:
            _warn_inexact(model, ending)
    return _with_outputs(model, _Conversion().outputs(model.outputs))


def as_logits_if_seen(
    model: keras.Model, activations: Collection[str] = ACTIVATIONS
) -> keras.Model:
    """`as_logits` of a model that is known to end in probabilities, any other one as it is.

    What a subclassed model shows nothing of, the first step of training looks at.

    Args:
        model: Of whom nobody has said how it ends.
        activations: Those after which its outputs are no logits.
    """
    ending = ending_of(model)
    return as_logits(model) if ending and ending.activation in activations else model


def original_outputs(model: keras.Model) -> keras.Model:
    """What `as_logits` made a model of logits from: the same weights, the outputs that it had.

    Args:
        model: Any model; one that `as_logits` did not make is returned as it is.
    """
    if isinstance(model, LogitsOfModel):
        return model.model
    if not _has_graph(model):
        return model

    def original(tensor: Tensor) -> Tensor:
        operation = operation_of(tensor)
        if isinstance(operation, RemovedActivation):
            # What followed the activation, such as a cast, now precedes it.
            activation = keras.layers.Activation(
                operation.activation, dtype=operation.dtype_policy, name=operation.name
            )
            return activation(inputs_of_operation(tensor)[0])
        if isinstance(operation, LogitsFromProbabilities):
            return inputs_of_operation(tensor)[0]
        if isinstance(operation, LogitsOfModel):
            call = call_of(tensor)
            return keras.tree.flatten(operation.model(*call.args, **call.kwargs))[call.index]
        return tensor

    made = {id(tensor): original(tensor) for tensor in model.outputs}  # one may be there twice
    outputs = [made[id(tensor)] for tensor in model.outputs]
    changed = any(new is not old for new, old in zip(outputs, model.outputs, strict=True))
    return _with_outputs(model, outputs) if changed else model


def ending_of(model: keras.Model, inputs: Any = None) -> Ending | None:
    """Where a model makes probabilities, if one of its outputs is known to be some.

    Inside a subclassed model it is found once that is built, and if it is a layer or an operation
    of Keras's.

    Args:
        model: Any model.
        inputs: Symbolic inputs of a subclassed model, where it has more than one.
    """
    if _has_graph(model):
        endings = (_ending(output) for output in model.outputs)
        return next((ending for ending in endings if ending), None)
    if isinstance(model, keras.Sequential):
        last = model.layers[-1] if model.layers else None
        if isinstance(last, keras.Model):
            return ending_of(last)
        activation = _activation_of(last)
        return Ending(activation, last.name, False) if activation else None
    return _ending_of_subclassed(model, inputs)[0]


def shows_its_end(model: keras.Model, inputs: Any = None) -> bool:
    """Whether it is known what a model's outputs are, once `ending_of` has found no activation.

    Not behind functions of the user's or the backend's own, and not where a softmax or a sigmoid
    may be written by hand.

    Args:
        model: A built model.
        inputs: As in `ending_of`.
    """
    if _has_graph(model):
        return all(_shows_its_end(output) for output in model.outputs)
    args = _arguments_of(model) if inputs is None else (inputs,)
    return args is not None and _shows_its_end_inside(model, args, {})


def removed_activation(model: keras.Model) -> str | None:
    """Which activation `as_logits` took off a model's first output, `None` if it did not.

    Args:
        model: Any model.
    """
    if isinstance(model, LogitsOfModel):
        return model.to_logits.activation
    operation = operation_of(model.outputs[0]) if _has_graph(model) else None
    own = isinstance(operation, RemovedActivation | LogitsFromProbabilities)
    return operation.activation if own else None


@keras.saving.register_keras_serializable(package="keras_prokt")
class RemovedActivation(keras.layers.Layer):
    """The end of a model of logits: an identity that remembers which activation was there.

    Args:
        activation: One of `ACTIVATIONS`.
        **settings: As in `keras.layers.Layer`.
    """

    def __init__(self, activation: str, **settings: Any):
        super().__init__(**settings)
        self.activation = activation

    def call(self, inputs: Tensor) -> Tensor:
        return inputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation}


@keras.saving.register_keras_serializable(package="keras_prokt")
class LogitsFromProbabilities(keras.layers.Layer):
    """Logits of probabilities: `log p` of softmax, `log p − log(1 − p)` of sigmoid.

    `p` is clipped by `LEAST_PROBABILITY`. The result is float32, and NaN where a value is no
    probability.

    Args:
        activation: One of `ACTIVATIONS`; `None` for sigmoid of one output, softmax of more.
        **settings: As in `keras.layers.Layer`.
    """

    def __init__(self, activation: str | None = None, **settings: Any):
        super().__init__(**{"dtype": "float32", **settings})
        self.activation = activation

    def call(self, probabilities: Tensor) -> Tensor:
        _check_width(self.activation, probabilities)
        activation = self.activation or ("softmax" if probabilities.shape[-1] > 1 else "sigmoid")
        # A softmax in half precision may be above 1 by its rounding.
        is_valid = ops.logical_and(probabilities > -0.01, probabilities < 1.01)
        clipped = ops.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        logits = ops.log(clipped)
        if activation == "sigmoid":
            logits = logits - ops.log(1 - clipped)
        return ops.where(is_valid, logits, float("nan"))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation}


@keras.saving.register_keras_serializable(package="keras_prokt")
class LogitsOfModel(keras.Model):
    """A subclassed model of probabilities whose logits are computed back from them.

    Args:
        model: The model.
        activation: As in `LogitsFromProbabilities`.
        name: By default that of the model.
    """

    def __init__(self, model: keras.Model, activation: str | None = None, name: str | None = None):
        super().__init__(name=name or model.name)
        self.model = model
        self.to_logits = LogitsFromProbabilities(activation)
        self.built = model.built

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return keras.tree.map_structure(self.to_logits, self.model(inputs, training=training))

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "model": keras.saving.serialize_keras_object(self.model),
            "activation": self.to_logits.activation,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "LogitsOfModel":
        model = keras.saving.deserialize_keras_object(config["model"], custom_objects)
        return cls(**{**config, "model": model})


def _subclassed_as_logits(model: keras.Model, activation: str | None) -> keras.Model:
    if isinstance(model, LogitsOfModel):
        return model
    ending, is_seen = _ending_of_subclassed(model)
    if is_seen and ending is None and activation is None:
        return model
    _warn_inexact(model, ending)
    return LogitsOfModel(model, ending.activation if ending else activation)


def _warn_inexact(model: keras.Model, ending: Ending | None) -> None:
    what = f"{ending.activation} inside {ending.layer!r}" if ending else "last activation"
    warnings.warn(
        f"The {what} of model {model.name!r} cannot be taken off; its logits are logarithms of "
        f"its probabilities, clipped at {LEAST_PROBABILITY:g}.",
        InexactLogitsWarning,
        stacklevel=4,
    )


def _check_width(activation: str | None, probabilities: Tensor) -> None:
    if activation == "softmax" and probabilities.shape[-1] == 1:
        raise ValueError(
            "Expected a softmax over two outputs or more, received one output, which is always 1; "
            "a yes-or-no answer of one output is a sigmoid."
        )


# Graphs: functional models, and sequential ones that know their inputs.


def _has_graph(model: Any) -> bool:
    if isinstance(model, keras.Sequential) and not model.built:
        return False
    return isinstance(model, keras.Model) and bool(getattr(model, "outputs", None))


def _with_outputs(model: keras.Model, outputs: list[Tensor]) -> keras.Model:
    """A functional model of the same inputs and layers, with other outputs of its graph."""
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs[0], outputs[0], name=model.name)
    structure = keras.tree.pack_sequence_as(model.output, outputs)
    return keras.Model(model.input, structure, name=model.name)


def _ending(tensor: Tensor) -> Ending | None:
    """Where the graph of a symbolic tensor makes probabilities as its last step."""
    call = call_of(tensor)
    operation = call.operation
    if _passes_on(tensor):
        return _ending(inputs_of_operation(tensor)[0])
    if _has_graph(operation):
        return _ending(operation.outputs[call.index])
    if isinstance(operation, _MEANS):
        endings = [_ending(value) for value in inputs_of_operation(tensor)]
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
    if _has_graph(operation):
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
    return all(_ending(value) is None and _shows_its_end(value) for value in before)


def _shows_its_end_inside(
    layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool:
    outputs = _outputs_inside(layer, args, kwargs)
    return outputs is not None and all(_shows_its_end(output) for output in outputs)


class _Conversion:
    """Outputs of a model of logits for those of the model that it is made from.

    What is shared, as a head of two outputs, is copied once, and under a name of its own where the
    original stays in the graph as well.
    """

    def __init__(self) -> None:
        self._copies: dict[int, tuple[Any, Any]] = {}
        self._outputs: dict[int, Tensor] = {}

    def outputs(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Those for all outputs of a model."""
        made = [self._once(tensor, self._marked_logits) for tensor in tensors]
        self._name_apart(made)
        return made

    def _once(self, tensor: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        if id(tensor) not in self._outputs:
            self._outputs[id(tensor)] = make(tensor)
        return self._outputs[id(tensor)]

    def _marked_logits(self, tensor: Tensor) -> Tensor:
        ending = _ending(tensor)
        if ending is None:
            return tensor
        if not ending.can_be_removed:
            return LogitsFromProbabilities(ending.activation)(tensor)
        logits = self._without_activation(tensor)
        _check_width(ending.activation, tensor)
        # In float32 under mixed precision too: losses read them.
        return RemovedActivation(ending.activation, dtype="float32")(logits)

    def _without_activation(self, tensor: Tensor) -> Tensor:
        """What the activation reads in which the graph of a symbolic tensor ends."""
        call = call_of(tensor)
        operation, inputs = call.operation, inputs_of_operation(tensor)
        if _passes_on(tensor):
            return operation(self._without_activation(inputs[0]))
        if _has_graph(operation):
            inner = self._copy(operation, self._inner)
            return keras.tree.flatten(inner(*call.args, **call.kwargs))[call.index]
        if isinstance(operation, _LINEAR):
            layer = self._copy(
                operation,
                lambda one: copy_sharing_weights(one, activation=keras.activations.linear),
            )
            return layer(*call.args, **call.kwargs)
        axis = getattr(operation, "axis", -1)
        if isinstance(axis, list | tuple) and len(axis) == 1:
            [axis] = axis
        if axis not in (-1, len(tensor.shape) - 1):
            raise ValueError(
                f"Expected a softmax over the last axis, received {operation.name!r} over axis "
                f"{axis} of shape {tuple(tensor.shape)}; move the classes to the end "
                "(keras.ops.moveaxis)."
            )
        return inputs[0]

    def _inner(self, model: keras.Model) -> keras.Model:
        """A model inside another without the activations of all its outputs."""
        endings = [_ending(output) for output in model.outputs]
        outputs = [
            self._without_activation(output) if ending and ending.can_be_removed else output
            for output, ending in zip(model.outputs, endings, strict=True)
        ]
        self._name_apart(outputs)
        return _with_outputs(model, outputs)

    def _copy(self, operation: Any, make: Callable[[Any], Any]) -> Any:
        if id(operation) not in self._copies:
            self._copies[id(operation)] = (operation, make(operation))
        return self._copies[id(operation)][1]

    def _name_apart(self, outputs: Sequence[Tensor]) -> None:
        """Gives copies another name whose original is in one graph with them."""
        present = _operations_before(outputs)
        for operation, copy in self._copies.values():
            if {id(operation), id(copy)} <= present:
                copy.name = f"{operation.name}_logits"


def _operations_before(tensors: Sequence[Tensor]) -> set[int]:
    """Ids of all layers and operations that a graph has before some of its tensors."""
    found, seen, left = set(), set(), list(tensors)
    while left:
        tensor = left.pop()
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found.add(id(operation_of(tensor)))
            left += inputs_of_operation(tensor)
    return found


def _passes_on(tensor: Tensor) -> bool:
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


def _ending_of_subclassed(model: keras.Model, inputs: Any = None) -> tuple[Ending | None, bool]:
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
    return next((ending for ending in map(_ending, outputs) if ending), None), True


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
