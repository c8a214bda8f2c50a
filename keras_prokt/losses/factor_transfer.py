"""Factor transfer: the student translates a paraphrase of the teacher (Kim et al. 2018)."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_prokt.arguments import checked_number
from keras_prokt.losses.base import Objective, Shape, Shapes
from keras_prokt.losses.feature_maps import check_feature_map, to_same_size
from keras_prokt.losses.lengths import unit
from keras_prokt.losses.regressors import (
    Layers,
    build_in_turn,
    convolution,
    normalization_layer,
    run_in_turn,
)
from keras_prokt.typing import Tensor


def factor_transfer_loss(teacher_factor: Tensor, student_factor: Tensor) -> Tensor:
    """Distance of the student's factor from the teacher's.

    `mean_p |a_T(p) − a_S(p)|` with `a = m / ‖m‖₂` and `m(p) = mean_c f(p, c)²` over the positions
    `p` of a factor `f`. "Paraphrasing Complex Network: Network Compression via Factor Transfer"
    (section 3) compares normalised factors by their distance; this is the form of the CRD
    codebase, to which the weight 200 belongs. The larger factor is average-pooled first.

    Args:
        teacher_factor: Shape `(batch, height, width, channels)`.
        student_factor: The same, each size may differ.

    Returns:
        Shape `(batch,)`, float32, at least 0.

    Raises:
        ValueError: If a height or width is not known.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.factor_transfer import factor_transfer_loss
    >>> teacher, student = np.zeros((2, 1, 2, 2, 1))
    >>> teacher[0, 0, 0], student[0, 0, 1] = 3.0, 5.0
    >>> round(float(factor_transfer_loss(teacher, student)[0]), 4)
    0.5
    """
    teacher_factor, student_factor = to_same_size(teacher_factor, student_factor)
    difference = _activity(teacher_factor) - _activity(student_factor)
    return ops.mean(ops.abs(difference), axis=-1)


def _activity(factor: Tensor) -> Tensor:
    """Shape `(batch, positions)`, of length 1."""
    positions = factor.shape[1] * factor.shape[2]
    return unit(ops.reshape(ops.mean(ops.square(factor), axis=-1), (-1, positions)))


def reconstruction_loss(teacher_map: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean squared error of a reconstructed feature map.

    Args:
        teacher_map: Shape `(batch, height, width, channels)`.
        reconstruction: Same shape.

    Returns:
        Shape `(batch,)`, float32, at least 0.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.factor_transfer import reconstruction_loss
    >>> float(reconstruction_loss(np.full((1, 2, 2, 3), 3.0), np.ones((1, 2, 2, 3)))[0])
    4.0
    """
    error = ops.cast(teacher_map, "float32") - ops.cast(reconstruction, "float32")
    return ops.mean(ops.square(error), axis=(1, 2, 3))


class Paraphraser(keras.layers.Layer):
    """An auto-encoder of the teacher's feature map, whose code is the teacher's factor.

    Encoder: three 3×3 convolutions, to `channels`, then twice to the factor's channels; decoder:
    the mirror image in transposed convolutions; each with bias and followed by a leaky ReLU with
    slope 0.1, without batch normalisation, as in the CRD codebase.

    Args:
        factor_ratio: Channels of the factor for one of the feature map.

    Example:

    >>> from keras_prokt.losses.factor_transfer import Paraphraser
    >>> paraphraser = Paraphraser(0.5)
    >>> paraphraser.build((None, 4, 4, 10))
    >>> [tuple(layer.kernel.shape)[2:] for layer in paraphraser.encoder]
    [(10, 10), (10, 5), (5, 5)]
    """

    def __init__(self, factor_ratio: float):
        super().__init__(name="paraphraser", dtype="float32", autocast=False)
        self.factor_ratio = factor_ratio

    def build(self, input_shape: Shape) -> None:
        """Makes the layers, for whichever of two objectives asks first."""
        channels = input_shape[-1]
        factor = factor_channels(channels, self.factor_ratio)
        self.encoder = [
            convolution(channels, channels, 3, "encoder_1"),
            convolution(channels, factor, 3, "encoder_2"),
            convolution(factor, factor, 3, "encoder_3"),
        ]
        self.decoder = [
            convolution(factor, factor, 3, "decoder_1", is_transposed=True),
            convolution(factor, channels, 3, "decoder_2", is_transposed=True),
            convolution(channels, channels, 3, "decoder_3", is_transposed=True),
        ]
        build_in_turn([*self.encoder, *self.decoder], input_shape)

    def factor(self, feature_map: Tensor) -> Tensor:
        """The code of a feature map, `(batch, height, width, factor channels)`."""
        return _through(self.encoder, feature_map)

    def call(self, feature_map: Tensor) -> Tensor:
        """The reconstruction of a feature map, of its shape."""
        return _through(self.decoder, self.factor(feature_map))


def factor_channels(channels: int, factor_ratio: float) -> int:
    """Channels of the factor of a feature map.

    Raises:
        ValueError: If there are none.

    Example:

    >>> from keras_prokt.losses.factor_transfer import factor_channels
    >>> factor_channels(9, 0.5)
    4
    """
    factor = int(channels * factor_ratio)
    if factor < 1:
        raise ValueError(
            f"Expected a factor of at least one channel, received a factor_ratio of {factor_ratio} "
            f"for a feature map of {channels}; use a larger factor_ratio."
        )
    return factor


def _through(convolutions: Layers, tensor: Tensor) -> Tensor:
    for layer in convolutions:
        tensor = ops.leaky_relu(layer(tensor), negative_slope=0.1)
    return tensor


