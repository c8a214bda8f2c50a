"""Bad input for every public argument: one line that says what was expected, and nothing left.

A row of the tables is an argument and what it takes; all that this is not is tried. `fit`,
`evaluate` and `predict` have a table of their own.
"""

import inspect
import os

import keras
import numpy as np
import pytest
from bad_values import BAD, LISTS, NAN, NOT_NONE, assert_refused
from keras import layers

import keras_prokt
from keras_prokt.callbacks import ObjectiveSchedule

MODELS = {"teacher": "model", "student": "model"}
WHERE = {
    "teacher_taps": "mapping",
    "student_taps": "mapping",
    "teacher_divergence_output": "choice",
    "student_divergence_output": "choice",
    "teacher_inputs": "function",
    "student_inputs": "function",
}
SETTINGS = {
    "output": "choice",
    "ignore_class": "whole number",
    "temperature": "number",
    "student_loss_weight": "number",
    "label_weight": "number",
    "objectives": "objectives",
    **WHERE,
    "target_mode": "choice",
    "name": "text",
}
BOUNDED = {"proximal_bound": "number", "dual_step_size": "number", "dual_initial": "number"}
# Callable -> argument -> what it takes.
TABLE = {
    "Distiller": {**MODELS, **SETTINGS},
    "FrozenTeacherDistiller": {**MODELS, **SETTINGS},
    "ProKTDistiller": {**MODELS, "proximal_weight": "number", **BOUNDED, **SETTINGS},
    "MutualDistiller": {**MODELS, "label_weight": "number"},
    "StudentOnly": {
        "student": "model",
        **{k: SETTINGS[k] for k in ("output", "ignore_class", "student_inputs", "name")},
    },
    "ObjectiveSchedule": {"objective": "text", "schedule": "schedule", "per": "choice"},
    "ProximalSchedule": {"schedule": "schedule", "per": "choice"},
    "OnOptimizer": {"which": "choice", "callback": "model"},
    "ResumableBackup": {
        "directory": "path",
        "save_freq": "count",
        "keep": "count",
        "belongs_to": "mapping",
        "files": "paths",
    },
    "StudentCheckpoint": {
        "filepath": "path",
        "monitor": "text",
        "mode": "choice",
        "initial_value_threshold": "bound",
        "verbose": "verbosity",
    },
    "TeacherRoute": {"checkpoints": "checkpoints"},
    "TrainingDynamics": {
        "directory": "path",
        "csv": "flag",
        "tensorboard": "flag",
        "plot": "flag",
        "title": "text",
        "chance": "number",
        "marks_best": "flag",
        "monitor": "text",
        "mode": "choice",
    },
    "as_logits": {"model": "model", "activation": "choice"},
    "export_saved_model": {
        "student": "model",
        "directory": "path",
        "front_end": "front end",
        "class_names": "names",
        "output": "choice",
    },
    "load_student": {"path": "path"},
    "train_last_blocks": {"model": "model", "count": "count"},
    "train_lora": {"model": "model", "rank": "count"},
    "uniform_start": {"model": "model", "outputs": "outputs"},
}
# Names that take nothing of the user's: warnings, errors, the version.
NO_CALLABLES = {"ConstantOutputWarning", "InexactLogitsWarning", "TrainingFault", "__version__"}
ROWS = [(name, argument) for name, arguments in TABLE.items() for argument in arguments]

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = np.arange(8) % 3


def network(units=4):
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(units, activation="relu"), layers.Dense(3)]
    )


def good_arguments(name):
    """Arguments that are accepted, a new object at each call where it would be changed."""
    pair = {"teacher": network(8), "student": network()}
    known = {
        "MutualDistiller": pair,
        "StudentOnly": {"student": pair["student"]},
        "ObjectiveSchedule": {"objective": "labels", "schedule": {0: 1.0}},
        "ProximalSchedule": {"schedule": {0: 0.5}},
        "OnOptimizer": {"which": "student", "callback": keras.callbacks.TerminateOnNaN()},
        "ResumableBackup": {"directory": "backup"},
        "StudentCheckpoint": {"filepath": "student.keras"},
        "TeacherRoute": {"checkpoints": [pair["teacher"].get_weights()]},
        "TrainingDynamics": {"directory": "dynamics"},
        "as_logits": {"model": pair["student"]},
        "export_saved_model": {"student": pair["student"], "directory": "served"},
        "load_student": {"path": "student.keras"},
        "train_last_blocks": {"model": pair["student"], "count": 0},
        "train_lora": {"model": pair["student"], "rank": 2},
        "uniform_start": {"model": pair["student"]},
    }
    return known.get(name, pair)


