"""FitNet: the student's feature map, regressed to the teacher's (Romero et al. 2015)."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_prokt.arguments import shown
from keras_prokt.losses.base import Objective, Shape, Shapes
from keras_prokt.losses.feature_maps import check_feature_map
from keras_prokt.losses.regressors import regressor, run_in_turn
from keras_prokt.typing import Tensor


def fitnet_loss(teacher_map: Tensor, regressed_map: Tensor) -> Tensor:
    """Squared distance of the regressed student's feature map from the teacher's hint.

    `mean (teacher − regressed)²` over positions and channels; Eq. 3 of "FitNets: Hints for Thin
    Deep Nets" with a mean in place of half the sum, which is what the weight 100 of the CRD
    codebase belongs to.

    Args:
        teacher_map: Shape `(batch, height, width, channels)`.
        regressed_map: Same shape: what the regressor makes of the student's feature map.

    Returns:
        Shape `(batch,)`, float32, at least 0.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.fitnet import fitnet_loss
    >>> float(fitnet_loss(np.full((1, 2, 2, 3), 3.0), np.ones((1, 2, 2, 3)))[0])
    4.0
    """
    difference = ops.cast(teacher_map, "float32") - ops.cast(regressed_map, "float32")
    return ops.mean(ops.square(difference), axis=(1, 2, 3))


@keras.saving.register_keras_serializable(package="keras_prokt")
class FitNet(Objective):
    """Objective `fitnet`: the feature map of one stage, by a regressor trained with the student.

    The regressor is a convolution with batch normalisation and ReLU, as in the CRD codebase: 1×1
    where the maps have the same size, 3×3 with stride 2 where the student's is twice as large,
    4×4 transposed with stride 2 where it is half as large.

    Args:
        stage: Which stage of both networks, from 1.
        weight: Factor of this term; 100 in the CIFAR-100 recipe.
        name: Name of the term in the logs.

    Raises:
        ValueError: If the stage is not a positive whole number; once the networks are known, if
            one has fewer stages or the sizes fit none of the regressors.

    Example:

    >>> from keras_prokt.losses.fitnet import FitNet
    >>> objective = FitNet()
    >>> shapes = [(None, 16, 16, 8), (None, 8, 8, 12)], [(None, 16, 16, 4), (None, 4, 4, 6)]
    >>> objective.build_for({"stages": shapes[0]}, {"stages": shapes[1]})
    >>> [layer.name for layer in objective.regressor]
    ['stage_2_up', 'stage_2_normalization']
    """

    id = "fitnet"
    reads = ("stages",)

    def __init__(self, stage: int = 2, *, weight: float = 1.0, name: str | None = None):
        super().__init__(weight=weight, name=name)
        if not isinstance(stage, int) or isinstance(stage, bool) or stage < 1:
            raise ValueError(
                f"Expected a stage from 1, received {shown(stage)}; the CRD codebase uses 2."
            )
        self.stage = stage

    def build_adapters(self, teacher: Shapes, student: Shapes) -> None:
        of_teacher, of_student = (
            self._shape_of_stage(role, of["stages"])
            for role, of in (("teacher", teacher), ("student", student))
        )
        layers = regressor(of_teacher, of_student, f"stage_{self.stage}")
        if layers is None:
            raise ValueError(
                "Expected feature maps of the same size, or one twice the other, for objective "
                f"'fitnet', received {of_teacher[1:3]} of the teacher and {of_student[1:3]} of the "
                f"student at stage {self.stage}; give FitNet another stage=, or name other layers "
                'with student_taps={"stages": [...]}.'
            )
        self.regressor = layers

    def _shape_of_stage(self, role: str, shapes: list[Shape]) -> Shape:
        if len(shapes) < self.stage:
            raise ValueError(
                f"Expected at least {self.stage} stages of the {role}, of which objective "
                f"'fitnet' reads number {self.stage}, received {len(shapes)}; give FitNet another "
                f'stage=, or name the layers with {role}_taps={{"stages": [...]}}.'
            )
        check_feature_map(self.id, role, shapes[self.stage - 1])
        return shapes[self.stage - 1]

    def call(
        self,
        teacher: Mapping[str, Any],
        student: Mapping[str, Any],
        training: bool | None = None,
    ) -> Tensor:
        index = self.stage - 1
        regressed = run_in_turn(self.regressor, student["stages"][index], training)
        return fitnet_loss(teacher["stages"][index], ops.relu(regressed))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stage": self.stage}
