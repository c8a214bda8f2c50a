"""Exports a student, in any form and from any backend."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_prokt import backends, outputs
from keras_prokt.arguments import check_type, checked_path
from keras_prokt.distillers.model_checks import check_is_model
from keras_prokt.export import DEFAULT, FORMATS, get
from keras_prokt.export.base import Description
from keras_prokt.export.process import write_in_process
from keras_prokt.front_ends import FrontEnd
from keras_prokt.models.as_logits import InexactLogitsWarning, as_logits_if_seen
from keras_prokt.models.symbolic_inputs import fits, symbolic_inputs, with_inputs
from keras_prokt.outputs import Output


def export_student(
    student: keras.Model,
    path: str | Path,
    format: str = DEFAULT,
    *,
    front_end: FrontEnd | None = None,
    class_names: Sequence[str] | None = None,
    output: str | None = None,
    verbose: bool | None = None,
    input_signature: Any = None,
) -> Path:
    """Writes the student alone, in one of the forms of `keras_prokt.export.FORMATS`.

    `saved_model` (Keras's word is `tf_saved_model`) writes a new version directory below `path`:
    `keras_prokt.export_saved_model` says what is in it. `keras` writes the file `path`, which ends
    in `.keras`, as `keras.Model.save` does; `keras_prokt.load_student` loads it on any backend. One
    that is there is replaced when the new one is whole and can be loaded.

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
        verbose: Whether to print what was written, as in `keras.Model.export`; by default not.
        input_signature: Shapes and dtypes of the student's inputs, as in `keras.Model.export`: a
            structure of `keras.InputSpec`, or a list of one. A model that does not know its inputs
            needs it, such as a subclassed one. The batch size stays free.

    Returns:
        What was written: `path`, or what is new below it.

    Raises:
        ValueError: If there is no such form, it does not hold what was given or needs packages
            that are not installed, or the student or the path does not suit it. Nothing is left
            behind.

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
    card, path = get(format), checked_path("path", path)
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
    kind = None if output is None else outputs.get(output)
    check_is_model("student", student)
    if input_signature is not None:
        student = _with_signature(student, input_signature)
    student = _of_logits(student, kind)
    description = Description(front_end, class_names, kind)
    form = card.load()
    form.check(student, path, description)
    if missing := card.missing():
        raise ValueError(
            f"Expected {', '.join(missing)} for format {format!r}, received an environment "
            "without; export where it is installed, on any backend."
        )
    if card.backend in (None, backends.current().name):
        written = form.write(student, path, description)
    else:
        written = write_in_process(card.backend, student, path, format, description)
    if verbose:
        print(f"{card.title} of {student.name!r} written to {written}")
    return written


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
