"""The loss on the labels, in whatever form Keras accepts it, applied to logits."""

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
from keras import ops

from keras_prokt import backends
from keras_prokt.outputs.base import LossOf, Output
from keras_prokt.outputs.classes import Classes
from keras_prokt.outputs.keras_losses import configuration, is_one_of, name_of, parameters
from keras_prokt.typing import Tensor

LabelLoss: TypeAlias = str | keras.losses.Loss | Callable[[Tensor, Tensor], Tensor] | None


class LabelLossOnLogits:
    """Calls the user's `loss` argument of `compile` with what it was made for.

    - `None`: the negative log likelihood of the kind of output, from logits: the cross entropy,
      sparse or not by the shape of the labels, or the mean binary cross entropy.
    - Keras's cross entropies of that kind by name, class, function or object: their
      `from_logits=True` form.
    - A loss with `from_logits`, as an attribute, in its configuration or as an argument with a
      default: the means that the outputs predict (`Output.means`: probabilities, the `softmax` or
      `sigmoid` of the logits) where it is `False`, the logits where it is `True`.
    - Keras's losses of such means, such as `"mse"`: means; its hinge losses: the logits.
    - A function or loss of one's own without `from_logits`: the logits. With a model that ends in
      softmax or sigmoid a distiller refuses it, since it may be meant for either.

    Args:
        loss: What `compile` received.
        output: What the logits mean; one class an example by default.
        ignore_class: The label of what has none, if there may be any.

    Raises:
        ValueError: If it is no loss, takes the predictions before the labels, or is one of Keras's
            that means nothing for such outputs (CTC, circle, Dice, Tversky, percentage error).
    """

    def __init__(
        self,
        loss: LabelLoss = None,
        output: Output | None = None,
        ignore_class: int | None = None,
    ):
        self.output = Classes() if output is None else output
        self.ignore_class = ignore_class
        self._given = loss
        self._resolved: Any = _resolve(loss, self.output) if loss is not None else None
        from_logits = _from_logits(self._resolved)
        self.says_what_it_reads = from_logits is not None or _is_of_keras(self._resolved)
        """Whether it says, or Keras does, if it reads logits or means; not so a plain function."""
        self._expects_means = _expects_means(self._resolved, from_logits, self.output)
        self._loss = self._resolved
        if callable(self._resolved) and not isinstance(self._resolved, keras.losses.Loss):
            self._loss = LossOf(self._resolved, name="label_loss")

    def check_form(self, labels: Any, width: int, which: str = "") -> None:
        """Refuses labels in a form that the loss does not take, such as integers for rows.

        Args:
            labels: What `Output.check_form` lets pass; anything with a shape.
            width: Width of the models' outputs.
            which: Prefix of the labels in the message, such as `"validation "`.

        Raises:
            ValueError: With what the loss takes.
        """
        self.output.check_loss(self._resolved, name_of(self._given), labels, width, which)

    def __call__(
        self,
        labels: Tensor,
        logits: Tensor,
        sample_weight: Tensor | None = None,
        labelled: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch as a float32 scalar.

        Args:
            labels: What `Output.checked` returns.
            logits: Shape `(batch, width)`.
            sample_weight: `None` or shape `(batch,)`.
            labelled: 1 where there is a label and 0 elsewhere, float32 `(batch,)`, or `None` where
                all have one. A loss that is a mean is that of what has a label, and 0 if nothing
                has one.

        Raises:
            ValueError: If `labelled` is missing though there may be rows without a label, or the
                loss has no value of each row.
        """
        if self.ignore_class is not None and labelled is None:
            raise ValueError(
                "Expected `labelled` of a batch that may have rows without a label, received None; "
                "give batch.labelled, without which they would be trained as class 0."
            )
        logits = ops.cast(logits, "float32")
        loss = self._loss
        if loss is None:
            loss = self.output.default_loss(labels, logits.shape[-1])
        predictions = logits
        if self._expects_means:
            predictions = self.output.means(logits)
        if labelled is not None:
            # Without the mask of Keras's layers, which its losses would apply once more.
            predictions = predictions + 0.0
            _check_has_rows(loss, labels, predictions)
            if getattr(loss, "reduction", None) != "sum":
                # Keras will divide by the number of all.
                count = mean_count(labelled)
                labelled = labelled * ops.divide_no_nan(float_size(labelled), count)
            sample_weight = labelled if sample_weight is None else labelled * sample_weight
        value = ops.cast(loss(labels, predictions, sample_weight=sample_weight), "float32")
        # Keras has divided a mean by this already, and leaves a sum to be added up.
        return value * backends.current().number_of_replicas()


def mean_count(labelled: Tensor) -> Tensor:
    """How many have a label, or the mean number over the devices that share a batch."""
    return backends.current().mean_over_replicas(ops.sum(labelled))


def float_size(values: Tensor) -> Tensor:
    """Number of entries, a float32 scalar."""
    return ops.cast(ops.size(values), "float32")


def _check_has_rows(loss: Any, labels: Tensor, predictions: Tensor) -> None:
    """Refuses a loss of the user that is one value of the batch, with all that has no label."""
    if type(loss).__module__.partition(".")[0] == "keras":
        return
    if len(loss.call(labels, predictions).shape) == 0:
        raise ValueError(
            "Expected a loss of each row with ignore_class, received the scalar of "
            f"{name_of(loss)}; leave out its mean, so that rows without a label can be left out."
        )


def _resolve(loss: Any, output: Output) -> Any:
    """The loss object or function that `compile` means, in its form from logits if it has one."""
    found: Any
    try:
        found = loss if inspect.isclass(loss) else keras.losses.get(loss)
    except (ValueError, TypeError):
        found = None
    if found is None or (inspect.isclass(found) and not issubclass(found, keras.losses.Loss)):
        raise ValueError(
            "Expected one loss, a keras.losses.Loss, a function of (labels, predictions) or a "
            f"name of Keras's, received {loss!r}; {output.losses.advice}."
        )
    for logits_loss, function in output.losses.from_logits:
        if found in (logits_loss, function):
            return logits_loss(from_logits=True)
        if type(found) is logits_loss:
            return logits_loss.from_config({**found.get_config(), "from_logits": True})
    if inspect.isclass(found):
        found = found()
    if is_one_of(found, output.losses.refused):
        raise ValueError(
            f"Expected a loss for outputs of the kind {output.id!r}, from labels and logits or "
            f"probabilities, received {name_of(loss)}; {output.losses.advice}."
        )
    if not isinstance(found, keras.losses.Loss):
        first = next(iter(parameters(found)), None)
        if first in ("input", "inputs", "logits", "y_pred", "predictions"):
            raise ValueError(
                f"Expected a loss of (labels, predictions), received {name_of(loss)}, which takes "
                f"{first!r} first; wrap it: loss=lambda labels, logits: your_loss(logits, labels)."
            )
    return found


def _from_logits(loss: Any) -> bool | None:
    """What a loss says of itself; `None` if it says nothing."""
    if isinstance(loss, keras.losses.Loss):
        from_logits = getattr(loss, "from_logits", configuration(loss).get("from_logits"))
    else:
        parameter = parameters(loss).get("from_logits") if loss is not None else None
        from_logits = parameter.default if parameter is not None else None
    return from_logits if isinstance(from_logits, bool) else None


def _expects_means(loss: Any, from_logits: bool | None, output: Output) -> bool:
    return is_one_of(loss, output.losses.of_means) if from_logits is None else not from_logits


def _is_of_keras(loss: Any) -> bool:
    """Whether a loss is none of the user's own; so is the usual one, `None`."""
    home = type(loss) if isinstance(loss, keras.losses.Loss) or loss is None else loss
    return loss is None or home.__module__.partition(".")[0] in ("keras", "keras_prokt")
