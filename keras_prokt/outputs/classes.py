"""Outputs of the kind `classes`: one class an example, by its index or as a distribution."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt.data.columns import Column
from keras_prokt.data.noise import wrong_labels
from keras_prokt.outputs.base import KerasLosses, MeanOf, Output, named_columns
from keras_prokt.outputs.class_weights import ClassWeightedLoss
from keras_prokt.outputs.divergence import (
    are_distributions,
    class_indices,
    float_dtype,
    kl_divergence,
)
from keras_prokt.outputs.f1 import F1
from keras_prokt.outputs.keras_losses import both_forms, configuration, is_one_of
from keras_prokt.outputs.label_arrays import HINT, as_numpy, check_numbers
from keras_prokt.outputs.reports import class_report
from keras_prokt.outputs.scores import (
    area_under_curves,
    balanced_accuracy,
    expected_calibration_error,
    macro_f1,
    softmax,
)
from keras_prokt.outputs.smoothing import SmoothedCrossEntropy
from keras_prokt.typing import Tensor

ROW_TOLERANCE = 0.02
"""How far from 1 a row of probabilities may sum: three times 0.33 passes, as do float16 rows."""

ROWS = (
    "Expected {which}labels whose rows are non-negative and sum to 1, one distribution over the "
    "{width} classes an example, received {received}; divide each row by its sum, or, if an "
    "example can have several labels or none (multi-label), make the distiller with "
    "output='labels', a sigmoid for each label{hint}."
)
INDICES = (
    "Expected {which}labels in [0, {width}), received {received}; check the labels or the width "
    "of the models' outputs{hint}."
)

_SPARSE = both_forms("SparseCategoricalCrossentropy")
_CATEGORICAL = both_forms("CategoricalCrossentropy")
_GENERALIZED = both_forms("CategoricalGeneralizedCrossEntropy")
# What Keras's losses compare with one-hot labels or distributions: probabilities,
_OF_PROBABILITIES = both_forms(
    *("BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalFocalCrossentropy"),
    *("KLDivergence", "Poisson", "CosineSimilarity", "Huber", "LogCosh"),
    *("MeanAbsoluteError", "MeanSquaredError", "MeanSquaredLogarithmicError"),
)
# or scores of any size.
_OF_SCORES = both_forms("CategoricalHinge", "Hinge", "SquaredHinge")
# Of sequences, embeddings and whole images, and what divides by labels that are 0.
_OF_OTHERS = both_forms("CTC", "Circle", "Dice", "Tversky", "MeanAbsolutePercentageError")


class Classes(Output):
    """One class an example: outputs are the logits of a softmax.

    - Labels: class indices `(batch,)`, or one-hot rows or distributions `(batch, classes)`.
    - Loss: cross entropy `H(y, p)`; divergence: `KL(softmax(z/T) ‖ softmax(z'/T))`.
    - Neutral start: the uniform distribution.
    """

    id = "classes"
    unit = "classes"
    least_width = 2
    too_narrow = "two classes are two logits, and one logit is a yes-or-no label: output='labels'"
    losses = KerasLosses(
        from_logits=(_SPARSE, _CATEGORICAL),
        of_means=(*_OF_PROBABILITIES, *_GENERALIZED),
        of_indices=(*_SPARSE, *_GENERALIZED),
        of_rows=(*_CATEGORICAL, *_OF_PROBABILITIES, *_OF_SCORES),
        refused=_OF_OTHERS,
        advice="leave out loss= for the cross entropy",
    )
    main_metric = "accuracy"
    more_metrics = {"f1": F1}
    faults = {
        "labels": (
            "Expected integer labels in [0, {width}) or one-hot rows of width {width}, received "
            "a label that is none of them; check the labels or the width of both models' outputs, "
            f"or say {HINT}."
        ),
        "label_rows": ROWS.replace("{which}", "")
        .replace("{received}", "others")
        .replace("{hint}", ""),
    }

    def check_form(self, labels: Any, width: int, which: str = "") -> None:
        check_numbers(
            labels,
            f"integer {which}labels in [0, {width})",
            if_strings="number the classes, as numpy.unique(labels, return_inverse=True)[1] or "
            "keras.layers.StringLookup does",
            convert_to="int64",
        )
        shape = tuple(labels.shape)
        is_column = len(shape) == 2 and shape[-1] == 1
        if not (len(shape) == 1 or is_column or are_distributions(labels, width)):
            advice = "check the labels or the width of the models' outputs"
            if None in shape[1:]:
                advice = f"tell it: tf.ensure_shape(labels, (None, {width})), if that is so"
            raise ValueError(
                f"Expected integer {which}labels of shape (batch,) or one-hot labels of shape "
                f"(batch, {width}), received shape {shape}; {advice}."
            )

    def check_values(self, labels: Any, width: int, which: str = "") -> None:
        array = as_numpy(labels)
        if array.dtype.kind not in "biuf":  # a sparse tensor
            return
        found = first_bad_label(
            array if are_distributions(array, width) else array.reshape(-1), width
        )
        if found is not None:
            row, message, received, hint = found
            received = f"{received} in example {row}"
            raise ValueError(message.format(which=which, width=width, received=received, hint=hint))

    def valid_label(self, labels: Any, width: int) -> np.ndarray:
        if are_distributions(labels, width):
            return np.arange(width) == 0
        return super().valid_label(labels, width)

    def checked(self, labels: Tensor, width: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Float32 distributions `(batch, classes)`, or int32 indices `(batch,)`, 0 if bad."""
        if are_distributions(labels, width):
            rows = ops.cast(labels, "float32")
            sums_to_one = ops.abs(ops.sum(rows, axis=-1) - 1) <= ROW_TOLERANCE
            good = ops.logical_and(ops.all(sums_to_one), ops.all(rows >= 0))
            return rows, {"label_rows": ops.cast(ops.logical_not(good), "float32")}
        index = class_indices(labels, width)
        valid = ops.logical_and(index >= 0, index < width)
        if float_dtype(labels):  # 1.5 and NaN are no classes, which the conversion hides
            whole = ops.reshape(ops.floor(labels) == labels, (-1,))
            valid = ops.logical_and(valid, whole)
        bad = ops.cast(ops.logical_not(ops.all(valid)), "float32")
        return ops.where(valid, index, ops.zeros_like(index)), {"labels": bad}

    def right_answers(self, labels: Tensor, width: int) -> Tensor:
        return class_indices(labels, width)

    def best_constant(self, labels: Tensor, width: int) -> Tensor:
        shares = ops.mean(ops.one_hot(class_indices(labels, width), width), axis=0)
        return ops.log(ops.maximum(shares, 1e-7))

    def wrong_labels(
        self, labels: np.ndarray, names: Sequence[str], share: float, seed: int
    ) -> np.ndarray:
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise ValueError(
                "Expected class indices of shape (examples,) for label noise, received "
                f"{labels.dtype} of shape {labels.shape}; use labels.argmax(-1) of one-hot labels."
            )
        if len(names) < 2:
            raise ValueError(
                "Expected the names of all classes for label noise, which tell how many there are, "
                f"received {list(names)}; name them in the app's task."
            )
        return wrong_labels(labels, len(names), share, seed)

    def smoothed_loss(self, label_smoothing: float) -> keras.losses.Loss:
        return SmoothedCrossEntropy(label_smoothing)

    def class_counts(self, labels: np.ndarray, names: Sequence[str]) -> dict[str, int]:
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise ValueError(
                "Expected class indices of shape (examples,) for class weights, received "
                f"{labels.dtype} of shape {labels.shape}; use labels.argmax(-1) of one-hot labels."
            )
        counts = np.bincount(labels[labels >= 0], minlength=len(names)).tolist()
        # More labels than names are refused elsewhere.
        return dict(zip(names or map(str, range(len(counts))), counts, strict=False))

    def class_weighted_loss(
        self, weights: Sequence[float], label_smoothing: float = 0.0
    ) -> keras.losses.Loss:
        sparse, *_ = _SPARSE
        loss = sparse(from_logits=True)
        return ClassWeightedLoss(
            SmoothedCrossEntropy(label_smoothing) if label_smoothing else loss, weights
        )

    def default_loss(self, labels: Tensor, width: int) -> keras.losses.Loss:
        loss, *_ = _CATEGORICAL if are_distributions(labels, width) else _SPARSE
        return loss(from_logits=True)

    def check_loss(self, loss: Any, name: str, labels: Any, width: int, which: str = "") -> None:
        rows = are_distributions(labels, width)
        if is_one_of(loss, self.losses.of_rows) and not rows:
            smoothing = configuration(loss).get("label_smoothing")
            smoothed = f"keras_prokt.losses.SmoothedCrossEntropy({smoothing})"
            raise ValueError(
                f"Expected one-hot labels of shape (batch, {width}) for the loss {name}, "
                f"received {which}labels that are integers; "
                f"use loss={smoothed if smoothing else None} for integers, or one-hot labels: "
                f"keras.utils.to_categorical(labels, {width})."
            )
        if is_one_of(loss, self.losses.of_indices) and rows:
            raise ValueError(
                f"Expected integer labels of shape (batch,) for the loss {name}, received "
                f"{which}labels that are rows of {width}; use loss=None for rows, or integer "
                "labels: labels.argmax(axis=-1)."
            )

    def divergence(self, target: Tensor, outputs: Tensor, temperature: float = 1.0) -> Tensor:
        return kl_divergence(target, outputs, temperature)

    def negative_log_likelihood(self, labels: Tensor, outputs: Tensor) -> Tensor:
        # Of the most probable class where labels are distributions.
        logs = ops.log_softmax(outputs, axis=-1)
        index = ops.expand_dims(class_indices(labels, outputs.shape[-1]), -1)
        return -ops.squeeze(ops.take_along_axis(logs, index, axis=-1), -1)

    def means(self, outputs: Tensor) -> Tensor:
        # TensorFlow's softmax of Keras marks its result with its logits, and the binary cross
        # entropy would take their sigmoid instead.
        return ops.exp(ops.log_softmax(outputs, axis=-1))

    def outputs_of_means(self, means: np.ndarray) -> np.ndarray:
        sums = means.sum(axis=-1, dtype="float64")
        bad = ~((means >= 0).all(axis=-1) & (np.abs(sums - 1) <= ROW_TOLERANCE))
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                "Expected probabilities that are non-negative and sum to 1, one distribution over "
                f"the classes a row, received {_described(means[row])} in row {row}; divide each "
                "row by its sum, or store logits as what they are."
            )
        return np.log(np.maximum(means, 1e-7))

    def metrics(self, width: int, prefix: str = "") -> list[keras.metrics.Metric]:
        return [MeanOf(are_correct, f"{prefix}accuracy")]

    def scores(self, labels: Tensor, outputs: Tensor) -> dict[str, float]:
        """Macro F1, balanced accuracy, area under the ROC curves (one-vs-rest), calibration."""
        right = as_numpy(self.right_answers(labels, outputs.shape[-1]))
        answers = as_numpy(self.answers(outputs))
        probabilities = softmax(as_numpy(outputs))
        auc = area_under_curves(right, probabilities)
        return {
            "macro_f1": macro_f1(right, answers),
            "balanced_accuracy": balanced_accuracy(right, answers),
            **({} if auc is None else {"auc": auc}),
            "expected_calibration_error": expected_calibration_error(
                right == answers, probabilities.max(axis=-1)
            ),
        }

    def report(self, labels: Tensor, outputs: Tensor) -> dict[str, Any]:
        """As `keras_prokt.outputs.reports.class_report`."""
        right = as_numpy(self.right_answers(labels, outputs.shape[-1]))
        return class_report(right, as_numpy(self.answers(outputs)), softmax(as_numpy(outputs)))

    def predictions(self, outputs: Tensor) -> dict[str, Tensor]:
        """`probabilities`, float32 `(batch, classes)`, and `label`, int64 `(batch,)`."""
        # Not ops.argmax: its BitwiseAnd is unknown to LiteRT.
        label = ops.cast(ops.top_k(outputs, k=1)[1][..., 0], "int64")
        return {"probabilities": ops.softmax(outputs), "label": label}

    def answers(self, outputs: Tensor) -> Tensor:
        """The most probable class, `(batch,)`."""
        return ops.cast(ops.argmax(outputs, axis=-1), "int32")

    def columns(self, outputs: Tensor, names: Sequence[str]) -> list[Column]:
        """`class_name`, and `p(NAME)` of each class."""
        names = names or [str(number) for number in range(outputs.shape[-1])]
        return named_columns(self.answers(outputs), self.means(outputs), names)

    def name_indices(self, predictions: Mapping[str, Tensor]) -> Tensor:
        return predictions["label"]

    def are_finite(self, outputs: Tensor) -> Tensor:
        # Logits may be finite and too far apart for float32 to hold their distance.
        return ops.all(ops.isfinite(ops.log_softmax(outputs, axis=-1)))

    def are_probabilities(self, outputs: Tensor) -> Tensor:
        sums_to_one = ops.all(ops.abs(ops.sum(outputs, axis=-1) - 1) < 1e-3)
        return ops.cast(ops.logical_and(sums_to_one, ops.all(outputs >= 0)), "float32")


