"""What one step of training reports."""

from typing import NamedTuple

from keras_prokt.typing import Tensor


class Step(NamedTuple):
    """What one step of training reports."""

    loss: Tensor
    """The student's whole loss, regularisation included."""
    matched: list[Tensor]
    """Value of each objective."""
    student_logits: Tensor
    """Of the training forward."""
    teacher_logits: Tensor | None
    """Of the teacher before its update, or `None` without a teacher."""
    target_logits: Tensor | None
    """What the student was trained towards, or `None` without a teacher."""
    gap: Tensor | None = None
    """KL(q ‖ p), or `None` without a teacher."""
    teacher_loss: Tensor | None = None
    proximal_logits: Tensor | None = None
    """Of the student's forward before the teacher's update, if that was one of its own."""
