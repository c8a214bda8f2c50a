"""Trained models on held-out data: metrics, and what they answer for every example."""

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt import backends, outputs
from keras_prokt.data.batches import Batches, inputs_of
from keras_prokt.data.text_table import UNLABELLED
from keras_prokt.distillers import StudentOnly
from keras_prokt.models.as_logits import as_logits_if_seen
from keras_prokt.outputs import Output
from keras_prokt.outputs.base import MeanOf
from keras_prokt.results.metrics import get as get_metrics
from keras_prokt.results.metrics import log_name
from keras_prokt.typing import Tensor


@dataclass(frozen=True)
class Evaluation:
    """What one model does on one part of the data.

    Attributes:
        metrics: The metrics by name, `loss` (on the labels: the cross entropy in nats, of classes)
            and `seconds` of the pass.
        answers: `Output.answers` of each example, shape `(examples,)` or `(examples, width)`, in
            the order of the data: of classes their indices. Where positions have no label, those of
            each position that has one.
        right_answers: The labels in the same form.
        scores: `Output.scores` that are no `metrics`, by name.
        best_constant: The first of the metrics, of the model that answers all examples alike, as
            well as can be; of accuracy the share of the largest class. `None` for a kind of output
            that does not say.
        report: `Output.report`: of classes, each one's precision, recall and F1, what is taken for
            what, and calibration.
    """

    metrics: dict[str, float]
    answers: np.ndarray
    right_answers: np.ndarray
    scores: dict[str, float] = field(default_factory=dict)
    best_constant: float | None = None
    report: dict[str, Any] = field(default_factory=dict)


def evaluate(
    model: keras.Model,
    parts: Mapping[str, Batches],
    role: str,
    metrics: Sequence[str] = (),
    output: str = "classes",
) -> dict[str, Evaluation]:
    """One model on held-out data, in one pass over each part.

    Args:
        model: A model that outputs logits or probabilities.
        parts: The data by name.
        role: "teacher" or "student": which part of the inputs the model reads.
        metrics: As in `keras_prokt.results.metrics.get`; none: all that the kind of output reports.
        output: What the logits mean, a key of `keras_prokt.outputs.OUTPUTS`.

    Returns:
        For each part what the model does on it.

    Raises:
        ValueError: If the labels of a part do not fit the model's outputs.
    """
    kind = outputs.get(output)
    wrapper = _reading(model, role, output)
    measured = {}
    for part, batches in parts.items():
        logits, seconds = _predicted(wrapper, batches)
        kind = kind.for_outputs(logits.shape[1:])
        labelled = labelled_positions(batches.labels, kind)
        labels = checked_labels(batches.labels, kind, logits.shape[-1], f"{part} ")
        outputs_of_part = ops.cast(ops.convert_to_tensor(logits), "float32")
        values = _metrics_of(labels, outputs_of_part, metrics, kind, labelled)
        right = kind.right_answers(labels, logits.shape[-1])
        answers = kind.answers(outputs_of_part)
        measured[part] = Evaluation(
            {**values, "seconds": seconds},
            *(_array(tensor, labelled) for tensor in (answers, right)),
            {k: v for k, v in kind.scores(labels, outputs_of_part).items() if k not in values},
            chance(batches.labels, logits.shape[-1], next(iter(values)), output),
            kind.report(labels, outputs_of_part),
        )
    return measured


def _predicted(wrapper: keras.Model, batches: Batches) -> tuple[np.ndarray, float]:
    """A model's outputs for all examples, and the seconds of the pass.

    Behind the positions of a batch there are zeros, where those of others are more.
    """
    data = batches.for_evaluation()
    # Compiles, so that the time is that of the pass.
    if not batches.labels_per_position:
        wrapper.predict(backends.current().enough_to_compile(data, len(batches)), verbose=0)
        started = time.perf_counter()
        logits = wrapper.predict(data, verbose=0)
        return logits, time.perf_counter() - started
    wrapper.predict_on_batch(next(batches.epoch())[0])
    started = time.perf_counter()
    predicted = [wrapper.predict_on_batch(inputs) for inputs, *_ in batches.epoch()]
    seconds = time.perf_counter() - started
    length = batches.labels.shape[1]
    padded = [np.pad(one, ((0, 0), (0, length - one.shape[1]), (0, 0))) for one in predicted]
    return np.concatenate(padded), seconds


def labelled_positions(labels: np.ndarray, kind: Output) -> np.ndarray | None:
    """Which positions of a data set have a label, booleans; `None` if there are no others.

    Args:
        labels: The labels, `UNLABELLED` at positions without one.
        kind: What the outputs mean.
    """
    if kind.example_axes == 1 or not (labels == UNLABELLED).any():
        return None
    return kind.fill_unlabelled(labels, labels.shape[-1], UNLABELLED, np)[1]


