"""Exports a student, in any form and from any backend."""

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_prokt import backends, outputs
from keras_prokt.arguments import (
    check_flag,
    check_type,
    checked_integer,
    checked_number,
    checked_path,
)
from keras_prokt.distillers.model_checks import check_is_model, weight_not_finite
from keras_prokt.export import DEFAULT, FORMATS, get
from keras_prokt.export.base import QUANTIZATIONS, Description, Format, FormatCard
from keras_prokt.export.comparison import (
    Comparison,
    Examples,
    Score,
    compare,
    random_examples,
)
from keras_prokt.export.described import EXTRA
from keras_prokt.export.graph import example_inputs, move_to_next_version, nearest_that_exists
from keras_prokt.export.placing import MODEL_CARD, card_beside, check_free, place
from keras_prokt.export.process import write_in_process
from keras_prokt.files import file_errors_as_python_has_them, unfinished_folder
from keras_prokt.front_ends import FrontEnd
from keras_prokt.models.as_logits import InexactLogitsWarning, as_logits_if_seen
from keras_prokt.models.symbolic_inputs import fits, symbolic_inputs, with_inputs
from keras_prokt.names import is_known, unknown_name
from keras_prokt.outputs import Output
from keras_prokt.settings import SettingError, argument

MAX_LOSS = 0.01
"""Accuracy that a quantized student may lose."""

BATCH_SIZE = 64


class Exported(NamedTuple):
    """What has left."""

    path: Path
    """What was written."""
    comparison: Comparison | None = None
    """How far it is from the student; `None` where nobody asked it."""


def export_student(
    student: keras.Model,
    path: str | Path,
    format: str = DEFAULT,
    *,
    front_end: FrontEnd | None = None,
    class_names: Sequence[str] | None = None,
    output: str | None = None,
    quantize: str | None = None,
    calibration: Any = None,
    validation: Any = None,
    max_loss: float = MAX_LOSS,
    length: int | None = None,
    overwrite: bool = False,
    verbose: bool | None = None,
    input_signature: Any = None,
) -> Path:
    """Writes the student alone, in one of the forms of `keras_prokt.export.FORMATS`.

    `saved_model` (Keras's word is `tf_saved_model`) writes a new version directory below `path`:
    `keras_prokt.export_saved_model` says what is in it. `onnx` and `litert` write one file with
    the same answers (docs/serving.md), `keras` the file `path`, which ends in `.keras`, as
    `keras.Model.save` does; `keras_prokt.load_student` loads it on any backend.

    What others convert (`onnx`, `litert`) is opened in its own runtime and compared with the
    student before it appears at `path`: on `validation`, or on random inputs. Other forms are
    compared where `validation` is given.

    A form that one backend alone can write is written in a process of that backend. The student
    goes there as a `.keras` file; its custom layers must be registered
    (`keras.saving.register_keras_serializable`) in an importable module.

    Args:
        student: A model whose output is logits or probabilities, shape `(batch, width)`.
        path: Where to; folders are made.
        format: A name of `FORMATS` or an alias.
        front_end: How raw input becomes the student's inputs, for forms that hold it.
        class_names: Names of the classes or labels, for forms that hold them.
        output: What the logits mean, a key of `keras_prokt.outputs.OUTPUTS`; as in a distiller.
        quantize: "float16" or "int8", for forms that hold it.
        calibration: Training inputs, as `fit` takes them, of which int8 takes its ranges; a few
            hundred.
        validation: Inputs on which the two are compared, or `(inputs, labels)`.
        max_loss: Accuracy that a quantized student may lose on `validation`, of values the share
            by which its error may grow.
        length: Of texts, for forms without open lengths; by default the front end's.
        overwrite: Whether a file that is there is replaced.
        verbose: Whether to print what was written, as in `keras.Model.export`; by default not.
        input_signature: Shapes and dtypes of the student's inputs, as in `keras.Model.export`: a
            structure of `keras.InputSpec`, or a list of one. A model that does not know its inputs
            needs it, such as a subclassed one. The batch size stays free.

    Returns:
        What was written: `path`, or what is new below it.

    Raises:
        ValueError: If there is no such form, it does not hold what was given or needs packages
            that are not installed, the student or the path does not suit it, or what was written
            is too far from the student. Nothing is left behind.

    Example:

    >>> import tempfile
    >>> import keras
    >>> import keras_prokt
    >>> from keras_prokt.export import export_student
    >>> student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = export_student(student, f"{folder}/student.keras", "keras")
    ...     keras_prokt.load_student(path).output_shape
    (None, 3)
    """
    return export_compared(
        student,
        path,
        format,
        front_end=front_end,
        class_names=class_names,
        output=output,
        quantize=quantize,
        calibration=() if calibration is None else batches_of(calibration),
        examples=None if validation is None else _examples(validation, output),
        max_loss=max_loss,
        length=length,
        overwrite=overwrite,
        verbose=verbose,
        input_signature=input_signature,
    ).path


