"""What a kind of teacher is whose outputs can be recorded; imports no Keras."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Asked(NamedTuple):
    """What a teacher is asked."""

    class_names: Sequence[str]
    """Names of the classes, in the order that its outputs are to have."""
    example: Any
    """Inputs of one batch as NumPy arrays: one, or several by name."""


class OpenTeacher(NamedTuple):
    """A teacher that answers."""

    predict: "Callable[[Any], np.ndarray]"
    """Outputs `(batch, width)` of the inputs of a batch."""
    form: str | None = None
    """What they are, a key of `keras_prokt.data.teacher_outputs.FORMS`; `None` if their values are
    to tell."""


@dataclass(frozen=True)
class Recorder:
    """One row of `RECORDERS`: a kind of teacher.

    Attributes:
        title: What it is, for people.
        home: `module:function` below `keras_prokt.recorders`, which opens one.
        reads: Whether what a user names is one; imports nothing.
        package: What it needs besides, by the name that Python imports.
        extra: The extra that installs it.
        knows_classes: Whether it brings the names of its classes, and opens in the task's order.
    """

    title: str
    home: str
    reads: Callable[[str], bool]
    package: str | None = None
    extra: str | None = None
    knows_classes: bool = False

    def check_installed(self, name: str) -> None:
        """Refuses to read a teacher without the package that does.

        Raises:
            ValueError: With how to install it.
        """
        if self.package is not None and importlib.util.find_spec(self.package) is None:
            how = f"keras-prokt[{self.extra}]" if self.extra else self.package
            raise ValueError(
                f"Expected the package {self.package} to read {name!r}, received an environment "
                f"without it; install it: pip install {how!r}."
            )

    def open(self, name: str, asked: Asked) -> OpenTeacher:
        """Opens a teacher.

        Args:
            name: What `reads` lets pass.
            asked: What it is asked.

        Raises:
            ValueError: If it cannot be read, or reads other inputs.
        """
        module, function = self.home.split(":")
        make = getattr(importlib.import_module(f"keras_prokt.recorders.{module}"), function)
        return make(name, asked)


ALIASES = {
    "token_ids": ("input_ids", "input_word_ids"),
    "padding_mask": ("attention_mask", "input_mask"),
    "segment_ids": ("token_type_ids", "input_type_ids"),
}
"""Our inputs of texts, and what they are called elsewhere."""


def named_as(inputs: Any, wanted: Sequence[str], teacher: str) -> dict[str, Any]:
    """The inputs of a batch by the names that a teacher from elsewhere has for them.

    Args:
        inputs: Inputs of a batch: an array, or arrays by our names.
        wanted: Names of the teacher's inputs.
        teacher: What messages call it.

    Raises:
        ValueError: If the batch has not all that it reads.

    Example:

    >>> from keras_prokt.recorders.base import named_as
    >>> named_as({"token_ids": [1], "padding_mask": [2]}, ["input_ids"], "teacher.onnx")
    {'input_ids': [1]}
    """
    if not isinstance(inputs, Mapping):
        if len(wanted) == 1:
            return {wanted[0]: inputs}
        known: dict[str, Any] = {}
    else:
        known = {
            alias: values
            for name, values in inputs.items()
            for alias in (name, *ALIASES.get(name, ()))
        }
    if missing := [name for name in wanted if name not in known]:
        has = ", ".join(inputs) if isinstance(inputs, Mapping) else "one array"
        raise ValueError(
            f"Expected a teacher that reads what the app's teacher reads ({has}), received "
            f"{teacher!r}, which reads {', '.join(missing)} besides; export it with other inputs."
        )
    return {name: known[name] for name in wanted}
