"""Outputs of the kind `positions`: one class at each token of a text or pixel of an image."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt.data.columns import Column, columns_of
from keras_prokt.outputs.base import KerasLosses, MeanOf, Output
from keras_prokt.outputs.classes import Classes, first_bad_label
from keras_prokt.outputs.divergence import kl_divergence
from keras_prokt.outputs.entity_f1 import EntityF1
from keras_prokt.outputs.keras_losses import is_one_of
from keras_prokt.outputs.label_arrays import HINT, as_numpy, check_numbers
from keras_prokt.outputs.smoothing import SmoothedCrossEntropy
from keras_prokt.typing import Tensor

_OF_CLASSES = Classes.losses


class Positions(Output):
    """One class at each position of an example: outputs are the logits of a softmax at each.

    - Labels: class indices `(batch, *positions)`, or one-hot rows or distributions
      `(batch, *positions, classes)`.
    - Loss: cross entropy; divergence: that of `classes`; both are means over the real positions of
      the batch, so that padding and the lengths of other texts change nothing.
    - Real are the positions whose `sample_weight` `(batch, *positions)` is not 0, of texts besides
      those of the inputs' `padding_mask`; without either all are. What has no label though it is
      real is marked by the distiller's `ignore_class`.
    - Neutral start: the uniform distribution.

    Args:
        positions: Shape of the positions, as far as it is known; the table's own instance knows
            none, and `for_outputs` makes one that does.
    """

    id = "positions"
    unit = "classes"
    least_width = 2
    too_narrow = "end it in a layer of as many units or channels as there are classes"
    losses = KerasLosses(
        from_logits=_OF_CLASSES.from_logits,
        of_means=_OF_CLASSES.of_means,
        of_indices=_OF_CLASSES.of_indices,
        of_rows=_OF_CLASSES.of_rows,
        refused=(*_OF_CLASSES.refused, SmoothedCrossEntropy),
        advice=_OF_CLASSES.advice,
    )
    main_metric = "accuracy"
    more_metrics = {"entity_f1": EntityF1}
    faults = {
        "labels": (
            "Expected integer labels in [0, {width}) or one-hot rows of width {width} at each "
            "position, received a label that is none of them; check the labels or the width of "
            f"both models' outputs, or say {HINT}."
        ),
        "label_rows": Classes.faults["label_rows"],
    }

    def __init__(self, positions: Sequence[int | None] | None = None):
        self._positions = None if positions is None else tuple(positions)
        self.example_axes = 1 + (1 if positions is None else len(positions))

    def for_outputs(self, shape: Sequence[int | None]) -> Output:
        return Positions(shape[:-1])

    def fits(self, shape: Sequence[int | None]) -> bool:
        return len(shape) >= 2 and shape[-1] is not None and shape[-1] >= self.least_width

    @property
    def form(self) -> str:
        return "(batch, *positions, classes)"

    # Labels.

    def check_form(self, labels: Any, width: int, which: str = "") -> None:
        check_numbers(
            labels,
            f"integer {which}labels in [0, {width}) at each position",
            if_strings="number the classes, as keras.layers.StringLookup does",
            convert_to="int64",
        )
        shape = tuple(labels.shape)
        expected = self._positions or (None,)
        axes = self.example_axes
        has_form = len(shape) == axes or (len(shape) == axes + 1 and shape[-1] in (1, width))
        if has_form and _are_alike(shape[:axes], (None, *expected)):
            return
        advice = "check the labels or the outputs of the models"
        if len(shape) == 1:
            advice = (
                "if an example has one class, pool the models' positions: "
                "keras.layers.GlobalAveragePooling1D, or of images 2D, before their last layer"
            )
        form = ", ".join("positions" if n is None else str(n) for n in expected)
        raise ValueError(
            f"Expected integer {which}labels of shape (batch, {form}) or one-hot labels of shape "
            f"(batch, {form}, {width}), received shape {shape}; {advice}."
        )

    def check_values(self, labels: Any, width: int, which: str = "") -> None:
        array = as_numpy(labels)
        if array.dtype.kind not in "biuf":  # a sparse tensor
            return
        positions = array.shape[1 : self.example_axes]
        flat = array.reshape(-1, width) if self._are_rows(array, width) else array.reshape(-1)
        found = first_bad_label(flat, width)
        if found is not None:
            row, message, received, hint = found
            example, *place = np.unravel_index(row, (len(array), *positions))
            where = ", ".join(str(int(number)) for number in place)
            received = f"{received} in example {example} at position {where}"
            raise ValueError(message.format(which=which, width=width, received=received, hint=hint))

    def check_class_weight(self, labels: Any, width: int) -> None:
        raise ValueError(
            "Expected no class_weight for outputs of the kind 'positions', received one, which "
            "Keras would look up by the largest label of an example; give a sample_weight for each "
            "position."
        )

    def valid_label(self, labels: Any, width: int) -> np.ndarray:
        if self._are_rows(labels, width):
            return np.arange(width) == 0
        return super().valid_label(labels, width)

    def checked(self, labels: Tensor, width: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Float32 distributions `(batch, *positions, classes)`, or int32 indices `(batch,
        *positions)`, 0 if bad."""
        flat = (-1, width) if self._are_rows(labels, width) else (-1,)
        values, flags = Classes().checked(ops.reshape(labels, flat), width)
        shape = ops.shape(labels)[: self.example_axes]
        return ops.reshape(values, (*shape, *flat[1:])), flags

    def right_answers(self, labels: Tensor, width: int) -> Tensor:
        if self._are_rows(labels, width):
            return ops.cast(ops.argmax(labels, axis=-1), "int32")
        return labels

    def _are_rows(self, labels: Any, width: int) -> bool:
        """Whether labels are a distribution at each position."""
        return len(labels.shape) > self.example_axes and labels.shape[-1] == width

    # What counts.

    def weights(
        self, labels: Tensor, sample_weight: Tensor | None, padding_mask: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        shape = ops.shape(labels)[: self.example_axes]
        further = self.example_axes - 1
        real = None
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
            if tuple(weight.shape[1:]) in ((), (1,)):
                weight = ops.reshape(weight, (-1, *[1] * further))
            elif _are_alike(weight.shape, labels.shape[: self.example_axes]):
                real = ops.cast(weight != 0, "float32")
            else:
                positions = ", ".join(map(str, labels.shape[1 : self.example_axes]))
                raise ValueError(
                    f"Expected sample_weight of shape (batch,) or (batch, {positions}), received "
                    f"{tuple(weight.shape)}; give one for each position, 0 at padding."
                )
            sample_weight = ops.broadcast_to(weight, shape)
        if padding_mask is not None and _are_alike(
            padding_mask.shape, labels.shape[: self.example_axes]
        ):
            mask = ops.cast(padding_mask, "float32")
            real = mask if real is None else real * mask
        return sample_weight, real

    # Losses.

    def default_loss(self, labels: Tensor, width: int) -> keras.losses.Loss:
        sparse, categorical = (loss for loss, _ in self.losses.from_logits)
        return (categorical if self._are_rows(labels, width) else sparse)(from_logits=True)

    def check_loss(self, loss: Any, name: str, labels: Any, width: int, which: str = "") -> None:
        rows = self._are_rows(labels, width)
        for wanted, losses, form in (
            (True, self.losses.of_rows, "one-hot labels of shape (batch, *positions, classes)"),
            (False, self.losses.of_indices, "integer labels of shape (batch, *positions)"),
        ):
            if rows != wanted and is_one_of(loss, losses):
                raise ValueError(
                    f"Expected {form} for the loss {name}, received {which}labels of shape "
                    f"{tuple(labels.shape)}; leave out loss= for the cross entropy of either."
                )

    def divergence(self, target: Tensor, outputs: Tensor, temperature: float = 1.0) -> Tensor:
        """As of `classes`, at each position: `(batch, *positions)`."""
        return kl_divergence(target, outputs, temperature)

    def negative_log_likelihood(self, labels: Tensor, outputs: Tensor) -> Tensor:
        """As of `classes`, at each position: `(batch, *positions)`."""
        logs = ops.log_softmax(outputs, axis=-1)
        index = ops.expand_dims(self.right_answers(labels, outputs.shape[-1]), -1)
        return -ops.squeeze(ops.take_along_axis(logs, index, axis=-1), -1)

    # Outputs.

    def means(self, outputs: Tensor) -> Tensor:
        return Classes().means(outputs)

    def metrics(self, width: int, prefix: str = "") -> list[keras.metrics.Metric]:
        """Share of the real, labelled positions that are right."""
        return [MeanOf(self._are_correct, f"{prefix}accuracy")]

    def _are_correct(self, labels: Tensor, outputs: Tensor) -> Tensor:
        right = ops.equal(self.right_answers(labels, outputs.shape[-1]), self.answers(outputs))
        return ops.cast(right, "float32")

    def predictions(self, outputs: Tensor) -> dict[str, Tensor]:
        """`probabilities`, float32 `(batch, *positions, classes)`, and `label`, int64 `(batch,
        *positions)`."""
        return Classes().predictions(outputs)

    def answers(self, outputs: Tensor) -> Tensor:
        """The most probable class at each position, `(batch, *positions)`."""
        return ops.cast(ops.argmax(outputs, axis=-1), "int32")

    def columns(self, outputs: Tensor, names: Sequence[str]) -> list[Column]:
        """`class_name[i]` of each position, by number where there are no names."""
        answers = ops.convert_to_numpy(self.answers(outputs))
        named = np.array(names)[answers] if names else answers
        return columns_of("class_name", named)

    def name_indices(self, predictions: Mapping[str, Tensor]) -> Tensor:
        return predictions["label"]

    def are_finite(self, outputs: Tensor) -> Tensor:
        return Classes().are_finite(outputs)

    def are_probabilities(self, outputs: Tensor) -> Tensor:
        return Classes().are_probabilities(outputs)


def _are_alike(one: Sequence[int | None], other: Sequence[int | None]) -> bool:
    """Whether shapes are the same but for the batch, as far as they are known."""
    return len(one) == len(other) and all(
        a == b or None in (a, b) for a, b in zip(one[1:], other[1:], strict=True)
    )
