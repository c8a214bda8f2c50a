"""Apps of other kinds of output on the handwritten digits, as a user's package would add them."""

import contextlib

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt import app as registry
from keras_prokt.app import App, OptimizerRecipe, Recipe, Task
from keras_prokt.data.batches import Batches
from keras_prokt.data.digits import load_digits
from keras_prokt.results.predictions import write_predictions
from keras_prokt.runs.finished_run import saved_model
from keras_prokt.runs.folder import RunFolder

QUESTIONS = {
    "even": {0, 2, 4, 6, 8},
    "prime": {2, 3, 5, 7},
    "has a loop": {0, 6, 8, 9},
    "below five": {0, 1, 2, 3, 4},
    "thrice a number": {0, 3, 6, 9},
}


def answers_to_questions(digits):
    """0 or 1 for each question, `(examples, 5)`."""
    return np.array([[d in yes for yes in QUESTIONS.values()] for d in digits], "float32")


def is_even(digits):
    """0 or 1, `(examples,)`."""
    return (digits % 2 == 0).astype("int32")


def digits_and_thirds(digits):
    """The digits as counts, and their thirds, `(examples, 2)`."""
    return np.stack([digits, digits // 3], axis=-1).astype("float32")


def network(units, width):
    image = keras.Input((8, 8, 1), name="image")
    return keras.Model(
        image, layers.Dense(width)(layers.Dense(units, "relu")(layers.Flatten()(image)))
    )


def predict_pixels(run, table, out, *, text_columns=None, overwrite=False, model="student"):
    """Predicts from a CSV of 64 pixels a row."""
    folder = RunFolder.existing(run)
    pixels = np.loadtxt(table, delimiter=",", dtype="float32", ndmin=2)
    logits = saved_model(folder, model).predict(pixels.reshape(-1, 8, 8, 1), verbose=0)
    write_predictions(out, logits, folder.read(), ("line", range(1, len(pixels) + 1)))
    return len(pixels)


def app_of(labels_of, width, **task):
    """An app that asks something else of the digits.

    Args:
        labels_of: Makes labels of the digits.
        width: Width of the models' outputs.
        **task: Further fields of its `Task`.
    """

    def prepare(request):
        batches = {
            name: Batches(
                split.images,
                labels_of(split.labels),
                batch_size=request.batch_size,
                seed=request.seed,
                shuffle=name == "train",
            )
            for name, split in load_digits().items()
        }
        if request.limit is not None:
            batches["train"] = batches["train"].limited(request.limit)
        return Task(
            **batches,
            **{"class_names": [], **task},
            build_teacher=lambda: network(64, width),
            build_student=lambda: network(16, width),
        )

    adam = OptimizerRecipe("adam", 1e-2)
    return App(
        "questions",
        "asks something else of the digits",
        {"large": "64 units"},
        {"small": "16 units"},
        "large",
        "small",
        Recipe(3, 64, adam, adam, 3),
        prepare,
        predict_table=predict_pixels,
    )


@contextlib.contextmanager
def registered(app):
    """Registers an app by an entry point, in place of those of other packages."""

    class EntryPoint:
        @staticmethod
        def load():
            return app

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(registry, "entry_points", lambda group: [EntryPoint])
        yield
