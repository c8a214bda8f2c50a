"""What was exported beside the student: opened in its own runtime and asked the same."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt import backends, outputs
from keras_prokt.export.base import Description, Format
from keras_prokt.export.graph import answers_of, checked_ends, in_float32, nearest_pictures
from keras_prokt.front_ends import ImageFrontEnd
from keras_prokt.outputs import Output

RANDOM_EXAMPLES = 64


@dataclass(frozen=True)
class Score:
    """How well outputs answer the examples that an export is compared on.

    Attributes:
        name: Of the metric, such as "accuracy".
        function: Its value for the logits of all examples.
        lower_is_better: Whether it is an error; then a loss is a share of it.
    """

    name: str
    function: Callable[[np.ndarray], float]
    lower_is_better: bool = False


@dataclass(frozen=True)
class Examples:
    """What an export is compared on.

    Attributes:
        batches: Batches of arrays, as the student is called with them.
        source: What they are, such as "validation examples".
        score: How well outputs answer them; `None` where nobody knows.
    """

    batches: Sequence[Any]
    source: str
    score: Score | None = None


@dataclass(frozen=True)
class Comparison:
    """How far an export is from the student.

    Attributes:
        count: How many examples were asked.
        source: What they are.
        difference: The largest absolute difference of two probabilities, or values.
        agreement: The share of answers that are the same; `None` of values.
        metric: Name of what was measured on the labels; `None` without labels.
        student: That of the student.
        exported: That of the export.
        loss: How much worse the export is: absolute, of errors as a share.
    """

    count: int
    source: str
    difference: float
    agreement: float | None
    metric: str | None = None
    student: float = math.nan
    exported: float = math.nan
    loss: float = 0.0

    def __str__(self) -> str:
        found = [f"largest difference {self.difference:.2g}"]
        if self.agreement is not None:
            found.append(f"same answers {self.agreement:.2%}")
        if self.metric is not None:
            found.append(f"{self.metric} {self.exported:.4f}, of the student {self.student:.4f}")
        return f"compared on {self.count:,} {self.source}: {', '.join(found)}"


def compare(
    form: Format,
    written: Path,
    student: keras.Model,
    description: Description,
    examples: Examples,
) -> Comparison | None:
    """Asks an export and its student the same.

    Args:
        form: The form.
        written: What it wrote.
        student: The student, which outputs logits; one in half precision is asked in float32,
            but by forms that keep it.
        description: As in `Format.write`.
        examples: What to ask.

    Returns:
        How far they are apart; `None` where nothing runs this form.
    """
    inputs, _, kind = checked_ends(student, description.output)
    opened = form.open(written, replace(description, output=kind))
    if opened is None:
        return None
    answer = means_of(student if form.keeps_half else in_float32(student), kind)
    ours, theirs = [], []
    for batch in examples.batches:
        asked, batch = _asked(form, description, batch, list(inputs))
        ours.append(answer(batch))
        means = np.asarray(opened(asked), "float32")
        theirs.append(_summing_to_one(means, kind) if description.quantize == "int8" else means)
    return _compared(ours, theirs, kind, examples)


def _compared(
    ours: list[np.ndarray], theirs: list[np.ndarray], kind: Output, examples: Examples
) -> Comparison:
    pairs = list(zip(ours, theirs, strict=True))
    for one, other in pairs:
        if one.shape != other.shape:
            raise ValueError(
                f"Expected outputs of shape {one.shape}, as the student has them, received "
                f"{other.shape} from what was exported; export it in another form."
            )
    # Of values the size is the task's.
    size = 1.0 if kind.activations else max(1.0, *(float(np.abs(one).max()) for one in ours))
    # NaN is no smaller than anything.
    difference = max(float(np.max(np.nan_to_num(np.abs(a - b), nan=np.inf))) for a, b in pairs)
    known = Comparison(sum(map(len, ours)), examples.source, difference / size, None)
    if kind.activations:
        same = [_answers(kind, one) == _answers(kind, other) for one, other in pairs]
        known = replace(known, agreement=float(np.mean(np.concatenate([s.ravel() for s in same]))))
    if examples.score is None or not math.isfinite(difference):
        return known
    score = examples.score
    before, after = (score.function(_all_logits(kind, means)) for means in (ours, theirs))
    loss = (after - before) / max(before, 1e-12) if score.lower_is_better else before - after
    return replace(known, metric=score.name, student=before, exported=after, loss=loss)


def means_of(student: keras.Model, kind: Output) -> Callable[[Any], np.ndarray]:
    """What gives the means of a student's outputs for a batch, float32."""
    answer = backends.current().quick(lambda batch: answers_of(student, batch, kind))

    def means(batch: Any) -> np.ndarray:
        answers = answer(keras.tree.map_structure(_tensor, batch))
        return mean_among({n: ops.convert_to_numpy(v) for n, v in answers.items()})

    return means


