"""The student's loss: its labels and what it matches of its teacher, weighted."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_prokt import losses
from keras_prokt.arguments import as_float32, checked_number, is_weight
from keras_prokt.distillers.batch import Batch, padding_mask
from keras_prokt.distillers.features import MODEL_PARTS
from keras_prokt.distillers.forward import Outputs
from keras_prokt.losses import Objective, SoftTargets
from keras_prokt.outputs.label_loss import LabelLossOnLogits
from keras_prokt.typing import Tensor

Objectives = Objective | str | Sequence[Objective | str] | None

TEMPERATURES = (0.01, 1e4)
"""Least and greatest T: below, the target is the largest logit alone and T² times the divergence
trains nothing; above, all differences of logits are lost in float32."""


class WeightCallback(keras.callbacks.Callback):
    """A callback that sets weights of the student's loss while training goes on."""


class StudentLoss:
    """`γ · CE + Σ βᵢ · objectiveᵢ`, or `w · CE + (1 − w) · Σ βᵢ · objectiveᵢ` (Eq. 1).

    Args:
        objectives: What the student matches; `None` for soft targets.
        temperature: `T` of these.
        student_loss_weight: `w`.
        label_weight: `γ`, or `None` for the second form.
        needs_labels: Whether something is trained by the labels alone, so that γ may not be 0.

    Raises:
        ValueError: On settings out of range or that exclude each other, on objectives of the same
            name, and where neither objectives nor labels train anything.
    """

    def __init__(
        self,
        objectives: Objectives,
        temperature: float | None,
        student_loss_weight: float,
        label_weight: float | None,
        needs_labels: bool,
    ):
        student_loss_weight = checked_number(
            "student_loss_weight", student_loss_weight, is_bounded=True
        )
        if not 0 <= student_loss_weight <= 1:
            raise ValueError(
                "Expected student_loss_weight in [0, 1], received "
                f"{student_loss_weight!r}; 0 trains on the targets alone, 1 on the labels alone."
            )
        if label_weight is not None and student_loss_weight:
            raise ValueError(
                "Expected either student_loss_weight or label_weight, received both; the first "
                "weighs labels and objectives by w and 1 - w, the second the labels alone."
            )
        self.objectives = _checked_objectives(objectives, temperature)
        self.student_loss_weight = student_loss_weight
        self.is_weighted_by_halves = label_weight is None
        self._needs_labels = needs_labels
        gamma = self.checked_label_weight(
            student_loss_weight if label_weight is None else label_weight
        )
        self.label_weight = keras.Variable(
            gamma, trainable=False, dtype="float32", name="label_weight"
        )
        self.reads_labels = gamma > 0

    @property
    def trains_student(self) -> bool:
        """Whether any term reads the student's gradient. A first stage may train adapters alone."""
        return self.reads_labels or any(o.trains_student for o in self.objectives)

    @property
    def trains_without_labels(self) -> bool:
        """Whether a row without a label trains all of the student."""
        is_weighted = not self.is_weighted_by_halves or self.student_loss_weight < 1
        matches = any(o.trains_student for o in self.objectives)
        return is_weighted and matches and not self._needs_labels

    @property
    def adapters(self) -> list[keras.Variable]:
        """What the objectives themselves learn."""
        return [v for o in self.objectives for v in o.trainable_variables]

    def checked_label_weight(self, value: float) -> float:
        """γ, or a `ValueError` if it is negative or not finite, or 0 where labels are needed."""
        value = checked_number("label_weight (γ)", value, is_bounded=True)
        if not is_weight(value):
            rounded = f", which is {as_float32(value):g} in float32" if value > 0 else ""
            raise ValueError(
                f"Expected a label_weight (γ) of at least 0, received {value!r}{rounded}; 0 leaves "
                "the labels out of the student's loss."
            )
        if value == 0 and not self.objectives:
            raise ValueError(
                "Expected objectives, or labels in the student's loss, received objectives=[] "
                "and no weight of the labels, which trains nothing; give an objective, a "
                "label_weight or a student_loss_weight."
            )
        if value == 0 and self._needs_labels:
            raise ValueError(
                "Expected labels in the loss of a student with a student_divergence_output, "
                "received no weight of them, so that nothing would train its other output; give a "
                "label_weight."
            )
        return value

    def set_label_weight(self, value: float) -> bool:
        """Sets γ; returns whether a step compiled for γ = 0 has to take up the labels."""
        value = self.checked_label_weight(value)
        self.label_weight.assign(value)
        takes_up_labels = value > 0 and not self.reads_labels
        self.reads_labels = self.reads_labels or takes_up_labels
        return takes_up_labels

    def check_trains(self, callbacks: Any) -> None:
        """Refuses a loss all of whose weights are 0, and that no callback changes.

        Args:
            callbacks: As in `fit`.

        Raises:
            ValueError: If nothing would be trained.
        """
        callbacks = getattr(callbacks, "callbacks", callbacks)  # Keras's list, or a plain one
        if any(isinstance(one, WeightCallback) for one in keras.tree.flatten(callbacks)):
            return
        weights = [self.label_weight, *(objective.weight for objective in self.objectives)]
        if not any(float(ops.convert_to_numpy(weight)) for weight in weights):
            names = [*(objective.name for objective in self.objectives), "labels"]
            raise ValueError(
                f"Expected a weight above 0 of {' or '.join(names)} in the student's loss, "
                "received 0 of each, which trains nothing; give one a weight, or an "
                "ObjectiveSchedule."
            )

    def build(self, shapes: Mapping[str, Mapping[str, Any]]) -> None:
        """Makes the objectives' adapters.

        Args:
            shapes: Role -> part -> shape, the teacher first.
        """
        for objective in self.objectives:
            read = [
                {p: known[p] for p in objective.reads if p in known} for known in shapes.values()
            ]
            objective.build_for(*read)

    def parts(self) -> list[str]:
        """What the objectives read of the models besides the logits."""
        wanted = {part for objective in self.objectives for part in objective.reads}
        return [part for part in MODEL_PARTS if part in wanted]

    def named_taps(self, role: str) -> dict[str, str]:
        """Layers that objectives name themselves."""
        return {p: tap for o in self.objectives for p, tap in o.own_taps(role).items()}

    def terms(
        self, batch: Batch, student: Outputs, teacher: Outputs | None, training: bool
    ) -> list[Tensor]:
        """The value of each objective, a scalar each.

        Args:
            batch: The batch.
            student: The student's outputs.
            teacher: The teacher's, constants.
            training: Whether memories are renewed.
        """
        if not self.objectives:
            return []
        batch_parts = {} if batch.index is None else {"index": batch.index}
        parts = [
            {"logits": outputs.logits, **outputs.parts, **batch_parts, **_mask_of(inputs)}
            for outputs, inputs in (
                (teacher, batch.teacher_inputs),
                (student, batch.student_inputs),
            )
        ]
        return [batch.mean(objective(*parts, training=training)) for objective in self.objectives]

    def total(
        self,
        batch: Batch,
        outputs: Outputs,
        matched: list[Tensor],
        label_loss: LabelLossOnLogits,
    ) -> Tensor:
        """The loss, regularisation included, a scalar."""
        scale = 1 - self.student_loss_weight if self.is_weighted_by_halves else 1.0
        loss = outputs.regularization + scale * self.weighted_sum(matched)
        if self.reads_labels:
            label_term = label_loss(
                batch.labels, outputs.logits, batch.sample_weight, batch.labelled
            )
            loss = loss + self.label_weight.value * label_term
        return loss

    def weighted_sum(self, matched: list[Tensor]) -> Tensor:
        """`Σ βᵢ · objectiveᵢ`."""
        total = ops.zeros((), dtype="float32")
        for objective, value in zip(self.objectives, matched, strict=True):
            total = total + objective.weight.value * value
        return total

    def weight_config(self) -> dict[str, float]:
        """The argument of the distiller that says how labels are weighted."""
        if self.is_weighted_by_halves:
            return {"student_loss_weight": self.student_loss_weight}
        return {"label_weight": float(ops.convert_to_numpy(self.label_weight))}


