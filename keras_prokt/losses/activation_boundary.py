"""Activation boundaries: which neurons are on in the teacher (Heo et al. 2019)."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_prokt.arguments import checked_number
from keras_prokt.losses.base import Objective, Shape, Shapes
from keras_prokt.losses.feature_maps import check_feature_maps, to_same_size
from keras_prokt.losses.regressors import (
    Layers,
    build_in_turn,
    convolution,
    normalization_layer,
    regressor,
    run_in_turn,
)
from keras_prokt.typing import Tensor

SCALE = 3 / 1000
"""Factor of the loss in the authors' code, which the CRD codebase took over."""


def activation_boundary_loss(
    teacher_map: Tensor, student_map: Tensor, margin: float = 1.0
) -> Tensor:
    """How far the student's neurons are from the side of zero on which the teacher's are.

    `Σ max(0, μ − s)²` over the neurons that are on in the teacher (`t > 0`) plus
    `Σ max(0, μ + s)²` over those that are off (`t <= 0`): the loss that "Knowledge Transfer via
    Distillation of Activation Boundaries Formed by Hidden Neurons" minimises in place of the
    number of neurons on the wrong side.

    Args:
        teacher_map: `t`, before the activation; shape `(batch, height, width, channels)`.
        student_map: `s`, same shape, after the connector.
        margin: `μ > 0`, how far on the right side a neuron has to be.

    Returns:
        Shape `(batch,)`, float32, at least 0.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.activation_boundary import activation_boundary_loss
    >>> teacher = np.array([5.0, 5.0, -5.0, -5.0]).reshape(1, 2, 2, 1)
    >>> student = np.array([1.0, -1.0, -0.5, 2.0]).reshape(1, 2, 2, 1)
    >>> float(activation_boundary_loss(teacher, student)[0])  # 0 + 2² + 0.5² + 3²
    13.25
    """
    teacher = ops.cast(teacher_map, "float32")
    student = ops.cast(student_map, "float32")
    missing = ops.where(teacher > 0, margin - student, margin + student)
    return ops.sum(ops.square(ops.relu(missing)), axis=(1, 2, 3))


@keras.saving.register_keras_serializable(package="keras_prokt")
class ActivationBoundary(Objective):
    """Objective `ab`: the student starts with the teacher's activation boundaries.

    It belongs to a stage of its own before the student is trained on the labels: `first_stage`
    gives the objective itself. The loss of stage `i` of `n` has the factor `2^(i − n) · 3/1000`, as
    in the CRD codebase; they are summed.

    A connector, trained with the student, makes the student's feature map comparable: nothing where
    the shapes are equal, else a convolution with batch normalisation (1×1 where the sizes are
    equal, 3×3 with stride 2 where the student's is twice as large, 4×4 transposed with stride 2
    where it is half as large). For other sizes, which the original refuses or meets with very large
    kernels, the larger map is average-pooled before a 1×1 convolution.

    Args:
        margin: How far on the teacher's side of zero a neuron has to be, above 0; 1 in the paper.
        weight: Factor of this term.
        name: Name of the term in the logs.

    Raises:
        ValueError: If the margin is out of range; once the networks are known, if one of them has
            no stages.

    Example:

    >>> from keras_prokt.losses.activation_boundary import ActivationBoundary
    >>> objective = ActivationBoundary()
    >>> stages = [(None, 8, 8, 6), (None, 4, 4, 8)], [(None, 8, 8, 6), (None, 4, 4, 5)]
    >>> objective.build_for({"pre_activations": stages[0]}, {"pre_activations": stages[1]})
    >>> [[layer.name for layer in connector] for connector in objective.connectors]
    [[], ['stage_2_same', 'stage_2_normalization']]
    """

    id = "ab"
    reads = ("pre_activations",)

    def __init__(self, margin: float = 1.0, *, weight: float = 1.0, name: str | None = None):
        super().__init__(weight=weight, name=name)
        margin = checked_number("margin", margin, is_bounded=True)
        if not 0 < margin < float("inf"):
            raise ValueError(
                f"Expected a margin above 0, received {margin!r}; 1 is the paper's. Without one, "
                "a student of zeros would have no loss."
            )
        self.margin = float(margin)

    def first_stage(self) -> Objective:
        return self

    def build_adapters(self, teacher: Shapes, student: Shapes) -> None:
        part = "pre_activations"
        check_feature_maps(self.id, teacher[part], student[part], part)
        pairs = list(zip(teacher[part], student[part], strict=False))
        connectors = [_make_connector(*pair, f"stage_{n}") for n, pair in enumerate(pairs, 1)]
        self.is_pooled = [layers is None for layers in connectors]
        self.connectors = [
            _make_pooled_connector(*pair, f"stage_{n}") if layers is None else layers
            for n, (pair, layers) in enumerate(zip(pairs, connectors, strict=True), 1)
        ]

    def call(
        self,
        teacher: Mapping[str, Any],
        student: Mapping[str, Any],
        training: bool | None = None,
    ) -> Tensor:
        pairs = list(zip(teacher["pre_activations"], student["pre_activations"], strict=False))
        loss = 0.0
        for stage, (teacher_map, student_map) in enumerate(pairs, 1):
            if self.is_pooled[stage - 1]:
                teacher_map, student_map = to_same_size(teacher_map, student_map)
            connected = run_in_turn(self.connectors[stage - 1], student_map, training)
            of_stage = activation_boundary_loss(teacher_map, connected, self.margin)
            loss = loss + 2.0 ** (stage - len(pairs)) * SCALE * of_stage
        return loss

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin}


def _make_connector(teacher: Shape, student: Shape, name: str) -> Layers | None:
    """The original's connector, or `None` where it has none of a usual size."""
    if tuple(teacher[1:]) == tuple(student[1:]):
        return []
    return regressor(teacher, student, name)


def _make_pooled_connector(teacher: Shape, student: Shape, name: str) -> Layers:
    layers = [convolution(student[3], teacher[3], 1, f"{name}_same"), normalization_layer(name)]
    build_in_turn(layers, student)
    return layers
