"""Training rows of a run that have no label."""

from typing import Any

import numpy as np

from keras_prokt import outputs
from keras_prokt.app import Task
from keras_prokt.data.batches import Batches
from keras_prokt.data.text_table import UNLABELLED
from keras_prokt.methods import REGIMES, parse_method
from keras_prokt.outputs import Output
from keras_prokt.runs.progress import say
from keras_prokt.settings import SettingError, argument


def labelled_rows(batches: Batches, kind: Output) -> np.ndarray:
    """Which examples have a label, booleans `(n,)`; of a kind that may be any number, all."""
    if not kind.may_be_unlabelled:
        return np.ones(batches.num_examples, dtype=bool)
    labels = batches.labels.reshape(batches.num_examples, -1)
    return ~(labels == UNLABELLED).all(axis=-1)


def labelled_only(batches: Batches, kind: Output) -> Batches:
    """The examples with a label; of a data set that has one everywhere, the same object."""
    rows = labelled_rows(batches, kind)
    return batches if rows.all() else batches.taking(np.flatnonzero(rows))


def ignore_class_of(batches: Batches, kind: Output) -> int | None:
    """The label of what has none, an example or one of its positions; `None` if all have one."""
    if kind.example_axes > 1:
        return UNLABELLED if (batches.labels == UNLABELLED).any() else None
    return None if labelled_rows(batches, kind).all() else UNLABELLED


def hide_labels(task: Task, spec: Any) -> None:
    """Takes the labels of training examples away, but for some at random.

    The same of one seed, whatever the method.

    Raises:
        SettingError: If there are not so many, or labels that are no whole numbers.
    """
    train = task.train
    count = train.num_examples
    if spec.labelled > count:
        raise SettingError(
            f"Expected {argument('labelled')} of at most the {count} training examples, received "
            f"{spec.labelled}; leave it out to keep all labels."
        )
    if train.labels.dtype.kind not in "biu":
        raise SettingError(
            f"Expected labels that are whole numbers with {argument('labelled')}, received "
            f"{train.labels.dtype}; leave it out."
        )
    hidden = np.random.default_rng([spec.seed, 4]).permutation(count)[spec.labelled :]
    labels = train.labels.astype("int32")
    labels[hidden] = UNLABELLED
    task.train = train.with_labels(labels)


def prepare_unlabelled(task: Task, spec: Any) -> None:
    """Says how many training rows have a label, and leaves the others out of what needs one.

    Raises:
        SettingError: If nothing would train a model.
    """
    kind = outputs.get(task.output)
    rows = labelled_rows(task.train, kind)
    if rows.all():
        return
    method = parse_method(spec.method)
    regime = REGIMES[method.regime]
    say(f"labels: {rows.sum():,} of {len(rows):,} training rows have one")
    is_trained = spec.teacher_init is not None or spec.teacher_epochs == 0
    is_taught = regime.trains_teacher_before and is_trained or spec.teacher_outputs is not None
    if not rows.any() and not (method.distils and is_taught):
        raise SettingError(
            f"Expected training rows with a label for method {spec.method!r}, received none: "
            "nothing would train the "
            f"{'teacher' if method.distils else 'student'}; add some, or use kd with a trained "
            f"teacher, {argument('teacher_init')}."
        )
    if not method.distils:
        task.train = labelled_only(task.train, kind)
