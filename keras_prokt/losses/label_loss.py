"""The loss on the labels, in whatever form Keras accepts it, applied to logits."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_prokt.losses.base import Tensor
from keras_prokt.losses.divergence import are_distributions, one_hot_labels

_CROSS_ENTROPIES = {
    "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
    "SparseCategoricalCrossentropy": keras.losses.SparseCategoricalCrossentropy,
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "CategoricalCrossentropy": keras.losses.CategoricalCrossentropy,
}

LabelLoss = str | keras.losses.Loss | Callable[[Tensor, Tensor], Tensor] | None


class LabelLossOnLogits:
    """Calls the user's `loss` argument of `compile` on logits.

    - `None`: cross entropy from logits, sparse or not by the shape of the labels.
    - The names of the two cross entropies: their `from_logits=True` form.
    - A loss object made with `from_logits=False`: gets `softmax(logits)`.
    - Any other loss or function: gets the logits.

    Args:
        loss: What `compile` received.
    """

    def __init__(self, loss: LabelLoss = None):
        expects_probabilities = getattr(loss, "from_logits", None) is False or (
            # Keras's wrapped losses keep their arguments in `_fn_kwargs`; the config is public.
            isinstance(loss, keras.losses.Loss) and loss.get_config().get("from_logits") is False
        )
        if isinstance(loss, str) and loss in _CROSS_ENTROPIES:
            loss = _CROSS_ENTROPIES[loss](from_logits=True)
        elif loss is not None:
            loss = keras.losses.get(loss)
        if loss is not None and not isinstance(loss, keras.losses.Loss):
            loss = _FunctionLoss(loss)
        self._loss = loss
        self._expects_probabilities = expects_probabilities

    def __call__(
        self, labels: Tensor, logits: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        """The loss of a batch as a float32 scalar.

        Args:
            labels: Integers `(batch,)` or distributions `(batch, classes)`.
            logits: Shape `(batch, classes)`.
            sample_weight: `None` or shape `(batch,)`.
        """
        logits = ops.cast(logits, "float32")
        loss = self._loss
        if loss is None:
            sparse = not are_distributions(labels, logits.shape[-1])
            name = "sparse_categorical_crossentropy" if sparse else "categorical_crossentropy"
            loss = _CROSS_ENTROPIES[name](from_logits=True)
        predictions = ops.softmax(logits, axis=-1) if self._expects_probabilities else logits
        value = ops.cast(loss(labels, predictions, sample_weight=sample_weight), "float32")
        # Keras has divided a mean by this already, and leaves a sum to be added up.
        return value * number_of_replicas()


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
        super().__init__(name=name)
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


def number_of_replicas() -> int:
    """Devices that share a batch under `tf.distribute`; their gradients are added up."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


class _FunctionLoss(keras.losses.Loss):
    """A plain function `(labels, predictions) -> per-example loss` as a Keras loss."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__(name="label_loss")
        self._function = function

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self._function(y_true, y_pred)
