"""Correlation congruence: errors that go together in neighbouring examples (Peng et al. 2019)."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_prokt.arguments import shown
from keras_prokt.losses.adapters import uniform_by_inputs
from keras_prokt.losses.base import Objective, Shapes
from keras_prokt.typing import Tensor


def correlation_congruence_loss(teacher_embedding: Tensor, student_embedding: Tensor) -> Tensor:
    """How far the student's errors in neighbouring examples of the batch go together.

    The pair of the examples `i` and `i + 1` has the value `Σ_k |Δ_i|_k |Δ_{i+1}|_k` with
    `Δ = student − teacher`; the loss is the mean over the `batch − 1` pairs. It is the form that
    the CRD codebase has from the authors of the paper, whose own formula (section 3) compares
    whole matrices of correlations.

    Args:
        teacher_embedding: Shape `(batch, dimensions)`.
        student_embedding: Same shape.

    Returns:
        Shape `(batch,)`, float32, at least 0: half the value of each pair that an example belongs
        to, times `batch / (batch − 1)`, so that their mean is the mean over the pairs. 0 in a
        batch of one.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.correlation_congruence import correlation_congruence_loss
    >>> values = correlation_congruence_loss(np.zeros((3, 1)), np.array([[1.0], [2.0], [-3.0]]))
    >>> [float(value) for value in values]  # the pairs are 2 and 6, the mean 4
    [1.5, 6.0, 4.5]
    """
    teacher = ops.cast(teacher_embedding, "float32")
    student = ops.cast(student_embedding, "float32")
    error = ops.abs(student - teacher)
    pairs = ops.sum(error[:-1] * error[1:], axis=-1)
    none = ops.zeros((1,), dtype="float32")
    of_example = (ops.concatenate([none, pairs]) + ops.concatenate([pairs, none])) / 2
    batch = ops.cast(ops.shape(error)[0], "float32")
    return of_example * batch / ops.maximum(batch - 1, 1.0)


@keras.saving.register_keras_serializable(package="keras_prokt")
class CorrelationCongruence(Objective):
    """Objective `cc`: correlated errors in the pooled features, as two linear maps embed them.

    Both maps are trained with the student.

    Args:
        dimensions: Size of the embedding; 128 in the CRD codebase.
        weight: Factor of this term; 0.02 in the CIFAR-100 recipe.
        name: Name of the term in the logs.

    Raises:
        ValueError: If the dimensions are not a positive whole number.

    Example:

    >>> from keras_prokt.losses.correlation_congruence import CorrelationCongruence
    >>> objective = CorrelationCongruence()
    >>> objective.build_for({"pooled": (None, 256)}, {"pooled": (None, 64)})
    >>> [tuple(variable.shape) for variable in objective.trainable_variables]
    [(256, 128), (128,), (64, 128), (128,)]
    """

    id = "cc"
    reads = ("pooled",)

    def __init__(self, dimensions: int = 128, *, weight: float = 1.0, name: str | None = None):
        super().__init__(weight=weight, name=name)
        if not isinstance(dimensions, int) or isinstance(dimensions, bool) or dimensions < 1:
            raise ValueError(
                "Expected a positive whole number of dimensions, received "
                f"{shown(dimensions)}; the CRD codebase uses 128."
            )
        self.dimensions = dimensions

    def build_adapters(self, teacher: Shapes, student: Shapes) -> None:
        self.teacher_embedding = self._embedding(teacher["pooled"], "teacher_embedding")
        self.student_embedding = self._embedding(student["pooled"], "student_embedding")

    def _embedding(self, shape: tuple[int | None, ...], name: str) -> keras.layers.Layer:
        layer = keras.layers.Dense(
            self.dimensions,
            kernel_initializer=uniform_by_inputs(shape[-1]),
            bias_initializer=uniform_by_inputs(shape[-1]),
            dtype="float32",
            name=name,
        )
        layer.build(shape)
        return layer

    def call(self, teacher: Mapping[str, Tensor], student: Mapping[str, Tensor]) -> Tensor:
        return correlation_congruence_loss(
            self.teacher_embedding(teacher["pooled"]), self.student_embedding(student["pooled"])
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dimensions": self.dimensions}
