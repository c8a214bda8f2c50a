"""Models that end in softmax or sigmoid, as models of logits with the same weights."""

import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

import keras

from keras_prokt.arguments import shown
from keras_prokt.keras_internals import (
    call_of,
    copy_sharing_weights,
    inputs_of_operation,
    operation_of,
)
from keras_prokt.models.endings import (
    Ending,
    ending_at,
    ending_of,
    ending_of_subclassed,
    has_graph,
    passes_on,
)
from keras_prokt.models.logit_layers import (
    ACTIVATIONS,
    LEAST_PROBABILITY,
    LogitsFromProbabilities,
    LogitsOfModel,
    RemovedActivation,
    check_width,
)
from keras_prokt.names import is_known
from keras_prokt.typing import Tensor

# Keras's layers whose `activation` is the last thing that they compute.
_LINEAR = (
    *(keras.layers.Dense, keras.layers.EinsumDense),
    *(keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D),
    *(keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose),
    *(keras.layers.SeparableConv1D, keras.layers.SeparableConv2D),
    *(keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D),
)


class InexactLogitsWarning(UserWarning):
    """Logits are computed back from probabilities, since the activation cannot be taken off."""


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
    if isinstance(model, keras.Sequential) and not has_graph(model):
        if ending_of(model) is None:
            return model
        raise ValueError(
            f"Expected a sequential model that knows its inputs, received {model.name!r} without; "
            "give it keras.Input(shape) as its first layer, or call it on a batch."
        )
    if not has_graph(model):
        return _subclassed_as_logits(model, activation)
    endings = [ending_at(output) for output in model.outputs]
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
    if not has_graph(model):
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


def removed_activation(model: keras.Model) -> str | None:
    """Which activation `as_logits` took off a model's first output, `None` if it did not.

    Args:
        model: Any model.
    """
    if isinstance(model, LogitsOfModel):
        return model.to_logits.activation
    operation = operation_of(model.outputs[0]) if has_graph(model) else None
    own = isinstance(operation, RemovedActivation | LogitsFromProbabilities)
    return operation.activation if own else None


def _subclassed_as_logits(model: keras.Model, activation: str | None) -> keras.Model:
    if isinstance(model, LogitsOfModel):
        return model
    ending, is_seen = ending_of_subclassed(model)
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


def _with_outputs(model: keras.Model, outputs: list[Tensor]) -> keras.Model:
    """A functional model of the same inputs and layers, with other outputs of its graph."""
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs[0], outputs[0], name=model.name)
    structure = keras.tree.pack_sequence_as(model.output, outputs)
    return keras.Model(model.input, structure, name=model.name)


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
        ending = ending_at(tensor)
        if ending is None:
            return tensor
        if not ending.can_be_removed:
            return LogitsFromProbabilities(ending.activation)(tensor)
        logits = self._without_activation(tensor)
        check_width(ending.activation, tensor)
        # In float32 under mixed precision too: losses read them.
        return RemovedActivation(ending.activation, dtype="float32")(logits)

    def _without_activation(self, tensor: Tensor) -> Tensor:
        """What the activation reads in which the graph of a symbolic tensor ends."""
        call = call_of(tensor)
        operation, inputs = call.operation, inputs_of_operation(tensor)
        if passes_on(tensor):
            return operation(self._without_activation(inputs[0]))
        if has_graph(operation):
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
        endings = [ending_at(output) for output in model.outputs]
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
