"""What a distiller reports of its steps."""

import keras

from keras_prokt.distillers.batch import Batch
from keras_prokt.distillers.student_loss import StudentLoss
from keras_prokt.outputs import Output
from keras_prokt.typing import Tensor


class Tracker:
    """The metrics that every regime has.

    Args:
        kind: What the models' outputs mean.
        width: Width of the outputs.
        student_loss: What the student learns from; of several objectives each is reported.
        has_teacher: Whether there is one.
    """

    def __init__(self, kind: Output, width: int, student_loss: StudentLoss, has_teacher: bool):
        self._weighted_sum = student_loss.weighted_sum
        self.student_metrics = kind.metrics(width, "student_")
        self.student_loss: list[keras.metrics.Metric] = []
        self.teacher_metrics: list[keras.metrics.Metric] = []
        self.gap: list[keras.metrics.Metric] = []
        self.objectives: list[keras.metrics.Metric] = []
        if has_teacher:
            self.student_loss = [keras.metrics.Mean(name="student_loss")]
            self.teacher_metrics = kind.metrics(width, "teacher_")
            self.gap = [keras.metrics.Mean(name="gap")]
        if len(student_loss.objectives) > 1:
            self.objectives = [keras.metrics.Mean(name=o.name) for o in student_loss.objectives]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """All of them, in the order of the logs."""
        student = [*self.student_metrics, *self.student_loss]
        return [*student, *self.teacher_metrics, *self.gap, *self.objectives]

    @property
    def pair_metrics(self) -> set[keras.metrics.Metric]:
        """What `track_pair` updates."""
        return {*self.teacher_metrics, *self.gap}

    @property
    def objective_metrics(self) -> set[keras.metrics.Metric]:
        """What `track_objectives` updates."""
        return {*self.student_loss, *self.objectives}

    def track_student(self, batch: Batch, logits: Tensor) -> None:
        """Counts the student's outputs on a batch."""
        for metric in self.student_metrics:
            metric.update_state(batch.labels, logits, sample_weight=batch.labelled)

    def track_pair(self, batch: Batch, teacher_logits: Tensor, gap: Tensor) -> None:
        """Counts the teacher's outputs, and KL(q ‖ p)."""
        for metric in self.teacher_metrics:
            metric.update_state(batch.labels, teacher_logits, sample_weight=batch.labelled)
        for metric in self.gap:
            metric.update_state(gap, sample_weight=batch.size)

    def track_objectives(self, batch: Batch, matched: list[Tensor]) -> None:
        """Counts the objectives' weighted sum, and of several each."""
        total = self._weighted_sum(matched)
        for metric in self.student_loss:
            metric.update_state(total, sample_weight=batch.size)
        for metric, value in zip(self.objectives, matched, strict=len(matched) > 1):
            metric.update_state(value, sample_weight=batch.size)
