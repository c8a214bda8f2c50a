"""What the apps on text share: BERT into a bi-LSTM or a smaller BERT, for sentences and pairs.

Imports no Keras, so that apps can be listed at once.
"""

import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_prokt.app import App, OptimizerRecipe, Recipe, Task, TaskRequest
from keras_prokt.bert_files import check_preset
from keras_prokt.bert_heads import trained_files
from keras_prokt.data.prepared import check_prepared
from keras_prokt.data.prepared_folder import PreparedFolder
from keras_prokt.data.vocabulary import check_size
from keras_prokt.names import DataWarning, unknown_name
from keras_prokt.settings import SettingError, argument
from keras_prokt_apps.glue.data import GLUE_TASKS, load_glue

if TYPE_CHECKING:
    from keras_prokt.bert_files import BertSizes
    from keras_prokt.data.batches import Batches
    from keras_prokt.front_ends import TextFrontEnd
    from keras_prokt.models.bert import BertLimits

MAX_LENGTH = 128
"""Word pieces a sequence, as the authors: of a pair read jointly, of each sentence otherwise.

Fewer where a BERT has fewer positions; another number by `max_length`.
"""

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

GLUE_APPS = {f"glue-{task}": task for task in GLUE_TASKS}
"""The apps of GLUE tasks: name -> task."""

JOINT_INPUTS = ("token_ids", "padding_mask", "segment_ids")
SENTENCE_INPUTS = ("token_ids", "padding_mask")
SEPARATE_INPUTS = (*SENTENCE_INPUTS, "token_ids_pair", "padding_mask_pair")


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
        write_submission=write_submission,
        can_hold_out=can_hold_out,
        can_prepare=True,
        divides_data=can_hold_out,
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
        tokenizer = _own_tokenizer(train.columns, student.own_pieces)
    reader = _Reader(tokenizer, longest_sequence(request, student, is_pair=is_pair))
    return {
        name: Batches(
            reader.read(JOINT_INPUTS if role == "teacher" else student.inputs, split.columns),
            split.idx,
            batch_size=request.batch_size,
            max_length=reader.max_length,
        ).longest_first()
        for name, split in splits.items()
    }


class CutTexts(DataWarning):
    """Many texts are longer than the models read."""


class UnknownPieces(DataWarning):
    """Many word pieces of the texts are not in a vocabulary, so that all look the same."""


MANY = 0.1
"""Share of texts that are cut, or of word pieces that are unknown, from which on it is warned."""


def text_shares(
    inputs: Mapping[str, Any], front_ends: "Mapping[str, TextFrontEnd]"
) -> dict[str, dict[str, float]]:
    """How much of some texts two models do not see, and a warning where it is much.

    Args:
        inputs: "teacher" and "student": the inputs of that model, lists of rows.
        front_ends: "teacher" and "student": how it reads texts.

    Returns:
        As in `Task.text_shares`.
    """
    shares = {role: _shares(inputs[role], front_ends[role]) for role in ("teacher", "student")}
    longest = front_ends["teacher"].max_length
    if (cut := max(one["cut"] for one in shares.values())) > MANY:
        warnings.warn(
            f"Expected texts of fewer than {longest} word pieces, received {cut:.0%} that are as "
            "long or longer, and are cut there; a larger max_length keeps their ends.",
            CutTexts,
            stacklevel=2,
        )
    many = {role: one["unknown"] for role, one in shares.items() if one["unknown"] > MANY}
    if many:
        warnings.warn(
            f"Expected texts that the vocabulary of {' and '.join(many)} can spell, received "
            f"{max(many.values()):.0%} unknown word pieces, which look all the same; choose a "
            "checkpoint for this language and script.",
            UnknownPieces,
            stacklevel=2,
        )
    return shares


