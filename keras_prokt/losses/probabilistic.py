"""Probabilistic knowledge transfer: who is near whom in the batch (Passalis & Tefas 2018)."""

from collections.abc import Mapping

import keras
from keras import ops

from keras_prokt.losses.base import Objective
from keras_prokt.losses.lengths import unit
from keras_prokt.typing import Tensor

EPSILON = 1e-7
"""Added to lengths and probabilities, as in the authors' code."""


def probabilistic_loss(teacher_features: Tensor, student_features: Tensor) -> Tensor:
    """Divergence of the student's neighbour probabilities in the batch from the teacher's.

    `1/b Σ_j p_ij log((p_ij + ε) / (q_ij + ε))` of example `i` with the conditional probabilities
    `p_ij = s_ij / Σ_k s_ik` of the teacher, the scaled cosine similarities `s = (cos + 1) / 2`, and
    `q` the same of the student (Passalis & Tefas, section 3). Their code takes the mean over
    the `b²` pairs, which the weight 30000 belongs to; so does the mean of these values. Scaling the
    features of any example changes nothing. The gradient of an example without any feature is zero.

    Args:
        teacher_features: Shape `(batch, features)`.
        student_features: Shape `(batch, features)`; the features may differ in number.

    Returns:
        Shape `(batch,)`, float32, not negative up to rounding; 0 in a batch of one.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.probabilistic import probabilistic_loss
    >>> apart, alike = np.eye(2), np.ones((2, 3))  # probabilities 2/3, 1/3 and 1/2, 1/2
    >>> [round(float(value), 4) for value in probabilistic_loss(apart, alike)]
    [0.0283, 0.0283]
    """
    target = _neighbour_probabilities(teacher_features)
    other = _neighbour_probabilities(student_features)
    terms = target * ops.log((target + EPSILON) / (other + EPSILON))
    return ops.mean(terms, axis=-1)


def _neighbour_probabilities(features: Tensor) -> Tensor:
    """Shape `(batch, batch)`, each row of sum 1."""
    features = unit(features, epsilon=EPSILON)
    similarities = (ops.matmul(features, ops.transpose(features)) + 1) / 2
    return similarities / ops.sum(similarities, axis=-1, keepdims=True)


@keras.saving.register_keras_serializable(package="keras_prokt")
class Probabilistic(Objective):
    """Objective `pkt`: the neighbour probabilities of a batch in the pooled features.

    Args:
        weight: Factor of this term; 30000 in the CIFAR-100 recipe.
        name: Name of the term in the logs.

    Example:

    >>> from keras_prokt.losses.probabilistic import Probabilistic
    >>> Probabilistic().reads
    ('pooled',)
    """

    id = "pkt"
    reads = ("pooled",)

    def call(self, teacher: Mapping[str, Tensor], student: Mapping[str, Tensor]) -> Tensor:
        return probabilistic_loss(teacher["pooled"], student["pooled"])
