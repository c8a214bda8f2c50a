"""Keras models: a file, or what a function of the user's makes."""

from typing import Any

import keras
import numpy as np

from keras_prokt.data.teacher_outputs import LOGITS
from keras_prokt.models.as_logits import removed_activation
from keras_prokt.models.elsewhere import builder_from
from keras_prokt.models.loading import load_teacher
from keras_prokt.recorders.base import Asked, OpenTeacher, named_as


def open_file(name: str, asked: Asked) -> OpenTeacher:
    """The model of a `.keras` or `.h5` file, of which no code is run."""
    return open_model(load_teacher(name), name)


def open_function(name: str, asked: Asked) -> OpenTeacher:
    """The model that `module:function` makes of `num_classes` and `input_shape`, trained."""
    shapes = keras.tree.map_structure(lambda array: array.shape[1:], asked.example)
    return open_model(builder_from(name)(len(asked.class_names), shapes), name)


def open_model(model: keras.Model, name: str) -> OpenTeacher:
    """A Keras model as it answers in inference mode.

    Args:
        model: The model.
        name: What messages call it.
    """
    inputs = getattr(model, "inputs", None) or []
    # A sequential model has one input, and no `input` before it is called.
    is_sequential = isinstance(model, keras.Sequential)
    takes_names = bool(inputs) and not is_sequential and isinstance(model.input, dict)
    names = list(model.input) if takes_names else [tensor.name for tensor in inputs]

    def predict(batch: Any) -> np.ndarray:
        if names:
            given = named_as(batch, names, name)
            several = given if takes_names else [*given.values()]
            batch = several if takes_names or len(given) > 1 else several[0]
        try:
            outputs = keras.tree.flatten(model.predict_on_batch(batch))
        except ValueError as error:  # Keras's, of shapes that do not fit
            raise ValueError(
                f"Expected a Keras model that reads what the app's teacher reads, received "
                f"{name!r} ({' '.join(str(error).split())[:200]}); record it on its own data."
            ) from error
        if len(outputs) != 1:
            raise ValueError(
                f"Expected a teacher with one output, received {name!r} with {len(outputs)}; save "
                "a model of one of them: keras.Model(model.input, model.output[NAME])."
            )
        return outputs[0]

    # What its layers do not show, its values have to tell.
    return OpenTeacher(predict, LOGITS if removed_activation(model) else None)