def export_compared(
    student: keras.Model,
    path: str | Path,
    format: str = DEFAULT,
    *,
    front_end: FrontEnd | None = None,
    class_names: Sequence[str] | None = None,
    output: str | None = None,
    quantize: str | None = None,
    calibration: Sequence[Any] = (),
    examples: Examples | None = None,
    max_loss: float = MAX_LOSS,
    length: int | None = None,
    overwrite: bool = False,
    verbose: bool | None = None,
    input_signature: Any = None,
    compares: bool = True,
    card_text: Callable[[str, Comparison | None], str] | None = None,
) -> Exported:
    """`export_student`, with what came out of the comparison.

    Args: as there, but for:
        calibration: Batches of inputs.
        examples: What to compare on.
        compares: Whether to compare at all.
        card_text: Makes what is to stand beside it as `model_card.md`, out of Python that calls it
            and what came out of the comparison.
    """
    card, path = get(format), checked_path("path", path)
    check_flag("overwrite", overwrite)
    if checked_number("max_loss", max_loss) < 0:
        raise ValueError(
            f"Expected max_loss of at least 0, received {max_loss!r}; 0.01 is the usual one."
        )
    if isinstance(class_names, np.ndarray):
        class_names = class_names.tolist()  # as of scikit-learn's LabelEncoder
    if front_end is not None:
        check_type("front_end", front_end, FrontEnd, "a front end, such as TextFrontEnd")
    for name, value in (("front_end", front_end), ("class_names", class_names)):
        if value is not None and name not in card.holds:
            others = ", ".join(key for key, other in FORMATS.items() if name in other.holds)
            raise ValueError(
                f"Expected no {name} with format {format!r}, received {value!r:.80}; leave it out, "
                f"or take a form that holds it: {others}."
            )
    check_quantization(format, quantize)
    if length is not None:
        length = checked_integer("length", length, 1)
    kind = None if output is None else outputs.get(output)
    check_is_model("student", student)
    if (weight := weight_not_finite(student)) is not None:
        raise ValueError(
            f"Expected a student of finite weights, received NaN or infinity in {weight!r}; train "
            "it anew with a lower learning rate, or in float32."
        )
    if input_signature is not None:
        student = _with_signature(student, input_signature)
    student = _of_logits(student, kind)
    description = Description(front_end, class_names, kind, quantize, calibration, length)
    form = card.load()
    form.check(student, path, description)
    check_installed(format)
    if not card.has_versions:
        check_free(path, overwrite=overwrite)
    anchor = nearest_that_exists(path)
    anchor = anchor if anchor.is_dir() else anchor.parent
    with (
        file_errors_as_python_has_them(),
        unfinished_folder(anchor, "export") as scratch,
    ):
        unfinished = scratch / path.name
        if card.backend in (None, backends.current().name):
            written = form.write(student, unfinished, description)
        else:
            written = write_in_process(card.backend, student, unfinished, format, description)
        comparison = None
        if compares and (card.is_compared or quantize is not None or examples is not None):
            examples = examples or random_examples(student, description)
            comparison = compare(form, written, student, description, examples)
            _check_close(comparison, form, format, quantize, max_loss)
        if card_text is not None:
            shown = "." if written.is_dir() else path.name
            pictures = form.reads_pictures or card.has_versions
            inputs = example_inputs(student, description, pictures)
            card_file = _card_file(card, written)
            snippet = form.snippet(shown, inputs, description)
            text = card_text(snippet, comparison)
            card_file.write_text(text, encoding="utf-8")
        placed = _place(card, written, path, overwrite)
    if verbose:
        print(f"{card.title} of {student.name!r} written to {placed}")
    return Exported(placed, comparison)


def _card_file(card: FormatCard, written: Path) -> Path:
    """Where the model card goes: beside a file, into a folder, of a SavedModel where it may be."""
    if not written.is_dir():
        return written.with_name(card_beside(written, card.file))
    folder = written / EXTRA if card.has_versions else written
    folder.mkdir(exist_ok=True)
    return folder / MODEL_CARD


