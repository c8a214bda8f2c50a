"""What Keras has no public name for: the layers inside a model, and where a tensor comes from.

With `distillers/keras_trainer.py` and the optimizers this is where its private names stand; a test
lists all of them, so that an upgrade of Keras shows at once what to look at.
"""

from typing import Any

import keras


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


def operation_of(tensor: Any) -> Any:
    """The layer or operation that a symbolic tensor is an output of."""
    return tensor._keras_history.operation


def inputs_of_operation(tensor: Any) -> list[Any]:
    """The symbolic tensors that `operation_of(tensor)` made it from."""
    history = tensor._keras_history
    return list(history.operation._inbound_nodes[history.node_index].input_tensors)
