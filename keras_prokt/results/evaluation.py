"""Trained models on held-out data: metrics, and the class of every example."""

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

from keras_prokt import backends
from keras_prokt.data.batches import Batches, inputs_of
from keras_prokt.distillers import StudentOnly
from keras_prokt.results.metrics import get as get_metrics
from keras_prokt.results.metrics import log_name


@dataclass(frozen=True)
class Evaluation:
    """What one model does on one part of the data.

    Attributes:
        metrics: The metrics by name, `loss` (cross entropy on the labels, in nats) and `seconds`
            of the pass.
        classes: The class of each example, shape `(examples,)`, in the order of the data.
    """

    metrics: dict[str, float]
    classes: np.ndarray


def evaluate(
    model: keras.Model,
    parts: Mapping[str, Batches],
    role: str,
    metrics: tuple[str, ...] = ("accuracy",),
) -> dict[str, Evaluation]:
    """One model on held-out data, in one pass over each part.

    Args:
        model: A model that outputs logits.
        parts: The data by name.
        role: "teacher" or "student": which part of the inputs the model reads.
        metrics: "accuracy" and names of `keras_prokt.results.metrics.METRICS`.

    Returns:
        For each part what the model does on it.
    """
    wrapper = StudentOnly(model, student_inputs=functools.partial(inputs_of, role=role))
    wrapper.compile()
    measured = {}
    for part, batches in parts.items():
        data = batches.for_evaluation()
        # Compiles, so that the time is that of the pass.
        wrapper.predict(backends.current().enough_to_compile(data, len(batches)), verbose=0)
        started = time.perf_counter()
        logits = wrapper.predict(data, verbose=0)
        seconds = time.perf_counter() - started
        values = metrics_of(batches.labels, logits, metrics)
        measured[part] = Evaluation({**values, "seconds": seconds}, logits.argmax(-1))
    return measured


def metrics_of(
    labels: np.ndarray, logits: np.ndarray, metrics: tuple[str, ...] = ("accuracy",)
) -> dict[str, float]:
    """Metrics of a model's outputs.

    Args:
        labels: Class indices, shape `(examples,)`.
        logits: Shape `(examples, classes)`.
        metrics: As in `evaluate`.

    Returns:
        The metrics by name, and `loss`: the cross entropy on the labels, in nats.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.results.evaluation import metrics_of
    >>> metrics_of(np.array([0, 1]), np.zeros((2, 2)))["accuracy"]
    0.5
    """
    values = {}
    metrics_by_name = {metric.name: metric for metric in get_metrics(metrics)}
    for name in metrics:
        if name == "accuracy":
            values[name] = float(np.mean(logits.argmax(-1) == labels))
        else:
            metric = metrics_by_name[log_name(name)]
            metric.update_state(labels, logits)
            values[name] = float(metric.result())
    logits = logits.astype("float64")
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    values["loss"] = float(-np.mean(log_probabilities[np.arange(len(labels)), labels]))
    return values
