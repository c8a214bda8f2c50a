"""What the apps on text share: BERT into a bi-LSTM or a smaller BERT, for sentences and pairs.

Imports no Keras, so that apps can be listed at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from keras_prokt.app import App, OptimizerRecipe, Recipe, Task, TaskRequest
from keras_prokt.bert_heads import trained_files
from keras_prokt.data.prepared_folder import PreparedFolder
from keras_prokt_apps.text_inputs import TextPart, TextReader, read_alike, text_batches, text_shares
from keras_prokt_apps.text_students import (
    SEPARATE_INPUTS,
    TextStudent,
    longest_sequence,
    own_tokenizer,
    student_of,
    teacher_of,
)

TEACHERS = {
    "bert_base_en_uncased": "BERT-base, 12 layers; any other keras-hub BERT preset",
    "hf://...": "a checkpoint of the Hugging Face hub",
    "DIRECTORY": "a local Hugging Face or keras-hub directory; of a fine-tuned BERT or DistilBERT "
    "with its head",
}

BILSTM = "one bidirectional LSTM, embeddings and units 300; 10.60 M parameters"

BILSTM_PAIR = (
    "one bidirectional LSTM, embeddings and units 300, for one sentence at a time; 12.04 M "
    "parameters"
)

OTHER_STUDENTS = {
    "bilstm-N": "the same with at most N word pieces of its own, learnt from the training texts; "
    "of one sentence bilstm-8000 has 3.84 M parameters",
    "bert-K": "every (n / K)-th of the teacher's n layers with its weights, such as bert-6",
    "bert-K-W": "K layers of width W, the teacher's number of heads, random weights, for method "
    "tinybert, such as bert-4-312",
    "PRESET": "a keras-hub BERT preset, an hf:// handle or a local directory",
}


def text_app(
    name: str,
    summary: str,
    check: Callable[[TaskRequest], None],
    prepare: Callable[[TaskRequest], Task],
    *,
    bilstm: str = BILSTM,
    reads_table: bool = False,
    write_submission: Callable[..., Any] | None = None,
    can_hold_out: bool = False,
) -> App:
    """An app that classifies sentences or pairs, with the authors' models and recipe.

    Batches have 32 examples, where the authors' have 256 on 8 GPUs; the learning rates are theirs.

    The teacher and the students cut from a BERT read `[CLS] first [SEP] second [SEP]`, the
    bi-LSTM of a task of pairs reads `[CLS] first [SEP]` and `[CLS] second [SEP]` by themselves.

    Args:
        name: What users type.
        summary: One line for the list of apps.
        check: Refuses what can be refused without Keras, by `checked_student`.
        prepare: Loads the data and readies the models, by `checked_student` and `text_task`.
        bilstm: What the student `bilstm` is.
        reads_table: Whether the data is the user's own.
        write_submission: As in `App`.
        can_hold_out: Whether rows of the training set can be held out to choose on.

    Returns:
        The app.
    """
    return App(
        name=name,
        summary=summary,
        teachers=TEACHERS,
        students={"bilstm": bilstm, **OTHER_STUDENTS},
        default_teacher="bert_base_en_uncased",
        default_student="bilstm",
        assistants=("bert-6",),
        transformers=("bert_base_en_uncased", "bert-6"),
        recipe=Recipe(
            epochs=6,
            batch_size=32,
            teacher=_adam(3e-5),
            student=_adam(1e-4),
            students={"bilstm*": _adam(1e-3)},
            teacher_epochs=4,
            first_stage_epochs=10,  # of TinyBERT's published commands
        ),
        prepare=prepare,
        check=check,
        reads_text=True,
        reads_table=reads_table,
        outputs=("classes", "values") if reads_table else (),
        write_submission=write_submission,
        can_hold_out=can_hold_out,
        can_prepare=True,
        divides_data=can_hold_out,
    )


def text_task(
    request: TaskRequest,
    student: TextStudent,
    class_names: list[str],
    parts: Mapping[str, TextPart],
    *,
    metrics: tuple[str, ...] = ("accuracy",),
) -> Task:
    """The task of texts in memory: makes word pieces and readies both models.

    Args:
        request: What the app is asked for.
        student: The student, of `student_of`.
        class_names: Names of the classes, in the order of their numbers.
        parts: "train", "validation", if there is one "test", and others that decide nothing.
        metrics: As in `Task`.

    Returns:
        The task: of values where `class_names` is empty.

    Raises:
        ValueError: If the teacher or the student has no word pieces that can be read.
    """
    from keras_prokt.front_ends import TextFrontEnd
    from keras_prokt.models.bert import bert_tokenizer

    is_pair = len(parts["train"].columns) == 2
    max_length = longest_sequence(request, student, is_pair=is_pair)
    readers = {"teacher": TextReader(bert_tokenizer(request.teacher), max_length)}
    readers["student"] = readers["teacher"]
    if student.own_pieces is not None:
        tokenizer = own_tokenizer(parts["train"].columns, student.own_pieces)
        readers["student"] = TextReader(tokenizer, max_length)
    elif student.preset != request.teacher:
        tokenizer = bert_tokenizer(student.preset)
        # What reads alike is read once, and the two models' positions are the same words.
        if not read_alike(tokenizer, readers["teacher"].tokenizer):
            readers["student"] = TextReader(tokenizer, max_length)
    vocabulary_size = readers["student"].tokenizer.vocabulary_size()
    batches = {
        name: text_batches(part, readers, student.inputs, request, shuffle=name == "train")
        for name, part in parts.items()
    }
    front_ends = {
        role: TextFrontEnd.from_tokenizer(reader.tokenizer, max_length=max_length, pair=is_pair)
        for role, reader in readers.items()
    }
    shares = text_shares(batches["train"].inputs, front_ends)
    return Task(
        train=batches.pop("train"),
        validation=batches.pop("validation"),
        test=batches.pop("test", None),
        class_names=class_names,
        build_teacher=lambda: teacher_of(request.teacher, class_names),
        teacher_files=lambda: trained_files(request.teacher),
        build_student=lambda: student.build(len(class_names) or 1, vocabulary_size),
        front_end=front_ends["student"],
        teacher_front_end=front_ends["teacher"],
        metrics=metrics if class_names else (),
        more_validation=batches,
        output="classes" if class_names else "values",
        presets=tuple(dict.fromkeys((request.teacher, student.preset))),
        text_shares=shares,
    )


def check_prepared_texts(request: TaskRequest, app: str, *, is_pair: bool) -> None:
    """Refuses a folder of prepared data that was made for other data or models.

    Args:
        request: What the app is asked for.
        app: Name of the app.
        is_pair: Whether the task is one of pairs.

    Raises:
        ValueError: If it was.
    """
    folder = PreparedFolder(request.prepared)
    folder.check(request, app)
    folder.check_model("teacher", request.teacher)
    if _reads_like(folder, request, is_pair=is_pair) is None:
        folder.check_model("student", request.student)


def _reads_like(folder: PreparedFolder, request: TaskRequest, *, is_pair: bool) -> str | None:
    """Whose inputs in a folder of prepared data are those of the student that is asked for."""
    of_folder = student_of(replace(request, student=folder.models["student"]), is_pair=is_pair)
    student = student_of(request, is_pair=is_pair)
    reads_same = (student.own_pieces, student.preset) == (of_folder.own_pieces, of_folder.preset)
    if reads_same and set(student.inputs) <= set(of_folder.inputs):
        return "student"
    reads_pieces_of_teacher = student.own_pieces is None and student.preset == request.teacher
    return "teacher" if reads_pieces_of_teacher and student.inputs != SEPARATE_INPUTS else None


def prepared_text_task(request: TaskRequest, *, is_pair: bool) -> Task:
    """The task of texts out of a folder of prepared data; needs no TensorFlow.

    Args:
        request: What the app is asked for.
        is_pair: Whether the task is one of pairs.

    Returns:
        The task, as `text_task` made it when the folder was prepared.

    Raises:
        ValueError: If the folder was changed.
    """
    from keras_prokt.front_ends import from_json

    folder = PreparedFolder(request.prepared)
    student = student_of(request, is_pair=is_pair)

    role = _reads_like(folder, request, is_pair=is_pair)

    def of_models(inputs: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
        return {**inputs, "student": {name: inputs[role][name] for name in student.inputs}}

    data = folder.task_data(request, inputs=of_models)
    front_ends = {name: from_json(of_one) for name, of_one in folder.front_ends().items()}
    front_end = front_ends[role]
    classes, pieces = len(data["class_names"]) or 1, len(front_end.vocabulary)

    def build_student() -> Any:
        if not student.is_bert:
            return student.build(classes, pieces)
        names = {"teacher": request.teacher, "student": request.student}
        if student.preset == request.teacher:
            names["teacher"] = folder.checkpoint(request.teacher)
        else:
            names["student"] = folder.checkpoint(request.student)
        return student_of(replace(request, **names), is_pair=is_pair).build(classes, pieces)

    return Task(
        **data,
        output="classes" if data["class_names"] else "values",
        build_teacher=lambda: teacher_of(folder.checkpoint(request.teacher), data["class_names"]),
        teacher_files=lambda: trained_files(folder.checkpoint(request.teacher)),
        build_student=build_student,
        front_end=front_end,
        teacher_front_end=front_ends["teacher"],
        text_shares=text_shares(
            data["train"].inputs, {"teacher": front_ends["teacher"], "student": front_end}
        ),
    )


def _adam(learning_rate: float) -> OptimizerRecipe:
    """The authors' optimizer, AdamW without weight decay: linear decay to 0, gradients clipped."""
    options = {"epsilon": 1e-8, "global_clipnorm": 1.0}
    return OptimizerRecipe("adam", learning_rate, "linear", options)
