"""Faults of the data or of the training that can only be seen in a step.

Labels that are no classes and no distributions, inputs that are not finite, probabilities where
logits are expected and losses that are not finite are flagged inside the compiled step at the cost
of a few reductions, make the reported `loss` NaN, and are turned into one clear error by the host
after that step, before any callback can save the damaged state. What evaluation flags of its data
is looked at when it ends.

Training can also go to pieces with finite losses: ten steps at a thousand times the right learning
rate, and the logits are 1e12 and wrong. The step therefore adds up how wrong the trained models
are, and the host looks at it when an epoch ends, and at the weights, whose NaN an activation may
hide.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_prokt import backends
from keras_prokt.arguments import check_type
from keras_prokt.distillers.data_checks import NO_BATCH
from keras_prokt.distillers.fault_flags import FAULTS, WATCHED
from keras_prokt.distillers.learning_rates import give_one_rate
from keras_prokt.distillers.model_checks import weight_not_finite
from keras_prokt.distillers.unlabelled import ADVICE, NOTHING_TRAINS

EXPLODED_NATS = 1e4
"""Cross entropy on the labels, in nats, that no training on its way to anything has for long.

A wrong answer costs as many nats as its logit lies above that of the label: about 10 in a trained
network, 100 in a very confident one.
"""

EXPLODED_TIMES = 100
"""How much worse than in its first step a model must be besides: inputs in the millions, which
nobody has scaled, make even a fresh network wrong by many nats."""

JUDGED_STEPS = 8
"""Steps that are judged together, at least; short epochs are added up. One bad step passes."""


class TrainingFault(ValueError):
    """Training cannot go on; the message says at which step and why."""


class FaultWatch(keras.callbacks.Callback):
    """Stops with a `TrainingFault` right after the step that went bad, or when evaluation ends.

    Training whose losses are finite and absurd is stopped when the epoch ends, and so is an epoch
    or an evaluation without a batch, which would count as done.
    """

    _is_empty = False
    callbacks: Any = ()
    """All that `fit` was given."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        give_one_rate(self.callbacks, self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._is_empty = epoch, True

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._is_empty = False
        for key in ("loss", "teacher_loss"):
            if logs and key in logs and not math.isfinite(float(logs[key])):
                raise_fault(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        model = self.model
        self.raise_if_empty()
        raise_weightless(model, "training")
        raise_not_finite(model, epoch)
        wrongness = ops.convert_to_numpy(model.faults.wrongness)
        is_last = epoch + 1 == self.params["epochs"]
        if wrongness[:, 2].max() < JUDGED_STEPS and not is_last:
            return
        raise_unlabelled(model, epoch)
        raise_explosion(wrongness, epoch)
        model.faults.wrongness.assign(wrongness * [1.0, 0.0, 0.0])

    def raise_if_empty(self) -> None:
        """Raises the fault of an epoch that has had no batch so far."""
        if self._is_empty:
            raise TrainingFault(NO_BATCH.format(where=f"epoch {self._epoch + 1}"))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.model.faults.forget()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._is_empty_test = True

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._is_empty_test = False

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._is_empty_test:
            raise TrainingFault(NO_BATCH.format(where="evaluation data"))
        raise_fault(self.model, "Evaluation")
        raise_weightless(self.model, "evaluation")


def watched(callbacks: Any, watch: FaultWatch, model: Any) -> Any:
    """The `callbacks` argument of `fit` or `evaluate` with a `FaultWatch` before all others.

    Args:
        callbacks: `None`, a callback, several, or Keras's list of them.
        watch: What is put first.
        model: The distiller.
    """
    watch.callbacks = callbacks
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.callbacks.insert(0, watch)
        watch.set_model(model)
        return callbacks
    # First, so that nothing is saved after a fault.
    wanted = [c for c in keras.tree.flatten(callbacks) if c is not None]
    for callback in wanted:
        check_type("callbacks", callback, keras.callbacks.Callback, "Keras's callbacks")
    return [watch, *wanted]


def raise_fault(model: Any, during: str | None = None) -> None:
    """Raises the fault that a distiller's variables show, if there is one.

    Args:
        model: The distiller.
        during: Beginning of the message; the number of the step by default.
    """
    backends.current().put_state_back(model)
    flags = ops.convert_to_numpy(model.faults.flags)
    messages = {**FAULTS, **model.output_kind.faults}
    for flag, fault in zip(flags, FAULTS, strict=True):
        if flag:
            step = int(ops.convert_to_numpy(model.optimizer.iterations))
            teacher = "teacher before its first update" if model.trains_teacher else "fixed teacher"
            text = messages[fault].format(width=model.output_width, teacher=teacher)
            raise TrainingFault(f"{during or f'Step {step}'}: {text}")


def raise_weightless(model: Any, during: str) -> None:
    """Raises the fault of an epoch, or an evaluation, all of whose examples weigh 0.

    Args:
        model: The distiller.
        during: "training" or "evaluation".

    Raises:
        TrainingFault: With what to do.
    """
    weighed = ops.convert_to_numpy(model.faults.weighed)
    row = 0 if during == "training" else 1
    model.faults.weighed.assign(weighed * [[row], [1 - row]])
    has_weights, counts = weighed[row]
    if has_weights and not counts:
        raise TrainingFault(
            f"Expected {during} data with sample_weight above 0 of one example at least, received "
            "0 of each, which counts none; leave sample_weight out."
        )


def raise_not_finite(model: Any, epoch: int) -> None:
    """Raises the fault of weights that are not finite, if there are some.

    Args:
        model: The distiller.
        epoch: Number of the epoch that ends, 0-based.
    """
    for role, one in model._models().items():
        if (weight := weight_not_finite(one)) is not None:
            raise TrainingFault(
                f"Epoch {epoch + 1}: Expected finite weights of the {role}, received NaN or "
                f"infinity in {weight!r}; lower its learning rate, clip its gradients, or use "
                "float32."
            )


def raise_unlabelled(model: Any, epoch: int) -> None:
    """Raises the fault of a model that nothing trains, since no row so far had a label.

    Args:
        model: The distiller.
        epoch: Number of the epoch that ends, 0-based.
    """
    if model.ignore_class is not None and not ops.convert_to_numpy(model.faults.taught):
        untrained = model.untrained_without_labels(has_target=False)
        text = NOTHING_TRAINS.format(
            which="", ignore_class=model.ignore_class, role=untrained, advice=ADVICE[untrained]
        )
        raise TrainingFault(f"Epoch {epoch + 1}: {text}")


def raise_explosion(wrongness: Any, epoch: int) -> None:
    """Raises the fault of a model that the steps so far have made absurdly wrong, if there is one.

    Args:
        wrongness: Array `(2, 3)`; see `NotedFaults`.
        epoch: Number of the epoch that ends, 0-based.
    """
    for role, (first, total, steps) in zip(WATCHED, wrongness.tolist(), strict=True):
        limit = max(EXPLODED_NATS, EXPLODED_TIMES * first)
        if steps and not total / steps <= math.log10(limit):
            nats = f"about 10^{total / steps:.1f}" if math.isfinite(total) else "infinitely many"
            raise TrainingFault(
                f"Epoch {epoch + 1}: training of the {role} has exploded, its loss on the "
                f"labels is {nats} nats and was {first:.3g} in the first step; lower the {role}'s "
                "learning rate, or clip its gradients."
            )
