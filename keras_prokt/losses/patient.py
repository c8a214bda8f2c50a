"""Patient distillation: the [CLS] state on its way through the layers (Sun et al. 2019)."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_prokt.arguments import shown
from keras_prokt.losses.base import Objective, Shapes
from keras_prokt.losses.layer_map import check_hidden_states, evenly_matched
from keras_prokt.losses.lengths import unit
from keras_prokt.names import is_known
from keras_prokt.typing import Tensor

STRATEGIES = ("skip", "last")


def patient_loss(teacher_states: Sequence[Tensor], student_states: Sequence[Tensor]) -> Tensor:
    """Distance of the student's directions at position 0 from the teacher's, summed over layers.

    `Σ_j ‖s_j / ‖s_j‖ − t_j / ‖t_j‖‖²` over the pairs of layers `j`, where `s_j` and `t_j` are the
    states of the [CLS] token (position 0); Eq. 7 of Sun et al. Scaling a state changes nothing.

    Args:
        teacher_states: Outputs of the teacher's layers that are matched, each of shape
            `(batch, length, features)`.
        student_states: As many of the student; the lengths may differ, the features not.

    Returns:
        Shape `(batch,)`, float32, in [0, 4 · layers].

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.patient import patient_loss
    >>> teacher, student = np.array([[[3.0, 0.0]]]), np.array([[[0.0, 5.0]]])
    >>> float(patient_loss([teacher, teacher], [student, teacher])[0])
    2.0
    """
    distances = [
        ops.sum(ops.square(unit(teacher[:, 0]) - unit(student[:, 0])), axis=-1)
        for teacher, student in zip(teacher_states, student_states, strict=True)
    ]
    return sum(distances[1:], distances[0])


@keras.saving.register_keras_serializable(package="keras_prokt")
class Patient(Objective):
    """Objective `pkd`: the direction of the [CLS] state after each transformer layer but the last.

    Layer `i` of the student's `M` matches layer `i · N / M` of the teacher's `N` ("skip", the
    better one in the paper) or layer `N − M + i` ("last"). The last layer is left out: soft targets
    match it better, which the paper has beside this term (`pkd+kd`).

    The paper searches the factor β in {10, 100, 500, 1000}. Its Eq. 7, which is what this computes,
    sums over layers and features; the authors' published code takes their mean, so that its β is
    this weight times `(M − 1) · features`.

    Args:
        strategy: "skip" or "last".
        weight: Factor of this term; 0.026 in `keras_prokt.methods`, the published code's β = 100
            for a student of 6 layers and 768 features.
        name: Name of the term in the logs.

    Raises:
        ValueError: If the strategy is unknown; once the networks are known, if they have different
            widths, the student less than two layers, or the teacher's layers no even match.

    Example:

    >>> from keras_prokt.losses.patient import Patient
    >>> objective = Patient()
    >>> states = [(None, None, 8)]
    >>> objective.build_for({"hidden_states": 6 * states}, {"hidden_states": 3 * states})
    >>> objective.matched_layers(6, 3)
    [(2, 1), (4, 2)]
    """

    id = "pkd"
    reads = ("hidden_states",)

    def __init__(self, strategy: str = "skip", *, weight: float = 1.0, name: str | None = None):
        super().__init__(weight=weight, name=name)
        if not is_known(strategy, STRATEGIES):
            raise ValueError(
                f"Expected strategy in {STRATEGIES}, received {shown(strategy)}; 'skip' spreads "
                "the student's layers over the teacher's, 'last' matches the teacher's last ones."
            )
        self.strategy = strategy

    def matched_layers(self, teacher_layers: int, student_layers: int) -> list[tuple[int, int]]:
        """Pairs of a teacher's and a student's layer, counted from 1.

        Args:
            teacher_layers: How many the teacher has.
            student_layers: How many the student has.

        Raises:
            ValueError: If they do not match.
        """
        if student_layers < 2:
            raise ValueError(
                "Expected a student with at least 2 transformer layers for objective 'pkd', which "
                f"leaves the last one out, received {student_layers}; use a deeper student, or "
                "'kd', which matches the outputs."
            )
        if self.strategy == "skip":
            of_teacher = evenly_matched(self.id, teacher_layers, student_layers)
        elif teacher_layers >= student_layers:
            of_teacher = list(range(teacher_layers - student_layers + 1, teacher_layers + 1))
        else:
            raise ValueError(
                f"Expected at least the student's {student_layers} transformer layers in the "
                f"teacher for objective 'pkd', received {teacher_layers}; use a deeper teacher."
            )
        return list(zip(of_teacher[:-1], range(1, student_layers), strict=True))

    def build_adapters(self, teacher: Shapes, student: Shapes) -> None:
        states = teacher["hidden_states"], student["hidden_states"]
        self.matched_layers(len(states[0]), len(states[1]))
        of_teacher, of_student = (
            check_hidden_states(self.id, role, shapes)
            for role, shapes in zip(("teacher", "student"), states, strict=True)
        )
        if of_teacher != of_student:
            raise ValueError(
                "Expected hidden states of the same width for objective 'pkd', received "
                f"{of_teacher} features of the teacher and {of_student} of the student; use a "
                "student that is only shallower, or 'tinybert', which learns a map between widths."
            )

    def call(self, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> Tensor:
        states = teacher["hidden_states"], student["hidden_states"]
        pairs = self.matched_layers(len(states[0]), len(states[1]))
        return patient_loss(
            [states[0][number - 1] for number, _ in pairs],
            [states[1][number - 1] for _, number in pairs],
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strategy": self.strategy}