def are_correct(labels: Tensor, outputs: Tensor) -> Tensor:
    """Whether the most probable class is that of the label, float32 `(batch,)`."""
    predicted = ops.cast(ops.argmax(outputs, axis=-1), "int32")
    return ops.cast(ops.equal(class_indices(labels, outputs.shape[-1]), predicted), "float32")


def first_bad_label(labels: np.ndarray, width: int) -> tuple[int, str, str, str] | None:
    """The first of labels that is no class and no distribution over classes.

    Args:
        labels: Shape `(labels,)` or `(labels, width)`.
        width: Number of classes.

    Returns:
        Its number, the message, what is wrong with it and what else it may mean; `None` if all
        are right.
    """
    if labels.ndim == 2:
        sums = labels.sum(axis=-1, dtype="float64")
        bad = ~((labels >= 0).all(axis=-1) & (np.abs(sums - 1) <= ROW_TOLERANCE))
    else:
        whole = np.floor(labels) == labels if labels.dtype.kind == "f" else True
        bad = ~((labels >= 0) & (labels < width) & whole)
    if not bad.any():
        return None
    row = int(np.argmax(bad))
    hint = f", or say {HINT}" if (labels[row] == -1).all() else ""
    return row, ROWS if labels.ndim == 2 else INDICES, _described(labels[row]), hint


def _described(label: np.ndarray) -> str:
    """An index, or what is wrong with a row."""
    if label.ndim == 0:
        return repr(label.item())
    if not (label >= 0).all():
        return f"a row with {label.min().item():.4g}"
    return f"a row that sums to {label.sum(dtype='float64').item():.4g}"
