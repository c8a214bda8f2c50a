"""Batches that name their parts: the one rule about it. This module imports no Keras."""

from collections.abc import Mapping
from typing import Any

ROLES = ("teacher", "student")

INDEX = "index"
"""Part with the positions of the examples in the training data."""

TARGET = "target"
"""Part with stored outputs of a teacher, logits of the examples."""


def names_parts(x: Any) -> bool:
    """Whether inputs are a dict of those of the teacher and those of the student.

    Besides, it may hold `index`, the positions of the examples in the training data, and `target`,
    stored outputs of a teacher.

    Example:

    >>> from keras_prokt.data.parts import names_parts
    >>> names_parts({"teacher": [1], "student": [2]}), names_parts({"token_ids": [1]})
    (True, False)
    """
    is_named = isinstance(x, Mapping) and bool(set(ROLES) & set(x))
    return is_named and set(x) <= {*ROLES, INDEX, TARGET}


def part_of(x: Any, role: str) -> Any:
    """The inputs of one of the models; all of them where the batch names none of its own.

    Args:
        x: Inputs of a batch.
        role: "teacher" or "student".
    """
    return x.get(role, x) if names_parts(x) else x


def beside_inputs(x: Any, part: str) -> Any:
    """A part that no model reads; `None` where the batch has none.

    Args:
        x: Inputs of a batch.
        part: `INDEX` or `TARGET`.

    Example:

    >>> from keras_prokt.data.parts import TARGET, beside_inputs
    >>> beside_inputs({"student": [2], "target": [3]}, TARGET), beside_inputs([2], TARGET)
    ([3], None)
    """
    return x.get(part) if names_parts(x) else None
