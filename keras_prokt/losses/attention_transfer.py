"""Attention transfer: where in the image the stages are active (Zagoruyko & Komodakis 2017)."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_prokt.losses.base import Objective, Shapes
from keras_prokt.losses.feature_maps import check_feature_maps, to_same_size
from keras_prokt.losses.lengths import unit
from keras_prokt.typing import Tensor


def attention_transfer_loss(teacher_map: Tensor, student_map: Tensor) -> Tensor:
    """Distance of the student's spatial attention at one stage from the teacher's.

    `mean_p (a_T(p) − a_S(p))²` with `a = m / ‖m‖₂` and `m(p) = mean_c f(p, c)²` over the positions
    `p` of a feature map `f`; the activation-based loss of Zagoruyko & Komodakis, Eq. 2, with the
    sum of squares as mapping. The larger map is average-pooled first. The mean over positions in
    place of their norm is what the weight 1000 of the CRD codebase belongs to.

    Args:
        teacher_map: Shape `(batch, height, width, channels)`.
        student_map: Shape `(batch, height, width, channels)`, each size may differ.

    Returns:
        Shape `(batch,)`, float32, in [0, 2 / positions].

    Raises:
        ValueError: If a height or width is not known.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.attention_transfer import attention_transfer_loss
    >>> teacher, student = np.zeros((2, 1, 2, 2, 1))
    >>> teacher[0, 0, 0], student[0, 0, 1] = 3.0, 5.0
    >>> round(float(attention_transfer_loss(teacher[:1], student[:1])[0]), 4)
    0.5
    """
    teacher_map, student_map = to_same_size(teacher_map, student_map)
    difference = _attention(teacher_map) - _attention(student_map)
    return ops.mean(ops.square(difference), axis=-1)


def _attention(feature_map: Tensor) -> Tensor:
    """Shape `(batch, positions)`, of length 1."""
    positions = feature_map.shape[1] * feature_map.shape[2]
    activity = ops.mean(ops.square(feature_map), axis=-1)
    return unit(ops.reshape(activity, (-1, positions)))


@keras.saving.register_keras_serializable(package="keras_prokt")
class AttentionTransfer(Objective):
    """Objective `at`: the spatial attention of every stage, summed over the stages.

    Args:
        weight: Factor of this term; 1000 in the CIFAR-100 recipe.
        name: Name of the term in the logs.

    Raises:
        ValueError: Once the networks are known, if they have no stages that can be matched.

    Example:

    >>> from keras_prokt.losses.attention_transfer import AttentionTransfer
    >>> AttentionTransfer().reads
    ('stages',)
    """

    id = "at"
    reads = ("stages",)

    def build_adapters(self, teacher: Shapes, student: Shapes) -> None:
        check_feature_maps(self.id, teacher["stages"], student["stages"])

    def call(self, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> Tensor:
        pairs = zip(teacher["stages"], student["stages"], strict=False)
        return sum(attention_transfer_loss(*pair) for pair in pairs)
