"""A batch of training data, taken apart for the two models."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_prokt.data.parts import INDEX, TARGET, beside_inputs, part_of
from keras_prokt.distillers.faults import any_not_finite
from keras_prokt.distillers.model_checks import fits
from keras_prokt.typing import Tensor

LabelCheck = Callable[[Any], tuple[Tensor, dict[str, Tensor]]]
"""Takes labels as they came; returns them checked, and the flags of what is wrong with them."""


class Batch(NamedTuple):
    """One batch, taken apart."""

    teacher_inputs: Any
    student_inputs: Any
    labels: Tensor
    """What `Output.checked` returns: class indices `(batch,)`, or rows `(batch, width)`."""
    sample_weight: Tensor | None
    size: int | Tensor
    index: Tensor | None = None
    """Position of each example in the training data, `(batch,)`, if the batch has it."""
    target: Tensor | None = None
    """Stored logits of a teacher, float32 `(batch, width)`, if the batch has them."""


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
        student_inputs = self.inputs("student", x)
        labels, flags = check_labels(y)
        flags["inputs"] = any_not_finite([teacher_inputs, student_inputs, sample_weight])
        size = ops.shape(labels)[0]
        index, target = (beside_inputs(x, part) for part in (INDEX, TARGET))
        if target is not None:
            target = ops.cast(target, "float32")
            flags["targets"] = any_not_finite(target)
        batch = Batch(teacher_inputs, student_inputs, labels, sample_weight, size, index, target)
        return batch, flags
