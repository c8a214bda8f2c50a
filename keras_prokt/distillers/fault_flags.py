"""Faults that a compiled step flags, at the cost of a few reductions; see `faults`."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_prokt.distillers.forward import Forward
from keras_prokt.distillers.step import Step
from keras_prokt.outputs import Output
from keras_prokt.typing import Tensor

FAULTS = {
    # The kind of output says what is wrong with labels.
    "labels": "",
    "label_rows": "",
    "inputs": "Expected finite inputs, received NaN or infinity; clean the data.",
    "weights": (
        "Expected sample_weight of at least 0, received a negative one; 0 leaves an example out."
    ),
    "targets": (
        "Expected finite target, received NaN or infinity; of probabilities of 0 clip the "
        "logarithm: log(clip(p, 1e-7, 1))."
    ),
    "target_probabilities": (
        "Expected logits as target, received probabilities; give their logarithms."
    ),
    "teacher_probabilities": (
        "Expected logits from the teacher, received probabilities; say what makes them: "
        "keras_prokt.as_logits(teacher, 'softmax') or 'sigmoid' has the same weights."
    ),
    "student_probabilities": (
        "Expected logits from the student, received probabilities; say what makes them: "
        "keras_prokt.as_logits(student, 'softmax') or 'sigmoid' has the same weights."
    ),
    "teacher_weights": (
        "Expected finite outputs from the {teacher}, received NaN or infinity; check its weights, "
        "or use float32."
    ),
    "student_weights": (
        "Expected finite outputs from the student before its first update, received NaN or "
        "infinity; check its weights, or use float32."
    ),
    # Before the teacher's loss, which reads the student's outputs.
    "student_outputs": (
        "The student's outputs became NaN or infinite; lower the student's learning rate, clip its "
        "gradients, or use float32."
    ),
    "teacher_loss": (
        "The teacher's loss or outputs became NaN or infinite; lower the teacher's learning rate, "
        "clip its gradients, or use float32."
    ),
    "student_loss": (
        "The student's loss became NaN or infinite; lower the student's learning rate, clip its "
        "gradients, or use float32."
    ),
}
"""Fault -> message, in the order of diagnosis: the first one that is set is the cause."""

WATCHED = ("teacher", "student")
"""Rows of a distiller's `wrongness`. The teacher is judged first: the student follows it."""


class NotedFaults(keras.layers.Layer):
    """What the steps of a distiller flagged, in variables that the host reads between steps.

    Attributes:
        flags: For each of `FAULTS` 1 if it was flagged.
        wrongness: How wrong the models were, shape `(2, 3)`: a row for each of `WATCHED`. The
            columns: nats of the first step, sum of the steps' log10 of nats, number of steps. Nats
            are the mean cross entropy on the labels; below one they count as one in the sum.
        taught: 1 if a step had all that trains the models, a label where nothing else does.
        weighed: A row for training and one for evaluation. The columns: 1 if a batch had
            `sample_weight`, and 1 if some of them were above 0.
    """

    def __init__(self) -> None:
        super().__init__(name="noted_faults")
        self.flags = keras.Variable(
            [0.0] * len(FAULTS), trainable=False, name="flags", aggregation="sum"
        )
        self.wrongness = keras.Variable(
            ops.zeros((len(WATCHED), 3)), trainable=False, name="wrongness", aggregation="mean"
        )
        self.taught = keras.Variable(0.0, trainable=False, name="taught", aggregation="mean")
        self.weighed = keras.Variable(
            ops.zeros((2, 2)), trainable=False, name="weighed", aggregation="mean"
        )
        self.built = True

    def forget(self) -> None:
        """Sets everything to 0."""
        for variable in self.variables:
            variable.assign(ops.zeros(variable.shape))

    def note(self, flags: Mapping[str, Tensor]) -> None:
        """Adds the flags of a step, by fault, unless one before it has some.

        The first step with a fault has the cause; with several steps at once, what it damaged has
        consequences before the host looks.
        """
        present = ops.stack([flags.get(fault, ops.zeros(())) for fault in FAULTS])
        is_set = ops.any(self.flags.value > 0)
        self.flags.assign(ops.where(is_set, self.flags.value, present))

    def note_wrongness(self, nats: Mapping[str, Tensor]) -> None:
        """Adds the wrongness of a step.

        Args:
            nats: Mean negative log likelihood of the labels, whatever loss the user trains with, of
                the models that are trained, by role.
        """
        rows = []
        for index, role in enumerate(WATCHED):
            row = self.wrongness.value[index]
            if role in nats:
                first = ops.where(row[0] > 0, row[0], nats[role])
                # Of logarithms the mean is that of the usual step: one step of 1e20 leaves it low.
                logarithm = ops.log10(ops.maximum(nats[role], 1.0))
                row = ops.stack([first, row[1] + logarithm, row[2] + 1.0])
            rows.append(row)
        self.wrongness.assign(ops.stack(rows))

    def note_teaching(self, is_taught: Tensor | bool) -> None:
        """Adds whether a step had all that trains the models."""
        self.taught.assign(ops.maximum(self.taught.value, ops.cast(is_taught, "float32")))

    def note_weights(self, weights: Any, evaluates: bool) -> None:
        """Adds the `sample_weight` of a batch.

        Args:
            weights: Tensors, or `None`.
            evaluates: Whether the batch is evaluated.
        """
        if not (given := _floats(weights)):
            return
        counts = ops.cast(ops.any(ops.stack([ops.any(one > 0) for one in given])), "float32")
        row = ops.stack([ops.ones(()), counts])
        rows = [ops.zeros((2,)), row] if evaluates else [row, ops.zeros((2,))]
        self.weighed.assign(ops.maximum(self.weighed.value, ops.stack(rows)))

    def save_own_variables(self, store: Any) -> None:
        """Writes nothing: it is about the steps of one `fit`."""

    def load_own_variables(self, store: Any) -> None:
        """Reads nothing."""


