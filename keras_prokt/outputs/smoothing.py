"""The cross entropy on smoothed labels."""

from typing import Any

import keras
from keras import ops

from keras_prokt.arguments import check_text, checked_number
from keras_prokt.outputs.divergence import one_hot_labels
from keras_prokt.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_prokt")
class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross entropy on smoothed labels, from logits: a `loss` of `compile`.

    `−Σ_k q_k log p_k` with `q = (1 − s) · y + s / K` for `K` classes and `y` the label, one-hot or
    a distribution (Szegedy et al. 2016, Rethinking the Inception Architecture, section 7). Given to
    a distiller it is the loss of whatever that one trains on labels: the student's label term and,
    where the teacher trains along, the teacher's. Keras's own needs one-hot labels for it.

    Args:
        label_smoothing: `s` in [0, 1).
        name: Name of the loss.

    Raises:
        ValueError: If `s` is outside [0, 1).

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses import SmoothedCrossEntropy
    >>> loss = SmoothedCrossEntropy(0.2)
    >>> round(float(loss(np.array([0]), np.log(np.array([[0.75, 0.25]])))), 4)
    0.3975
    """

    def __init__(self, label_smoothing: float = 0.1, name: str = "smoothed_cross_entropy"):
        check_text("name", name)
        super().__init__(name=name)
        label_smoothing = checked_number("label_smoothing", label_smoothing, is_bounded=True)
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"Expected label_smoothing in [0, 1), received {label_smoothing!r}; 0.1 is usual."
            )
        self.label_smoothing = float(label_smoothing)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each example, shape `(batch,)`, float32."""
        log_probabilities = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)
        classes = y_pred.shape[-1]
        labels = one_hot_labels(y_true, classes)
        target = (1 - self.label_smoothing) * labels + self.label_smoothing / classes
        return -ops.sum(target * log_probabilities, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing, "name": self.name}
