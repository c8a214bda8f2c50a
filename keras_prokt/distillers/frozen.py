"""Knowledge distillation from a fixed, trained teacher (Hinton et al. 2015)."""

import warnings
from typing import Any

import keras

from keras_prokt.distillers.base import Distiller
from keras_prokt.distillers.batch import Batch
from keras_prokt.distillers.forward import Outputs
from keras_prokt.distillers.step import Step
from keras_prokt.distillers.targets import stored_outputs
from keras_prokt.models.uniform_start import ConstantOutputWarning, has_constant_output


@keras.saving.register_keras_serializable(package="keras_prokt")
class FrozenTeacherDistiller(Distiller):
    """Trains a student towards a teacher that stays as it is (Eq. 1 of the ProKT paper).

    `θ_s ← θ_s − η_s ∇ [w · CE(y, q) + (1 − w) · T² · KL(p_T ‖ q_T)]`, with
    `w = student_loss_weight` (the paper's 1 − α). One step costs one teacher forward and three
    student forwards, a backward counted as two (`forwards_per_example`). The teacher's weights,
    moving statistics and `trainable` flags are never changed.

    Without a teacher (`None`), its stored logits are the part `target` of the batches,
    `x={"student": inputs, "target": logits}`: of whatever model, in any framework, and at the cost
    of the student alone. Objectives then read outputs, and no features. Validation data may have a
    `target` too; without, it reports the student.

    Args: as in `Distiller`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_prokt import FrozenTeacherDistiller
    >>> def network(units):
    ...     return keras.Sequential(
    ...         [keras.Input((4,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(3)]
    ...     )
    >>> distiller = FrozenTeacherDistiller(network(32), network(4), temperature=4.0)
    >>> distiller.compile(optimizer="adam")
    >>> x, y = np.random.rand(64, 4).astype("float32"), np.random.randint(0, 3, 64)
    >>> history = distiller.fit(x, y, verbose=0)
    >>> logits = distiller.teacher.predict(x, verbose=0)
    >>> stored = FrozenTeacherDistiller(None, network(4), temperature=4.0)
    >>> stored.compile(optimizer="adam")
    >>> history = stored.fit({"student": x, "target": logits}, y, verbose=0)
    """

    @property
    def takes_targets(self) -> bool:
        return self.teacher is None

    @property
    def needs_targets(self) -> bool:
        return self.teacher is None

    @property
    def forwards_per_example(self) -> dict[str, int]:
        student = {"student": self._student_step_forwards}
        return student if self.teacher is None else {"teacher": 1, **student}

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains as `keras.Model.fit` does; see `Distiller.fit`."""
        if self.teacher is not None and has_constant_output(self.teacher):
            warnings.warn(
                f"The fixed teacher {self.teacher.name!r} answers all examples alike, since its "
                "last layer is zero; train it first, without uniform_start.",
                ConstantOutputWarning,
                stacklevel=2,
            )
        return super().fit(x, y, *args, **kwargs)

    def update_models(self, batch: Batch) -> Step:
        if self.teacher is None:
            target = stored_outputs(batch.target)
        else:
            target = self.target_outputs(self.teacher, batch.teacher_inputs)
        recording = self.record_forward(self.student, batch.student_inputs)
        loss, matched = self.update_student(batch, recording, target)
        gap = self.gap(batch, recording.outputs, target)
        logits = recording.outputs.logits
        return Step(loss, matched, logits, target.logits, target.matched_logits, gap)

    def outputs_of_teacher(self, batch: Batch) -> Outputs | None:
        if self.teacher is None:
            return None if batch.target is None else stored_outputs(batch.target)
        return super().outputs_of_teacher(batch)
