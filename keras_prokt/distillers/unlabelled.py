"""Rows without a label, marked by `ignore_class`: what cannot be learnt where no row has one."""

from typing import Any

import keras
import numpy as np

from keras_prokt.arguments import shown
from keras_prokt.outputs import Output
from keras_prokt.outputs.label_arrays import as_numpy

NOTHING_TRAINS = (
    "Expected {which}rows with a label, received labels that all are ignore_class={ignore_class}: "
    "nothing would train the {role}; {advice}."
)
ADVICE = {
    "teacher": "add labelled rows, or use FrozenTeacherDistiller with a trained teacher",
    "student": "add labelled rows, or objectives that need none",
}


def checked_ignore_class(value: Any) -> int | None:
    """The label of what has none, or `None` where everything has one.

    Raises:
        ValueError: If it is no integer.
    """
    if value is None:
        return None
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not (is_whole and -(2**31) <= value < 2**31):
        raise ValueError(
            f"Expected ignore_class to be an integer or None, received {shown(value)}; -1 is usual "
            "for the label of rows without one."
        )
    return int(value)


def labelled_rows(labels: Any, kind: Output, width: int, ignore_class: int) -> np.ndarray:
    """Which rows of arrays have a label: booleans `(examples,)`, or of every position."""
    return kind.fill_unlabelled(as_numpy(labels), width, ignore_class, np)[1]


def filled(labels: Any, kind: Output, width: int, ignore_class: int) -> np.ndarray:
    """Labels of arrays with a valid one wherever there is none."""
    return kind.fill_unlabelled(as_numpy(labels), width, ignore_class, np)[0]


def check_some_labelled(
    labelled: np.ndarray, ignore_class: int, untrained: str | None, validation_split: float = 0.0
) -> None:
    """Refuses training data without a label where nothing else trains a model.

    Args:
        labelled: What `labelled_rows` returned.
        ignore_class: The label of what has none.
        untrained: Role of the model that then learns nothing, if there is one.
        validation_split: As in `fit`: the share at the end, of which metrics are measured.

    Raises:
        ValueError: With the reason.
    """
    first_of_validation = int(len(labelled) * (1 - validation_split))
    training, validation = np.split(labelled, [first_of_validation])
    if untrained is not None and not training.any():
        raise ValueError(
            NOTHING_TRAINS.format(
                which="", ignore_class=ignore_class, role=untrained, advice=ADVICE[untrained]
            )
        )
    if validation_split and not validation.any():
        raise ValueError(
            f"Expected labels in the last {len(validation)} rows, which validation_split takes, "
            f"received ignore_class={ignore_class} alone; shuffle the rows, or give "
            "validation_data."
        )


def check_held_out(labelled: np.ndarray, ignore_class: int, which: str) -> None:
    """Refuses data to be measured on of which nothing has a label.

    Args:
        labelled: What `labelled_rows` returned.
        ignore_class: The label of what has none.
        which: "validation " or "evaluation ".

    Raises:
        ValueError: If there is no label.
    """
    if not labelled.any():
        raise ValueError(
            f"Expected {which}data with labels, received labels that all are "
            f"ignore_class={ignore_class}; give rows with a label, of which metrics are measured."
        )


def check_class_weight(labels: Any, ignore_class: int) -> None:
    """Refuses labels of which Keras would look up another weight than 1 where there is none.

    Args:
        labels: The `y` of `fit`, or `None`.
        ignore_class: The label of what has none.

    Raises:
        ValueError: With what to do instead.
    """
    shape = getattr(labels, "shape", None)
    if shape is None or any(size != 1 for size in shape[1:]):
        received = "a stream" if shape is None else f"shape {tuple(shape)}"
        raise ValueError(
            f"Expected labels of shape (batch,) for class_weight with ignore_class={ignore_class}, "
            f"received {received}, where rows without a label would get a weight of their own; "
            "give a sample_weight."
        )


def say_counts(labelled: np.ndarray, verbose: Any) -> None:
    """Prints how much of the training data has a label, where `fit` prints its progress."""
    if verbose and keras.config.is_interactive_logging_enabled():
        unit = "rows" if labelled.ndim == 1 else "positions"
        print(f"{labelled.sum()} of {labelled.size} {unit} have a label.")
