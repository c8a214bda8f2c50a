"""Stored outputs of a teacher, the part `target` of a batch: checks, and the outputs of a step."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from keras import ops

from keras_prokt.data.parts import TARGET, beside_inputs, part_of
from keras_prokt.distillers.forward import Outputs
from keras_prokt.distillers.student_loss import StudentLoss
from keras_prokt.outputs import Output
from keras_prokt.typing import Tensor


def stored_outputs(target: Tensor) -> Outputs:
    """What a teacher would give whose logits these are."""
    return Outputs(ops.stop_gradient(target), ops.zeros((), dtype="float32"), {})


def check_without_teacher(loss: StudentLoss, target_mode: str, **settings: Any) -> None:
    """Refuses what asks for more of the teacher than stored outputs hold.

    Args:
        loss: What the student learns from.
        target_mode: As in `Distiller`.
        **settings: Arguments of `Distiller` that are about the teacher's layers or inputs.

    Raises:
        ValueError: With the objective and what it reads, or the setting.
    """
    for objective in loss.objectives:
        read = [part for part in objective.reads if part in loss.parts()]
        if read := read or list(objective.own_taps("teacher")):
            raise ValueError(
                "Expected objectives on outputs alone without a teacher, received "
                f"{objective.id!r}, which reads {' and '.join(read)} of it; stored outputs hold "
                "none: give the teacher itself, or leave the objective out."
            )
    if target_mode != "inference":
        settings["target_mode"] = target_mode
    for name, value in settings.items():
        if value is not None:
            raise ValueError(
                f"Expected no {name} without a teacher, received {value!r}; leave it out: stored "
                "outputs are read as they are."
            )


def check_has_target(has_target: bool, *, takes: bool, needs: bool, regime: str) -> None:
    """Refuses stored outputs where nothing reads them, and their absence where they teach.

    Args:
        has_target: Whether the batch has the part `target`.
        takes: Whether the regime reads it.
        needs: Whether it is all that teaches.
        regime: Name of the distiller's class.

    Raises:
        ValueError: With what to do.
    """
    if needs and not has_target:
        raise ValueError(
            f"Expected batches with the part 'target' for a {regime} without a teacher, received "
            "none; give x={'student': inputs, 'target': logits}, or a teacher."
        )
    if has_target and not takes:
        raise ValueError(
            f"Expected no part 'target' with this {regime}, received one; stored outputs teach in "
            "FrozenTeacherDistiller(None, student), and stand for labels in ProKTDistiller."
        )


TO_LOGITS = (
    "give their logarithms: numpy.log(numpy.clip(p, 1e-7, 1)), of labels "
    "numpy.log(p / (1 - p)) of p clipped at both ends."
)


def check_target(
    x: Any, kind: Output, width: int, roles: Iterable[str] = (), which: str = ""
) -> None:
    """Refuses stored outputs of another shape, that are not finite, or no logits.

    Args:
        x: Inputs, arrays or specs of them, or `None`.
        kind: What the logits mean.
        width: Width of the student's outputs.
        roles: Of the models whose inputs must be beside it.
        which: Prefix of the message, such as `"validation "`.

    Raises:
        ValueError: With what was found and where.
    """
    target = beside_inputs(x, TARGET)
    if target is None:
        return
    if missing := [role for role in roles if role not in x]:
        raise ValueError(
            f"Expected {which}batches with the part {missing[0]!r} beside 'target', received "
            f"{', '.join(x)}; name the inputs of each model, the same where both read the same."
        )
    shape = getattr(target, "shape", None)
    if getattr(shape, "rank", 0) is None:  # tf.data that does not know it
        return
    if shape is None or len(shape) < 2 or shape[-1] != width:
        received = type(target).__name__ if shape is None else f"shape {tuple(shape)}"
        raise ValueError(
            f"Expected {which}target of shape (batch, {width}), logits as wide as the student's, "
            f"received {received}; store one row of logits for each example."
        )
    if not isinstance(target, np.ndarray):
        return
    inputs = part_of(x, "student")
    if isinstance(inputs, np.ndarray) and len(inputs) != len(target):
        raise ValueError(
            f"Expected {which}target with a row for each of the {len(inputs)} examples, received "
            f"{len(target)} rows; store them in the order of the data."
        )
    finite = np.isfinite(target).reshape(len(target), -1).all(axis=-1)
    if not finite.all():
        raise ValueError(
            f"Expected finite {which}target, received NaN or infinity, first in example "
            f"{int(np.argmin(finite))}; of probabilities of 0 clip the logarithm: "
            "numpy.log(numpy.clip(p, 1e-7, 1))."
        )
    if len(target) and ops.convert_to_numpy(kind.are_probabilities(target.astype("float32"))):
        raise ValueError(f"Expected logits as {which}target, received probabilities; {TO_LOGITS}")
