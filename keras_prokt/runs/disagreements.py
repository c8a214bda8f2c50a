"""The validation examples on which the two models of a run differ most."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_prokt import outputs
from keras_prokt.data.batches import Batches, inputs_of
from keras_prokt.front_ends import FrontEnd, ImageFrontEnd
from keras_prokt.outputs import Output
from keras_prokt.results.evaluation import outputs_of
from keras_prokt.runs.finished_run import saved_model
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.method_comparison import kept_predictions
from keras_prokt.runs.task import check_same_app, check_same_task, prepare

MOST_LOOKED_AT = 5_000
"""Examples that are predicted at most, the first ones of the data."""

_PIECES = ("token_ids", "token_ids_pair")
_SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
_MOST_NUMBERS = 12


class Disagreement(NamedTuple):
    """One example on which the models differ."""

    position: int
    """In the data as it was given, from 0."""
    label: str
    teacher: str
    """Its answer, with the probability if that is known."""
    student: str
    divergence: float | None
    """KL(teacher ‖ student) in nats; `None` where the teacher's answers alone are kept."""
    text: str | None
    image: np.ndarray | None
    """uint8 `(height, width, channels)`."""


class Disagreements(NamedTuple):
    """What was found."""

    examples: list[Disagreement]
    looked_at: int
    part: str


def disagreements(folder: RunFolder, count: int) -> Disagreements:
    """The examples on which teacher and student of a run differ most.

    With the teacher kept (`save_teacher`) those of the largest divergence of the student from it;
    otherwise those that the models answer differently, the student's surest answers first.

    Args:
        folder: Of a completed run whose data is there, with one output an example.
        count: How many at most.

    Raises:
        ValueError: If the data has changed since or cannot be read, or the run has no teacher.
    """
    record, spec = folder.read(), folder.spec().without_stored_outputs()
    check_same_app(spec, record["data"])
    task = prepare(spec)
    check_same_task(spec, task, record)
    batches = task.validation.in_order()
    if batches.labels_per_position:
        raise ValueError(
            "Expected a run with one output an example, received one of a label a position; "
            "compare its predictions instead."
        )
    looked_at = min(batches.num_examples, MOST_LOOKED_AT)
    batches = batches.taking(np.arange(looked_at))
    student = outputs_of(saved_model(folder, "student"), batches, "student", task.output)
    kind = outputs.get(task.output).for_outputs(student.shape[1:])
    names = task.class_names
    if record.get("save_teacher"):
        teacher = outputs_of(saved_model(folder, "teacher"), batches, "teacher", task.output)
        divergences = _array(kind.divergence(_tensor(teacher), _tensor(student)))
        order = np.argsort(-divergences, kind="stable")[:count]
        answers = _answers(kind, teacher, names)
    else:
        teacher_answers = _kept_answers(folder, record)[:looked_at]
        are_other = teacher_answers != _array(kind.answers(_tensor(student)))
        differ = np.flatnonzero(are_other.reshape(looked_at, -1).any(axis=-1))
        surest = _array(kind.means(_tensor(student))).max(axis=-1)
        order = differ[np.argsort(-surest[differ], kind="stable")][:count]
        divergences = None
        answers = [_named(values, names) for values in teacher_answers]
    student_answers = _answers(kind, student, names)
    right = _array(kind.right_answers(ops.convert_to_tensor(batches.labels), student.shape[-1]))
    shown = _Shown(batches.taking(order), task.front_end)
    return Disagreements(
        [
            Disagreement(
                int(batches.origin.positions[row]),
                _named(right[row], names),
                answers[row],
                student_answers[row],
                None if divergences is None else float(divergences[row]),
                shown.text(number),
                shown.image(number),
            )
            for number, row in enumerate(order)
        ],
        looked_at,
        "validation",
    )


def _tensor(values: np.ndarray) -> Any:
    return ops.cast(ops.convert_to_tensor(values), "float32")


def _array(tensor: Any) -> np.ndarray:
    return ops.convert_to_numpy(tensor)


def _kept_answers(folder: RunFolder, record: Mapping[str, Any]) -> np.ndarray:
    """What the teacher has answered, as the run keeps it."""
    _, answers = kept_predictions(folder, record, "validation", "teacher")
    if answers is None:
        raise ValueError(
            f"Expected a run that has kept its teacher's answers, received {str(folder.path)!r} "
            "without; repeat it with its teacher."
        )
    return np.array(answers)


def _answers(kind: Output, logits: np.ndarray, names: list[str]) -> list[str]:
    """Each answer with its probability, of classes; of other kinds the answer."""
    answers = _array(kind.answers(_tensor(logits)))
    if kind.id != "classes":
        return [_named(values, names) for values in answers]
    means = _array(kind.means(_tensor(logits)))
    return [f"{_named(k, names)} ({mean[k]:.2f})" for k, mean in zip(answers, means, strict=True)]


def _named(answer: Any, names: list[str]) -> str:
    """An answer: the name of a class, names of labels, or numbers."""
    values = np.atleast_1d(answer)
    are_whole = np.issubdtype(values.dtype, np.integer)
    if are_whole and len(values) == 1:
        return names[int(values[0])] if int(values[0]) < len(names) else str(int(values[0]))
    if are_whole and len(names) == len(values):
        return ", ".join(n for n, value in zip(names, values, strict=True) if value) or "none"
    return ", ".join(f"{value:.4g}" for value in values)


class _Shown:
    """What people see of examples.

    Args:
        batches: The examples.
        front_end: How raw input becomes what is in them.
    """

    def __init__(self, batches: Batches, front_end: FrontEnd | None):
        self._pixels, self._texts = None, None
        if not batches.num_examples:
            return
        inputs = inputs_of(batches.batch(np.arange(batches.num_examples))[0], "student")
        vocabulary = getattr(front_end, "vocabulary", None)
        if isinstance(inputs, Mapping):
            if vocabulary is not None:
                columns = [inputs[name] for name in _PIECES if name in inputs]
                rows = zip(*columns, strict=True)
                self._texts = [" | ".join(_text(ids, vocabulary) for ids in row) for row in rows]
            return
        array = np.asarray(inputs, "float32")
        if array.ndim == 4 and array.shape[-1] in (1, 3):
            self._pixels = _pixels(array, front_end)
        elif array.ndim == 2:
            self._texts = [_numbers(row) for row in array]

    def text(self, number: int) -> str | None:
        return None if self._texts is None else self._texts[number]

    def image(self, number: int) -> np.ndarray | None:
        return None if self._pixels is None else self._pixels[number]


def _text(ids: np.ndarray, vocabulary: Any) -> str:
    """Words of word pieces."""
    pieces = [vocabulary[int(one)] for one in ids]
    return " ".join(piece for piece in pieces if piece not in _SPECIAL).replace(" ##", "")


def _pixels(images: np.ndarray, front_end: FrontEnd | None) -> np.ndarray:
    """Normalised floats as uint8; where nothing says how, from their lowest to their highest."""
    if isinstance(front_end, ImageFrontEnd):
        deviation = np.array(front_end.standard_deviation, "float32")
        shares = images * deviation + np.array(front_end.mean, "float32")
    else:
        low, high = images.min(), images.max()
        shares = (images - low) / max(high - low, 1e-9)
    return np.clip(np.round(255 * shares), 0, 255).astype("uint8")


def _numbers(row: np.ndarray) -> str:
    shown = ", ".join(f"{value:.4g}" for value in row[:_MOST_NUMBERS])
    return f"{shown}, …" if len(row) > _MOST_NUMBERS else shown