def any_negative(weights: Any) -> Any:
    """Whether any number of a structure of tensors is below 0, as a float32 0 or 1."""
    if not (given := _floats(weights)):
        return ops.zeros(())
    return ops.cast(ops.any(ops.stack([ops.any(one < 0) for one in given])), "float32")


def _floats(values: Any) -> list[Any]:
    """The tensors of a structure; of booleans there is no order."""
    return [ops.cast(value, "float32") for value in keras.tree.flatten(values) if value is not None]


def any_not_finite(values: Any) -> Any:
    """Whether any float tensor of a structure holds NaN or infinity, as a float32 0 or 1."""
    flags = [
        ops.logical_not(ops.all(ops.isfinite(value)))
        for value in keras.tree.flatten(values)
        if value is not None and keras.backend.is_float_dtype(_dtype(value))
    ]
    return ops.cast(ops.any(ops.stack(flags)), "float32") if flags else ops.zeros(())


def with_missing(outputs: Tensor, inputs: Any) -> Tensor:
    """Outputs that are NaN for each example whose inputs are not finite.

    A network need not say so itself: on some processors the maximum of 0 and NaN is 0.

    Args:
        outputs: Of a model, float, shape `(batch, ...)`.
        inputs: What it read, in any structure.
    """
    for value in keras.tree.flatten(inputs):
        if value is not None and keras.backend.is_float_dtype(_dtype(value)):
            axes = tuple(range(1, len(value.shape)))
            is_finite = ops.all(ops.isfinite(value), axis=axes) if axes else ops.isfinite(value)
            rows = ops.reshape(is_finite, (-1, *[1] * (len(outputs.shape) - 1)))
            outputs = ops.where(rows, outputs, ops.full_like(outputs, float("nan")))
    return outputs


def flags_of_step(
    step: Step,
    kind: Output,
    forwards: Mapping[str, Forward],
    is_first: Tensor,
    trains_teacher: bool,
) -> dict[str, Tensor]:
    """Which faults of the models a step shows, as float32 0 or 1.

    Args:
        step: What it reports.
        kind: What the models' outputs mean.
        forwards: How each model is run, by role.
        is_first: 1 in the first step, else 0. Later a confident batch of one could look like a
            distribution.
        trains_teacher: Whether the teacher's weights are no longer those that the user gave.
    """

    def are_probabilities(role: str, outputs: Tensor) -> Tensor:
        certain = kind.are_probabilities(outputs)
        forward = forwards.get(role)  # of stored outputs there is none
        if forward is None or forward.shows_its_end:
            return certain
        return ops.maximum(certain, kind.may_be_probabilities(outputs))

    # The student's outputs are those of its weights before this step, whatever the teacher is.
    student_outputs = [x for x in (step.proximal_logits, step.student_logits) if x is not None]
    is_finite = ops.all(ops.stack([kind.are_finite(ops.stop_gradient(x)) for x in student_outputs]))
    bad_student = ops.cast(ops.logical_not(is_finite), "float32")
    flags = {
        "student_weights": is_first * bad_student,
        "student_outputs": bad_student,
        "student_loss": any_not_finite(step.loss),
        "teacher_loss": any_not_finite([step.teacher_loss, step.target_logits]),
        "student_probabilities": is_first * are_probabilities("student", step.student_logits),
    }
    if step.teacher_logits is not None:
        as_given = is_first if trains_teacher else 1.0
        flags["teacher_weights"] = as_given * any_not_finite(step.teacher_logits)
        flags["teacher_probabilities"] = is_first * are_probabilities(
            "teacher", step.teacher_logits
        )
    return flags


def poisoned(loss: Tensor, flags: Mapping[str, Tensor]) -> Tensor:
    """The loss, or NaN if a fault is flagged: the one value that the host looks at."""
    bad = ops.sum(ops.stack(list(flags.values())))
    return ops.where(bad > 0, ops.full_like(loss, float("nan")), loss)


def _dtype(value: Any) -> str:
    return keras.backend.standardize_dtype(value.dtype)
