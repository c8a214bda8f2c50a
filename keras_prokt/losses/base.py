"""What the student matches: the contract of an objective."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras

from keras_prokt.arguments import as_float32, check_text, checked_number, is_weight
from keras_prokt.outputs import Classes, Output
from keras_prokt.typing import Tensor

Parts = Mapping[str, Any]
"""Part of a network -> tensor, or list of tensors."""

Shape = tuple[int | None, ...]
Shapes = Mapping[str, Any]
"""Part of a network -> shape, or list of shapes, the batch dimension being `None`."""

PARTS = {
    "logits": "outputs before the softmax or sigmoid, (batch, width)",
    "stages": "list of feature maps at the end of each stage, after the activation, "
    "(batch, height, width, channels)",
    "pre_activations": "list of the same feature maps before their activation",
    "pooled": "features that the last linear layer reads, (batch, features)",
    "embeddings": "embedded tokens that the first transformer layer reads, "
    "(batch, length, features)",
    "hidden_states": "list of the outputs of the transformer layers, (batch, length, features)",
    "attentions": "list of attention scores before the softmax of the transformer layers, "
    "(batch, heads, length, length)",
    "mask": "1 at real tokens, 0 at padding, (batch, length)",
    "index": "position of each example in the training data, (batch,), integers",
}
"""What objectives can read. `mask` and `index` come with the batch, the others from a network."""


class Objective(keras.layers.Layer):
    """One term of the student's loss: what it matches of its teacher.

    An objective wraps a stateless loss function. It is a Keras layer so that any weights it
    owns (its adapters: regressors, learnt variances, memories) are trained with the student, saved
    with the distiller and left out of the exported student.

    A subclass declares in `reads` which parts of both networks it needs, sets `id`, and
    implements `call`; if it owns adapters it also implements `build_adapters`.

    Args:
        weight: Factor β of this term in the student's loss, at least 0. It is kept in a variable,
            so that it can be changed during training (`set_weight`) without compiling anew.
        name: Name of the term in the logs; the id by default.
    """

    id: str
    """Short name that users type."""

    reads: tuple[str, ...] = ("logits",)
    """Keys of the mappings that `call` receives, among `PARTS`."""

    output_kinds: tuple[str, ...] | None = None
    """Kinds of output that it works with, keys of `keras_prokt.outputs.OUTPUTS`; `None` for all."""

    trains_student: bool = True
    """Whether gradients flow into the student. A first stage may train adapters alone."""

    def __init__(self, *, weight: float = 1.0, name: str | None = None):
        # Losses are float32 under every dtype policy: half-precision sums lose the small terms.
        if name is not None:
            check_text("name", name)
        super().__init__(name=name or self.id, dtype="float32", autocast=False)
        self._shapes: dict[str, Any] | None = None
        self.output_kind: Output = Classes()
        self._weight = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="objective_weight"
        )
        self.set_weight(weight)
        self.built = True

    @property
    def weight(self) -> keras.Variable:
        """The factor β of this term; `set_weight` changes it."""
        return self._weight

    def set_weight(self, weight: float) -> None:
        """Sets the factor of this term for the steps to come.

        Raises:
            ValueError: If it is negative or not finite.
        """
        weight = checked_number("weight", weight, is_bounded=True)
        if not is_weight(weight):
            rounded = f", which is {as_float32(weight):g} in float32" if weight > 0 else ""
            raise ValueError(
                f"Expected a weight of at least 0 for objective {self.id!r}, received {weight!r}"
                f"{rounded}; leave the objective out to switch it off."
            )
        self._weight.assign(weight)

    def call(self, teacher: Parts, student: Parts) -> Tensor:
        """The loss of each example.

        Args:
            teacher: What `reads` names, read off the teacher; constants, float32.
            student: The same, read off the student.

        Returns:
            Shape `(batch,)`, float32. Its mean is the value of the paper's loss with β = 1.
        """
        raise NotImplementedError

    def set_output(self, output: Output) -> None:
        """Tells what the networks' logits mean, before `build_for`; one class an example at first.

        Raises:
            ValueError: If the objective does not work with such outputs.
        """
        if self.output_kinds is not None and output.id not in self.output_kinds:
            raise ValueError(
                f"Expected an objective for outputs of the kind {output.id!r}, received "
                f"{self.id!r}, which is defined for {' and '.join(self.output_kinds)} alone; "
                "leave it out, or choose another."
            )
        self.output_kind = output

    def build_for(self, teacher: Shapes, student: Shapes) -> None:
        """Makes the adapters for two networks; a second time it only checks.

        Args:
            teacher: Shapes of what `reads` names, the batch dimension being `None`.
            student: The same of the student.

        Raises:
            ValueError: If the shapes cannot be matched.
        """
        shapes = {"teacher": _plain(teacher), "student": _plain(student)}
        if self._shapes is not None:
            if shapes != self._shapes:
                raise ValueError(
                    f"Expected objective {self.id!r} with networks whose parts have the shapes "
                    f"{self._shapes}, for which it was built, received {shapes}; make a new one "
                    "for another pair."
                )
            return
        self.build_adapters(teacher, student)
        self._shapes = shapes

    def build_adapters(self, teacher: Shapes, student: Shapes) -> None:
        """Makes and builds the layers and variables that the objective owns; by default none.

        Args: as in `build_for`. Refuses shapes that cannot be matched with a `ValueError`.
        """

    def own_taps(self, role: str) -> Mapping[str, str]:
        """Layers that the objective itself names: key in the mapping of `call` -> layer.

        Args:
            role: "teacher" or "student".
        """
        return {}

    def first_stage(self) -> "Objective | None":
        """What is trained before the distillation itself; by default nothing.

        Returns:
            An objective for a stage of its own with a fixed, trained teacher, which may be this
            one or share its adapters, or `None`.
        """
        return None

    def adapt(self, labels: Any) -> None:
        """Tells the objective the labels of the training data; by default they are not needed.

        Args:
            labels: Class indices `(examples,)` in the order of the batches' `index`.
        """

    def get_config(self) -> dict[str, Any]:
        config = {"weight": float(keras.ops.convert_to_numpy(self._weight)), "name": self.name}
        return config if self._shapes is None else {**config, "shapes": self._shapes}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        config = dict(config)
        shapes = config.pop("shapes", None)
        objective = cls(**config)
        if shapes is not None:
            # Before the weights are loaded, which need a place.
            objective.build_for(*(_tuples(shapes[role]) for role in ("teacher", "student")))
        return objective


def _plain(shapes: Shapes) -> dict[str, Any]:
    """Shapes as JSON has them."""
    return {part: _lists(shape) for part, shape in shapes.items()}


def _lists(shape: Any) -> Any:
    return [_lists(s) for s in shape] if isinstance(shape, list | tuple) else shape


def _tuples(shapes: Shapes) -> dict[str, Any]:
    def of_part(shape: Sequence[Any]) -> Any:
        if shape and isinstance(shape[0], list | tuple):
            return [tuple(s) for s in shape]
        return tuple(shape)

    return {part: of_part(shape) for part, shape in shapes.items()}
