"""What the student matches: the contract of an objective."""

from collections.abc import Mapping
from typing import Any

import keras

Tensor = Any


class Objective(keras.layers.Layer):
    """One term of the student's loss: what it matches of its teacher.

    An objective wraps a stateless loss function. It is a Keras layer so that any weights it
    owns (regressors, learnt variances) are trained with the student, saved with the distiller
    and left out of the exported student.

    A subclass declares in `reads` which parts of both networks it needs, sets `id`, and
    implements `call`.

    Args:
        weight: Factor of this term in the student's loss, at least 0.
        name: Name of the term in the logs; the id by default.
    """

    id: str
    """Short name that users type."""

    reads: tuple[str, ...] = ("logits",)
    """Keys of the mappings that `call` receives."""

    def __init__(self, *, weight: float = 1.0, name: str | None = None):
        # Losses are float32 under every dtype policy: half-precision sums lose the small terms.
        super().__init__(name=name or self.id, dtype="float32", autocast=False)
        if not weight >= 0:
            raise ValueError(
                f"Expected a weight of at least 0 for objective {self.id!r}, received {weight!r}; "
                "leave the objective out to switch it off."
            )
        self.weight = float(weight)
        self.built = True

    def call(self, teacher: Mapping[str, Tensor], student: Mapping[str, Tensor]) -> Tensor:
        """The loss of each example.

        Args:
            teacher: What `reads` names, read off the teacher; constants.
            student: The same, read off the student.

        Returns:
            Shape `(batch,)`, float32.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {"weight": self.weight, "name": self.name}
