"""Looks at training data before the first step without using any of it up."""

import types
from typing import Any

import keras
import numpy as np

from keras_prokt.losses.divergence import are_distributions


def first_inputs(data: Any) -> tuple[Any, Any]:
    """Shapes and dtypes of the inputs of a batch, for building models.

    Args:
        data: The `x` of `fit`: arrays, `tf.data.Dataset`, `PyDataset`, generator, data loader.

    Returns:
        `(inputs, data)`: a structure of `keras.KerasTensor`s, and the data to train on, which
        is `data` itself unless it was a generator.
    """
    if hasattr(data, "element_spec"):  # tf.data: reading a batch would change its shuffling
        batch = data.element_spec
    elif isinstance(data, keras.utils.PyDataset):
        batch = data[0]
    elif isinstance(data, types.GeneratorType):
        batch = next(data)
        data = _put_back(batch, data)
    elif hasattr(data, "__iter__") and not _is_structure_of_arrays(data):
        batch = next(iter(data))
    else:
        batch = data
        return keras.tree.map_structure(_symbolic, batch), data
    inputs, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
    return keras.tree.map_structure(_symbolic, inputs), data


def visible_inputs(data: Any) -> Any:
    """The inputs, or their specs, where they can be seen without drawing a batch, else `None`."""
    if hasattr(data, "element_spec"):
        return keras.utils.unpack_x_y_sample_weight(data.element_spec)[0]
    return data if _is_structure_of_arrays(data) else None


def has_own_order(data: Any) -> bool:
    """Whether data comes in batches of its own, which Keras cannot shuffle."""
    return hasattr(data, "element_spec") or isinstance(data, types.GeneratorType)


def check_arrays(x: Any, y: Any, sample_weight: Any, num_classes: int, which: str = "") -> None:
    """Refuses arrays with labels out of range or values that are not finite.

    Args:
        x: Structure of arrays; anything else is left to the checks inside the step.
        y: Labels, or `None`.
        sample_weight: Weights, or `None`.
        num_classes: Width of the models' outputs.
        which: Prefix of the messages, such as `"validation "`.

    Raises:
        ValueError: With what was found and where.
    """
    for name, values in (("inputs", x), ("labels", y), ("sample_weight", sample_weight)):
        for array in _arrays(values):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                row = int(np.argwhere(~np.isfinite(array))[0][0])
                raise ValueError(
                    f"Expected finite {which}{name}, received NaN or infinity, first in example "
                    f"{row}; clean the data."
                )
    for array in _arrays(y):
        if are_distributions(array, num_classes) or array.dtype.kind not in "iuf":
            continue
        outside = (array < 0) | (array >= num_classes)
        if outside.any():
            row = int(np.argwhere(outside)[0][0])
            raise ValueError(
                f"Expected {which}labels in [0, {num_classes}), received {array[row].item()!r} "
                f"in example {row}; check the labels or the width of the models' outputs."
            )


def _symbolic(value: Any) -> Any:
    if value is None:
        return None
    shape, dtype = tuple(value.shape), keras.backend.standardize_dtype(value.dtype)
    return keras.KerasTensor((None, *shape[1:]), dtype=dtype)


def _is_structure_of_arrays(data: Any) -> bool:
    return all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(data))


def _arrays(values: Any) -> list[np.ndarray]:
    return [a for a in keras.tree.flatten(values) if isinstance(a, np.ndarray)]


def _put_back(first: Any, rest: Any) -> Any:
    yield first
    yield from rest
