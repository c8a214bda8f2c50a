"""What the regimes share that train both models in each step."""

from typing import Any

import keras
from keras import ops

from keras_prokt import backends
from keras_prokt.distillers.base import Distiller
from keras_prokt.distillers.batch import Batch
from keras_prokt.distillers.forward import Outputs
from keras_prokt.distillers.frozen_part import FrozenPart
from keras_prokt.distillers.joint_optimizer import (
    JointOptimizer,
    apply_gradients,
    scaled_optimizer,
)
from keras_prokt.distillers.model_checks import check_optimizer, is_mode_free
from keras_prokt.distillers.step import Step
from keras_prokt.typing import Tensor


class JointDistiller(Distiller):
    """Base of the regimes in which, on every batch, first the teacher and then the student moves.

    1. The teacher takes a step on a loss of the labels and of `KL(q ‖ p)`, the student's
       distribution `q` held constant (`combine`).
    2. The student takes a step towards the teacher *after* its step.

    A subclass implements `combine`.

    Args: as in `Distiller`.
    """

    trains_teacher = True
    _is_proximal = True
    """Whether the teacher's loss holds KL(q ‖ p); then the student runs before the teacher."""

    def __init__(self, teacher: keras.Model, student: keras.Model, **settings: Any):
        if teacher is None:
            raise ValueError(
                f"Expected a keras.Model as teacher of {type(self).__name__}, received None; of "
                "stored outputs alone a student learns in FrozenTeacherDistiller(None, student)."
            )
        super().__init__(teacher, student, **settings)
        self.teacher_loss_tracker = keras.metrics.Mean(name="teacher_loss")

    def combine(self, label_loss: Tensor, gap: Tensor) -> Tensor:
        """The teacher's loss.

        Args:
            label_loss: CE(y, p), a scalar.
            gap: KL(q ‖ p), a scalar.
        """
        raise NotImplementedError

    def teacher_label_loss(self, batch: Batch, logits: Tensor) -> Tensor:
        """The part of the teacher's loss that says what is right, a scalar.

        The loss on the labels, or `KL(target ‖ p)` where stored outputs stand in their place.
        """
        if batch.target is None:
            return self.label_loss(batch.labels, logits, batch.sample_weight, batch.labelled)
        return self.divergence(batch.target, logits, batch)

    def untrained_without_labels(self, has_target: bool) -> str | None:
        return super().untrained_without_labels(has_target) if has_target else "teacher"

    def after_teacher_update(self, gap: Tensor | None) -> None:
        """Called after the teacher's update with the gap before it; by default does nothing."""

    def compile(
        self,
        optimizer: Any = "rmsprop",
        teacher_optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
    ) -> None:
        """Configures training; arguments as in `Distiller.compile`, and:

        Args:
            optimizer: The student's optimizer.
            teacher_optimizer: The teacher's. By default a second one configured like the
                student's. Clipping, accumulation, moving averages and loss scaling work for
                each by itself; accumulation must be the same for both.
            loss: Loss on the labels, for the teacher and, with a `student_loss_weight`, for
                the student.
            metrics: Metrics of the student.
            weighted_metrics: The same, weighted.
            run_eagerly: As in Keras.
            steps_per_execution: As in Keras.
            jit_compile: As in Keras.
        """
        check_optimizer("optimizer", optimizer)
        optimizer = keras.optimizers.get(optimizer)
        if teacher_optimizer is None:
            teacher_optimizer = type(optimizer).from_config(optimizer.get_config())
        check_optimizer("teacher_optimizer", teacher_optimizer)
        teacher_optimizer = keras.optimizers.get(teacher_optimizer)
        joint = JointOptimizer(
            teacher=scaled_optimizer(teacher_optimizer, self.teacher),
            student=scaled_optimizer(optimizer, self.student),
            teacher_variables=lambda: self.teacher.trainable_variables,
            student_variables=lambda: self.trained_by_student,
        )
        self._compile_with(
            joint,
            {
                "optimizer": optimizer,
                "teacher_optimizer": teacher_optimizer,
                "loss": loss,
                "metrics": metrics,
                "weighted_metrics": weighted_metrics,
                "run_eagerly": run_eagerly,
                "steps_per_execution": steps_per_execution,
                "jit_compile": jit_compile,
            },
        )

    @property
    def forwards_per_example(self) -> dict[str, int]:
        target_forwards = 1 if self._is_proximal and not self._shares_student_forward else 0
        # The teacher's step, and its forward after it; the student's step.
        return {"teacher": 3 + 1, "student": target_forwards + self._student_step_forwards}

    @property
    def _shares_student_forward(self) -> bool:
        """Whether the forward that the student learns from also is the teacher's target."""
        is_same = self.target_mode == "training" or is_mode_free(self.student)
        return self._is_proximal and is_same

    @property
    def student_optimizer(self) -> keras.optimizers.Optimizer:
        return self.optimizer.student

    @property
    def optimizers_by_role(self) -> dict[str, keras.optimizers.Optimizer]:
        return {**super().optimizers_by_role, "teacher": self.optimizer.teacher}

    def update_models(self, batch: Batch) -> Step:
        recording = student_target = own_forward = None
        if self._shares_student_forward:
            recording = self.record_forward(self.student, batch.student_inputs)
            student_target = ops.stop_gradient(recording.outputs.matched_logits)
        elif self._is_proximal:
            student_outputs = self.target_outputs(
                self.student, batch.student_inputs, with_parts=False
            )
            own_forward, student_target = student_outputs.logits, student_outputs.matched_logits

        with self._frozen_part.computing_once(batch.teacher_inputs):
            teacher_loss, gap, before, gradients = self._update_teacher(batch, student_target)
            target = self.target_outputs(self.teacher, batch.teacher_inputs)
        if recording is None:
            inputs = backends.current().after(gradients, batch.student_inputs)
            recording = self.record_forward(self.student, inputs)
        loss, matched = self.update_student(batch, recording, target)
        self.optimizer.count_step()
        if gap is None:
            gap = self.gap(batch, recording.outputs, before)
        return Step(
            loss=loss,
            matched=matched,
            student_logits=recording.outputs.logits,
            teacher_logits=before.logits,
            target_logits=target.matched_logits,
            gap=gap,
            teacher_loss=teacher_loss,
            proximal_logits=own_forward,
        )

    def _build_optimizer(self) -> None:
        super()._build_optimizer()
        if self.built:
            self._frozen_part = FrozenPart(self.teacher)

    def _update_teacher(
        self, batch: Batch, student_target: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Outputs, list[Tensor]]:
        """Step 1; the teacher's loss, KL(q ‖ p), its outputs before the update and gradients."""
        scale = self.loss_scale(self.optimizer.teacher)

        def loss_function(outputs: Outputs) -> tuple[Tensor, Any]:
            loss = self.teacher_label_loss(batch, outputs.logits)
            gap = None
            if student_target is not None:
                gap = self.divergence(student_target, outputs.matched_logits, batch)
                loss = self.combine(loss, gap)
            return (loss + outputs.regularization) * scale, (loss, gap)

        recording = self.record_forward(self.teacher, batch.teacher_inputs, with_parts=False)
        (loss, gap), gradients = recording.gradients(loss_function)
        apply_gradients(self.optimizer.teacher, gradients, self.teacher.trainable_variables)
        self.after_teacher_update(gap)
        return loss, gap, recording.outputs, gradients

    def track_step(self, batch: Batch, step: Step) -> None:
        super().track_step(batch, step)
        self.teacher_loss_tracker.update_state(step.teacher_loss, sample_weight=batch.size)

    def track_teacher_evaluation(self, batch: Batch, teacher: Outputs, student: Outputs) -> set:
        reported = super().track_teacher_evaluation(batch, teacher, student)
        loss = self.teacher_label_loss(batch, teacher.logits)
        gap = self.gap(batch, student, teacher)
        self.teacher_loss_tracker.update_state(self.combine(loss, gap), sample_weight=batch.size)
        return reported | {self.teacher_loss_tracker}
