"""App `glue-sst2`: sentiment of movie-review phrases, BERT into a bi-LSTM or a smaller BERT."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from keras_prokt.app import App, OptimizerRecipe, Recipe, Task, TaskRequest
from keras_prokt.names import unknown_name

MAX_LENGTH = 128
"""Word pieces an example, as the authors."""

TEACHERS = {
    "bert_base_en_uncased": "BERT-base, 12 layers; any other keras-hub BERT preset",
    "hf://...": "a checkpoint of the Hugging Face hub",
    "DIRECTORY": "a local Hugging Face or keras-hub directory",
}
STUDENTS = {
    "bilstm": "one bidirectional LSTM, embeddings and units 300; 10.60 M parameters",
    "bert-K": "every (n / K)-th of the teacher's n layers with its weights, such as bert-6",
    "PRESET": "a keras-hub BERT preset, an hf:// handle or a local directory",
}

SPLITS = ("train", "validation")
BERT_INPUTS = ("token_ids", "padding_mask", "segment_ids")
BILSTM_INPUTS = ("token_ids", "padding_mask")


def prepare(request: TaskRequest) -> Task:
    """Loads SST-2 and its word pieces, and readies both models."""
    from keras_prokt.data.glue import GLUE_TASKS, load_glue
    from keras_prokt.export import TextFrontEnd
    from keras_prokt.models.bert import bert_tokenizer

    labels = list(GLUE_TASKS["sst2"].labels)
    student = _student(request, len(labels))
    splits = {name: load_glue("sst2", name, data_dir=request.data_dir) for name in SPLITS}
    tokenizers = {"teacher": bert_tokenizer(request.teacher)}
    tokenizers["student"] = tokenizers["teacher"]
    if student.preset != request.teacher:
        tokenizers["student"] = bert_tokenizer(student.preset)
    inputs = {"teacher": BERT_INPUTS, "student": student.inputs}
    train, validation = (
        _batches(splits[name], tokenizers, inputs, request, shuffle=name == "train")
        for name in SPLITS
    )
    return Task(
        train=train,
        validation=validation,
        test=None,  # GLUE does not publish the labels
        class_names=labels,
        build_teacher=lambda: _bert(request.teacher, len(labels)),
        build_student=student.build,
        text=TextFrontEnd.from_tokenizer(tokenizers["student"], max_length=MAX_LENGTH),
    )


class _Student(NamedTuple):
    build: Callable[[], Any]
    inputs: tuple[str, ...]
    preset: str
    """Where its word pieces come from."""


def _student(request: TaskRequest, num_classes: int) -> _Student:
    name, teacher = request.student, request.teacher
    if name == "bilstm":

        def build() -> Any:
            from keras_prokt.models.bert import bert_tokenizer
            from keras_prokt.models.bilstm import bilstm

            size = bert_tokenizer(teacher).vocabulary_size()
            return bilstm(num_classes, vocabulary_size=size)

        return _Student(build, BILSTM_INPUTS, teacher)
    if re.fullmatch(r"bert-[1-9]\d*", name):
        layers = int(name.removeprefix("bert-"))
        return _Student(lambda: _bert(teacher, num_classes, layers), BERT_INPUTS, teacher)
    if "/" in name or name.startswith("bert_"):
        return _Student(lambda: _bert(name, num_classes), BERT_INPUTS, name)
    known = ["bilstm", "bert-6", "bert-3"]
    raise ValueError(unknown_name("a student", name, known, " or a BERT preset or directory"))


def _bert(preset: str, num_classes: int, layers: int | None = None) -> Any:
    from keras_prokt.models.bert import bert_classifier

    return bert_classifier(preset, num_classes, layers=layers)


def _batches(
    split: Any,
    tokenizers: dict[str, Any],
    inputs: dict[str, tuple[str, ...]],
    request: TaskRequest,
    *,
    shuffle: bool,
) -> Any:
    import numpy as np

    from keras_prokt.data.batches import Batches
    from keras_prokt.data.text import tokenize

    keep = np.arange(len(split.texts))
    if shuffle and request.limit is not None:
        # Before tokenising: the rest would be tokenised for nothing.
        keep = np.sort(np.random.default_rng([request.seed, 1]).permutation(keep)[: request.limit])
    texts = [split.texts[i] for i in keep]
    features: dict[str, Any] = {}
    for role, tokenizer in tokenizers.items():
        if role == "student" and tokenizer is tokenizers["teacher"]:
            every = features["teacher"]
        else:
            tokens = tokenize(tokenizer, texts, max_length=MAX_LENGTH)
            every = {
                "token_ids": tokens.token_ids,
                "padding_mask": [np.ones_like(row) for row in tokens.token_ids],
                "segment_ids": tokens.segment_ids,
            }
        features[role] = {name: every[name] for name in inputs[role]}
    return Batches(
        features,
        split.labels[keep],
        batch_size=request.batch_size,
        seed=request.seed,
        shuffle=shuffle,
    )


def _adamw(learning_rate):
    """The authors' optimizer: no weight decay, linear decay to 0, gradients clipped."""
    options = {"weight_decay": 0.0, "epsilon": 1e-8, "global_clipnorm": 1.0}
    return OptimizerRecipe("adamw", learning_rate, "linear", options)


APP = App(
    name="glue-sst2",
    summary="GLUE SST-2, sentiment of phrases; needs the data in TFDS format and a BERT",
    teachers=TEACHERS,
    students=STUDENTS,
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
    prepare=prepare,
)
