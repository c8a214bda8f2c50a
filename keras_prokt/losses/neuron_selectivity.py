"""Neuron selectivity transfer: what the channels respond to, as a set (Huang & Wang 2017)."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_prokt.losses.base import Objective, Shapes
from keras_prokt.losses.feature_maps import check_feature_maps, to_same_size
from keras_prokt.losses.lengths import unit
from keras_prokt.typing import Tensor


def neuron_selectivity_loss(teacher_map: Tensor, student_map: Tensor) -> Tensor:
    """Distance between the channels of two feature maps, as sets of patterns over the positions.

    The squared maximum mean discrepancy `⟨k(t, t')⟩ − 2 ⟨k(t, s)⟩ + ⟨k(s, s')⟩` with the kernel
    `k(a, b) = (aᵀ b)²`, means over all pairs of channels, each channel divided by its length over
    the positions; Huang & Wang, section 4, their polynomial kernel with `d = 2, c = 0`. The larger
    map is average-pooled first. The order and the scale of the channels change nothing.

    `Σ (aᵢᵀ bⱼ)² = ⟨A Aᵀ, B Bᵀ⟩`, with one channel a column, is either a sum over pairs of channels
    or over pairs of positions: the one of fewer numbers is computed. Between ResNet50's 2048
    channels of 4×4 that is 256 numbers an example rather than 4 million.

    Args:
        teacher_map: Shape `(batch, height, width, channels)`.
        student_map: Shape `(batch, height, width, channels)`, each size may differ.

    Returns:
        Shape `(batch,)`, float32, in [0, 2] up to rounding.

    Raises:
        ValueError: If a height or width is not known.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.neuron_selectivity import neuron_selectivity_loss
    >>> teacher, student = np.zeros((2, 1, 2, 2, 1))
    >>> teacher[0, 0, 0], student[0, 0, 1] = 3.0, 5.0
    >>> round(float(neuron_selectivity_loss(teacher[:1], student[:1])[0]), 4)
    2.0
    """
    teacher, student = (_patterns(m) for m in to_same_size(teacher_map, student_map))
    return (
        _mean_kernel(teacher, teacher)
        - 2 * _mean_kernel(teacher, student)
        + _mean_kernel(student, student)
    )


def _patterns(feature_map: Tensor) -> Tensor:
    """Shape `(batch, positions, channels)`, each channel of length 1."""
    height, width, channels = feature_map.shape[1:]
    return unit(ops.reshape(feature_map, (-1, height * width, channels)), axis=1)


def _mean_kernel(first: Tensor, second: Tensor) -> Tensor:
    """Mean of `(aᵀ b)²` over the pairs of a channel of each, shape `(batch,)`."""
    positions, pairs = first.shape[1], first.shape[2] * second.shape[2]
    if pairs <= positions**2:
        products = ops.square(ops.matmul(ops.transpose(first, (0, 2, 1)), second))
    else:
        products = _between_positions(first) * _between_positions(second)
    return ops.sum(products, axis=(1, 2)) / pairs


def _between_positions(patterns: Tensor) -> Tensor:
    return ops.matmul(patterns, ops.transpose(patterns, (0, 2, 1)))


@keras.saving.register_keras_serializable(package="keras_prokt")
class NeuronSelectivity(Objective):
    """Objective `nst`: the patterns of the channels at every stage, summed over the stages.

    Args:
        weight: Factor of this term; 50 in the CIFAR-100 recipe.
        name: Name of the term in the logs.

    Raises:
        ValueError: Once the networks are known, if they have no stages that can be matched.

    Example:

    >>> from keras_prokt.losses.neuron_selectivity import NeuronSelectivity
    >>> NeuronSelectivity().reads
    ('stages',)
    """

    id = "nst"
    reads = ("stages",)

    def build_adapters(self, teacher: Shapes, student: Shapes) -> None:
        check_feature_maps(self.id, teacher["stages"], student["stages"])

    def call(self, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> Tensor:
        pairs = zip(teacher["stages"], student["stages"], strict=False)
        return sum(neuron_selectivity_loss(*pair) for pair in pairs)
