"""A loss on labels in which some classes count more than others."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt.typing import Tensor


def balanced_weights(counts: np.ndarray) -> np.ndarray:
    """Weights with which all classes count the same: `n / (K · n_k)`.

    As scikit-learn's `class_weight="balanced"` (King and Zeng 2001, "Logistic Regression in Rare
    Events Data", section 4.2). Their mean over the examples is 1.

    Args:
        counts: Examples `n_k` of each of the `K` classes, at least 1.

    Returns:
        Shape `(K,)`, float64.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.outputs.class_weights import balanced_weights
    >>> balanced_weights(np.array([30, 10])).tolist()
    [0.6666666666666666, 2.0]
    """
    return counts.sum() / (len(counts) * counts.astype("float64"))


@keras.saving.register_keras_serializable(package="keras_prokt")
class ClassWeightedLoss(keras.losses.Loss):
    """A loss times the weight of each example's class: `w_y · L(y, z)`.

    Keras's `class_weight` of `fit` weighs examples, in all that they are used for; this weighs
    labels alone, not what a student matches of its teacher. The mean is over the examples, as
    Keras's is.

    Args:
        loss: A loss from logits, of integer labels `(batch,)` or of one yes-or-no label.
        weights: Of each class, in the order of their indices; of a yes-or-no label of no and yes.
        name: Name of the loss.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_prokt.outputs.class_weights import ClassWeightedLoss
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> weighted = ClassWeightedLoss(loss, [1.0, 3.0])
    >>> round(float(weighted(np.array([0, 1]), np.zeros((2, 2), "float32"))), 4)  # 2 log 2
    1.3863
    """

    def __init__(
        self,
        loss: keras.losses.Loss,
        weights: Sequence[float],
        name: str = "class_weighted_loss",
    ):
        super().__init__(name=name)
        self.loss = loss
        self.weights = tuple(map(float, weights))

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each example, shape `(batch,)`, float32."""
        classes = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        weights = ops.take(ops.convert_to_tensor(self.weights, dtype="float32"), classes)
        return weights * ops.cast(self.loss.call(y_true, y_pred), "float32")

    def get_config(self) -> dict[str, Any]:
        loss = keras.saving.serialize_keras_object(self.loss)
        return {"loss": loss, "weights": self.weights, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ClassWeightedLoss":
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})