def outputs_of(
    model: keras.Model, batches: Batches, role: str, output: str = "classes"
) -> np.ndarray:
    """The logits of a model for all examples of a data set, `(examples, width)`, in its order.

    Args:
        model: As in `evaluate`, as the last two.
        batches: The data; not shuffled.
        role: "teacher" or "student".
        output: What the logits mean.
    """
    return _reading(model, role, output).predict(batches.for_evaluation(), verbose=0)


def _reading(model: keras.Model, role: str, output: str) -> StudentOnly:
    """A model that reads its part of batches, and answers with logits."""
    wrapper = StudentOnly(
        as_logits_if_seen(model, outputs.get(output).activations),
        output=output,
        student_inputs=functools.partial(inputs_of, role=role),
    )
    wrapper.compile()
    return wrapper


def checked_labels(labels: np.ndarray, kind: Output, width: int, which: str = "") -> Tensor:
    """Labels of a whole data set in the form that the kind's other methods take.

    Positions without a label get one that is valid.

    Args:
        labels: The labels.
        kind: What the outputs mean.
        width: Width of the outputs.
        which: Prefix of the messages, such as `"test "`.

    Raises:
        ValueError: If they do not fit the outputs.
    """
    kind.check_form(labels, width, which)
    if labelled_positions(labels, kind) is not None:
        labels, _ = kind.fill_unlabelled(labels, width, UNLABELLED, np)
    kind.check_values(labels, width, which)
    return kind.checked(ops.convert_to_tensor(labels), width)[0]


def metrics_of(
    labels: np.ndarray, logits: np.ndarray, metrics: Sequence[str] = (), output: str = "classes"
) -> dict[str, float]:
    """Metrics of a model's outputs.

    Args:
        labels: As the kind of output takes them: of classes, indices of shape `(examples,)`.
        logits: Shape `(examples, width)`.
        metrics: As in `evaluate`.
        output: As in `evaluate`.

    Returns:
        The metrics by name, and `loss`: that on the labels, of classes the cross entropy in nats.

    Raises:
        ValueError: If the labels do not fit the outputs.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.results.evaluation import metrics_of
    >>> metrics_of(np.array([0, 1]), np.zeros((2, 2)))["accuracy"]
    0.5
    """
    kind = outputs.get(output)
    labelled = labelled_positions(labels, kind)
    labels = checked_labels(labels, kind, logits.shape[-1])
    return _metrics_of(labels, ops.convert_to_tensor(logits), metrics, kind, labelled)


def chance(labels: np.ndarray, width: int, metric: str, output: str = "classes") -> float | None:
    """A metric of the model that answers all examples alike, as well as can be.

    Args:
        labels: As in `metrics_of`.
        width: Width of the outputs.
        metric: As in `evaluate`.
        output: As in `evaluate`.

    Returns:
        Of classes and their accuracy, the share of the most frequent one; `None` for a kind of
        output that does not say.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.results.evaluation import chance
    >>> chance(np.array([0, 1, 1, 1]), 2, "accuracy")
    0.75
    """
    kind = outputs.get(output)
    constant = kind.best_constant(checked_labels(labels, kind, width), width)
    if constant is None:
        return None
    logits = np.tile(ops.convert_to_numpy(constant), (len(labels), 1))
    return metrics_of(labels, logits, [metric], output)[metric]


def _metrics_of(
    labels: Tensor,
    logits: Tensor,
    names: Sequence[str],
    kind: Output,
    labelled: np.ndarray | None,
) -> dict[str, float]:
    logits = ops.cast(logits, "float32")
    width = logits.shape[-1]
    names = names or kind.metric_names
    reported = {metric.name: metric for metric in kind.metrics(width)}
    asked_for = {metric.name: metric for metric in get_metrics(names, kind)}
    values = {}
    for name in names:
        if name in reported:
            values[name] = _value(reported[name], labels, logits, labelled)
        else:
            predictions = kind.for_metrics(logits)
            values[name] = _value(asked_for[log_name(name)], labels, predictions, labelled)
    losses = kind.default_loss(labels, width).call(labels, logits)
    values["loss"] = float(_array(losses, labelled).mean(dtype="float64"))
    return values


def _value(
    metric: keras.metrics.Metric,
    labels: Tensor,
    predictions: Tensor,
    labelled: np.ndarray | None,
) -> float:
    if isinstance(metric, MeanOf):  # its own sums are float32
        values = metric.example_values(labels, predictions)
        return float(_array(values, labelled).mean(dtype="float64"))
    weight = None if labelled is None else labelled.astype("float32")
    metric.update_state(labels, predictions, sample_weight=weight)
    return float(ops.convert_to_numpy(metric.result()))


def _array(tensor: Tensor, labelled: np.ndarray | None) -> np.ndarray:
    """As NumPy has it, of positions that have a label; one value an example without an axis."""
    array = ops.convert_to_numpy(tensor)
    if labelled is not None:
        return array[labelled]
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