def check_quantization(format: str, quantize: str | None) -> None:
    """Refuses what a form does not hold.

    Raises:
        ValueError: With the forms that do.
    """
    if quantize is None:
        return
    if not is_known(quantize, QUANTIZATIONS):
        raise ValueError(unknown_name("a quantization", quantize, QUANTIZATIONS))
    if quantize not in get(format).quantizes:
        others = ", ".join(key for key, card in FORMATS.items() if quantize in card.quantizes)
        raise ValueError(
            f"Expected no quantize with format {format!r}, received {quantize!r}; leave it out, or "
            f"take a form that holds it: {others}."
        )


def check_installed(format: str) -> None:
    """Refuses a form whose packages are not installed.

    Raises:
        ValueError: With the extra that installs them.
    """
    card = get(format)
    if missing := card.missing():
        advice = "export where it is installed, on any backend"
        if card.extra is not None:
            advice = f"pip install 'keras-prokt[{card.extra}]'"
        raise ValueError(
            f"Expected {', '.join(missing)} for format {format!r}, received an environment "
            f"without; {advice}."
        )


def _check_close(
    found: Comparison | None, form: Format, format: str, quantize: str | None, max_loss: float
) -> None:
    """Refuses what is too far from the student.

    Raises:
        ValueError: With how far it is, and how far it may be.
    """
    if found is None:
        return
    if quantize is None and not found.difference <= form.tolerance:
        raise ValueError(
            f"Expected outputs within {form.tolerance} of the student's from format {format!r}, "
            f"received a difference of {found.difference:.2g} on {found.count:,} {found.source}; "
            "export it in another form."
        )
    if found.loss > max_loss or not math.isfinite(found.difference):
        raise SettingError(
            f"Expected a loss of {found.metric or 'accuracy'} of at most {max_loss} "
            f"({argument('max_loss')}) by {quantize or format}, received {found.loss:.4f} "
            f"({found.exported:.4f}, of the student {found.student:.4f}) on {found.count:,} "
            f"{found.source}; export it without quantization, or allow more."
        )


def _place(card: FormatCard, written: Path, path: Path, overwrite: bool) -> Path:
    """Moves what was written to where it belongs."""
    if card.has_versions:
        return move_to_next_version(written, path)
    place(written, path, overwrite=overwrite)
    return path


def batches_of(inputs: Any) -> list[Any]:
    """Arrays in a structure as batches."""

    def part(start: int) -> Any:
        stop = start + BATCH_SIZE
        return keras.tree.map_structure(lambda values: np.asarray(values[start:stop]), inputs)

    return [part(start) for start in range(0, len(keras.tree.flatten(inputs)[0]), BATCH_SIZE)]


def _examples(validation: Any, output: str | None) -> Examples:
    if not (isinstance(validation, tuple) and len(validation) == 2):
        return Examples(batches_of(validation), "examples")
    inputs, labels = validation
    labels = np.asarray(labels)
    name, lower_is_better = ("error", True) if output == "values" else ("accuracy", False)

    def score(logits: np.ndarray) -> float:
        kind = outputs.get(output) if output else outputs.infer(*logits.shape[1:])
        given, width = ops.convert_to_tensor(labels), logits.shape[-1]
        checked, _ = kind.checked(given, width)
        values = ops.convert_to_tensor(logits)
        if lower_is_better:
            return float(ops.mean(kind.negative_log_likelihood(checked, values)))
        answers, right = kind.answers(values), kind.right_answers(checked, width)
        return float(np.mean(ops.convert_to_numpy(answers) == ops.convert_to_numpy(right)))

    return Examples(batches_of(inputs), "examples", Score(name, score, lower_is_better))


def _with_signature(student: keras.Model, signature: Any) -> keras.Model:
    is_list = isinstance(signature, list | tuple) and len(signature) == 1
    inputs = signature[0] if is_list else signature
    known = symbolic_inputs(student)
    if known is not None and not fits(known, inputs):
        raise ValueError(
            f"Expected an input_signature that fits the inputs of {student.name!r}, "
            f"{_shapes_of(known)}, received {_shapes_of(inputs)}; leave it out to export those."
        )
    return with_inputs(student, inputs)


def _shapes_of(inputs: Any) -> Any:
    return keras.tree.map_structure(lambda tensor: tuple(tensor.shape), inputs)


def _of_logits(student: keras.Model, kind: Output | None) -> keras.Model:
    with warnings.catch_warnings():
        # The probabilities that leave are those of the student, however their logits are taken.
        warnings.simplefilter("ignore", InexactLogitsWarning)
        return as_logits_if_seen(student, (kind or Output).activations)
