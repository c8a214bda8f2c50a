"""Runs whose teacher trains in part: its last blocks, or low-rank adapters."""

import csv

import keras
import numpy as np
import pytest
from marks import thorough
from pieces import stopped_run
from small_glue import WORDS, write_bert

from keras_prokt import load_student
from keras_prokt.runs import RunSpec, resume, run
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.teachers import teacher_key
from keras_prokt.runs.training import Run
from keras_prokt.settings import SettingError

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
DIGITS = {"teacher": "transformer-small", "limit": 96, "epochs": 2, "batch_size": 32}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Settings of runs on a small table with a small BERT."""
    folder = tmp_path_factory.mktemp("texts")
    write_bert(folder / "bert")
    random = np.random.default_rng(0)
    with open(folder / "t.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for index in range(60):
            writer.writerow([" ".join(random.choice(WORDS, 6)), "ab"[index % 2]])
    return {
        "dataset": str(folder / "t.csv"),
        "text_columns": ("text",),
        "label_column": "label",
        "teacher": str(folder / "bert"),
        "student": "bilstm-100",
        "batch_size": 16,
        "epochs": 2,
    }


def assert_same_weights(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_adapters_take_larger_steps():
    def rate(**given):
        return RunSpec.resolve("glue-sst2", "prokt", **given).optimizers["teacher"].learning_rate

    assert rate(teacher_lora=8) == pytest.approx(30 * rate())
    assert rate(teacher_trains="last:2") == rate()
    assert rate(teacher_lora=8, teacher_learning_rate=1e-4) == 1e-4


@pytest.mark.whole_run
@pytest.mark.parametrize(
    ("part", "method"), [("blocks", "prokt"), *thorough(("adapters", "prokt"), ("adapters", "kd"))]
)
def test_a_stopped_run_goes_on_exactly(part, method, texts, tmp_path):
    if part == "blocks":
        spec = RunSpec.resolve("digits", method, teacher_trains="last:1", **DIGITS)
    else:
        spec = RunSpec.resolve("text", method, teacher_lora=2, **texts)
    run(spec, tmp_path / "whole", cache=tmp_path / "cache", save_teacher=True)
    stopped_run(
        spec, tmp_path / "pieces", [6, 4], cache=tmp_path / "other cache", save_teacher=True
    )
    resume(tmp_path / "pieces", cache=tmp_path / "other cache")
    for name in ("student", "teacher"):
        one, other = (load_student(tmp_path / f / f"{name}.keras") for f in ("whole", "pieces"))
        assert_same_weights(one, other)
    start = Run(spec, RunFolder(tmp_path / "unused")).fixed_teacher
    assert 0 < len(start.trainable_variables) < len(start.weights)


@pytest.mark.thorough
@pytest.mark.whole_run
def test_a_kept_teacher_with_adapters_teaches_as_when_it_was_trained(texts, tmp_path):
    spec = RunSpec.resolve("text", "kd", teacher_lora=2, **texts)
    for name in ("first", "second"):  # the second reads the kept one
        run(spec, tmp_path / name, cache=tmp_path / "cache")
    one, other = (load_student(tmp_path / f / "student.keras") for f in ("first", "second"))
    assert_same_weights(one, other)
    key = teacher_key(Run(spec, RunFolder(tmp_path / "unused")))
    whole = RunSpec.resolve("text", "kd", **texts)
    assert teacher_key(Run(whole, RunFolder(tmp_path / "unused"))) != key


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("prokt", {"teacher_trains": "last2"}, "Expected teacher_trains such as last:2, received"),
        ("prokt", {"teacher_trains": "last:-1"}, "Expected teacher_trains such as last:2"),
        ("prokt", {"teacher_trains": "last:1", "teacher_lora": 2}, "either teacher_trains or te"),
        ("prokt", {"teacher_lora": 0}, "Expected teacher_lora of at least 1, received 0"),
        ("kd", {"teacher_trains": "last:1", "teacher_init": "t.keras"}, "that teacher is not tr"),
        ("student", {"teacher_lora": 2}, "no teacher_lora with method 'student'"),
    ],
)
def test_what_means_nothing_is_refused(method, settings, message):
    with pytest.raises(SettingError, match=message):
        RunSpec.resolve("digits", method, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher_trains": "last:1"}, "teacher_trains: Expected a transformer .*'cnn_large'"),
        ({"teacher_lora": 2}, "teacher_lora: Expected a model with a keras-hub backbone"),
        (
            {"teacher_trains": "last:2", "teacher": "transformer-small"},
            "teacher_trains: Expected fewer than the 2 blocks",
        ),
    ],
)
def test_a_teacher_without_such_a_part_is_refused_before_training(settings, message, tmp_path):
    spec = RunSpec.resolve("digits", "prokt", **{"limit": 64, "epochs": 1, **settings})
    with pytest.raises(SettingError, match=message):
        run(spec, tmp_path / "run", cache=tmp_path / "cache")
    assert not (tmp_path / "run").exists()
