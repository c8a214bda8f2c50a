"""Losses of `keras.distillation` in our distillers, and ours in `keras.distillation.Distiller`."""

import re
import warnings
from collections.abc import Mapping
from typing import Any, Self

import keras
from keras import ops

from keras_prokt.arguments import check_text, shown
from keras_prokt.losses.base import Objective, Parts, Shapes
from keras_prokt.typing import Tensor

_EXAMPLE_SHAPES: dict[str, tuple[int | None, ...]] = {
    "logits": (None, 3),
    "pooled": (None, 3),
    "stages": (None, 4, 4, 3),
    "hidden_states": (None, None, 4),
    "embeddings": (None, None, 4),
    "attentions": (None, 2, None, None),
    "pre_activations": (None, 4, 4, 3),
}
_LISTS = ("stages", "hidden_states", "attentions", "pre_activations")


@keras.saving.register_keras_serializable(package="keras_prokt")
class KerasLoss(Objective):
    """A `keras.distillation.DistillationLoss` as an objective.

    Our distillers take such losses wherever they take objectives, and wrap them by themselves. What
    `keras.distillation.FeatureDistillation` names with `teacher_layer_name` and
    `student_layer_name` is read in the one forward pass, from any kind of model.

    The loss is one number a batch: every example gets it, so that sample weights can only scale it
    as a whole.

    `keras.distillation.LogitsDistillation()` as it comes is wrong (Keras 3.15): its default
    `"kl_divergence"` becomes a function, for which it leaves out the softmax and the factor T², and
    takes the divergence of clipped logits. Give it `loss=keras.losses.KLDivergence()`.

    Args:
        loss: The loss.
        weight: Factor of this term.
        name: Name of the term in the logs; that of the loss's class by default.

    Raises:
        ValueError: If it is no such loss; once the networks are known, if it cannot compare what it
            reads of them.

    Example:

    >>> import keras
    >>> from keras_prokt import losses
    >>> soft = keras.distillation.LogitsDistillation(4.0, loss=keras.losses.KLDivergence())
    >>> losses.get(soft)[0].name
    'logits_distillation'
    """

    id = "keras"

    def __init__(
        self,
        loss: keras.distillation.DistillationLoss,
        *,
        weight: float = 1.0,
        name: str | None = None,
    ):
        if not isinstance(loss, keras.distillation.DistillationLoss):
            raise ValueError(
                "Expected a keras.distillation.DistillationLoss, received "
                f"{type(loss).__name__}: {shown(loss)}."
            )
        if name is None:
            name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(loss).__name__).lower()
        super().__init__(weight=weight, name=name)
        self.loss = loss
        named = [bool(self.own_taps(role)) for role in ("teacher", "student")]
        self.reads = (*(["logits"] if not all(named) else []), *([self._key] if any(named) else []))
        if "logits" in self.reads:
            self.output_kinds = ("classes",)  # Keras's own take the softmax of logits
        if _is_kl_of_logits(loss):
            warnings.warn(
                "keras.distillation.LogitsDistillation with its default loss takes the divergence "
                "of clipped logits, not of distributions; give it "
                "loss=keras.losses.KLDivergence(), or use objectives='kd'.",
                UserWarning,
                stacklevel=2,
            )

    def own_taps(self, role: str) -> Mapping[str, str]:
        layer = getattr(self.loss, f"{role}_layer_name", None)
        return {} if layer is None else {self._key: layer}

    @property
    def _key(self) -> str:
        return f"keras:{self.name}"

    def build_adapters(self, teacher: Shapes, student: Shapes) -> None:
        shapes = [self._output(of) for of in (teacher, student)]
        try:
            examples = [ops.zeros([8 if n is None else n for n in shape]) for shape in shapes]
            self.loss.compute_loss(*examples)
        except Exception as error:  # whatever a loss raises that was not made for these
            raise ValueError(
                f"Expected outputs that {type(self.loss).__name__} can compare, received the "
                f"shapes {tuple(shapes[0])} of the teacher and {tuple(shapes[1])} of the student "
                f"and {type(error).__name__}: {str(error).strip()}; name other layers."
            ) from error

    def _output(self, parts: Mapping[str, Any]) -> Any:
        return parts[self._key] if self._key in parts else parts["logits"]

    def call(self, teacher: Parts, student: Parts) -> Tensor:
        outputs = [self._output(parts) for parts in (teacher, student)]
        value = ops.cast(self.loss.compute_loss(*outputs), "float32")
        return ops.broadcast_to(value, (ops.shape(outputs[1])[0],))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "loss": keras.saving.serialize_keras_object(self.loss)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        loss = keras.saving.deserialize_keras_object(config["loss"])
        return super().from_config({**config, "loss": loss})


