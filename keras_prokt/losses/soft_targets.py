"""Soft targets: the student matches the teacher's output distribution (Hinton et al. 2015)."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_prokt.arguments import checked_number
from keras_prokt.losses.base import Objective
from keras_prokt.outputs import Output
from keras_prokt.outputs.divergence import kl_divergence
from keras_prokt.typing import Tensor


def soft_target_loss(
    teacher_logits: Tensor, student_logits: Tensor, temperature: float = 1.0
) -> Tensor:
    """Distance of the student's softened distribution from the teacher's.

    `T² · KL(p_T ‖ q_T)` with `p_T = softmax(teacher_logits / T)`; the soft-target term of
    Eq. 1 of the ProKT paper, up to the teacher's entropy. The factor `T²` keeps the size of
    the gradient independent of the temperature.

    Args:
        teacher_logits: Shape `(batch, classes)`.
        student_logits: Shape `(batch, classes)`.
        temperature: `T > 0`.

    Returns:
        Shape `(batch,)`, float32, in nats.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses import soft_target_loss
    >>> float(soft_target_loss(np.ones((1, 3)), np.ones((1, 3)), temperature=4.0)[0])
    0.0
    """
    return temperature**2 * kl_divergence(teacher_logits, student_logits, temperature)


@keras.saving.register_keras_serializable(package="keras_prokt")
class SoftTargets(Objective):
    """Objective `kd`: the softened output distribution of the teacher.

    `T² · KL(p_T ‖ q_T)`: of distributions over classes (`soft_target_loss`), or the mean over
    labels of that of Bernoulli distributions, as the distiller's `output` says; of values half the
    mean squared difference, which has no temperature but 1.

    Args:
        temperature: `T > 0`; 1 in the paper's text experiments, 4 in the CIFAR-100 recipe.
        weight: Factor of this term.
        name: Name of the term in the logs.

    Raises:
        ValueError: If the temperature is not positive and finite.

    Example:

    >>> from keras_prokt.losses import SoftTargets
    >>> SoftTargets(temperature=4.0).temperature
    4.0
    """

    id = "kd"

    def __init__(self, temperature: float = 1.0, *, weight: float = 1.0, name: str | None = None):
        super().__init__(weight=weight, name=name)
        temperature = checked_number("temperature", temperature, is_bounded=True)
        if not 0 < temperature < float("inf"):
            raise ValueError(
                f"Expected a temperature above 0, received {temperature!r}; "
                "1 leaves the distributions as they are, 4 is usual for images."
            )
        self.temperature = float(temperature)

    def set_output(self, output: Output) -> None:
        output.check_temperature(self.temperature)
        super().set_output(output)

    def call(self, teacher: Mapping[str, Tensor], student: Mapping[str, Tensor]) -> Tensor:
        divergence = self.output_kind.divergence(
            teacher["logits"], student["logits"], self.temperature
        )
        return self.temperature**2 * divergence

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
