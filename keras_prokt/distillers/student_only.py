"""The student alone on the labels: the first baseline, and how a fixed teacher is trained."""

from collections.abc import Callable
from typing import Any

import keras

from keras_prokt.distillers.base import Distiller
from keras_prokt.distillers.batch import Batch
from keras_prokt.distillers.step import Step


@keras.saving.register_keras_serializable(package="keras_prokt")
class StudentOnly(Distiller):
    """Trains one model on the labels, with the inputs, checks and logs of the other regimes.

    Args:
        student: The model. Outputs logits.
        output: What the logits mean; see `Distiller`.
        ignore_class: Label of rows without one; see `Distiller`.
        student_inputs: Function of the batch's `x` that gives its inputs.
        name: Name of the wrapper.

    Example:

    >>> import keras, numpy as np
    >>> from keras_prokt import StudentOnly
    >>> model = StudentOnly(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    >>> model.compile(optimizer="adam")
    >>> x, y = np.random.rand(64, 4).astype("float32"), np.random.randint(0, 3, 64)
    >>> history = model.fit(x, y, verbose=0)
    """

    def __init__(
        self,
        student: keras.Model,
        *,
        output: str | None = None,
        ignore_class: int | None = None,
        student_inputs: Callable[[Any], Any] | None = None,
        name: str | None = None,
    ):
        super().__init__(
            None,
            student,
            student_loss_weight=1.0,
            objectives=[],
            output=output,
            ignore_class=ignore_class,
            student_inputs=student_inputs,
            name=name,
        )

    @property
    def forwards_per_example(self) -> dict[str, int]:
        return {"student": self._student_step_forwards}

    def update_models(self, batch: Batch) -> Step:
        recording = self.record_forward(self.student, batch.student_inputs)
        loss, matched = self.update_student(batch, recording, None)
        return Step(loss, matched, recording.outputs.logits, None, None)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        keys = ("name", "student", "output", "ignore_class", "student_inputs")
        return {key: config[key] for key in keys}
