"""SavedModels of TensorFlow, by a signature that reads what the app's teacher reads."""

import contextlib
import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_prokt.data.teacher_outputs import FORMS
from keras_prokt.recorders.base import Asked, OpenTeacher, named_as
from keras_prokt.tensorflow_beside import import_tensorflow

_DEFAULT = "serving_default"


def load_saved_model(name: str) -> tuple[Any, Any]:
    """TensorFlow, and what it loads from the directory of a SavedModel.

    Raises:
        ValueError: If it is none, or not whole.
    """
    tf = import_tensorflow("reading a SavedModel")
    with contextlib.suppress(ImportError):
        importlib.import_module("tensorflow_text")  # registers what splits words in its graphs
    try:
        return tf, tf.saved_model.load(name)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ValueError(
            f"Expected the directory of a whole SavedModel, received {name!r} "
            f"({' '.join(str(error).split())[:200]}); export it again."
        ) from error


def open_saved_model(name: str, asked: Asked) -> OpenTeacher:
    """The directory of a SavedModel; of outputs of several names `logits` or `probabilities`."""
    tf, loaded = load_saved_model(name)
    signature, specs = _signature_for(loaded, name, asked)
    form, output = _output_of(signature, name)

    def predict(batch: Any) -> np.ndarray:
        given = named_as(batch, list(specs), name)
        tensors = {key: tf.constant(given[key], specs[key].dtype) for key in specs}
        return signature(**tensors)[output].numpy()

    # What is loaded has to live as long as its signatures.
    predict.loaded = loaded  # type: ignore[attr-defined]
    return OpenTeacher(predict, form)


def _signature_for(loaded: Any, name: str, asked: Asked) -> tuple[Any, Mapping[str, Any]]:
    """The first signature that reads such inputs, and its inputs by name."""
    error = None
    for key in sorted(loaded.signatures, key=lambda key: (key != _DEFAULT, key)):
        signature = loaded.signatures[key]
        specs = signature.structured_input_signature[1]
        try:
            given = named_as(asked.example, list(specs), name)
        except ValueError as problem:
            error = error or problem
            continue
        if all(_fits(specs[key], given[key]) for key in specs):
            return signature, specs
    if error is not None:
        raise error
    raise ValueError(
        f"Expected a SavedModel with a signature that reads {_described(asked.example)}, as the "
        f"app's teacher does, received {name!r} with {', '.join(loaded.signatures) or 'none'}; "
        "export one of these inputs."
    )


def _fits(spec: Any, array: np.ndarray) -> bool:
    """Whether an array is of the kind, floats or integers, and the shape of an input."""
    is_alike = spec.dtype.is_floating == (array.dtype.kind == "f") and spec.dtype.name != "string"
    return is_alike and spec.shape[1:].is_compatible_with(array.shape[1:])


def _described(example: Any) -> str:
    arrays = example if isinstance(example, Mapping) else {"an array": example}
    return ", ".join(f"{key} ({a.dtype} of shape {a.shape[1:]})" for key, a in arrays.items())


def _output_of(signature: Any, name: str) -> tuple[str | None, str]:
    """What the outputs are, if their name says it, and that name."""
    names = list(signature.structured_outputs)
    for form in FORMS:
        if form in names:
            return form, form
    if len(names) == 1:
        return None, names[0]
    raise ValueError(
        f"Expected a SavedModel with one output, or one of the name 'logits' or 'probabilities', "
        f"received {name!r} with {', '.join(names)}; export it with that name."
    )