def test_the_table_has_every_public_argument():
    public = {name for name in keras_prokt.__all__ if name not in NO_CALLABLES}
    assert set(TABLE) == public
    for name, arguments in TABLE.items():
        signature = inspect.signature(getattr(keras_prokt, name))
        named = {p.name for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD}
        assert set(arguments) == named, name


@pytest.mark.parametrize(("name", "argument"), ROWS, ids=[".".join(row) for row in ROWS])
def test_bad_arguments_are_refused_in_one_line(name, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = getattr(keras_prokt, name)
    kind = TABLE[name][argument]
    good = good_arguments(name)
    if argument in ("dual_step_size", "dual_initial"):
        good["proximal_bound"] = 1.0
    for value in BAD[kind] + ([None] if kind in NOT_NONE else []):
        assert_refused(lambda value=value: made(**{**good, argument: value}), argument, value)
    assert os.listdir(tmp_path) == []


FIT = {
    "x": [None, True, "x", 1.5, [], {}, {"x": 1}, ["x"], b"x", object(), int, [None], X[:, :2]],
    "y": ["x", [], Y.tolist(), Y[:4], Y - 5, Y + 0.5, np.array(["a"] * 8), np.full(8, NAN)],
    "sample_weight": [
        True,
        "x",
        [],
        {},
        object(),
        np.ones(4),
        np.full(8, NAN),
        ["x"] * 8,
        [1.0] * 8,
        2.0,
    ],
    "batch_size": [True, "x", 0, -1, 1.5, [], object()],
    "epochs": [None, True, "x", 0, -1, 1.5, [], object()],
    "initial_epoch": [None, True, "x", -1, 1.5, object(), 2],
    "steps_per_epoch": [True, "x", 0, -1, 1.5, object()],
    "validation_steps": [True, "x", 0, -1, 1.5, object()],
    "validation_batch_size": [True, "x", 0, -1, 1.5, object()],
    "validation_split": ["x", -0.1, 1, NAN, object()],
    "validation_data": [True, "x", 1.5, {}, [None], object(), int, (X[:, :2], Y), (X, Y + 5)],
    "class_weight": [True, "x", [], {}, {"x": 1}, {7: 1.0}, {0: -1.0}, {0: NAN}, {0: "x"}],
    "callbacks": [True, "x", ["x"], object(), keras.callbacks.Callback],
}
COMPILE = {
    "optimizer": BAD["optimizer"],
    "teacher_optimizer": BAD["optimizer"],
    "run_eagerly": BAD["flag"],
    "steps_per_execution": [0, *BAD["count"]],
    "jit_compile": ["x", 2, *LISTS, object()],
}


@pytest.fixture(scope="module")
def distiller():
    distiller = keras_prokt.ProKTDistiller(network(8), network())
    distiller.compile("adam")
    return distiller


@pytest.mark.parametrize("argument", FIT)
def test_bad_data_is_refused_before_the_first_step(distiller, argument):
    before = distiller.get_weights()
    for value in FIT[argument]:
        good = {"x": X, "y": Y, "verbose": 0}
        assert_refused(lambda: distiller.fit(**{**good, argument: value}), argument, value)  # noqa: B023
        if argument in ("x", "y", "sample_weight", "batch_size"):
            assert_refused(lambda: distiller.evaluate(**{**good, argument: value}), argument, value)  # noqa: B023
    for one, other in zip(before, distiller.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_predict_refuses_what_is_no_data(distiller):
    for value in FIT["x"]:
        assert_refused(lambda: distiller.predict(value, verbose=0), "x", value)  # noqa: B023


@pytest.mark.parametrize("argument", COMPILE)
def test_bad_settings_of_compile_are_refused(argument):
    distiller = keras_prokt.ProKTDistiller(network(8), network())
    for value in COMPILE[argument]:
        assert_refused(
            lambda value=value: distiller.compile(**{"optimizer": "adam", argument: value}),
            argument,
            value,
        )


@pytest.mark.parametrize("value", ["x", None, [1.0, 2.0], NAN, -1.0], ids=repr)
def test_what_a_schedule_gives_is_refused_before_the_first_step(distiller, value):
    schedule = ObjectiveSchedule("kd", lambda epoch: value)
    assert_refused(lambda: distiller.fit(X, Y, verbose=0, callbacks=[schedule]), "schedule", value)
