"""What a front end is: how raw input becomes what a model reads.

This module imports no Keras.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from keras_prokt.typing import Tensor

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass(frozen=True)
class Signature:
    """One form in which a served model takes raw input.

    Attributes:
        inputs: The `tf.TensorSpec` of each raw input, by its name.
        to_features: Makes what the model reads, by the names of its inputs, out of the raw inputs
            by theirs; in operations of TensorFlow.
        to_answers: Makes what is returned out of the raw inputs and what the model predicts;
            `None`: the predictions are returned.
        example: A request of a few rows, arrays by the names of the inputs, that is stored beside
            a served model with its answer; `None`: one is made up of types and shapes.
    """

    inputs: "Mapping[str, tf.TensorSpec]"
    to_features: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    to_answers: Callable[[Mapping[str, Tensor], dict[str, Tensor]], dict[str, Tensor]] | None = None
    example: Mapping[str, Any] | None = None


class FrontEnd(abc.ABC):
    """How raw input becomes what a model reads, in training, in `predict` and when served.

    A subclass is a frozen dataclass whose fields, numbers, strings and tuples of these, say all
    of it: they are what `front_end.json` of a run holds.

    Attributes:
        kind: Its name in `keras_prokt.front_ends.FRONT_ENDS`.
        model_signature: Name of the served signature that takes what the model reads. Where it is
            not "serving_default", one of `signatures` is.
    """

    kind: ClassVar[str]
    model_signature: ClassVar[str] = "serving_default"

    @abc.abstractmethod
    def check_inputs(self, inputs: "Mapping[str, keras.KerasTensor]") -> None:
        """Refuses a model that does not read what this front end makes.

        Args:
            inputs: The model's symbolic inputs by name.

        Raises:
            ValueError: If it reads something else.
        """

    @abc.abstractmethod
    def signatures(self, inputs: "Mapping[str, keras.KerasTensor]") -> dict[str, Signature]:
        """The served signatures that take raw input, by name.

        Args:
            inputs: The model's symbolic inputs by name, which `check_inputs` has let pass.
        """

    def to_json(self) -> dict[str, Any]:
        """The front end as a JSON object, which `keras_prokt.front_ends.from_json` reads."""
        values = dataclasses.asdict(self)  # type: ignore[call-overload]  # the subclass is one
        return {"kind": self.kind, **values}
