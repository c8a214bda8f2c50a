"""Records the outputs of trained teachers on the training data of an app."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_prokt import outputs
from keras_prokt.app import Task, get_app
from keras_prokt.arguments import (
    check_flag,
    check_type,
    checked_path,
    checked_paths,
    checked_texts,
)
from keras_prokt.data.batches import inputs_of
from keras_prokt.data.teacher_outputs import LOGITS, PROBABILITIES
from keras_prokt.files import replacing
from keras_prokt.outputs import Output
from keras_prokt.recorders import Asked, recorder_of
from keras_prokt.results.evaluation import metrics_of
from keras_prokt.runs.asked_teacher import AskedTeacher, asked_teachers, check_free
from keras_prokt.runs.progress import Countdown, say
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.unlabelled import labelled_rows
from keras_prokt.settings import SettingError, argument


@dataclass(frozen=True)
class Recorded:
    """The outputs of a teacher, or the mean of several.

    Attributes:
        logits: Float32, shape `(rows, width)`.
        index: Position of each row in the training data as its user has it, `(rows,)`.
        class_names: Names of the classes, in the order of the logits.
        digest: SHA-256 of the training data that was read.
        accuracy: The first metric of each teacher on the labels of the training data, by teacher;
            empty where no row has a label.
    """

    logits: np.ndarray
    index: np.ndarray
    class_names: list[str]
    digest: str
    accuracy: dict[str, float]


class _Answers(NamedTuple):
    logits: np.ndarray
    task: Task


def record(
    spec: RunSpec,
    teachers: Sequence[str],
    out: str | Path,
    *,
    class_order: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Recorded:
    """Runs trained teachers over the training data of an app, and stores their outputs.

    The file is one for the setting `teacher_outputs` of runs on the same data: `logits` of each
    row, their positions in the data as `index`, and `class_names`. Of several teachers it holds the
    logarithm of their mean probability.

    Args:
        spec: Says the app and its data. On texts its teacher says whose word pieces a teacher reads
            that brings none.
        teachers: Folders of runs (their teacher if they kept it, or their student), files,
            directories and functions, as `keras_prokt.recorders.RECORDERS` lists them.
        out: The `.npz` file.
        class_order: Classes in the order of the outputs of teachers that do not name their own;
            the task's order by default.
        overwrite: Whether it may be replaced.

    Returns:
        What was stored.

    Raises:
        ValueError: If a teacher cannot be read, reads other inputs, or has outputs of another
            width; then nothing has been written.

    Example:

    ```python
    from keras_prokt.runs import RunSpec, record

    record(RunSpec.resolve("digits", "student"), ["teacher.keras"], "outputs.npz")
    ```
    """
    check_type("spec", spec, RunSpec, "a RunSpec, such as RunSpec.resolve('digits', 'student')")
    checked_paths("teachers", teachers)
    teachers, out = [os.fspath(one) for one in teachers], checked_path("out", out)
    if class_order is not None:
        class_order = checked_texts("class_order", class_order)
    check_flag("overwrite", overwrite)
    check_free(out, overwrite)
    asked = asked_teachers(spec, teachers)
    answers = {teacher.name: _answers(teacher, class_order) for teacher in asked}
    first = next(iter(answers.values()))
    kind = outputs.get(first.task.output)
    for name, other in answers.items():
        if other.logits.shape != first.logits.shape:
            raise ValueError(
                f"Expected teachers with outputs of one shape, received {first.logits.shape} and "
                f"{other.logits.shape} of {name!r}; record teachers of the same classes."
            )
    recorded = Recorded(
        _mean([answer.logits for answer in answers.values()], kind),
        first.task.train.origin.positions,
        first.task.class_names,
        first.task.train.digest(),
        {
            name: _metric(answer, kind)
            for name, answer in answers.items()
            if labelled_rows(answer.task.train, kind).any()
        },
    )
    with replacing(out) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            logits=recorded.logits,
            index=recorded.index,
            class_names=np.array(recorded.class_names, dtype="U"),
            data=recorded.digest,
        )
    return recorded


def _answers(teacher: AskedTeacher, class_order: Sequence[str] | None) -> _Answers:
    """The logits of a teacher on the training data, in the order of its examples."""
    task = get_app(teacher.spec.app).prepare(teacher.spec.request())
    teacher.check_reads(task)
    if class_order is not None and sorted(class_order) != sorted(task.class_names):
        raise SettingError(
            f"Expected {argument('class_order')} to be the classes {task.class_names} in the order "
            f"of the teacher's outputs, received {list(class_order)}; name each once."
        )
    data = task.train.in_order()
    batches = data.batches_by_length()
    example = inputs_of(data.batch(batches[0][:1])[0], teacher.role)
    opened = recorder_of(teacher.path).open(teacher.path, Asked(task.class_names, example))
    values, done = [], 0
    with Countdown(f"record {teacher.name}", data.num_examples) as countdown:
        for indices in batches:
            inputs = inputs_of(data.batch(indices)[0], teacher.role)
            values.append(_checked(opened.predict(inputs), teacher))
            done += len(indices)
            countdown.reached(done)
    in_order = np.concatenate(values)[np.argsort(np.concatenate(batches))]
    kind = outputs.get(task.output)
    _check_width(in_order.shape[-1], task, kind, teacher.name)
    form, logits = _as_logits(in_order.astype("float64"), opened.form, kind, teacher.name)
    if not np.isfinite(logits).all():
        raise ValueError(
            f"Expected finite outputs of {teacher.name!r}, received NaN or infinity; check its "
            "weights."
        )
    if class_order is not None and not teacher.knows_classes:
        logits = logits[:, [list(class_order).index(name) for name in task.class_names]]
    say(f"{teacher.name}: {form} of {len(logits):,} rows")
    return _Answers(logits.astype("float32"), task)


def _checked(predicted: np.ndarray, teacher: AskedTeacher) -> np.ndarray:
    if predicted.ndim != 2:
        raise ValueError(
            f"Expected outputs of shape (batch, classes) of {teacher.name!r}, received "
            f"{predicted.shape}; record a classifier."
        )
    return predicted


def _check_width(width: int, task: Task, kind: Output, name: str) -> None:
    """Refuses outputs that are not one for each class."""
    if not task.class_names:
        return
    try:
        kind.check_names(task.class_names, width)
    except ValueError as error:
        raise ValueError(
            f"Expected a teacher of the classes {', '.join(task.class_names)}, received {name!r} "
            f"with {width} outputs; record one with an output for each."
        ) from error


def _as_logits(
    values: np.ndarray, form: str | None, kind: Output, name: str
) -> tuple[str, np.ndarray]:
    """What outputs are, where nothing has said it, and their logits."""
    if form == LOGITS:
        return LOGITS, values
    try:
        return PROBABILITIES, kind.outputs_of_means(values)
    except ValueError as error:
        if form == PROBABILITIES:
            raise ValueError(f"{name}: {error}") from error
        return LOGITS, values


def _mean(logits: Sequence[np.ndarray], kind: Output) -> np.ndarray:
    """The logits of the mean probability; of values, their mean."""
    if len(logits) == 1:
        return logits[0]
    means = [keras.ops.convert_to_numpy(kind.means(one)).astype("float64") for one in logits]
    mean = np.mean(means, axis=0)
    are_outputs = not kind.activations
    return (mean if are_outputs else kind.outputs_of_means(mean)).astype("float32")


def _metric(answer: _Answers, kind: Output) -> float:
    train = answer.task.train
    rows = labelled_rows(train, kind)
    metrics: dict[str, Any] = metrics_of(train.labels[rows], answer.logits[rows], (), kind.id)
    return metrics[kind.main_metric]
