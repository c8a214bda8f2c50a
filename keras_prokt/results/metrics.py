"""Metrics of an app by name, each computed over a whole data set."""

from collections.abc import Sequence

import keras

from keras_prokt.names import unknown_name
from keras_prokt.outputs import Output
from keras_prokt.outputs.scores import LOWER_IS_BETTER


def log_name(name: str) -> str:
    """What a metric of the student is called in the logs."""
    return f"student_{name}"


def get(names: Sequence[str], kind: Output) -> list[keras.metrics.Metric]:
    """New metrics of the student, to compile a distiller with, by the names of an app.

    Args:
        names: Of the kind's `metrics`, which are left out since every distiller reports them, and
            of its `more_metrics`.
        kind: What the models' outputs mean.

    Returns:
        The metrics, called by `log_name`.

    Raises:
        ValueError: If a name is unknown; the message lists the known ones.
    """
    reported = kind.metric_names
    for name in names:
        if name not in reported and name not in kind.more_metrics:
            raise ValueError(unknown_name("a metric", name, [*reported, *kind.more_metrics]))
    return [kind.more_metrics[name](log_name(name)) for name in names if name not in reported]


def mode(name: str, kind: Output) -> str:
    """ "min" if a lower value of a metric is better, otherwise "max"."""
    return "min" if name in lower_is_better(kind) else "max"


def lower_is_better(kind: Output) -> frozenset[str]:
    """Names of all that an evaluation measures of which a lower value is better."""
    return kind.lower_is_better | LOWER_IS_BETTER | {"loss"}