class _LastStages(Objective):
    """What both stages of factor transfer share: they read the last stage and one paraphraser."""

    reads = ("stages",)

    def __init__(
        self, factor_ratio: float, paraphraser: Paraphraser | None, weight: float, name: str | None
    ):
        super().__init__(weight=weight, name=name)
        factor_ratio = checked_number("factor_ratio", factor_ratio, is_bounded=True)
        if not 0 < factor_ratio < float("inf"):
            raise ValueError(
                f"Expected a factor_ratio above 0, received {factor_ratio!r}; 0.5 is the paper's."
            )
        self.factor_ratio = float(factor_ratio)
        self.paraphraser = Paraphraser(self.factor_ratio) if paraphraser is None else paraphraser

    def _build_paraphraser(self, teacher: Shapes) -> None:
        shape = self._last_shape("teacher", teacher)
        if not self.paraphraser.built:
            self.paraphraser.build(shape)
        channels = self.paraphraser.encoder[0].kernel.shape[2]
        if channels != shape[-1]:
            raise ValueError(
                f"Expected a teacher whose last stage has {channels} channels, for which the "
                f"paraphraser was made, received {shape[-1]}; make a new objective for another "
                "teacher."
            )

    def _last_shape(self, role: str, shapes: Shapes) -> Shape:
        shape = shapes["stages"][-1]
        check_feature_map(self.id, role, shape)
        return shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor_ratio": self.factor_ratio}


@keras.saving.register_keras_serializable(package="keras_prokt")
class ParaphraserReconstruction(_LastStages):
    """The first stage of objective `ft`: trains a paraphraser on the teacher's last feature map.

    The student takes no part. `FactorTransfer.first_stage` makes it around its own paraphraser;
    for both to hold the same, both have to live in one process.

    Args:
        factor_ratio: As in `FactorTransfer`.
        paraphraser: The layer to train; a new one by default.
        weight: Factor of this term.
        name: Name of the term in the logs.

    Example:

    >>> from keras_prokt.losses.factor_transfer import FactorTransfer
    >>> FactorTransfer().first_stage().trains_student
    False
    """

    id = "paraphraser"
    trains_student = False

    def __init__(
        self,
        factor_ratio: float = 0.5,
        *,
        paraphraser: Paraphraser | None = None,
        weight: float = 1.0,
        name: str | None = None,
    ):
        super().__init__(factor_ratio, paraphraser, weight, name)

    def build_adapters(self, teacher: Shapes, student: Shapes) -> None:
        self._build_paraphraser(teacher)

    def call(self, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> Tensor:
        feature_map = teacher["stages"][-1]
        return reconstruction_loss(feature_map, self.paraphraser(feature_map))


@keras.saving.register_keras_serializable(package="keras_prokt")
class FactorTransfer(_LastStages):
    """Objective `ft`: a paraphrase of the teacher's last feature map, translated by the student.

    In a stage of its own before (`first_stage`), a paraphraser is trained to reconstruct the
    feature map of the last stage from a factor with fewer channels. Then it is fixed, and a
    translator, trained with the student, makes a factor of the student's last feature map:
    three 3×3 convolutions with batch normalisation and leaky ReLU (slope 0.1), to the student's
    channels, then twice to the factor's. `factor_transfer_loss` compares the two factors.

    Args:
        factor_ratio: Channels of the factor for one of the teacher's feature map, above 0; 0.5
            in the paper and in the CRD codebase.
        weight: Factor of this term; 200 in the CIFAR-100 recipe.
        name: Name of the term in the logs.

    Raises:
        ValueError: If the ratio is out of range; once the networks are known, if it leaves no
            channel.

    Example:

    >>> from keras_prokt.losses.factor_transfer import FactorTransfer
    >>> objective = FactorTransfer()
    >>> objective.build_for({"stages": [(None, 4, 4, 10)]}, {"stages": [(None, 4, 4, 6)]})
    >>> [tuple(v.shape)[2:] for v in objective.trainable_variables if len(v.shape) == 4]
    [(6, 6), (6, 5), (5, 5)]
    """

    id = "ft"

    def __init__(self, factor_ratio: float = 0.5, *, weight: float = 1.0, name: str | None = None):
        super().__init__(factor_ratio, None, weight, name)
        self.translator: Layers = []

    def first_stage(self) -> Objective:
        return ParaphraserReconstruction(self.factor_ratio, paraphraser=self.paraphraser)

    def build_adapters(self, teacher: Shapes, student: Shapes) -> None:
        self._build_paraphraser(teacher)
        shape = self._last_shape("student", student)
        factor = factor_channels(teacher["stages"][-1][-1], self.factor_ratio)
        inputs = shape[-1]
        for number, channels in enumerate((inputs, factor, factor), 1):
            name = f"translator_{number}"
            self.translator += [
                convolution(inputs, channels, 3, name),
                normalization_layer(name),
                keras.layers.LeakyReLU(0.1, dtype="float32", name=f"{name}_activation"),
            ]
            inputs = channels
        build_in_turn(self.translator, shape)

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Those of the translator: the paraphraser stays as the first stage left it."""
        return [v for layer in self.translator for v in layer.trainable_variables]

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        """All other variables."""
        trained = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in trained]

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        """Same as `trainable_variables`."""
        return self.trainable_variables

    @property
    def non_trainable_weights(self) -> list[keras.Variable]:
        """Same as `non_trainable_variables`."""
        return self.non_trainable_variables

    def call(
        self,
        teacher: Mapping[str, Any],
        student: Mapping[str, Any],
        training: bool | None = None,
    ) -> Tensor:
        of_teacher = ops.stop_gradient(self.paraphraser.factor(teacher["stages"][-1]))
        of_student = run_in_turn(self.translator, student["stages"][-1], training)
        return factor_transfer_loss(of_teacher, of_student)
