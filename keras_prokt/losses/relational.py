"""Relational distillation: distances and angles between the examples (Park et al. 2019)."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_prokt.arguments import checked_number
from keras_prokt.losses.base import Objective
from keras_prokt.losses.lengths import unit
from keras_prokt.typing import Tensor

SMALLEST_SQUARE = 1e-12
"""Least squared distance of two examples, as in the authors' code."""


def relational_loss(
    teacher_features: Tensor,
    student_features: Tensor,
    *,
    distance_weight: float = 25.0,
    angle_weight: float = 50.0,
) -> Tensor:
    """Distance between the geometries of a batch in the two networks.

    Example `i` has `w_d mean_j h(d_ij^S − d_ij^T) + w_a mean_jk h(cos∠jik^S − cos∠jik^T)`, where
    `d_ij = ‖x_i − x_j‖ / μ`, `μ` is the mean distance of two different examples, `∠jik` the angle
    at `x_i` between `x_j` and `x_k`, and `h` the Huber loss with threshold 1; the distance-wise and
    angle-wise losses of Park et al., section 3.2. The means include `j = i`, `k = i` and `j = k`,
    as the authors' code does. Scaling, shifting and rotating all features of a network changes
    nothing.

    The differences of all pairs are held, `batch² · features` numbers: those of 64 examples of 2048
    features take 34 MB. Differences of Gram matrices need less, but lose small distances.

    Args:
        teacher_features: Shape `(batch, features)`.
        student_features: Shape `(batch, features)`; the features may differ in number.
        distance_weight: `w_d >= 0`.
        angle_weight: `w_a >= 0`.

    Returns:
        Shape `(batch,)`, float32, at least 0; 0 in a batch of one.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.relational import relational_loss
    >>> line, triangle = np.array([[0.0], [1.0], [2.0]]), np.eye(3)
    >>> [round(float(value), 3) for value in relational_loss(line, triangle)]
    [2.691, 11.632, 2.691]
    """
    teacher, student = _differences(teacher_features), _differences(student_features)
    distances = _huber(_distances(student) - _distances(teacher))
    angles = _huber(_cosines(student) - _cosines(teacher))
    return distance_weight * ops.mean(distances, axis=-1) + angle_weight * ops.mean(
        angles, axis=(1, 2)
    )


def _differences(features: Tensor) -> Tensor:
    """`x_j − x_i` at `(i, j)`, shape `(batch, batch, features)`."""
    features = ops.cast(features, "float32")
    return ops.expand_dims(features, 0) - ops.expand_dims(features, 1)


def _distances(differences: Tensor) -> Tensor:
    """Distances in units of their mean, shape `(batch, batch)`, the diagonal zero."""
    squares = ops.sum(ops.square(differences), axis=-1)
    # The gradient of the root is infinite at 0; the bound lets none through.
    distances = ops.sqrt(ops.maximum(squares, SMALLEST_SQUARE))
    examples = ops.arange(ops.shape(squares)[0])
    others = ops.expand_dims(examples, 0) != ops.expand_dims(examples, 1)
    distances = distances * ops.cast(others, "float32")
    pairs = ops.maximum(ops.sum(ops.cast(others, "float32")), 1.0)
    mean = ops.sum(distances) / pairs
    return distances / ops.maximum(mean, SMALLEST_SQUARE)


def _cosines(differences: Tensor) -> Tensor:
    """Cosine of the angle at `i` between `j` and `k` at `(i, j, k)`; 0 where `j` or `k` is `i`."""
    directions = unit(differences)
    return ops.matmul(directions, ops.transpose(directions, (0, 2, 1)))


def _huber(difference: Tensor) -> Tensor:
    size = ops.abs(difference)
    bounded = ops.minimum(size, 1.0)
    return bounded * (size - bounded / 2)


@keras.saving.register_keras_serializable(package="keras_prokt")
class Relational(Objective):
    """Objective `rkd`: distances and angles between the examples in the pooled features.

    Args:
        distance_weight: Factor of the distances, at least 0; 25 in the paper.
        angle_weight: Factor of the angles, at least 0; 50 in the paper.
        weight: Factor of this term; 1 in the CIFAR-100 recipe.
        name: Name of the term in the logs.

    Raises:
        ValueError: If a factor is negative or not finite, or both are 0.

    Example:

    >>> from keras_prokt.losses.relational import Relational
    >>> Relational().distance_weight, Relational().angle_weight
    (25.0, 50.0)
    """

    id = "rkd"
    reads = ("pooled",)

    def __init__(
        self,
        distance_weight: float = 25.0,
        angle_weight: float = 50.0,
        *,
        weight: float = 1.0,
        name: str | None = None,
    ):
        super().__init__(weight=weight, name=name)
        distance_weight = checked_number("distance_weight", distance_weight, is_bounded=True)
        angle_weight = checked_number("angle_weight", angle_weight, is_bounded=True)
        weights = (distance_weight, angle_weight)
        if not all(0 <= one < float("inf") for one in weights) or not any(weights):
            raise ValueError(
                "Expected a distance_weight and an angle_weight of at least 0 and not both 0, "
                f"received {distance_weight!r} and {angle_weight!r}; the paper uses 25 and 50."
            )
        self.distance_weight = float(distance_weight)
        self.angle_weight = float(angle_weight)

    def call(self, teacher: Mapping[str, Tensor], student: Mapping[str, Tensor]) -> Tensor:
        return relational_loss(
            teacher["pooled"],
            student["pooled"],
            distance_weight=self.distance_weight,
            angle_weight=self.angle_weight,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "distance_weight": self.distance_weight,
            "angle_weight": self.angle_weight,
        }
