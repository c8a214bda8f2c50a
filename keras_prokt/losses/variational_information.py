"""Variational information: how well the student predicts the teacher (Ahn et al. 2019)."""

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_prokt.arguments import checked_number
from keras_prokt.losses.adapters import uniform_by_inputs
from keras_prokt.losses.base import Objective, Shape, Shapes
from keras_prokt.losses.feature_maps import check_feature_maps, to_same_size
from keras_prokt.typing import Tensor

SMALLEST_VARIANCE = 1e-5
"""Added to the learnt variances, as in the authors' code."""


def variational_information_loss(
    teacher_map: Tensor, predicted_map: Tensor, variance: Tensor
) -> Tensor:
    """Negative log likelihood of the teacher's feature map as the student predicts it.

    `mean ½ ((teacher − predicted)² / σ_c² + log σ_c²)` over positions and channels `c`, without the
    constant `½ log 2π`: the bound on the mutual information of "Variational Information
    Distillation for Knowledge Transfer" (section 2) with a normal distribution.

    Args:
        teacher_map: Shape `(batch, height, width, channels)`.
        predicted_map: Same shape: the means, which a regressor makes of the student's feature map.
        variance: Shape `(channels,)`, above 0.

    Returns:
        Shape `(batch,)`, float32, in nats; it can be negative.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.variational_information import variational_information_loss
    >>> zeros = np.zeros((1, 2, 2, 1))
    >>> float(variational_information_loss(zeros, zeros + 2, np.ones(1))[0])
    2.0
    """
    error = ops.cast(teacher_map, "float32") - ops.cast(predicted_map, "float32")
    variance = ops.cast(variance, "float32")
    return 0.5 * ops.mean(ops.square(error) / variance + ops.log(variance), axis=(1, 2, 3))


@keras.saving.register_keras_serializable(package="keras_prokt")
class VariationalInformation(Objective):
    """Objective `vid`: how well each stage of the student predicts the teacher's, summed.

    A regressor of three 1×1 convolutions without bias, ReLU between, predicts the teacher's
    feature map; the variance of each channel is `softplus(a) + 1e-5`. Both are trained with the
    student. The larger map is average-pooled first.

    Args:
        initial_variance: Variance at the start, above 1e-5; 5 in the authors' code.
        weight: Factor of this term; 1 in the CIFAR-100 recipe.
        name: Name of the term in the logs.

    Raises:
        ValueError: If the variance is out of range; once the networks are known, if their stages
            have no stages that can be matched.

    Example:

    >>> from keras_prokt.losses.variational_information import VariationalInformation
    >>> objective = VariationalInformation()
    >>> objective.build_for({"stages": [(None, 8, 8, 6)]}, {"stages": [(None, 4, 4, 2)]})
    >>> [tuple(variable.shape) for variable in objective.trainable_variables]
    [(6,), (1, 1, 2, 6), (1, 1, 6, 6), (1, 1, 6, 6)]
    """

    id = "vid"
    reads = ("stages",)

    def __init__(
        self, initial_variance: float = 5.0, *, weight: float = 1.0, name: str | None = None
    ):
        super().__init__(weight=weight, name=name)
        initial_variance = checked_number("initial_variance", initial_variance, is_bounded=True)
        if not SMALLEST_VARIANCE < initial_variance < float("inf"):
            raise ValueError(
                f"Expected an initial_variance above {SMALLEST_VARIANCE}, received "
                f"{initial_variance!r}; the authors' code starts at 5."
            )
        self.initial_variance = float(initial_variance)

    def build_adapters(self, teacher: Shapes, student: Shapes) -> None:
        check_feature_maps(self.id, teacher["stages"], student["stages"])
        pairs = list(zip(teacher["stages"], student["stages"], strict=False))
        # The inverse of the softplus.
        start = self.initial_variance - SMALLEST_VARIANCE
        start = start + math.log(-math.expm1(-start))
        self.raw_variances = [
            self.add_weight(
                shape=(of_teacher[-1],),
                initializer=keras.initializers.Constant(start),
                name=f"raw_variance_{number}",
            )
            for number, (of_teacher, _) in enumerate(pairs, 1)
        ]
        self.regressors = [
            _make_regressor(*pair, name=f"stage_{number}") for number, pair in enumerate(pairs, 1)
        ]

    def variance(self, stage: int) -> Tensor:
        """The learnt variances at one stage, counted from 1; shape `(channels,)`."""
        return ops.softplus(self.raw_variances[stage - 1].value) + SMALLEST_VARIANCE

    def call(self, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> Tensor:
        pairs = zip(teacher["stages"], student["stages"], strict=False)
        return sum(self._stage_loss(stage, *pair) for stage, pair in enumerate(pairs, 1))

    def _stage_loss(self, stage: int, teacher_map: Tensor, student_map: Tensor) -> Tensor:
        target, predicted = to_same_size(teacher_map, student_map)
        for convolution in self.regressors[stage - 1]:
            predicted = convolution(predicted)
        return variational_information_loss(target, predicted, self.variance(stage))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial_variance": self.initial_variance}


def _make_regressor(teacher: Shape, student: Shape, name: str) -> list[keras.layers.Layer]:
    convolutions = []
    channels = student[-1]
    for number, activation in enumerate(("relu", "relu", None), 1):
        layer = keras.layers.Conv2D(
            teacher[-1],
            1,
            activation=activation,
            use_bias=False,
            kernel_initializer=uniform_by_inputs(channels),
            data_format="channels_last",
            dtype="float32",
            name=f"{name}_convolution_{number}",
        )
        layer.build((*student[:-1], channels))
        convolutions.append(layer)
        channels = teacher[-1]
    return convolutions
