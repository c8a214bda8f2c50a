"""What labels mean: one class an example, by its index or as a distribution over the classes."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt.outputs.divergence import are_distributions, class_indices, float_dtype

Tensor = Any

ROW_TOLERANCE = 0.02
"""How far from 1 a row of probabilities may sum: three times 0.33 passes, as do float16 rows."""

ROWS = (
    "Expected {which}labels whose rows are non-negative and sum to 1, one distribution over the "
    "{classes} classes an example, received {received}; divide each row by its sum. Several labels "
    "an example (multi-label) are not what these outputs mean: they would be outputs of the kind "
    "'labels', a sigmoid each, instead of 'classes'."
)
INDICES = (
    "Expected {which}labels in [0, {classes}), received {received}; check the labels or the width "
    "of the models' outputs."
)


def check_form(labels: Any, num_classes: int, which: str = "") -> None:
    """Refuses labels whose type or shape cannot mean one class an example.

    Args:
        labels: Array, tensor or spec of one.
        num_classes: Width of the models' outputs.
        which: Prefix of the message, such as `"validation "`.

    Raises:
        ValueError: With the type or shape received.
    """
    if _are_strings(labels):
        raise ValueError(
            f"Expected integer {which}labels in [0, {num_classes}), received strings; number the "
            "classes, as numpy.unique(labels, return_inverse=True)[1] or "
            "keras.layers.StringLookup does."
        )
    if not (hasattr(labels, "shape") and hasattr(labels, "dtype")):
        raise ValueError(
            f"Expected {which}labels as one array or tensor, received a {type(labels).__name__}; "
            "make one: numpy.asarray(labels)."
        )
    if not _are_numbers(labels):
        raise ValueError(
            f"Expected integer {which}labels in [0, {num_classes}), received dtype "
            f"{labels.dtype}; convert them: numpy.asarray(labels, dtype='int64')."
        )
    shape = tuple(labels.shape)
    is_column = len(shape) == 2 and shape[-1] == 1
    if not (len(shape) == 1 or is_column or are_distributions(labels, num_classes)):
        advice = "check the labels or the width of the models' outputs"
        if None in shape[1:]:
            advice = f"tell it: tf.ensure_shape(labels, (None, {num_classes})), if that is so"
        raise ValueError(
            f"Expected integer {which}labels of shape (batch,) or one-hot labels of shape (batch, "
            f"{num_classes}), received shape {shape}; {advice}."
        )


def check_values(labels: Any, num_classes: int, which: str = "") -> None:
    """Refuses labels of a whole data set that are no classes or no distributions.

    Args:
        labels: What `check_form` lets pass, with values.
        num_classes: Width of the models' outputs.
        which: Prefix of the message, such as `"validation "`.

    Raises:
        ValueError: With what was found and where.
    """
    array = _as_numpy(labels)
    if array.dtype.kind not in "biuf":  # a sparse tensor
        return
    if are_distributions(array, num_classes):
        sums = array.sum(axis=-1, dtype="float64")
        bad = ~((array >= 0).all(axis=-1) & (np.abs(sums - 1) <= ROW_TOLERANCE))
        message = ROWS
    else:
        array = array.reshape(-1)
        whole = np.floor(array) == array if array.dtype.kind == "f" else True
        bad = ~((array >= 0) & (array < num_classes) & whole)
        message = INDICES
    if bad.any():
        row = int(np.argmax(bad))
        received = f"{_described(array[row])} in example {row}"
        raise ValueError(message.format(which=which, classes=num_classes, received=received))


def checked(labels: Tensor, num_classes: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Labels of a batch inside the step, with what is wrong with them.

    Args:
        labels: What `check_form` lets pass.
        num_classes: Width of the models' outputs.

    Returns:
        `(labels, flags)`: float32 distributions `(batch, classes)`, or int32 indices `(batch,)`
        with 0 in place of those out of range; the flags of the faults `labels` and `label_rows`.
    """
    if are_distributions(labels, num_classes):
        rows = ops.cast(labels, "float32")
        sums_to_one = ops.abs(ops.sum(rows, axis=-1) - 1) <= ROW_TOLERANCE
        good = ops.logical_and(ops.all(sums_to_one), ops.all(rows >= 0))
        return rows, {"label_rows": ops.cast(ops.logical_not(good), "float32")}
    index = class_indices(labels, num_classes)
    valid = ops.logical_and(index >= 0, index < num_classes)
    if float_dtype(labels):  # 1.5 and NaN are no classes, which the conversion hides
        whole = ops.reshape(ops.floor(labels) == labels, (-1,))
        valid = ops.logical_and(valid, whole)
    bad = ops.cast(ops.logical_not(ops.all(valid)), "float32")
    return ops.where(valid, index, ops.zeros_like(index)), {"labels": bad}


def _described(label: np.ndarray) -> str:
    """An index, or what is wrong with a row."""
    if label.ndim == 0:
        return repr(label.item())
    if not (label >= 0).all():
        return f"a row with {label.min().item():.4g}"
    return f"a row that sums to {label.sum(dtype='float64').item():.4g}"


def _are_strings(labels: Any) -> bool:
    """Whether labels are text, in an array of any library or in plain Python."""
    if isinstance(labels, str | bytes):
        return True
    if isinstance(labels, list | tuple):
        return len(labels) > 0 and _are_strings(labels[0])
    name = _dtype_name(labels)
    if name == "object" and len(labels):
        return isinstance(np.asarray(labels).reshape(-1)[0], str | bytes)
    return name.startswith(("str", "bytes"))


def _are_numbers(labels: Any) -> bool:
    try:
        dtype = keras.backend.standardize_dtype(labels.dtype)
    except ValueError:
        return False
    return dtype == "bool" or "int" in dtype or "float" in dtype


def _dtype_name(labels: Any) -> str:
    dtype = getattr(labels, "dtype", "")
    return str(getattr(dtype, "name", dtype))


def _as_numpy(labels: Any) -> np.ndarray:
    if hasattr(labels, "detach"):  # PyTorch's bfloat16 is unknown to NumPy
        return labels.detach().cpu().double().numpy()
    array = np.asarray(labels)
    return array if array.dtype.kind in "biufO" else array.astype("float64")
