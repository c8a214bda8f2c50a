"""Labels as users give them: what kinds of output ask of them in common."""

from typing import Any

import keras
import numpy as np

HINT = "ignore_class=-1 for rows without a label"
"""What to say if a label is missing rather than wrong, at the end of messages."""


def check_numbers(labels: Any, expected: str, if_strings: str, convert_to: str) -> None:
    """Refuses labels that are no array of numbers.

    Args:
        labels: Array, tensor or spec of one, or whatever was given in its place.
        expected: What is expected, in words.
        if_strings: What to do with strings.
        convert_to: Name of the dtype to convert other objects to.

    Raises:
        ValueError: With the type received.
    """
    if are_strings(labels):
        raise ValueError(f"Expected {expected}, received strings; {if_strings}.")
    if not (hasattr(labels, "shape") and hasattr(labels, "dtype")):
        raise ValueError(
            f"Expected {expected}, labels as one array or tensor, received a "
            f"{type(labels).__name__}; make one: numpy.asarray(labels)."
        )
    if not are_numbers(labels):
        raise ValueError(
            f"Expected {expected}, received dtype {labels.dtype}; convert them: "
            f"numpy.asarray(labels, dtype={convert_to!r})."
        )


def are_strings(labels: Any) -> bool:
    """Whether labels are text, in an array of any library or in plain Python."""
    if isinstance(labels, str | bytes):
        return True
    if isinstance(labels, list | tuple):
        return len(labels) > 0 and are_strings(labels[0])
    dtype = getattr(labels, "dtype", "")
    name = str(getattr(dtype, "name", dtype))
    if name == "object" and len(labels):
        return isinstance(np.asarray(labels).reshape(-1)[0], str | bytes)
    return name.startswith(("str", "bytes"))


def are_numbers(labels: Any) -> bool:
    """Whether the dtype of labels is one of numbers or booleans."""
    try:
        dtype = keras.backend.standardize_dtype(labels.dtype)
    except ValueError:
        return False
    return dtype == "bool" or "int" in dtype or "float" in dtype


def as_numpy(labels: Any) -> np.ndarray:
    """Labels of any library as a NumPy array that NumPy can compute with."""
    if hasattr(labels, "detach"):  # PyTorch's bfloat16 is unknown to NumPy
        return labels.detach().cpu().double().numpy()
    array = np.asarray(labels)
    return array if array.dtype.kind in "biufO" else array.astype("float64")
