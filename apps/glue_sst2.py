"""App `glue-sst2`: sentiment of movie-review phrases, BERT into a bi-LSTM or a smaller BERT."""

import re

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
    from keras_prokt.models.bert import bert_tokenizer

    task = GLUE_TASKS["sst2"]
    num_classes = len(task.labels)
    build_student, student_reads = _student(request, num_classes)
    splits = {name: load_glue("sst2", name, data_dir=request.data_dir) for name in SPLITS}
    tokenizer = bert_tokenizer(request.teacher)

    train, validation = (
        _batches(splits[name], tokenizer, student_reads, request, shuffle=name == "train")
        for name in SPLITS
    )
    return Task(
        train=train,
        validation=validation,
        test=None,  # GLUE does not publish the labels
        class_names=list(task.labels),
        build_teacher=lambda: _bert(request.teacher, num_classes),
        build_student=build_student,
    )


def _batches(split, tokenizer, student_reads, request, *, shuffle):
    import numpy as np

    from keras_prokt.data.batches import Batches
    from keras_prokt.data.text import tokenize

    keep = np.arange(len(split.texts))
    if shuffle and request.limit is not None:
        # Before tokenising: the rest would be tokenised for nothing.
        keep = np.sort(np.random.default_rng([request.seed, 1]).permutation(keep)[: request.limit])
    tokens = tokenize(tokenizer, [split.texts[i] for i in keep], max_length=MAX_LENGTH)
    features = {
        "token_ids": tokens.token_ids,
        "padding_mask": [np.ones_like(row) for row in tokens.token_ids],
        "segment_ids": tokens.segment_ids,
    }
    return Batches(
        {"teacher": features, "student": {name: features[name] for name in student_reads}},
        split.labels[keep],
        batch_size=request.batch_size,
        seed=request.seed,
        shuffle=shuffle,
    )


def _bert(preset, num_classes, layers=None):
    from keras_prokt.models.bert import bert_classifier

    return bert_classifier(preset, num_classes, layers=layers)


def _student(request, num_classes):
    """A function that makes the student, and the names of its inputs."""
    name = request.student
    if name == "bilstm":
        from keras_prokt.models.bert import bert_tokenizer
        from keras_prokt.models.bilstm import bilstm

        def build():
            size = bert_tokenizer(request.teacher).vocabulary_size()
            return bilstm(num_classes, vocabulary_size=size)

        return build, BILSTM_INPUTS
    if re.fullmatch(r"bert-[1-9]\d*", name):
        layers = int(name.removeprefix("bert-"))
        return lambda: _bert(request.teacher, num_classes, layers), BERT_INPUTS
    if "/" in name or name.startswith("bert_"):
        return lambda: _bert(name, num_classes), BERT_INPUTS
    raise ValueError(
        unknown_name("a student", name, ["bilstm", "bert-6", "bert-3"], " or a preset")
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
