"""Outputs of the kind `labels`: independent yes-or-no labels, one or several an example."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt.data.columns import Column
from keras_prokt.outputs.base import KerasLosses, MeanOf, Output, check_strings, named_columns
from keras_prokt.outputs.class_weights import ClassWeightedLoss
from keras_prokt.outputs.keras_losses import both_forms, name_of
from keras_prokt.outputs.label_arrays import HINT, as_numpy, check_numbers
from keras_prokt.outputs.reports import class_report, label_report
from keras_prokt.outputs.scores import (
    area_under_curve,
    balanced_accuracy,
    expected_calibration_error,
    sigmoid,
)
from keras_prokt.outputs.smoothing import SmoothedCrossEntropy
from keras_prokt.typing import Tensor

VALUES = (
    "Expected {which}labels that are 0, 1 or a probability between, received {received}; {advice}."
)

_BINARY = both_forms("BinaryCrossentropy")
_FOCAL = both_forms("BinaryFocalCrossentropy")
_OF_PROBABILITIES = both_forms(
    "Huber", "LogCosh", "MeanAbsoluteError", "MeanSquaredError", "MeanSquaredLogarithmicError"
)
# Of one class an example, whose probabilities sum to 1, or of other things than labels.
_OF_OTHERS = both_forms(
    *("SparseCategoricalCrossentropy", "CategoricalCrossentropy", "CategoricalFocalCrossentropy"),
    *("CategoricalGeneralizedCrossEntropy", "CategoricalHinge", "KLDivergence", "Poisson"),
    *("CosineSimilarity", "CTC", "Circle", "Dice", "Tversky", "MeanAbsolutePercentageError"),
)


class Labels(Output):
    """Independent yes-or-no labels: outputs are the logits of a sigmoid for each.

    One label is binary classification with one logit; several are multi-label classification.

    - Labels: 0 or 1, or probabilities, `(batch, labels)`; for one label also `(batch,)`.
    - Loss: mean over labels of the binary cross entropy, as Keras takes it; divergence: mean over
      labels of `KL(Bernoulli(σ(z/T)) ‖ Bernoulli(σ(z'/T)))`.
    - Neutral start: ½ each.
    """

    id = "labels"
    unit = "labels"
    least_width = 1
    too_narrow = "give it a logit for each label"
    activation = "sigmoid"
    losses = KerasLosses(
        from_logits=(_BINARY, _FOCAL),
        of_means=_OF_PROBABILITIES,
        refused=(SmoothedCrossEntropy, *_OF_OTHERS),
        advice="leave out loss= for the binary cross entropy",
    )
    main_metric = "accuracy"
    faults = {
        "labels": VALUES.format(
            which="",
            received="others",
            advice=f"check the labels or the kind of output, or say {HINT}",
        ),
    }

    def check_form(self, labels: Any, width: int, which: str = "") -> None:
        form = f"(batch, {width})" + (" or (batch,)" if width == 1 else "")
        check_numbers(
            labels,
            f"{which}labels of shape {form} that are 0 or 1",
            if_strings="make a column of 0 and 1 for each label, as "
            "keras.layers.StringLookup(output_mode='multi_hot') does",
            convert_to="float32",
        )
        shape = tuple(labels.shape)
        if shape[1:] == (width,) or (width == 1 and len(shape) == 1):
            return
        advice = "check the labels or the width of the models' outputs"
        if len(shape) == 1 or (len(shape) == 2 and shape[-1] == 1):
            advice = (
                "make a column for each label; if an example has exactly one class, make the "
                "distiller with output='classes'"
            )
        elif None in shape[1:]:
            advice = f"tell it: tf.ensure_shape(labels, (None, {width})), if that is so"
        raise ValueError(
            f"Expected {which}labels of shape {form}, 0 or 1 for each label, received shape "
            f"{shape}; {advice}."
        )

    def check_values(self, labels: Any, width: int, which: str = "") -> None:
        array = as_numpy(labels)
        if array.dtype.kind not in "biuf":  # a sparse tensor
            return
        rows = array.reshape(len(array), -1).astype("float64")
        bad = ~((rows >= 0) & (rows <= 1)).all(axis=-1)
        if bad.any():
            row = int(np.argmax(bad))
            value = next(v for v in rows[row] if not 0 <= v <= 1)
            advice = "divide the labels by their largest value, if they are shares"
            if value == -1:
                advice = f"where -1 means no, use (labels + 1) / 2, or say {HINT}"
            elif float(value).is_integer():
                advice = "class indices have as many logits as classes, and output='classes'"
            received = f"{value:g} in example {row}"
            raise ValueError(VALUES.format(which=which, received=received, advice=advice))

    def check_ignore_class(self, ignore_class: int) -> None:
        if 0 <= ignore_class <= 1:
            raise ValueError(
                "Expected an ignore_class other than 0 and 1 for outputs of the kind 'labels', "
                f"received {ignore_class}, which is a label; use -1."
            )

    def check_class_weight(self, labels: Any, width: int) -> None:
        if width > 1:
            raise ValueError(
                "Expected no class_weight for several labels an example, received one, which Keras "
                "would look up by the largest label; give a sample_weight for each example."
            )
        if labels is not None and not np.isin(as_numpy(labels), (0, 1)).all():
            raise ValueError(
                "Expected labels 0 or 1 with a class_weight, received probabilities, which Keras "
                "would round down; give a sample_weight for each example."
            )

    def checked(self, labels: Tensor, width: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Float32 probabilities `(batch, labels)`, 0 in place of those out of range."""
        values = ops.reshape(ops.cast(labels, "float32"), (-1, width))
        valid = ops.logical_and(values >= 0, values <= 1)
        bad = ops.cast(ops.logical_not(ops.all(valid)), "float32")
        return ops.where(valid, values, ops.zeros_like(values)), {"labels": bad}

    def right_answers(self, labels: Tensor, width: int) -> Tensor:
        return ops.cast(labels >= 0.5, "int32")

    def best_constant(self, labels: Tensor, width: int) -> Tensor:
        shares = ops.mean(ops.reshape(ops.cast(labels, "float32"), (-1, width)), axis=0)
        shares = ops.clip(shares, 1e-7, 1 - 1e-7)
        return ops.log(shares) - ops.log(1 - shares)

    def smoothed_loss(self, label_smoothing: float) -> keras.losses.Loss:
        # Keras mixes each label with 1/2.
        return keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=label_smoothing)

    def class_counts(self, labels: np.ndarray, names: Sequence[str]) -> dict[str, int]:
        """Those with no and those with yes, of one label."""
        if labels.ndim == 2 and labels.shape[1] != 1:
            raise ValueError(
                "Expected no class weights for several labels an example, received some; classes "
                "are what an example has one of."
            )
        if not np.isin(labels, (0, 1)).all():
            raise ValueError(
                "Expected labels 0 or 1 for class weights, received probabilities; leave them out."
            )
        yes = int(labels.sum())
        return dict(zip(names or ("0", "1"), (len(labels) - yes, yes), strict=True))

    def class_weighted_loss(
        self, weights: Sequence[float], label_smoothing: float = 0.0
    ) -> keras.losses.Loss:
        return ClassWeightedLoss(self.smoothed_loss(label_smoothing), weights)

    def default_loss(self, labels: Tensor, width: int) -> keras.losses.Loss:
        return keras.losses.BinaryCrossentropy(from_logits=True)

    def divergence(self, target: Tensor, outputs: Tensor, temperature: float = 1.0) -> Tensor:
        target = ops.cast(target, "float32") / temperature
        other = ops.cast(outputs, "float32") / temperature
        # log σ(z) and log (1 − σ(z)) = log σ(−z): no probability is ever clipped.
        yes = ops.sigmoid(target) * (ops.log_sigmoid(target) - ops.log_sigmoid(other))
        no = ops.sigmoid(-target) * (ops.log_sigmoid(-target) - ops.log_sigmoid(-other))
        return ops.mean(yes + no, axis=-1)

    def negative_log_likelihood(self, labels: Tensor, outputs: Tensor) -> Tensor:
        yes, no = ops.log_sigmoid(outputs), ops.log_sigmoid(-outputs)
        return -ops.mean(labels * yes + (1 - labels) * no, axis=-1)

    def means(self, outputs: Tensor) -> Tensor:
        # Not Keras's sigmoid, whose result TensorFlow marks with its logits.
        return ops.exp(ops.log_sigmoid(outputs))

    def outputs_of_means(self, means: np.ndarray) -> np.ndarray:
        bad = ~((means >= 0) & (means <= 1)).all(axis=-1)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                f"Expected probabilities in [0, 1], received {means[row].tolist()} in row {row}; "
                "store logits as what they are."
            )
        yes = np.clip(means, 1e-7, 1 - 1e-7)
        return np.log(yes) - np.log(1 - yes)

    def for_metrics(self, outputs: Tensor) -> Tensor:
        """Probabilities, with which Keras's metrics of yes and no compare a threshold of ½."""
        return self.means(outputs)

    def check_metric(self, metric: Any) -> None:
        is_metric = isinstance(metric, keras.metrics.Metric)
        if is_metric and metric.get_config().get("from_logits"):
            raise ValueError(
                "Expected metrics of probabilities for outputs of the kind 'labels', received "
                f"{name_of(metric)} with from_logits=True; leave that out: metrics receive "
                "sigmoid(logits)."
            )

    def metrics(self, width: int, prefix: str = "") -> list[keras.metrics.Metric]:
        """Share of labels that are right, of examples with all of them right, and macro F1."""
        return [
            MeanOf(lambda y, z: ops.mean(_are_correct(y, z), axis=-1), f"{prefix}accuracy"),
            MeanOf(lambda y, z: ops.min(_are_correct(y, z), axis=-1), f"{prefix}exact_match"),
            MacroF1(width, f"{prefix}macro_f1"),
        ]

    def scores(self, labels: Tensor, outputs: Tensor) -> dict[str, float]:
        """Means over labels of balanced accuracy, area under the ROC curve and calibration."""
        right = as_numpy(self.right_answers(labels, outputs.shape[-1])).T
        answers = as_numpy(self.answers(outputs)).T
        yes = sigmoid(as_numpy(outputs)).T
        areas = [area_under_curve(*one) for one in zip(right == 1, yes, strict=True)]
        known = [area for area in areas if area is not None]
        accuracies = [balanced_accuracy(*one) for one in zip(right, answers, strict=True)]
        confidence = np.maximum(yes, 1 - yes)
        errors = [
            expected_calibration_error(*one)
            for one in zip(right == answers, confidence, strict=True)
        ]
        return {
            "balanced_accuracy": float(np.mean(accuracies)),
            **({"auc": float(np.mean(known))} if known else {}),
            "expected_calibration_error": float(np.mean(errors)),
        }

    def report(self, labels: Tensor, outputs: Tensor) -> dict[str, Any]:
        """As `label_report`, of a single label `class_report` of its two answers."""
        right = as_numpy(self.right_answers(labels, outputs.shape[-1])).astype("int64")
        answers, yes = as_numpy(self.answers(outputs)), sigmoid(as_numpy(outputs))
        if outputs.shape[-1] > 1:
            return label_report(right, answers, yes)
        return class_report(right[:, 0], answers[:, 0], np.concatenate([1 - yes, yes], axis=-1))

    def predictions(self, outputs: Tensor) -> dict[str, Tensor]:
        """`probabilities`, float32, and `label`, int64 0 or 1, both `(batch, labels)`."""
        return {"probabilities": ops.sigmoid(outputs), "label": ops.cast(outputs > 0, "int64")}

    def answers(self, outputs: Tensor) -> Tensor:
        """0 or 1 for each label, `(batch, labels)`."""
        return ops.cast(outputs > 0, "int32")

    def columns(self, outputs: Tensor, names: Sequence[str]) -> list[Column]:
        """Of one label `class_name` and `p(NAME)` of both answers; of several `NAME`, 0 or 1, and
        `p(NAME)`, of each."""
        width = outputs.shape[-1]
        names = names or [str(number) for number in range(2 if width == 1 else width)]
        answers, yes = self.answers(outputs), self.means(outputs)
        if width == 1:
            return named_columns(answers[:, 0], ops.concatenate([1 - yes, yes], axis=-1), names)
        answers, yes = (ops.convert_to_numpy(values).T.tolist() for values in (answers, yes))
        return [
            *zip(names, answers, strict=True),
            *zip(map("p({})".format, names), yes, strict=True),
        ]

    def check_names(self, names: Sequence[str], width: int) -> None:
        # Of one label both answers have a name, as its two classes have.
        check_strings(names, 2 if width == 1 else width, "answers" if width == 1 else "labels")

    def name_table(self, names: Sequence[str], width: int) -> list[str]:
        """The names of no and yes of one label; of several their names after an empty string."""
        return list(names) if width == 1 else ["", *names]

    def name_indices(self, predictions: Mapping[str, Tensor]) -> Tensor:
        label = predictions["label"]
        if label.shape[-1] == 1:
            return label[:, 0]
        return label * ops.arange(1, label.shape[-1] + 1, dtype="int64")


