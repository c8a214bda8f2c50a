"""F1 of one of two classes."""

from typing import Any

import keras
from keras import ops

from keras_prokt.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_prokt")
class F1(keras.metrics.Metric):
    """F1 of class 1 from the logits of two classes.

    `2 TP / (2 TP + FP + FN)`, the harmonic mean of precision and recall (van Rijsbergen 1979,
    chapter 7), from the counts over all examples seen, not a mean over batches; 0 where neither
    labels nor predictions hold class 1.

    Args:
        name: Name of the metric.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.outputs.f1 import F1
    >>> metric = F1()
    >>> metric.update_state(np.array([1, 0, 1]), np.array([[0.0, 2.0], [0.0, 1.0], [3.0, 0.0]]))
    >>> float(metric.result())
    0.5
    """

    def __init__(self, name: str = "f1"):
        super().__init__(name=name, dtype="float32")
        self._true_positives = self.add_weight(name="true_positives", initializer="zeros")
        self._positives = self.add_weight(name="positives", initializer="zeros")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> None:
        """Counts a batch.

        Args:
            y_true: Class indices `(batch,)` or `(batch, 1)`.
            y_pred: Logits `(batch, 2)`.
            sample_weight: Weights `(batch,)`, or `None`.
        """
        if y_pred.shape[-1] != 2:
            raise ValueError(
                f"Expected logits of two classes for F1, received {y_pred.shape[-1]}; use the "
                "metric 'accuracy'."
            )
        labels = ops.cast(ops.reshape(y_true, (-1,)), "float32")
        predicted = ops.cast(ops.argmax(y_pred, axis=-1), "float32")
        weight = 1.0 if sample_weight is None else ops.cast(sample_weight, "float32")
        self._true_positives.assign_add(ops.sum(weight * labels * predicted))
        # 2 TP + FP + FN
        self._positives.assign_add(ops.sum(weight * (labels + predicted)))

    def result(self) -> Tensor:
        return ops.divide_no_nan(2.0 * self._true_positives, self._positives)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}
