"""What a model is called with, as symbolic tensors."""

from collections.abc import Mapping
from typing import Any

import keras


def symbolic_inputs(model: keras.Model) -> Any:
    """The inputs of a model in the structure that it is called with; `None` if it does not know.

    Subclassed models do not.
    """
    if not getattr(model, "inputs", None):
        return None
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def with_inputs(model: keras.Model, inputs: Any) -> keras.Model:
    """A functional model that calls another one, with inputs as they are described.

    Args:
        model: Built.
        inputs: Structure of what has a shape and a dtype, as it is called. The names are those of
            the model's own inputs; if it does not know them, of the places in the structure.
    """
    paths, specs = zip(*keras.tree.flatten_with_path(inputs), strict=True)
    own = symbolic_inputs(model)
    names = map(_name_of, paths) if own is None else (t.name for t in keras.tree.flatten(own))
    tensors = [
        keras.Input(tuple(spec.shape[1:]), dtype=spec.dtype, name=name)
        for spec, name in zip(specs, names, strict=True)
    ]
    symbolic = keras.tree.pack_sequence_as(inputs, tensors)
    return keras.Model(symbolic, model(symbolic), name=model.name)


def _name_of(path: tuple[Any, ...]) -> str | None:
    name = "_".join(map(str, path))
    return f"input_{name}" if name[:1].isdigit() else name or None


def fits(expected: Any, received: Any) -> bool:
    """Whether what a model is called with has the structure and the shapes that it reads.

    Args:
        expected: Its symbolic inputs.
        received: Tensors, arrays or specs of them.
    """
    if isinstance(expected, Mapping):
        is_alike = isinstance(received, Mapping) and expected.keys() == received.keys()
        return is_alike and all(fits(expected[name], received[name]) for name in expected)
    if isinstance(expected, list | tuple):
        is_alike = isinstance(received, list | tuple) and len(expected) == len(received)
        return is_alike and all(map(fits, expected, received))
    shape = getattr(received, "shape", None)
    is_known = shape is not None and getattr(shape, "rank", 0) is not None
    return is_known and shapes_agree(tuple(expected.shape), tuple(shape))


def shapes_agree(expected: tuple[int | None, ...], received: tuple[int | None, ...]) -> bool:
    """Whether the shapes agree but for the batch; Keras adds and drops a last dimension of 1."""
    if len(received) == len(expected) + 1 and received[-1] == 1:
        received = received[:-1]
    elif len(received) == len(expected) - 1 and expected[-1] == 1:
        expected = expected[:-1]
    return len(expected) == len(received) and all(
        a == b or None in (a, b) for a, b in zip(expected[1:], received[1:], strict=True)
    )