def _tensor(value: Any) -> Any:
    return ops.convert_to_tensor(value) if np.asarray(value).dtype.kind in "biuf" else value


def mean_among(answers: Mapping[str, Any]) -> np.ndarray:
    """Of what a served student answers by name, the means: what is no label and no class name."""
    [means] = [value for value in answers.values() if np.asarray(value).dtype.kind == "f"]
    return np.asarray(means, "float32")


def _answers(kind: Output, means: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(kind.answers(ops.convert_to_tensor(_logits(kind, means))))


def _summing_to_one(means: np.ndarray, kind: Output) -> np.ndarray:
    """Probabilities of classes that eight bits round each by itself, as a distribution again."""
    if kind.activation == "sigmoid" or not kind.activations:
        return means
    return means / np.maximum(means.sum(axis=-1, keepdims=True), 1e-7)


def _logits(kind: Output, means: np.ndarray) -> np.ndarray:
    if not kind.activations:
        return means
    # Each position has classes.
    kind = outputs.get("classes") if kind.example_axes > 1 else kind
    rows = kind.outputs_of_means(means.reshape(-1, means.shape[-1]))
    return np.asarray(rows, "float32").reshape(means.shape)


def _all_logits(kind: Output, means: Sequence[np.ndarray]) -> np.ndarray:
    """Of all batches, with zeros behind the positions of shorter ones."""
    logits = [_logits(kind, one) for one in means]
    if logits[0].ndim == 3:
        length = max(one.shape[1] for one in logits)
        logits = [np.pad(one, ((0, 0), (0, length - one.shape[1]), (0, 0))) for one in logits]
    return np.concatenate(logits)


def _asked(
    form: Format, description: Description, batch: Any, names: Sequence[str]
) -> tuple[dict[str, np.ndarray], Any]:
    """What the export is asked by name, and what the student."""
    front_end = description.front_end
    if form.reads_pictures and isinstance(front_end, ImageFrontEnd):
        [normalised] = keras.tree.flatten(batch)
        pictures = nearest_pictures(front_end, np.asarray(normalised))
        features = front_end.normalize(pictures)
        return {"image": pictures}, keras.tree.map_structure(lambda _: features, batch)
    arrays = [np.asarray(value) for value in keras.tree.flatten(batch)]
    return dict(zip(names, arrays, strict=True)), batch


def random_examples(student: keras.Model, description: Description) -> Examples:
    """Random inputs of the shapes and dtypes that a student reads.

    Whole numbers are 0 or 1, which every embedding has; open lengths are 8, masks begin with 1.
    """
    inputs, _, _ = checked_ends(student, description.output)
    draw = np.random.default_rng(0)
    arrays = [_random(name, tensor, draw, description) for name, tensor in inputs.items()]
    structure = student.inputs[0] if isinstance(student, keras.Sequential) else student.input
    batch = keras.tree.pack_sequence_as(structure, arrays)
    return Examples([batch], "random inputs")


def _random(
    name: str, tensor: keras.KerasTensor, draw: np.random.Generator, description: Description
) -> np.ndarray:
    open_size = itertools.chain([description.length or 8], itertools.repeat(8))
    shape = [RANDOM_EXAMPLES, *(size or next(open_size) for size in tensor.shape[1:])]
    if tensor.dtype == "string":
        return draw.choice(np.array(["a", "b", "no", "yes"], "O"), shape)
    if "int" in tensor.dtype or tensor.dtype == "bool":
        if "mask" in name and len(shape) == 2:
            lengths = draw.integers(1, shape[1] + 1, (shape[0], 1))
            return (np.arange(shape[1]) < lengths).astype(tensor.dtype)
        return draw.integers(0, 2, shape).astype(tensor.dtype)
    return draw.normal(size=shape).astype(tensor.dtype)
