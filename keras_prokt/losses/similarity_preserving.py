"""Similarity preserving: which examples of the batch look alike (Tung & Mori 2019)."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_prokt.losses.base import Objective
from keras_prokt.losses.lengths import unit
from keras_prokt.typing import Tensor


def similarity_preserving_loss(teacher_features: Tensor, student_features: Tensor) -> Tensor:
    """Distance between the pairwise similarities of a batch in the two networks.

    `1/b Σ_j (G_T − G_S)²_ij` of example `i`, where `G` is `Q Qᵀ` with each row divided by its
    length and `Q` holds one flattened example a row; the mean over the batch is Eq. 4 of
    Tung & Mori, `1/b² ‖G_T − G_S‖²_F`. Scaling all features of a network changes nothing.

    Args:
        teacher_features: Shape `(batch, ...)`.
        student_features: Shape `(batch, ...)`; all sizes but the batch may differ.

    Returns:
        Shape `(batch,)`, float32, in [0, 4 / batch]; 0 in a batch of one.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.similarity_preserving import similarity_preserving_loss
    >>> apart, alike = np.eye(2), np.ones((2, 3))
    >>> [round(float(value), 4) for value in similarity_preserving_loss(apart, alike)]
    [0.2929, 0.2929]
    """
    difference = _similarities(teacher_features) - _similarities(student_features)
    return ops.mean(ops.square(difference), axis=-1)


def _similarities(features: Tensor) -> Tensor:
    """Shape `(batch, batch)`, each row of length 1."""
    features = ops.cast(features, "float32")
    features = ops.reshape(features, (ops.shape(features)[0], -1))
    return unit(ops.matmul(features, ops.transpose(features)))


@keras.saving.register_keras_serializable(package="keras_prokt")
class SimilarityPreserving(Objective):
    """Objective `sp`: the pairwise similarities of a batch at the last stage.

    Args:
        weight: Factor of this term; 3000 in the CIFAR-100 recipe.
        name: Name of the term in the logs.

    Example:

    >>> from keras_prokt.losses.similarity_preserving import SimilarityPreserving
    >>> SimilarityPreserving().reads
    ('stages',)
    """

    id = "sp"
    reads = ("stages",)

    def call(self, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> Tensor:
        return similarity_preserving_loss(teacher["stages"][-1], student["stages"][-1])
