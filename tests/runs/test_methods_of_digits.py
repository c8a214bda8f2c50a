"""Every method through a whole run of the app `digits`, on real images, small."""

import csv
import functools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from marks import thorough
from pieces import KillAt, Killed, stopped_run

from keras_prokt.data import digits
from keras_prokt.methods import FIXED, OBJECTIVES, REGIMES, known_methods, parse_method
from keras_prokt.models.loading import load_student
from keras_prokt.results.tables import results_table
from keras_prokt.runs import teachers, training
from keras_prokt.runs.finished_run import evaluate_run
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import prepare
from keras_prokt.runs.teachers import ready_teacher
from keras_prokt.runs.training import Run
from keras_prokt.runs.training_run import resume, run
from keras_prokt.settings import SettingError

pytestmark = [
    pytest.mark.whole_run,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow",
        reason="whole runs are tested on the default backend",
    ),
]
# Objectives of one stage share runs; each trains by itself in tests/distillers/test_objectives.py.
IMAGES = "fitnet+at+sp+cc+vid+rkd+pkt+nst+crd+kd"
METHODS = ["kd", IMAGES, "ab", "ft", "pkd", "tinybert", *(r for r in REGIMES if r != FIXED)]
METHODS += ["at+fitnet+crd+prokt", "ab+prokt", "tinybert+prokt", "sp+rco", "at+dml"]
LIKE_OTHERS = {IMAGES, "ft", "pkd", "tinybert", "ta", "dml", "at+fitnet+crd+prokt", "ab+prokt"}
LIKE_OTHERS |= {"tinybert+prokt", "ab", "at+dml"}
SMALL = {"limit": 128, "batch_size": 32, "epochs": 2}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def small_spec(method):
    parsed, settings = parse_method(method), dict(SMALL)
    if parsed.has_first_stage:
        settings["first_stage_epochs"] = 2
    if parsed.regime not in ("ta", "student") and not is_of_transformers(parsed):
        settings["teacher"] = "cnn-medium"
    return RunSpec.resolve("digits", method, **settings)


def is_of_transformers(method):
    return any(OBJECTIVES[name].kind == "transformer" for name in method.objectives)


class Finished(NamedTuple):
    """A completed run, and how often it has built a teacher."""

    folder: Path
    record: dict[str, Any]
    teachers_built: int


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    """Gives the run of a method, which is carried out once."""
    place = tmp_path_factory.mktemp("finished")

    @functools.cache
    def of(method):
        built = []

        def counting(spec):
            task = prepare(spec)
            return replace(task, build_teacher=lambda: built.append(1) or task.build_teacher())

        keras.utils.set_random_seed(0)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(training, "prepare", counting)
            record = run(small_spec(method), place / method, export=False, cache=cache)
        return Finished(place / method, record, len(built))

    return of


def assert_same_student(one, other):
    students = [load_student(folder / "student.keras").get_weights() for folder in (one, other)]
    for weights in zip(*students, strict=True):
        np.testing.assert_array_equal(*weights)


def test_every_objective_and_regime_has_a_run():
    parts = {part for method in METHODS for part in method.split("+")}
    assert parts == set(known_methods())


def test_a_cached_teacher_is_one_of_the_same_data_and_the_same_start(tmp_path):
    spec = small_spec("kd")

    def cached_teachers(task):
        this = Run(spec, RunFolder(tmp_path / "run"), cache=tmp_path / "cache")
        this.task = task
        ready_teacher(this)
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        return len(list((tmp_path / "cache" / "teachers").iterdir()))

    def task(**changes):
        return replace(prepare(spec), **changes)

    # Of each training the last epoch and the best one.
    assert [cached_teachers(task()) for _ in range(2)] == [2, 2]
    other = task()
    other.train.labels = (other.train.labels + 1) % 10
    assert cached_teachers(other) == 4
    smaller = prepare(spec).build_student
    assert cached_teachers(task(build_teacher=smaller)) == 6
    assert cached_teachers(task()) == 6


def test_data_that_has_changed_since_is_refused(finished, monkeypatch):
    folder = finished("student").folder
    evaluate_run(folder)
    load = digits.load_digits
    others = {k: v._replace(labels=(v.labels + 1) % 10) for k, v in load().items()}
    monkeypatch.setattr(digits, "load_digits", lambda split_seed: others)
    with pytest.raises(ValueError, match="Expected the train data with which the run was"):
        evaluate_run(folder)


