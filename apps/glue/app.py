"""The apps of GLUE tasks.

Imports no Keras, so that apps can be listed at once.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from keras_prokt.app import App, Task, TaskRequest
from keras_prokt.data.prepared import check_prepared
from keras_prokt.settings import SettingError, argument
from keras_prokt_apps.glue.data import GLUE_TASKS, load_glue
from keras_prokt_apps.text_classification import (
    BILSTM,
    BILSTM_PAIR,
    check_prepared_texts,
    prepared_text_task,
    text_app,
    text_task,
)
from keras_prokt_apps.text_inputs import TextPart, TextReader
from keras_prokt_apps.text_students import (
    JOINT_INPUTS,
    checked_student,
    longest_sequence,
    own_tokenizer,
    student_of,
)

if TYPE_CHECKING:
    from keras_prokt.data.batches import Batches

GLUE_APPS = {f"glue-{task}": task for task in GLUE_TASKS}
"""The apps of GLUE tasks: name -> task."""


def glue_app(task: str, summary: str) -> App:
    """The app of a GLUE task, named `glue-` and the task.

    Args:
        task: A key of `keras_prokt_apps.glue.data.GLUE_TASKS`.
        summary: One line for the list of apps.

    Returns:
        The app.
    """
    is_pair = len(GLUE_TASKS[task].sentences) == 2
    bilstm = BILSTM_PAIR if is_pair else BILSTM
    check, prepare = partial(check_glue, task), partial(prepare_glue, task)
    return text_app(
        f"glue-{task}",
        summary,
        check,
        prepare,
        bilstm=bilstm,
        write_submission=_write_submission,
        can_hold_out=True,
    )


def _write_submission(*arguments: Any, **settings: Any) -> Any:
    from keras_prokt_apps.glue.submission import write_submission  # which imports this module

    return write_submission(*arguments, **settings)


def check_glue(task: str, request: TaskRequest) -> None:
    """Refuses models that cannot be, and a directory without the task's data."""
    is_pair = len(GLUE_TASKS[task].sentences) == 2
    if request.prepared is not None:
        check_prepared_texts(request, f"glue-{task}", is_pair=is_pair)
        return
    checked_student(request, is_pair=is_pair)
    check_prepared(f"glue/{task}", data_dir=request.data_dir)


def prepare_glue(task: str, request: TaskRequest) -> Task:
    """Loads a GLUE task and its word pieces, and readies both models.

    The first validation split decides, the others are reported under their own names. There is
    no test data, since GLUE does not publish its labels; unless rows of the training set are held
    out to choose on, and the first validation split is the test data.
    """
    check_glue(task, request)
    description = GLUE_TASKS[task]
    is_pair = len(description.sentences) == 2
    if request.prepared is not None:
        return prepared_text_task(request, is_pair=is_pair)
    student = student_of(request, is_pair=is_pair)
    names = [name for name in description.splits if not name.startswith("test")]
    parts = {}
    for name in names:
        split = load_glue(task, name, data_dir=request.data_dir)
        parts["validation" if name == names[1] else name] = TextPart(split.columns, split.labels)
    if request.hold_out is not None:
        parts["test"] = parts["validation"]
        parts["train"], parts["validation"] = _held_out(parts["train"], request)
    elif request.split_seed is not None:
        raise SettingError(
            f"Expected no {argument('split_seed')} without {argument('hold_out')}, received "
            f"{request.split_seed}; GLUE's own division is used."
        )
    task_of_texts = text_task(
        request, student, list(description.labels), parts, metrics=description.metrics
    )
    task_of_texts.validates_on_training_set = request.hold_out is not None
    return task_of_texts


def _held_out(train: "TextPart", request: TaskRequest) -> "tuple[TextPart, TextPart]":
    """The training rows without those that are held out, and those."""
    import numpy as np

    count = len(train.labels)
    if request.hold_out >= count:
        raise SettingError(
            f"Expected {argument('hold_out')} below the {count} rows of the training set, received "
            f"{request.hold_out}; such as a tenth of them."
        )
    order = np.random.default_rng([request.split_seed or 0, 3]).permutation(count)
    parts = [np.sort(order[request.hold_out :]), np.sort(order[: request.hold_out])]
    taken = [
        TextPart(
            [[column[i] for i in rows] for column in train.columns],
            np.asarray(train.labels)[rows],
            (rows, count),
        )
        for rows in parts
    ]
    return taken[0], taken[1]


def glue_test_data(task: str, request: TaskRequest, role: str = "student") -> dict[str, "Batches"]:
    """The test data of a GLUE task as one of the models reads it; no training data.

    Args:
        task: A key of `keras_prokt_apps.glue.data.GLUE_TASKS`.
        request: What the app was asked for.
        role: "student" or "teacher".

    Returns:
        Name of the file in submissions -> batches of the model's inputs, the longest first.
        Where labels are usual stands GLUE's own number of each example, `idx`.

    Raises:
        ValueError: If the data or the word pieces are missing or unreadable, or the examples are
            not numbered from 0.
    """
    from keras_prokt.data.batches import Batches
    from keras_prokt.models.bert import bert_tokenizer

    description = GLUE_TASKS[task]
    is_pair = len(description.sentences) == 2
    student = student_of(request, is_pair=is_pair)
    splits = {
        name: load_glue(task, split, data_dir=request.data_dir)
        for split, name in description.files.items()
    }
    for name, split in splits.items():
        if sorted(split.idx.tolist()) != list(range(len(split))):
            raise ValueError(
                f"Expected test data of glue/{task} whose idx are 0 to {len(split) - 1}, each "
                f"once, received others for {name}; prepare the whole test split."
            )
    if role == "teacher":
        tokenizer = bert_tokenizer(request.teacher)
    elif student.own_pieces is None:
        tokenizer = bert_tokenizer(student.preset)
    else:
        train = load_glue(task, "train", data_dir=request.data_dir)
        tokenizer = own_tokenizer(train.columns, student.own_pieces)
    reader = TextReader(tokenizer, longest_sequence(request, student, is_pair=is_pair))
    return {
        name: Batches(
            reader.read(JOINT_INPUTS if role == "teacher" else student.inputs, split.columns),
            split.idx,
            batch_size=request.batch_size,
            max_length=reader.max_length,
        ).longest_first()
        for name, split in splits.items()
    }