class MacroF1(keras.metrics.Metric):
    """Mean over labels of F1, from counts over all examples seen.

    `2 TP / (2 TP + FP + FN)` of each label, 0 where neither labels nor predictions hold it. A
    prediction is yes above ½, a label from ½ on.

    Args:
        width: Number of labels.
        name: Name of the metric.
    """

    def __init__(self, width: int, name: str = "macro_f1"):
        super().__init__(name=name, dtype="float32")
        shape = {"shape": (width,), "initializer": "zeros"}
        self._true_positives = self.add_weight(name="true_positives", **shape)
        self._positives = self.add_weight(name="positives", **shape)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> None:
        """Counts a batch of labels and logits, both `(batch, labels)`, weighted `(batch,)`."""
        labels = ops.cast(y_true >= 0.5, "float32")
        predicted = ops.cast(y_pred > 0, "float32")
        weight = 1.0 if sample_weight is None else ops.cast(sample_weight, "float32")[:, None]
        self._true_positives.assign_add(ops.sum(weight * labels * predicted, axis=0))
        # 2 TP + FP + FN
        self._positives.assign_add(ops.sum(weight * (labels + predicted), axis=0))

    def result(self) -> Tensor:
        return ops.mean(ops.divide_no_nan(2.0 * self._true_positives, self._positives))


def _are_correct(labels: Tensor, outputs: Tensor) -> Tensor:
    return ops.cast(ops.equal(labels >= 0.5, outputs > 0), "float32")
