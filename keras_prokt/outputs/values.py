"""Outputs of the kind `values`: numbers to be predicted (regression), one or several an example."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt.outputs.base import KerasLosses, MeanOf, Output
from keras_prokt.outputs.keras_losses import both_forms
from keras_prokt.outputs.label_arrays import as_numpy, check_numbers
from keras_prokt.outputs.smoothing import SmoothedCrossEntropy
from keras_prokt.typing import Tensor

_OF_VALUES = both_forms(
    *("MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError"),
    *("MeanSquaredLogarithmicError", "Huber", "LogCosh", "CosineSimilarity"),
)
# Of classes, of yes and no, of rates, or of other things than labels.
_OF_OTHERS = both_forms(
    *("SparseCategoricalCrossentropy", "CategoricalCrossentropy", "CategoricalFocalCrossentropy"),
    *("CategoricalGeneralizedCrossEntropy", "BinaryCrossentropy", "BinaryFocalCrossentropy"),
    *("CategoricalHinge", "Hinge", "SquaredHinge", "KLDivergence", "Poisson"),
    *("CTC", "Circle", "Dice", "Tversky"),
)


class Values(Output):
    """Numbers to be predicted: outputs are the means `μ` of Gaussians of unit variance.

    - Labels: `(batch, values)`, finite; for one value also `(batch,)`.
    - Loss: `½ ‖y − μ‖² / d` for `d` values, half of Keras's mean squared error; divergence:
      `½ ‖μ − μ'‖² / d`, the KL divergence of such Gaussians over `d`.
    - Neutral start: the mean of the training labels.

    Labels far from the scale of 1 are best standardised: `(y - y.mean(0)) / y.std(0)`. There is no
    temperature, since `T²` times the divergence at `T` is the same at every `T`.
    """

    id = "values"
    unit = "values"
    least_width = 1
    too_narrow = "end it in keras.layers.Dense with a unit for each value"
    activations = ()  # a mean may be what a sigmoid gives
    is_inferred = False
    may_be_unlabelled = False
    losses = KerasLosses(
        from_logits=(),
        of_means=_OF_VALUES,
        refused=(SmoothedCrossEntropy, *_OF_OTHERS),
        advice="leave out loss= for half the mean squared error",
    )
    main_metric = "mean_squared_error"
    lower_is_better = frozenset({"mean_squared_error", "mean_absolute_error"})
    faults = {"labels": "Expected finite labels, received NaN or infinity; clean the data."}

    def check_form(self, labels: Any, width: int, which: str = "") -> None:
        form = f"(batch, {width})" + (" or (batch,)" if width == 1 else "")
        expected = f"{which}labels of shape {form} that are numbers"
        check_numbers(labels, expected, if_strings="convert them", convert_to="float32")
        shape = tuple(labels.shape)
        if not (shape[1:] == (width,) or (width == 1 and len(shape) == 1)):
            raise ValueError(
                f"Expected {expected}, received shape {shape}; check the labels or the width of "
                "the models' outputs."
            )

    def check_values(self, labels: Any, width: int, which: str = "") -> None:
        array = as_numpy(labels)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0])
            raise ValueError(
                f"Expected finite {which}labels, received NaN or infinity, first in example {row}; "
                "clean the data."
            )

    def check_class_weight(self, labels: Any, width: int) -> None:
        raise ValueError(
            "Expected no class_weight for outputs of the kind 'values', received one; give a "
            "sample_weight for each example."
        )

    def check_ignore_class(self, ignore_class: int) -> None:
        raise ValueError(
            "Expected no ignore_class for outputs of the kind 'values', received "
            f"{ignore_class}, which is a value too; leave it out, and rows without a label."
        )

    def check_temperature(self, temperature: float) -> None:
        if temperature != 1:
            raise ValueError(
                "Expected temperature 1 for outputs of the kind 'values', received "
                f"{temperature!r}; leave it out: T² times their divergence is the same at every T."
            )

    def checked(self, labels: Tensor, width: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Float32 numbers `(batch, values)`, 0 in place of those that are not finite."""
        values = ops.reshape(ops.cast(labels, "float32"), (-1, width))
        valid = ops.isfinite(values)
        bad = ops.cast(ops.logical_not(ops.all(valid)), "float32")
        return ops.where(valid, values, ops.zeros_like(values)), {"labels": bad}

    def best_constant(self, labels: Tensor, width: int) -> Tensor:
        return ops.mean(ops.reshape(ops.cast(labels, "float32"), (-1, width)), axis=0)

    def start(self, labels: Any) -> Tensor:
        """The mean of the labels."""
        rows = as_numpy(labels)
        return self.best_constant(ops.convert_to_tensor(rows), math.prod(rows.shape[1:]))

    def divergence(self, target: Tensor, outputs: Tensor, temperature: float = 1.0) -> Tensor:
        target, outputs = (ops.cast(mean, "float32") for mean in (target, outputs))
        return 0.5 * _squared_error(target, outputs) / temperature**2

    def negative_log_likelihood(self, labels: Tensor, outputs: Tensor) -> Tensor:
        # Up to a constant.
        return 0.5 * _squared_error(labels, outputs)

    def means(self, outputs: Tensor) -> Tensor:
        return outputs

    def metrics(self, width: int, prefix: str = "") -> list[keras.metrics.Metric]:
        """Mean squared and mean absolute error, over examples and values."""
        return [
            MeanOf(_squared_error, f"{prefix}mean_squared_error"),
            MeanOf(_absolute_error, f"{prefix}mean_absolute_error"),
        ]

    def predictions(self, outputs: Tensor) -> dict[str, Tensor]:
        """`values`, float32 `(batch, values)`."""
        return {"values": outputs}

    def check_names(self, names: Sequence[str], width: int) -> None:
        raise ValueError(
            "Expected no class_names for outputs of the kind 'values', received "
            f"{names!r}; a served model returns values in the order of its outputs."
        )


def _squared_error(labels: Tensor, outputs: Tensor) -> Tensor:
    """Mean over values, `(batch,)`."""
    return ops.mean(ops.square(labels - outputs), axis=-1)


def _absolute_error(labels: Tensor, outputs: Tensor) -> Tensor:
    """Mean over values, `(batch,)`."""
    return ops.mean(ops.abs(labels - outputs), axis=-1)
