"""The students of tasks on text, and what can be refused of both models without Keras.

Imports no Keras, so that apps can be listed at once.
"""

import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from keras_prokt.app import TaskRequest
from keras_prokt.bert_files import BertSizes, check_preset
from keras_prokt.bert_heads import trained_files
from keras_prokt.data.vocabulary import check_size
from keras_prokt.names import unknown_name
from keras_prokt.settings import SettingError, argument

MAX_LENGTH = 128
"""Word pieces a sequence, as the authors: of a pair read jointly, of each sentence otherwise.

Fewer where a BERT has fewer positions; another number by `max_length`.
"""

JOINT_INPUTS = ("token_ids", "padding_mask", "segment_ids")

SENTENCE_INPUTS = ("token_ids", "padding_mask")

SEPARATE_INPUTS = (*SENTENCE_INPUTS, "token_ids_pair", "padding_mask_pair")


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


def _check_reads(preset: str, limit: BertSizes, max_length: int | None, *, is_pair: bool) -> None:
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


def _bilstm(is_pair: bool, num_classes: int, vocabulary_size: int) -> Any:
    from keras_prokt.models.bilstm import bilstm, bilstm_pair

    build = bilstm_pair if is_pair else bilstm
    return build(num_classes, vocabulary_size=vocabulary_size)


def own_tokenizer(columns: Sequence[Sequence[str]], pieces: int) -> Any:
    """A tokenizer of at most so many word pieces, learnt from the training texts."""
    from keras_prokt.data.vocabulary import learn_vocabulary
    from keras_prokt.models.wordpiece import ExactBertTokenizer

    # Of all training texts, whatever --limit leaves of them.
    texts = [text for column in columns for text in column]
    return ExactBertTokenizer(learn_vocabulary(texts, pieces))


def teacher_of(preset: str, class_names: list[str]) -> Any:
    """The teacher of a checkpoint, with the head that it was fine-tuned with, if it has one.

    Args:
        preset: The checkpoint.
        class_names: The classes; none for one value.
    """
    if not trained_files(preset):
        return _bert(preset, len(class_names) or 1)
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