@pytest.mark.parametrize("method", [thorough(m)[0] if m in LIKE_OTHERS else m for m in METHODS])
def test_every_method_ends_with_a_table_and_finite_numbers(method, finished):
    folder, record, _ = finished(method)
    table = results_table(record)
    assert "student" in table and f"method {method}" in table
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert all(np.isfinite(float(value)) for row in rows for value in row.values() if value)
    parsed = parse_method(method)
    if len(parsed.matched) > 1:
        assert all(row[name] for row in rows for name in parsed.matched)
    assert json.loads((folder / "run.json").read_text())["spec"]["method"] == method
    names = set(record["results"]["models"])
    assert ("teacher" in names) == (method != "student")
    assert ("assistant cnn-medium" in names) == (parsed.regime == "ta")
    assert (folder / "first_stage").exists() == parsed.has_first_stage


@pytest.mark.parametrize("method", ["kd", "rco", "prokt", "student", *thorough("ta")])
def test_a_run_builds_its_teacher_once(method, finished):
    assert finished(method).teachers_built == (method != "student")


@pytest.mark.parametrize(
    ("method", "batches"), [("ft", 11), *thorough(("ft", 6), ("at+fitnet+crd+prokt", 6))]
)
def test_runs_with_adapters_and_two_stages_resume_exactly(
    method, batches, finished, tmp_path, cache, monkeypatch
):
    whole = finished(method).folder  # its teacher is kept
    kill = KillAt(batches)
    with monkeypatch.context() as patched:
        # The last callback: what it sees has been saved where the one before it saves.
        patched.setattr(training, "Progress", lambda *arguments: kill)
        with pytest.raises(Killed):
            run(small_spec(method), tmp_path / "killed", export=False, cache=cache)
    resume(tmp_path / "killed", cache=cache)
    assert_same_student(whole, tmp_path / "killed")


@pytest.mark.thorough
def test_the_last_anchor_is_the_teacher_of_other_methods(finished, tmp_path, monkeypatch):
    alone = finished("kd").folder
    run(small_spec("rco"), tmp_path / "route", export=False, cache=tmp_path / "other")
    monkeypatch.setattr(teachers, "_train_teacher", None)  # not trained again
    run(small_spec("kd"), tmp_path / "after", export=False, cache=tmp_path / "other")
    assert_same_student(alone, tmp_path / "after")


@pytest.mark.parametrize(
    ("method", "pieces"),
    [
        # In the first step of the teacher, after its first epoch, in the student's second epoch.
        ("sp+rco", [2, 6, 14]),
        # In the teacher, early in the assistant, late in the student.
        *thorough(("ta", [4, 14, 20])),
    ],
)
def test_a_run_in_pieces_is_the_whole_run(method, pieces, finished, tmp_path):
    folder = finished(method).folder
    out, other = tmp_path / "pieces", tmp_path / "other"
    stopped_run(small_spec(method), out, pieces, cache=other, export=False)
    record = resume(out, cache=other)
    assert_same_student(folder, out)
    whole = json.loads((folder / "run.json").read_text())
    assert record["results"]["best_epoch"] == whole["results"]["best_epoch"]
    for name, model in whole["results"]["models"].items():
        assert record["results"]["models"][name]["test"]["loss"] == model["test"]["loss"]


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["prokt", "at+kd"])
def test_half_precision_and_many_steps_at_once(method, tmp_path, cache):
    spec = small_spec(method).replacing(precision="bfloat16", steps_per_execution=2)
    task = prepare(spec)
    assert task.build_student().compute_dtype == "bfloat16"
    assert task.build_student().variable_dtype == keras.config.dtype_policy().name == "float32"
    record = run(spec, tmp_path / "run", cache=cache)
    assert all(np.isfinite(m["test"]["loss"]) for m in record["results"]["models"].values())
    assert (tmp_path / "run" / "saved_model" / "1" / "saved_model.pb").is_file()


def test_many_steps_at_once_are_the_same_steps(finished, tmp_path, cache):
    folders = [finished("prokt").folder, tmp_path / "2"]
    spec = small_spec("prokt").replacing(steps_per_execution=2)
    run(spec, folders[1], export=False, cache=cache)
    students = [load_student(folder / "student.keras").get_weights() for folder in folders]
    for one, other in zip(*students, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    with pytest.raises(ValueError, match="divides the 4 steps of an epoch.*use one of 1, 2, 4"):
        run(spec.replacing(steps_per_execution=3), tmp_path / "3")
    assert not (tmp_path / "3").exists()
    with pytest.raises(SettingError, match="did you mean 'bfloat16'"):
        spec.replacing(precision="bfloat61")
    with pytest.raises(SettingError, match="TensorFlow and JAX alone"):
        spec.replacing(backend="torch")
