"""A batch of training data, taken apart for the two models."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_prokt.data.parts import INDEX, TARGET, beside_inputs, part_of
from keras_prokt.distillers.fault_flags import any_negative, any_not_finite
from keras_prokt.losses import weighted_mean
from keras_prokt.models.symbolic_inputs import fits
from keras_prokt.outputs.label_loss import mean_count
from keras_prokt.typing import Tensor


class CheckedLabels(NamedTuple):
    """Labels of a batch."""

    labels: Tensor
    """What `Output.checked` returns."""
    labelled: Tensor | None
    """`Batch.labelled`."""
    flags: dict[str, Tensor]
    """What is wrong with them."""


LabelCheck = Callable[[Any], CheckedLabels]
"""Takes labels as they came."""


class Batch(NamedTuple):
    """One batch, taken apart."""

    teacher_inputs: Any
    student_inputs: Any
    labels: Tensor
    """What `Output.checked` returns: class indices `(batch,)`, or rows `(batch, width)`."""
    sample_weight: Tensor | None
    size: int | Tensor
    """What a mean over the batch weighs in that of an epoch: its examples, or real positions."""
    index: Tensor | None = None
    """Position of each example in the training data, `(batch,)`, if the batch has it."""
    target: Tensor | None = None
    """Stored logits of a teacher, float32 `(batch, width)`, if the batch has them."""
    labelled: Tensor | None = None
    """1 where there is a label, 0 where `labels` holds a valid one in place of none, float32
    `(batch,)`. `None` if every row has a label."""
    real: Tensor | None = None
    """Of outputs at positions 1 at the real ones and 0 at padding, float32 `(batch, *positions)`.
    `None` if all are real, and of other outputs."""

    def weighed(self, weight: Tensor | None, real: Tensor | None) -> "Batch":
        """The batch with weights in the form of its outputs.

        Args:
            weight: `sample_weight`.
            real: `real`. What is not has no label either.
        """
        if real is None:
            return self._replace(sample_weight=weight)
        labelled = real if self.labelled is None else real * self.labelled
        size = mean_count(real)
        return self._replace(sample_weight=weight, real=real, labelled=labelled, size=size)

    def mean(self, values: Tensor) -> Tensor:
        """Weighted mean of values, as Keras takes it: `Σ wᵢ vᵢ / n`.

        Args:
            values: One of each example, `(batch,)`, or of each position, of which the real ones
                count. Where positions have weights, an example's is the mean of theirs.
        """
        weight, real = self.sample_weight, self.real
        if real is not None and len(values.shape) == len(real.shape):
            weighted = values * real if weight is None else values * real * weight
            return ops.divide_no_nan(ops.sum(weighted), mean_count(real))
        if weight is not None and len(values.shape) < len(weight.shape):
            axes = tuple(range(1, len(weight.shape)))
            counted = ops.ones_like(weight) if real is None else real
            total = ops.sum(counted * weight, axis=axes)
            weight = ops.divide_no_nan(total, ops.sum(counted, axis=axes))
        return weighted_mean(values, weight)

    def mean_of_labelled(self, values: Tensor) -> Tensor:
        """Mean of values, one of each row, over those with a label; 0 if none has one."""
        if self.labelled is None:
            return ops.mean(values)
        return ops.divide_no_nan(ops.sum(values * self.labelled), ops.sum(self.labelled))


def padding_mask(inputs: Any) -> Tensor | None:
    """Where texts have real tokens, `(batch, length)`, if the inputs of a model say it."""
    return inputs.get("padding_mask") if isinstance(inputs, Mapping) else None


class BatchReader:
    """Takes batches apart: which part of the inputs each of the models reads.

    Args:
        **functions: "teacher" and "student": function of the batch's `x` that gives the inputs of
            that model, or `None`: then a batch that names its parts is taken apart by name, and any
            other goes to both.
    """

    def __init__(self, **functions: Callable[[Any], Any] | None):
        self.functions = functions
        self.batch_form: Any = None
        """Symbolic inputs of a batch; `None` before one has been seen."""
        self.own_forms: dict[str, Any] = {}
        """Those of each model."""

    def know_forms(self, own_forms: Mapping[str, Any]) -> None:
        """Takes note of the models' symbolic inputs.

        Args:
            own_forms: By role.
        """
        self.own_forms = dict(own_forms)
        for role, form in own_forms.items():
            # A model without a function reads all of the batch.
            if self.functions[role] is None and self.batch_form is None:
                self.batch_form = form

    def own_inputs(self, role: str, x: Any) -> Any:
        """The inputs of one of the models, out of a batch's or given by themselves.

        What has the form of the model's own inputs is taken for them, if a batch does not have it.

        Args:
            role: "teacher" or "student".
            x: Inputs of a batch, or of the model alone.
        """
        form = self.own_forms.get(role)
        is_known = form is not None and self.batch_form is not None
        if self.functions[role] is None or not is_known:
            return self.inputs(role, x)
        is_own = fits(form, x) and not fits(form, self.batch_form)
        return x if is_own else self.inputs(role, x)

    def inputs(self, role: str, x: Any) -> Any:
        """The inputs of one of the models.

        Args:
            role: "teacher" or "student".
            x: Inputs of a batch, or their specs.
        """
        function = self.functions[role]
        return part_of(x, role) if function is None else function(x)

    def read(
        self, data: Any, check_labels: LabelCheck, with_teacher: bool
    ) -> tuple[Batch, dict[str, Tensor]]:
        """A batch, and flags of what is wrong with it.

        Args:
            data: What Keras hands to a step.
            check_labels: Checks the labels.
            with_teacher: Whether the teacher's inputs are wanted.

        Raises:
            ValueError: If it has no labels.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if y is None:
            raise ValueError(
                "Expected batches of (inputs, labels) or (inputs, labels, sample_weight), "
                "received inputs alone; add labels."
            )
        teacher_inputs = self.inputs("teacher", x) if with_teacher else None
        student_inputs = self.own_inputs("student", x)  # alone in `evaluate`
        labels, labelled, flags = check_labels(y)
        flags["inputs"] = any_not_finite([teacher_inputs, student_inputs, sample_weight])
        flags["weights"] = any_negative(sample_weight)
        size = ops.shape(labels)[0]
        index, target = (beside_inputs(x, part) for part in (INDEX, TARGET))
        if target is not None:
            target = ops.cast(target, "float32")
            flags["targets"] = any_not_finite(target)
        inputs = (teacher_inputs, student_inputs)
        return Batch(*inputs, labels, sample_weight, size, index, target, labelled), flags
