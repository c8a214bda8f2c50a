"""What the GLUE apps share: BERT into a bi-LSTM or a smaller BERT, for sentences and pairs.

Imports no Keras, so that apps can be listed at once.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_prokt.app import App, OptimizerRecipe, Recipe, Task, TaskRequest
from keras_prokt.data.glue import GLUE_TASKS, GlueSplit, load_glue
from keras_prokt.names import unknown_name

if TYPE_CHECKING:
    from keras_prokt.data.batches import Batches

MAX_LENGTH = 128
"""Word pieces a sequence, as the authors: of a pair read jointly, of each sentence otherwise."""

TEACHERS = {
    "bert_base_en_uncased": "BERT-base, 12 layers; any other keras-hub BERT preset",
    "hf://...": "a checkpoint of the Hugging Face hub",
    "DIRECTORY": "a local Hugging Face or keras-hub directory",
}
BILSTM = "one bidirectional LSTM, embeddings and units 300; 10.60 M parameters"
BILSTM_PAIR = (
    "one bidirectional LSTM, embeddings and units 300, for one sentence at a time; 12.04 M "
    "parameters"
)
OTHER_STUDENTS = {
    "bert-K": "every (n / K)-th of the teacher's n layers with its weights, such as bert-6",
    "PRESET": "a keras-hub BERT preset, an hf:// handle or a local directory",
}

JOINT_INPUTS = ("token_ids", "padding_mask", "segment_ids")
SENTENCE_INPUTS = ("token_ids", "padding_mask")
SEPARATE_INPUTS = (*SENTENCE_INPUTS, "token_ids_pair", "padding_mask_pair")


def glue_app(task: str, summary: str) -> App:
    """The app of a GLUE task, with the authors' recipe.

    The teacher and the students cut from a BERT read `[CLS] first [SEP] second [SEP]`, the
    bi-LSTM of a task of pairs reads `[CLS] first [SEP]` and `[CLS] second [SEP]` by themselves.

    Args:
        task: A key of `keras_prokt.data.glue.GLUE_TASKS`.
        summary: One line for the list of apps.

    Returns:
        The app, named `glue-` and the task.
    """
    is_pair = len(GLUE_TASKS[task].sentences) == 2
    return App(
        name=f"glue-{task}",
        summary=summary,
        teachers=TEACHERS,
        students={"bilstm": BILSTM_PAIR if is_pair else BILSTM, **OTHER_STUDENTS},
        default_teacher="bert_base_en_uncased",
        default_student="bilstm",
        assistants=("bert-6",),
        transformers=("bert_base_en_uncased", "bert-6"),
        recipe=Recipe(
            epochs=6,
            batch_size=32,
            teacher=_adamw(3e-5),
            student=_adamw(1e-4),
            students={"bilstm": _adamw(1e-3)},
            teacher_epochs=4,
        ),
        prepare=partial(prepare, task),
    )


def prepare(task: str, request: TaskRequest) -> Task:
    """Loads a GLUE task and its word pieces, and readies both models.

    The first validation split decides, the others are reported under their own names. There is
    no test data: GLUE does not publish its labels.
    """
    from keras_prokt.export import TextFrontEnd
    from keras_prokt.models.bert import bert_tokenizer

    description = GLUE_TASKS[task]
    labels = list(description.labels)
    is_pair = len(description.sentences) == 2
    student = _student(request, len(labels), is_pair)
    names = [name for name in description.splits if not name.startswith("test")]
    splits = {name: load_glue(task, name, data_dir=request.data_dir) for name in names}
    tokenizers = {"teacher": bert_tokenizer(request.teacher)}
    tokenizers["student"] = tokenizers["teacher"]
    if student.preset != request.teacher:
        tokenizers["student"] = bert_tokenizer(student.preset)
    train, validation, *more = (
        _batches(splits[name], tokenizers, student.inputs, request, shuffle=name == "train")
        for name in names
    )
    return Task(
        train=train,
        validation=validation,
        test=None,
        class_names=labels,
        build_teacher=lambda: _bert(request.teacher, len(labels)),
        build_student=student.build,
        text=TextFrontEnd.from_tokenizer(
            tokenizers["student"], max_length=MAX_LENGTH, pair=is_pair
        ),
        metrics=description.metrics,
        more_validation=dict(zip(names[2:], more, strict=True)),
    )


class _Student(NamedTuple):
    build: Callable[[], Any]
    inputs: tuple[str, ...]
    preset: str
    """Where its word pieces come from."""


def _student(request: TaskRequest, num_classes: int, is_pair: bool) -> _Student:
    name, teacher = request.student, request.teacher
    if name == "bilstm":
        inputs = SEPARATE_INPUTS if is_pair else SENTENCE_INPUTS
        return _Student(lambda: _bilstm(teacher, num_classes, is_pair), inputs, teacher)
    if re.fullmatch(r"bert-[1-9]\d*", name):
        layers = int(name.removeprefix("bert-"))
        return _Student(lambda: _bert(teacher, num_classes, layers), JOINT_INPUTS, teacher)
    if "/" in name or name.startswith("bert_"):
        return _Student(lambda: _bert(name, num_classes), JOINT_INPUTS, name)
    known = ["bilstm", "bert-6", "bert-3"]
    raise ValueError(unknown_name("a student", name, known, " or a BERT preset or directory"))


def _bilstm(preset: str, num_classes: int, is_pair: bool) -> Any:
    from keras_prokt.models.bert import bert_tokenizer
    from keras_prokt.models.bilstm import bilstm, bilstm_pair

    build = bilstm_pair if is_pair else bilstm
    return build(num_classes, vocabulary_size=bert_tokenizer(preset).vocabulary_size())


def _bert(preset: str, num_classes: int, layers: int | None = None) -> Any:
    from keras_prokt.models.bert import bert_classifier

    return bert_classifier(preset, num_classes, layers=layers)


def _batches(
    split: GlueSplit,
    tokenizers: dict[str, Any],
    student_inputs: tuple[str, ...],
    request: TaskRequest,
    *,
    shuffle: bool,
) -> "Batches":
    import numpy as np

    from keras_prokt.data.batches import Batches

    keep = np.arange(len(split))
    if shuffle and request.limit is not None:
        # Before tokenising: the rest would be tokenised for nothing.
        keep = np.sort(np.random.default_rng([request.seed, 1]).permutation(keep)[: request.limit])
    columns = [[split.texts[i] for i in keep]]
    if split.second is not None:
        columns.append([split.second[i] for i in keep])
    teacher = _read_jointly(tokenizers["teacher"], *columns)
    if student_inputs == SEPARATE_INPUTS:
        student = _read_separately(tokenizers["student"], *columns)
    elif tokenizers["student"] is tokenizers["teacher"]:
        student = teacher
    else:
        student = _read_jointly(tokenizers["student"], *columns)
    return Batches(
        {"teacher": teacher, "student": {name: student[name] for name in student_inputs}},
        split.labels[keep],
        batch_size=request.batch_size,
        seed=request.seed,
        shuffle=shuffle,
    )


def _read_jointly(
    tokenizer: Any, texts: Sequence[str], second: Sequence[str] | None = None
) -> dict[str, list[Any]]:
    import numpy as np

    from keras_prokt.data.text import tokenize

    tokens = tokenize(tokenizer, texts, second=second, max_length=MAX_LENGTH)
    padding_mask = [np.ones_like(row) for row in tokens.token_ids]
    values = (tokens.token_ids, padding_mask, tokens.segment_ids)
    return dict(zip(JOINT_INPUTS, values, strict=True))


def _read_separately(
    tokenizer: Any, texts: Sequence[str], second: Sequence[str]
) -> dict[str, list[Any]]:
    of_each = [_read_jointly(tokenizer, column) for column in (texts, second)]
    values = [tokens[name] for tokens in of_each for name in SENTENCE_INPUTS]
    return dict(zip(SEPARATE_INPUTS, values, strict=True))


def _adamw(learning_rate: float) -> OptimizerRecipe:
    """The authors' optimizer: no weight decay, linear decay to 0, gradients clipped."""
    options = {"weight_decay": 0.0, "epsilon": 1e-8, "global_clipnorm": 1.0}
    return OptimizerRecipe("adamw", learning_rate, "linear", options)
