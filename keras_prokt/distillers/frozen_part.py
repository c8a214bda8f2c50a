"""Which layers of a model give the same outputs in each forward of a step."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras

from keras_prokt import backends
from keras_prokt.keras_internals import DROPOUTS, layers_in
from keras_prokt.layer_calls import computing_once

_PACKAGES = ("keras", "keras_hub", "keras_prokt")
"""Whose layers show in their variables what they do with the mode; others may do anything."""
_OF_OTHERS = (
    keras.layers.Lambda,
    keras.layers.JaxLayer,
    keras.layers.TFSMLayer,
    keras.layers.TorchModuleWrapper,
)
"""Layers of Keras that run what others wrote."""


class FrozenPart:
    """The part of a model that runs once for several forwards of a step, if there is one.

    Args:
        model: A built model.
    """

    def __init__(self, model: keras.Model):
        has_frozen_weights = any(
            not layer.trainable and layer.weights for layer in layers_in(model)
        )
        self.operations = unchanging(model) if has_frozen_weights else []

    def computing_once(self, inputs: Any) -> AbstractContextManager[None]:
        """A context in which it runs once.

        Args:
            inputs: The model's inputs in all its forwards.
        """
        if not (self.operations and backends.current().reads_outputs_again):
            return nullcontext()
        return computing_once(self.operations, inputs)


def unchanging(model: keras.Model) -> list[keras.Operation]:
    """Layers and operations inside a model whose outputs depend on their inputs alone.

    They have no trainable variables and compute the same in training and in inference mode: no
    dropout, no noise, no batch normalisation but a frozen one, which Keras runs in inference mode.
    Of a layer that is unchanging as a whole, those inside it are not listed.

    Args:
        model: A built model.

    Example:

    >>> import keras
    >>> from keras_prokt.distillers.frozen_part import unchanging
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(3, name="frozen"), keras.layers.Dense(2)]
    ... )
    >>> model.layers[0].trainable = False
    >>> [layer.name for layer in unchanging(model)]
    ['frozen']
    """
    found: list[keras.Operation] = []
    seen: set[int] = set()

    def visit(operation: keras.Operation) -> None:
        if id(operation) in seen or isinstance(operation, keras.layers.InputLayer):
            return
        seen.add(id(operation))
        if _is_unchanging(operation):
            found.append(operation)
            return
        for child in _children(operation):
            visit(child)

    for child in _children(model):
        visit(child)
    return found


def _children(operation: keras.Operation) -> list[keras.Operation]:
    if hasattr(operation, "operations"):  # of a functional graph, ops.add(a, b) among them
        return list(operation.operations)
    if isinstance(operation, keras.layers.Layer):
        return layers_in(operation, include_self=False, recursive=False)
    return []


def _is_unchanging(operation: keras.Operation) -> bool:
    if not isinstance(operation, keras.layers.Layer):
        return _is_known(operation)
    parts = layers_in(operation)
    if operation.trainable_variables or not all(map(_is_known, parts)):
        return False
    idle = {
        id(v)
        for part in parts
        if isinstance(part, DROPOUTS) and part.rate == 0
        for v in part.variables
    }
    weights = {id(v) for v in operation.weights}
    # Keras counts random seeds as variables and not as weights.
    if any(id(v) not in weights | idle for v in operation.variables):
        return False
    return not any(_has_state(part) for part in parts)


def _is_known(operation: keras.Operation) -> bool:
    if isinstance(operation, _OF_OTHERS):
        return False
    return type(operation).__module__.partition(".")[0] in _PACKAGES


def _has_state(layer: keras.layers.Layer) -> bool:
    """Whether a layer without trainable variables assigns others in training mode."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return layer.trainable  # of one without scale and offset
    is_recurrent_with_state = getattr(layer, "stateful", False)
    return is_recurrent_with_state or isinstance(layer, keras.layers.SpectralNormalization)