def _checked_objectives(objectives: Objectives, temperature: float | None) -> list[Objective]:
    if objectives is not None and temperature is not None:
        raise ValueError(
            "Expected either temperature or objectives, received both; give the temperature "
            "to the objective: objectives=SoftTargets(temperature=...)."
        )
    if temperature is not None:
        _check_temperature(temperature)
    if objectives is None:
        objectives = [SoftTargets(temperature=1.0 if temperature is None else temperature)]
    checked = losses.get(objectives)
    for objective in checked:
        if isinstance(objective, SoftTargets):
            _check_temperature(objective.temperature)
    names = [objective.name for objective in checked]
    if len(set(names)) != len(names):
        raise ValueError(
            f"Expected objectives of different names, received {names}; give one a name="
        )
    return checked


def _check_temperature(value: float) -> None:
    least, greatest = TEMPERATURES
    value = checked_number("temperature", value, is_bounded=True)
    if not least <= value <= greatest:
        raise ValueError(
            f"Expected a temperature from {least:g} to {greatest:g}, received {value!r}; 1 leaves "
            "the distributions as they are, 4 is usual for images."
        )


def _mask_of(inputs: Any) -> dict[str, Tensor]:
    """Where a text batch has real tokens."""
    mask = padding_mask(inputs)
    return {} if mask is None else {"mask": ops.cast(mask, "float32")}
