"""What Keras has no public name for: the layers inside a model, and where a tensor comes from.

With `distillers/keras_trainer.py` and the optimizers this is where its private names stand; a test
lists all of them, so that an upgrade of Keras shows at once what to look at.
"""

from typing import Any, NamedTuple

import keras

DROPOUTS = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)
"""Layers that do nothing at a `rate` of 0."""


def layers_in(
    model: keras.layers.Layer, include_self: bool = True, recursive: bool = True
) -> list[keras.layers.Layer]:
    """All layers inside a model or layer.

    Args:
        model: The model or layer.
        include_self: Whether it is one of them.
        recursive: Whether those inside its layers are wanted too.

    Example:

    >>> import keras
    >>> from keras_prokt.keras_internals import layers_in
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> [type(layer).__name__ for layer in layers_in(model, include_self=False)]
    ['InputLayer', 'Dense']
    """
    return list(model._flatten_layers(include_self=include_self, recursive=recursive))


def is_output_of_operation(tensor: Any) -> bool:
    """Whether it is known where a symbolic tensor comes from."""
    return hasattr(tensor, "_keras_history")


def operation_of(tensor: Any) -> Any:
    """The layer or operation that a symbolic tensor is an output of."""
    return tensor._keras_history.operation


def inputs_of_operation(tensor: Any) -> list[Any]:
    """The symbolic tensors that `operation_of(tensor)` made it from."""
    history = tensor._keras_history
    return list(history.operation._inbound_nodes[history.node_index].input_tensors)


class SymbolicCall(NamedTuple):
    """The call that a symbolic tensor is an output of."""

    operation: Any
    """The layer or operation, as of `operation_of`."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    index: int
    """Which of the flat outputs the tensor is."""


def call_of(tensor: Any) -> SymbolicCall:
    """The call that a symbolic tensor is an output of, with all its arguments."""
    history = tensor._keras_history
    arguments = history.operation._inbound_nodes[history.node_index].arguments
    return SymbolicCall(history.operation, arguments.args, arguments.kwargs, history.tensor_index)


def copy_sharing_weights(layer: keras.layers.Layer, **attributes: Any) -> keras.layers.Layer:
    """A second layer of the same class, settings and variables, without the calls of the first.

    What one of the two trains, the other one has.

    Args:
        layer: A built layer.
        **attributes: Those that are not as in `layer`.

    Example:

    >>> import keras
    >>> from keras_prokt.keras_internals import copy_sharing_weights
    >>> layer = keras.layers.Dense(3)
    >>> layer.build((None, 4))
    >>> copy_sharing_weights(layer).kernel is layer.kernel
    True
    """
    # Not copy.copy: Keras would save and load the layer, with variables of its own.
    copied = object.__new__(type(layer))
    # Past Keras's tracking and PyTorch's, of which both layers have the same records.
    copied.__dict__.update(vars(layer), _inbound_nodes=[], _outbound_nodes=[], **attributes)
    return copied


def lora_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """What a layer with low-rank adapters computes its weights from: W, A and B.

    Keras saves their sum alone, and loads it as W.

    Args:
        layer: Any layer; one without adapters has none of them.
    """
    if not getattr(layer, "lora_enabled", False):
        return []
    names = ("kernel", "embeddings")
    [name] = [name for name in names if hasattr(layer, f"lora_{name}_a")]
    return [
        getattr(layer, attribute) for attribute in (f"_{name}", f"lora_{name}_a", f"lora_{name}_b")
    ]