def _shares(inputs: Mapping[str, Any], front_end: "TextFrontEnd") -> dict[str, float]:
    import numpy as np

    rows = [row for name, rows in inputs.items() if name.startswith("token_ids") for row in rows]
    lengths = np.array([len(row) for row in rows])
    pieces = np.concatenate([np.asarray(row) for row in rows])
    known = {name: number for number, name in enumerate(front_end.vocabulary)}
    words = pieces[~np.isin(pieces, [known.get("[CLS]", -1), known.get("[SEP]", -1)])]
    return {
        "cut": round(float(np.mean(lengths >= front_end.max_length)), 4),
        "unknown": round(float(np.mean(words == known.get("[UNK]", -1))), 4) if len(words) else 0.0,
    }


class TextPart(NamedTuple):
    """One part of a data set: a list of texts a column, one or two, and class numbers."""

    columns: Sequence[Sequence[str]]
    labels: Sequence[int]
    origin: tuple[Sequence[int], int] | None = None
    """Position of each row in the data as its user has it, and how many rows that has; by default
    all in order."""


class TextStudent(NamedTuple):
    """A student of a task on text."""

    build: Callable[[int, int], Any]
    """Makes it for so many classes and word pieces."""
    inputs: tuple[str, ...]
    preset: str
    """Where its word pieces come from, if they are not its own."""
    own_pieces: int | None = None
    """How many word pieces it learns from the training texts."""
    is_cut_from_teacher: bool = False
    """Whether it has weights of the teacher's checkpoint."""
    is_bert: bool = True
    """Whether it is made like a checkpoint."""


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
        The task.

    Raises:
        ValueError: If the teacher or the student has no word pieces that can be read.
    """
    from keras_prokt.front_ends import TextFrontEnd
    from keras_prokt.models.bert import bert_tokenizer

    is_pair = len(parts["train"].columns) == 2
    max_length = longest_sequence(request, student, is_pair=is_pair)
    readers = {"teacher": _Reader(bert_tokenizer(request.teacher), max_length)}
    readers["student"] = readers["teacher"]
    if student.own_pieces is not None:
        tokenizer = _own_tokenizer(parts["train"].columns, student.own_pieces)
        readers["student"] = _Reader(tokenizer, max_length)
    elif student.preset != request.teacher:
        tokenizer = bert_tokenizer(student.preset)
        # What reads alike is read once, and the two models' positions are the same words.
        if not read_alike(tokenizer, readers["teacher"].tokenizer):
            readers["student"] = _Reader(tokenizer, max_length)
    vocabulary_size = readers["student"].tokenizer.vocabulary_size()
    batches = {
        name: _batches(part, readers, student.inputs, request, shuffle=name == "train")
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
        build_teacher=lambda: _teacher(request.teacher, class_names),
        teacher_files=lambda: trained_files(request.teacher),
        build_student=lambda: student.build(len(class_names), vocabulary_size),
        front_end=front_ends["student"],
        teacher_front_end=front_ends["teacher"],
        metrics=metrics,
        more_validation=batches,
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
    classes, pieces = len(data["class_names"]), len(front_end.vocabulary)

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
        build_teacher=lambda: _teacher(folder.checkpoint(request.teacher), data["class_names"]),
        teacher_files=lambda: trained_files(folder.checkpoint(request.teacher)),
        build_student=build_student,
        front_end=front_end,
        teacher_front_end=front_ends["teacher"],
        text_shares=text_shares(
            data["train"].inputs, {"teacher": front_ends["teacher"], "student": front_end}
        ),
    )


class Networks(NamedTuple):
    """What models of a task on text are made by."""

    bilstm: Callable[[int, int], Any]
    """A bi-LSTM for so many classes and word pieces."""
    bert: Callable[..., Any]
    """A BERT for a preset and so many classes, and as students are asked for `layers`, `width`."""


def student_of(
    request: TaskRequest, *, is_pair: bool, networks: Networks | None = None
) -> TextStudent:
    """The student that is asked for.

    Args:
        request: What the app is asked for.
        is_pair: Whether the task is one of pairs.
        networks: What makes it; `None`: those that classify texts.

    Raises:
        ValueError: If there is none of that name.
    """
    name, teacher = request.student, request.teacher
    make = networks or Networks(partial(_bilstm, is_pair), _bert)
    if match := re.fullmatch(r"bilstm(?:-([1-9]\d*))?", name):
        inputs = SEPARATE_INPUTS if is_pair else SENTENCE_INPUTS
        own_pieces = None if match[1] is None else int(match[1])
        return TextStudent(make.bilstm, inputs, teacher, own_pieces, is_bert=False)
    if match := re.fullmatch(r"bert-([1-9]\d*)(?:-([1-9]\d*))?", name):
        layers, width = (None if number is None else int(number) for number in match.groups())
        return TextStudent(
            lambda classes, _: make.bert(teacher, classes, layers, width),
            JOINT_INPUTS,
            teacher,
            is_cut_from_teacher=width is None,
        )
    if "/" in name or name.startswith("bert_") or os.path.isdir(name):
        return TextStudent(lambda classes, _: make.bert(name, classes), JOINT_INPUTS, name)
    known = ["bilstm", "bilstm-8000", "bert-6", "bert-3", "bert-4-312"]
    raise ValueError(unknown_name("a student", name, known, " or a BERT preset or directory"))


def checked_student(
    request: TaskRequest, *, is_pair: bool, networks: Networks | None = None
) -> TextStudent:
    """The student that is asked for, after all checks of both models that need no Keras.

    Args:
        request: What the app is asked for.
        is_pair: Whether the task is one of pairs.
        networks: As in `student_of`.

    Returns:
        As `student_of`.

    Raises:
        ValueError: If there is no such student, a local checkpoint is not whole, or one of the
            models cannot read such texts.
    """
    student = student_of(request, is_pair=is_pair, networks=networks)
    if student.own_pieces is not None:
        check_size(student.own_pieces)
    if request.max_length is not None:
        _check_shortest(request.max_length, is_pair=is_pair)
    # Of the teacher the word pieces alone are needed, where it is trained already or there is none.
    needs_weights = {request.teacher: student.is_cut_from_teacher}
    if student.preset != request.teacher:
        needs_weights[student.preset] = True
    for preset, with_weights in needs_weights.items():
        if (sizes := check_preset(preset, with_weights=with_weights)) is not None:
            _check_reads(preset, sizes, request.max_length, is_pair=is_pair)
    return student


def _bilstm(is_pair: bool, num_classes: int, vocabulary_size: int) -> Any:
    from keras_prokt.models.bilstm import bilstm, bilstm_pair

    build = bilstm_pair if is_pair else bilstm
    return build(num_classes, vocabulary_size=vocabulary_size)


def _own_tokenizer(columns: Sequence[Sequence[str]], pieces: int) -> Any:
    from keras_prokt.data.vocabulary import learn_vocabulary
    from keras_prokt.models.wordpiece import ExactBertTokenizer

    # Of all training texts, whatever --limit leaves of them.
    texts = [text for column in columns for text in column]
    return ExactBertTokenizer(learn_vocabulary(texts, pieces))


def _teacher(preset: str, class_names: list[str]) -> Any:
    if not trained_files(preset):
        return _bert(preset, len(class_names))
    from keras_prokt.models.fine_tuned_bert import fine_tuned_classifier

    return fine_tuned_classifier(preset, class_names)


def _bert(
    preset: str, num_classes: int, layers: int | None = None, width: int | None = None
) -> Any:
    from keras_prokt.models.bert import bert_classifier

    # Of another width, the teacher's weights do not fit.
    return bert_classifier(
        preset, num_classes, layers=layers, width=width, load_weights=width is None
    )


def _batches(
    part: TextPart,
    readers: "dict[str, _Reader]",
    student_inputs: tuple[str, ...],
    request: TaskRequest,
    *,
    shuffle: bool,
) -> "Batches":
    import numpy as np

    from keras_prokt.data.batches import Batches, Origin

    keep = np.arange(len(part.labels))
    positions, count = part.origin or (keep, len(keep))
    if shuffle and request.limit is not None:
        # Before tokenising: the rest would be tokenised for nothing.
        keep = np.sort(np.random.default_rng([request.seed, 1]).permutation(keep)[: request.limit])
    columns = [[column[i] for i in keep] for column in part.columns]
    teacher = readers["teacher"].read(JOINT_INPUTS, columns)
    if student_inputs != SEPARATE_INPUTS and readers["student"] is readers["teacher"]:
        student = {name: teacher[name] for name in student_inputs}
    else:
        student = readers["student"].read(student_inputs, columns)
    batches = Batches(
        {"teacher": teacher, "student": student},
        np.asarray(part.labels, dtype="int32")[keep],
        batch_size=request.batch_size,
        seed=request.seed,
        shuffle=shuffle,
        max_length=readers["teacher"].max_length,
        origin=Origin(np.asarray(positions)[keep], count),
    )
    return batches if shuffle else batches.longest_first()


def longest_sequence(request: TaskRequest, student: TextStudent, *, is_pair: bool) -> int:
    """Word pieces a sequence: as asked for, or what is usual and both models can read.

    Raises:
        ValueError: If one of the models cannot read pairs, or none so long.
    """
    from keras_prokt.models.bert import bert_limits

    presets = {request.teacher, student.preset}
    limits = {preset: bert_limits(preset) for preset in presets}
    for preset, limit in limits.items():
        _check_reads(preset, limit, request.max_length, is_pair=is_pair)
    if request.max_length is None:
        return min(MAX_LENGTH, *(limit.max_length for limit in limits.values()))
    _check_shortest(request.max_length, is_pair=is_pair)
    return request.max_length


def _check_reads(
    preset: str, limit: "BertLimits | BertSizes", max_length: int | None, *, is_pair: bool
) -> None:
    if is_pair and limit.num_segments < 2:
        raise ValueError(
            f"Expected a BERT of 2 segments for pairs, received {preset!r} with "
            f"{limit.num_segments}; choose another checkpoint, or classify one column."
        )
    if max_length is not None and max_length > limit.max_length:
        raise SettingError(
            f"Expected {argument('max_length')} of at most {limit.max_length}, the positions of "
            f"{preset!r}, received {max_length}."
        )


def _check_shortest(max_length: int, *, is_pair: bool) -> None:
    smallest = 5 if is_pair else 3
    if max_length < smallest:
        raise SettingError(
            f"Expected {argument('max_length')} of at least {smallest} (special tokens and one of "
            f"each text), received {max_length}; 128 is usual."
        )


def read_alike(one: Any, other: Any) -> bool:
    """Whether two tokenizers give the same ids to all texts."""
    settings = [(t.get_vocabulary(), t.lowercase, t.strip_accents) for t in (one, other)]
    return settings[0] == settings[1]


class _Reader(NamedTuple):
    """Makes inputs out of texts."""

    tokenizer: Any
    max_length: int

    def read(self, names: Sequence[str], columns: Sequence[Sequence[str]]) -> dict[str, list[Any]]:
        """The inputs of those names."""
        if names != SEPARATE_INPUTS:
            tokens = self._jointly(*columns)
            return {name: tokens[name] for name in names}
        of_each = [self._jointly(column) for column in columns]
        values = [tokens[name] for tokens in of_each for name in SENTENCE_INPUTS]
        return dict(zip(SEPARATE_INPUTS, values, strict=True))

    def _jointly(
        self, texts: Sequence[str], second: Sequence[str] | None = None
    ) -> dict[str, list[Any]]:
        import numpy as np

        from keras_prokt.data.text import tokenize_once

        tokens = tokenize_once(self.tokenizer, texts, second=second, max_length=self.max_length)
        padding_mask = [np.ones_like(row) for row in tokens.token_ids]
        values = (tokens.token_ids, padding_mask, tokens.segment_ids)
        return dict(zip(JOINT_INPUTS, values, strict=True))


def _adam(learning_rate: float) -> OptimizerRecipe:
    """The authors' optimizer, AdamW without weight decay: linear decay to 0, gradients clipped."""
    options = {"epsilon": 1e-8, "global_clipnorm": 1.0}
    return OptimizerRecipe("adam", learning_rate, "linear", options)
