"""What each kind of argument does not take, and what a refusal has to be."""

import keras
import numpy as np
import pytest
from keras import layers

NAN, INFINITE, HUGE = float("nan"), float("inf"), 10**400
NO_VALUES = [b"x", object(), np.zeros((2, 2)), int]
LISTS = [[], ["x"], {}, {"x": 1}]
# What each kind of argument does not take.
BAD = {
    "number": [True, "", "x", NAN, INFINITE, HUGE, *LISTS, *NO_VALUES],
    "bound": [True, "", "x", *LISTS, *NO_VALUES],
    "verbosity": ["x", -1, 1.5, NAN, *LISTS, *NO_VALUES],
    "count": [True, "x", -1, 1.5, NAN, INFINITE, *LISTS, *NO_VALUES],
    "flag": ["", "x", 2, 1.5, *LISTS, *NO_VALUES],
    "text": [True, "", 1, 1.5, *LISTS, *NO_VALUES],
    "choice": [True, "", "x", 1, *LISTS, *NO_VALUES],
    "path": [True, "", "a\0b", 1, 1.5, *LISTS, *NO_VALUES],
    "paths": [True, "x", 1, [1], [None], [""], {"x": 1}, *NO_VALUES],
    "function": [True, "", "x", 0, 1.5, *LISTS, *NO_VALUES],
    "mapping": [True, "", "x", 0, 1.5, ["x"], *NO_VALUES],
    "model": [True, "", "x", 0, 1.5, *LISTS, *NO_VALUES, layers.Dense(3), keras.Model],
    "whole number": [True, "x", 1.5, NAN, HUGE, *LISTS, *NO_VALUES],
    "objectives": [True, "x", 0, NAN, ["x"], [None], {"x": 1}, *NO_VALUES],
    "schedule": [True, "x", 0, NAN, ["x"], {"x": 1}, {0: "x"}, {0: NAN}, {0: -1.0}, *NO_VALUES],
    "front end": [True, "x", 0, *LISTS, *NO_VALUES],
    "names": [True, "abc", 0, ["a", "b"], [1, 2, 3], *NO_VALUES],
    "outputs": [True, "x", NAN, [0.0, INFINITE, 0.0], [1.0, 2.0], *NO_VALUES],
    "checkpoints": [True, "x", 0, [], {"x": 1}, *NO_VALUES],
    "rate": [True, -1.0, NAN, *LISTS, *NO_VALUES],
    "texts": [True, "abc", 1, [1], [None], [""], {"x": 1}, b"x", object(), int],
    "numbers": [True, "x", 1.5, NAN, ["x"], [None], [NAN], {"x": 1}, b"x", object(), int],
    "optimizer": [True, 0, NAN, *LISTS, *NO_VALUES],
}
# What messages call an argument, where it is not by its name.
WHAT_IT_IS = {
    "checkpoints": ("checkpoint",),
    "format": ("a form of export",),
    "loss": ("a keras.distillation.DistillationLoss",),
    "name": ("an objective", "a method", "a kind of output", "a form", "a front end"),
    "names": ("an objective",),
    "objectives": ("an objective",),
    "quantize": ("a quantization",),
    "schedule": ("LearningRateSchedule", "keys are epochs", "value at epoch"),
    "student_divergence_output": ("an output of the student",),
    "teacher_divergence_output": ("an output of the teacher",),
    "validation_data": ("validation",),
    "y": ("labels",),
}
NOT_NONE = {"count", "flag", "path", "paths", "optimizer"}


def assert_refused(call, argument, value):
    """One line, begun as all are, that has the argument's name or what it is."""
    with pytest.raises((ValueError, ImportError)) as error:
        call()
    message = str(error.value)
    assert "\n" not in message and len(message) < 600, repr(message)
    assert message.startswith("Expected "), f"{argument}={value!r}: {message}"
    assert "received" in message
    own = (argument, argument.replace("_", " "), argument.replace("_", "-"))
    assert any(one in message for one in (*own, *WHAT_IT_IS.get(argument, ()))), message
