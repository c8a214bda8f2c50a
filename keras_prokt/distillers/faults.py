"""Faults of the data or of the training that can only be seen in a step.

Labels out of range, inputs that are not finite, probabilities where logits are expected and
losses that are not finite are flagged inside the compiled step at the cost of a few reductions,
make the reported `loss` NaN, and are turned into one clear error by the host after that step,
before any callback can save the damaged state.
"""

import math
from typing import Any

import keras
from keras import ops

FAULTS = {
    "labels": (
        "Expected integer labels in [0, {classes}) or one-hot rows of width {classes}, received "
        "a label outside that range; check the labels or the width of both models' outputs."
    ),
    "inputs": "Expected finite inputs, received NaN or infinity; clean the data.",
    "teacher_probabilities": (
        "Expected logits from the teacher, received probabilities; remove its last softmax "
        "(activation=None)."
    ),
    "student_probabilities": (
        "Expected logits from the student, received probabilities; remove its last softmax "
        "(activation=None)."
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


class TrainingFault(ValueError):
    """Training cannot go on; the message says at which step and why."""


def any_not_finite(values: Any) -> Any:
    """Whether any float tensor of a structure holds NaN or infinity, as a float32 0 or 1."""
    flags = [
        ops.logical_not(ops.all(ops.isfinite(value)))
        for value in keras.tree.flatten(values)
        if value is not None and keras.backend.is_float_dtype(_dtype(value))
    ]
    return ops.cast(ops.any(ops.stack(flags)), "float32") if flags else ops.zeros(())


def are_probabilities(outputs: Any) -> Any:
    """Whether every row is a distribution, as a float32 0 or 1."""
    sums_to_one = ops.all(ops.abs(ops.sum(outputs, axis=-1) - 1) < 1e-3)
    return ops.cast(ops.logical_and(sums_to_one, ops.all(outputs >= 0)), "float32")


class FaultWatch(keras.callbacks.Callback):
    """Stops training with a `TrainingFault` right after the step that went bad."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        for key in ("loss", "teacher_loss"):
            if logs and key in logs and not math.isfinite(float(logs[key])):
                raise_fault(self.model)


def raise_fault(model: Any) -> None:
    """Raises the fault that a distiller's variables show, if there is one."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
    flags = ops.convert_to_numpy(model.faults)
    for flag, message in zip(flags, FAULTS.values(), strict=True):
        if flag:
            step = int(ops.convert_to_numpy(model.optimizer.iterations))
            raise TrainingFault(f"Step {step}: {message.format(classes=model.num_classes)}")


def _dtype(value: Any) -> str:
    return keras.backend.standardize_dtype(value.dtype)
