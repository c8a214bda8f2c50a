"""The loss on the labels, in whatever form Keras accepts it, applied to logits."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_prokt.outputs.divergence import are_distributions, one_hot_labels
from keras_prokt.typing import Tensor

LabelLoss = str | keras.losses.Loss | Callable[[Tensor, Tensor], Tensor] | None


def _of_keras(*names: str) -> tuple[Any, ...]:
    return tuple(getattr(keras.losses, name) for name in names)


_SPARSE = _of_keras("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy")
_CATEGORICAL = _of_keras("CategoricalCrossentropy", "categorical_crossentropy")
_GENERALIZED = _of_keras(
    "CategoricalGeneralizedCrossEntropy", "categorical_generalized_cross_entropy"
)
# What Keras's losses compare with one-hot labels or distributions: probabilities,
_OF_PROBABILITIES = _of_keras(
    *("BinaryCrossentropy", "binary_crossentropy"),
    *("BinaryFocalCrossentropy", "binary_focal_crossentropy"),
    *("CategoricalFocalCrossentropy", "categorical_focal_crossentropy"),
    *("KLDivergence", "kl_divergence", "Poisson", "poisson"),
    *("CosineSimilarity", "cosine_similarity", "Huber", "huber", "LogCosh", "log_cosh"),
    *("MeanAbsoluteError", "mean_absolute_error", "MeanSquaredError", "mean_squared_error"),
    *("MeanSquaredLogarithmicError", "mean_squared_logarithmic_error"),
)
# or scores of any size.
_OF_SCORES = _of_keras(
    *("CategoricalHinge", "categorical_hinge", "Hinge", "hinge"),
    *("SquaredHinge", "squared_hinge"),
)
# Of sequences, embeddings and whole images, and what divides by labels that are 0.
_OF_OTHERS = _of_keras(
    *("CTC", "ctc", "Circle", "circle", "Dice", "dice", "Tversky", "tversky"),
    *("MeanAbsolutePercentageError", "mean_absolute_percentage_error"),
)
_OF_INDICES = (*_SPARSE, *_GENERALIZED)
_OF_ROWS = (*_CATEGORICAL, *_OF_PROBABILITIES, *_OF_SCORES)


class LabelLossOnLogits:
    """Calls the user's `loss` argument of `compile` with what it was made for.

    - `None`: cross entropy from logits, sparse or not by the shape of the labels.
    - Keras's two cross entropies by name, class, function or object: their `from_logits=True` form.
    - A loss with `from_logits`, as an attribute, in its configuration or as an argument with a
      default: `softmax(logits)` where it is `False`, the logits where it is `True`.
    - Keras's losses of probabilities, such as `"kl_divergence"` and `"mse"`: `softmax(logits)`;
      its hinge losses: the logits.
    - A function or loss of one's own without `from_logits`: the logits.

    Args:
        loss: What `compile` received.

    Raises:
        ValueError: If it is no loss, takes the predictions before the labels, or is one of Keras's
            that cannot compare classes (CTC, circle, Dice, Tversky, percentage error).
    """

    def __init__(self, loss: LabelLoss = None):
        self._given = loss
        loss = None if loss is None else _resolve(loss)
        self._expects_probabilities = _expects_probabilities(loss)
        self._labels = _labels_of(loss)
        if loss is not None and not isinstance(loss, keras.losses.Loss):
            loss = _FunctionLoss(loss)
        self._loss = loss

    def check_form(self, labels: Any, num_classes: int, which: str = "") -> None:
        """Refuses integers where the loss compares rows, and rows where it wants integers.

        Args:
            labels: Integers `(batch,)` or distributions `(batch, classes)`; anything with a shape.
            num_classes: Width of the models' outputs.
            which: Prefix of the labels in the message, such as `"validation "`.

        Raises:
            ValueError: With what the loss takes.
        """
        rows = are_distributions(labels, num_classes)
        name = _name_of(self._given)
        if self._labels == "rows" and not rows:
            smoothing = _configuration(self._loss).get("label_smoothing")
            smoothed = f"keras_prokt.losses.SmoothedCrossEntropy({smoothing})"
            raise ValueError(
                f"Expected one-hot labels of shape (batch, {num_classes}) for the loss {name}, "
                f"received {which}labels that are integers; "
                f"use loss={smoothed if smoothing else None} for integers, or one-hot labels: "
                f"keras.utils.to_categorical(labels, {num_classes})."
            )
        if self._labels == "indices" and rows:
            raise ValueError(
                f"Expected integer labels of shape (batch,) for the loss {name}, received "
                f"{which}labels that are rows of {num_classes}; use loss=None for rows, or integer "
                "labels: labels.argmax(axis=-1)."
            )

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
            rows = are_distributions(labels, logits.shape[-1])
            of_labels, *_ = _CATEGORICAL if rows else _SPARSE
            loss = of_labels(from_logits=True)
        predictions = logits
        if self._expects_probabilities:
            # TensorFlow's softmax of Keras marks its result with its logits, and the binary cross
            # entropy would take their sigmoid instead.
            predictions = ops.exp(ops.log_softmax(logits, axis=-1))
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


def _resolve(loss: Any) -> Any:
    """The loss object or function that `compile` means, in its form from logits if it has one."""
    try:
        found = loss if inspect.isclass(loss) else keras.losses.get(loss)
    except (ValueError, TypeError):
        found = None
    if found is None or (inspect.isclass(found) and not issubclass(found, keras.losses.Loss)):
        raise ValueError(
            "Expected one loss, a keras.losses.Loss, a function of (labels, predictions) or a "
            f"name of Keras's, received {loss!r}; leave out loss= for the cross entropy."
        )
    for of_logits, function in (_SPARSE, _CATEGORICAL):
        if found in (of_logits, function):
            return of_logits(from_logits=True)
        if type(found) is of_logits:
            return of_logits.from_config({**found.get_config(), "from_logits": True})
    if inspect.isclass(found):
        found = found()
    if _is_one_of(found, _OF_OTHERS):
        raise ValueError(
            "Expected a loss of one class an example, from labels and logits or probabilities, "
            f"received {_name_of(loss)}; leave out loss= for the cross entropy."
        )
    if not isinstance(found, keras.losses.Loss):
        first = next(iter(_parameters(found)), None)
        if first in ("input", "inputs", "logits", "y_pred", "predictions"):
            raise ValueError(
                f"Expected a loss of (labels, predictions), received {_name_of(loss)}, which takes "
                f"{first!r} first; wrap it: loss=lambda labels, logits: your_loss(logits, labels)."
            )
    return found


def _expects_probabilities(loss: Any) -> bool:
    if isinstance(loss, keras.losses.Loss):
        from_logits = getattr(loss, "from_logits", _configuration(loss).get("from_logits"))
    else:
        parameter = _parameters(loss).get("from_logits") if loss is not None else None
        from_logits = parameter.default if parameter is not None else None
    if isinstance(from_logits, bool):
        return not from_logits
    return _is_one_of(loss, (*_OF_PROBABILITIES, *_GENERALIZED))


def _labels_of(loss: Any) -> str:
    """The form of labels that a loss takes: "indices", "rows" or "any"."""
    if _is_one_of(loss, _OF_INDICES):
        return "indices"
    return "rows" if _is_one_of(loss, _OF_ROWS) else "any"


def _is_one_of(loss: Any, losses: tuple[Any, ...]) -> bool:
    """Whether a loss is one of these functions, with or without settings, or of these classes."""
    while isinstance(loss, functools.partial):
        loss = loss.func
    return loss in losses or isinstance(loss, tuple(c for c in losses if inspect.isclass(c)))


def _configuration(loss: Any) -> dict[str, Any]:
    """What a loss object was made with; Keras's own keep it in private attributes."""
    return loss.get_config() if isinstance(loss, keras.losses.Loss) else {}


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Arguments of a function, or of a PyTorch module's `forward`."""
    try:
        return dict(inspect.signature(getattr(function, "forward", function)).parameters)
    except (ValueError, TypeError):  # some built-in functions have no signature
        return {}


def _name_of(loss: Any) -> str:
    if isinstance(loss, str):
        return repr(loss)
    return repr(getattr(loss, "__name__", type(loss).__name__))
