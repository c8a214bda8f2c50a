"""Batches that name their parts: the one rule about it. This module imports no Keras."""

from collections.abc import Mapping
from typing import Any

ROLES = ("teacher", "student")


def names_parts(x: Any) -> bool:
    """Whether inputs are a dict of those of the teacher and those of the student.

    Besides, it may hold `index`, the positions of the examples in the training data.

    Example:

    >>> from keras_prokt.data.parts import names_parts
    >>> names_parts({"teacher": [1], "student": [2]}), names_parts({"token_ids": [1]})
    (True, False)
    """
    return isinstance(x, Mapping) and bool(set(ROLES) & set(x)) and set(x) <= {*ROLES, "index"}


def part_of(x: Any, role: str) -> Any:
    """The inputs of one of the models; all of them where the batch names none of its own.

    Args:
        x: Inputs of a batch.
        role: "teacher" or "student".
    """
    return x.get(role, x) if names_parts(x) else x