def _is_kl_of_logits(loss: Any) -> bool:
    return isinstance(loss, keras.distillation.LogitsDistillation) and any(
        one is keras.losses.kl_divergence for one in keras.tree.flatten(loss.loss)
    )


def as_keras_loss(
    objective: Objective,
    *,
    teacher_layer_name: str | None = None,
    student_layer_name: str | None = None,
) -> keras.distillation.DistillationLoss:
    """One of our objectives for `keras.distillation.Distiller(distillation_losses=...)`.

    Keras's contract is one tensor of each network and no variables: objectives on the logits, and
    those on one part without adapters of their own. One that reads all stages, such as `at`, sees
    the layer that is named as the only one: give a loss for each stage.

    Args:
        objective: The objective. Its weight is left to Keras's `distillation_loss_weights`.
        teacher_layer_name: Layer that gives the teacher's part; none for the logits.
        student_layer_name: The same of the student.

    Returns:
        A loss whose value is the mean over the batch.

    Raises:
        ValueError: If Keras's distiller cannot do what the objective needs, with the reason.

    Example:

    >>> import keras
    >>> from keras_prokt.losses import SoftTargets, as_keras_loss
    >>> loss = as_keras_loss(SoftTargets(temperature=4.0))
    >>> isinstance(loss, keras.distillation.DistillationLoss)
    True
    """
    return ObjectiveLoss(objective, teacher_layer_name, student_layer_name)


@keras.saving.register_keras_serializable(package="keras_prokt")
class ObjectiveLoss(keras.distillation.DistillationLoss):
    """What `as_keras_loss` returns."""

    def __init__(
        self,
        objective: Objective,
        teacher_layer_name: str | None = None,
        student_layer_name: str | None = None,
    ):
        if not isinstance(objective, Objective):
            raise ValueError(
                f"Expected an objective, received {type(objective).__name__}: {shown(objective)}; "
                "losses.get(name)[0] gives one."
            )
        for role, layer in (("teacher", teacher_layer_name), ("student", student_layer_name)):
            if layer is not None:
                check_text(f"{role}_layer_name", layer)
        self.objective = objective
        self.teacher_layer_name = teacher_layer_name
        self.student_layer_name = student_layer_name
        self._part = _only_part(objective)
        named = [teacher_layer_name is not None, student_layer_name is not None]
        # Keras ignores a student's layer without one of the teacher.
        if not all(named) and (self._part != "logits" or any(named)):
            raise ValueError(
                "Expected teacher_layer_name and student_layer_name for objective "
                f"{objective.id!r}, which reads {self._part}, received {teacher_layer_name!r} and "
                f"{student_layer_name!r}; name the layers that give them."
            )

    def compute_loss(self, teacher_outputs: Tensor, student_outputs: Tensor, **_: Any) -> Tensor:
        outputs = [ops.cast(o, "float32") for o in (teacher_outputs, student_outputs)]
        if self._part in _LISTS:
            outputs = [[output] for output in outputs]
        return ops.mean(self.objective(*({self._part: output} for output in outputs)))

    def get_config(self) -> dict[str, Any]:
        return {
            "objective": keras.saving.serialize_keras_object(self.objective),
            "teacher_layer_name": self.teacher_layer_name,
            "student_layer_name": self.student_layer_name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        objective = keras.saving.deserialize_keras_object(config["objective"])
        return cls(**{**config, "objective": objective})


def _only_part(objective: Objective) -> str:
    """The one part that an objective reads, if Keras's distiller can give it."""

    def refuse(reason: str) -> ValueError:
        return ValueError(
            f"Expected an objective that reads one tensor of each network and owns nothing, "
            f"received {objective.id!r}, which {reason}; use it in a distiller of keras_prokt."
        )

    parts = [part for part in objective.reads if part != "mask"]
    if "index" in parts:
        raise refuse("has a memory of the training data")
    if len(parts) != 1:
        raise refuse(f"reads {', '.join(parts)}")
    if objective.first_stage() is not None:
        raise refuse("has a first stage of training")
    [part] = parts
    shape = _EXAMPLE_SHAPES[part]
    # Several layers first: what has adapters should not be asked for more of them.
    for shapes in ([shape, shape], [shape]) if part in _LISTS else (shape,):
        trial = type(objective).from_config({**objective.get_config(), "shapes": None})
        try:
            trial.build_for({part: shapes}, {part: shapes})
        except ValueError as error:
            raise refuse(f"says: {error}") from error
        if trial.trainable_variables:
            raise refuse("trains adapters of its own")
    return part
