"""App `tokens`: a tagger of the user's own words, BERT into a bi-LSTM or a BERT."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keras_prokt.app import Task, TaskRequest
from keras_prokt.data.tagged_sentences import TaggedData, load_tagged
from keras_prokt.data.tags import PLAIN, commonest_tags, entity_f1
from keras_prokt.settings import SettingError, argument
from keras_prokt_apps.text_classification import TEACHERS, text_app
from keras_prokt_apps.text_inputs import read_alike, text_shares
from keras_prokt_apps.text_students import (
    JOINT_INPUTS,
    Networks,
    TextStudent,
    checked_student,
    longest_sequence,
)

if TYPE_CHECKING:
    from keras_prokt.data.batches import Batches

BILSTM = (
    "one bidirectional LSTM on BERT's word pieces, embeddings and units 300; 10.60 M parameters"
)
STUDENTS = {
    "bilstm": BILSTM,
    "bert-K": "every (n / K)-th of the teacher's n layers with its weights, such as bert-6",
    "bert-K-W": "K layers of width W, the teacher's number of heads, random weights, for method "
    "tinybert, such as bert-4-312",
    "PRESET": "a BERT preset or directory with the teacher's word pieces",
}


def check(request: TaskRequest) -> None:
    """Refuses models that cannot be, and files with a fault; reads them, and imports no Keras."""
    if not request.dataset:
        raise SettingError(
            f"Expected {argument('dataset')} with app 'tokens', received none; name your file of "
            "words and tags."
        )
    for name in ("unlabelled", "unlabelled_rows"):
        if getattr(request, name):
            raise SettingError(
                f"Expected no {argument(name)} with app 'tokens', received one; each word has a "
                "tag here: leave it out."
            )
    if len(request.text_columns or ()) > 1:
        raise SettingError(
            f"Expected one column of words in {argument('text_columns')} with app 'tokens', "
            f"received {','.join(request.text_columns)}; name that of the lists of words."
        )
    _student(request)
    _data(request)


def prepare(request: TaskRequest) -> Task:
    """Reads the sentences, divides them where no held-out files are given, readies both models."""
    from keras_prokt.front_ends import WordFrontEnd
    from keras_prokt.models.bert import bert_tokenizer

    check(request)
    student, data = _student(request), _data(request)
    if request.limit is not None:
        data = data.limited(request.limit, request.seed)
    tokenizer = bert_tokenizer(request.teacher)
    if student.preset != request.teacher and not read_alike(
        tokenizer, bert_tokenizer(student.preset)
    ):
        raise ValueError(
            f"Expected a student with the word pieces of {request.teacher!r}, received "
            f"{student.preset!r} with others; what the two say is compared piece by piece."
        )
    max_length = longest_sequence(request, student, is_pair=False)
    front_end = WordFrontEnd.from_tokenizer(tokenizer, max_length=max_length)
    batches = {
        name: _batches(name, data, tokenizer, student.inputs, max_length, request)
        for name in data.parts
    }
    shares = text_shares(
        batches["train"].inputs, dict.fromkeys(("teacher", "student"), front_end.of_text())
    )
    _say(data, batches)
    classes = len(data.class_names)
    return Task(
        train=batches.pop("train"),
        validation=batches.pop("validation"),
        test=batches.pop("test", None),
        class_names=data.class_names,
        build_teacher=lambda: _bert(request.teacher, classes),
        build_student=lambda: student.build(classes, tokenizer.vocabulary_size()),
        front_end=front_end,
        teacher_front_end=front_end,
        metrics=("accuracy",) if data.scheme == PLAIN else ("entity_f1", "accuracy"),
        presets=tuple(dict.fromkeys((request.teacher, student.preset))),
        text_shares=shares,
        output="positions",
    )


def _student(request: TaskRequest) -> TextStudent:
    networks = Networks(_bilstm, _bert)
    student = checked_student(request, is_pair=False, networks=networks)
    if student.own_pieces is not None:
        raise ValueError(
            f"Expected a student with the teacher's word pieces, received {request.student!r}; "
            "what the two say is compared piece by piece: use bilstm."
        )
    return student


def _data(request: TaskRequest) -> TaggedData:
    [words] = request.text_columns or (None,)
    return load_tagged(
        request.dataset,
        word_column=words,
        tag_column=request.label_column,
        validation=request.validation,
        test=request.test,
    )


def _batches(
    part: str,
    data: TaggedData,
    tokenizer: Any,
    student_inputs: Sequence[str],
    max_length: int,
    request: TaskRequest,
) -> "Batches":
    import numpy as np

    from keras_prokt.data.batches import Batches, Origin
    from keras_prokt.data.tagged_text import labels_of_pieces, word_pieces

    sentences, labels = data.parts[part].words, data.labels(part)
    is_train = part == "train"
    pieces = word_pieces(tokenizer, sentences, max_length=max_length)
    teacher = inputs_of_pieces(pieces.token_ids)
    origin = Origin(np.array(data.positions), data.count) if is_train else None
    batches = Batches(
        {"teacher": teacher, "student": {name: teacher[name] for name in student_inputs}},
        labels_of_pieces(labels, pieces.first_pieces, max_length=max_length),
        batch_size=request.batch_size,
        seed=request.seed,
        shuffle=is_train,
        max_length=max_length,
        labels_per_position=True,
        origin=origin,
    )
    return batches if is_train else batches.longest_first()


def inputs_of_pieces(token_ids: Sequence[Any]) -> dict[str, list[Any]]:
    """What models read of the word pieces of sentences, by the names of their inputs.

    Args:
        token_ids: Of each sentence, int32 `(length,)`.
    """
    import numpy as np

    values = (
        list(token_ids),
        list(map(np.ones_like, token_ids)),
        list(map(np.zeros_like, token_ids)),
    )
    return dict(zip(JOINT_INPUTS, values, strict=True))


def _say(data: TaggedData, batches: "Mapping[str, Batches]") -> None:
    """Says how the tags are read, what is cut, and what a tagger has to beat."""
    from keras_prokt.runs.progress import say

    scheme = "each for itself" if data.scheme == PLAIN else f"entities in {data.scheme}"
    learnt = "" if data.scheme in (PLAIN, "IOB2") else ", learnt and predicted as IOB2"
    say(f"tags: {len(data.class_names)}, {scheme}{learnt}")
    for name, part in data.parts.items():
        if cut := sum(map(len, part.words)) - int((batches[name].labels >= 0).sum()):
            say(f"{name}: {cut:,} words are cut at max_length, and do not count")
    train, validation = data.parts["train"], data.parts["validation"]
    answers = list(commonest_tags(train.words, train.tags).answers(validation.words))
    if data.scheme == PLAIN:
        pairs = [
            right == answer
            for tags, of_words in zip(validation.tags, answers, strict=True)
            for right, answer in zip(tags, of_words, strict=True)
        ]
        found = f"accuracy {sum(pairs) / len(pairs):.4f}"
    else:
        found = f"entity F1 {entity_f1(validation.tags, answers):.4f}"
    say(f"the commonest tag of each word: {found} on validation")


def _bilstm(num_classes: int, vocabulary_size: int) -> Any:
    from keras_prokt.models.bilstm import bilstm_tagger

    return bilstm_tagger(num_classes, vocabulary_size=vocabulary_size)


def _bert(
    preset: str, num_classes: int, layers: int | None = None, width: int | None = None
) -> Any:
    from keras_prokt.models.bert import bert_tagger

    # Of another width, the teacher's weights do not fit.
    return bert_tagger(preset, num_classes, layers=layers, width=width, load_weights=width is None)


def _predict_sentences(*arguments: Any, **settings: Any) -> int:
    from keras_prokt_apps.token_predictions import predict_sentences  # which imports this module

    return predict_sentences(*arguments, **settings)


APP = replace(
    text_app(
        "tokens",
        "your own words with a tag each (--dataset of CoNLL style or JSONL); needs a BERT",
        check,
        prepare,
        reads_table=True,
    ),
    teachers={**TEACHERS, "DIRECTORY": "a local Hugging Face or keras-hub directory"},
    students=STUDENTS,
    can_prepare=False,
    names_columns=False,
    predict_table=_predict_sentences,
    predictions_file="predictions.conll",
)
