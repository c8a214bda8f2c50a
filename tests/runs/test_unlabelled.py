"""Runs of which a part of the training rows has no label."""

import csv

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from marks import thorough
from pieces import stopped_run
from small_glue import WORDS, write_bert

from keras_prokt import load_student
from keras_prokt.cli import main
from keras_prokt.data.table import load_texts
from keras_prokt.runs import RunSpec, resume, run
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.plan import plan_of
from keras_prokt.runs.task import prepare
from keras_prokt.runs.training import Run
from keras_prokt.settings import SettingError

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
SMALL = {"limit": 192, "labelled": 40, "epochs": 2, "batch_size": 32}
COLUMNS = {"text_columns": ("text",), "label_column": "label"}


def spec_of(method="prokt", **settings):
    return RunSpec.resolve("digits", method, **{**SMALL, **settings})


def test_the_same_rows_of_a_seed_keep_their_labels_under_every_method():
    whole = prepare(spec_of(labelled=None)).train
    hidden = prepare(spec_of("kd")).train
    keeps = hidden.labels != -1
    assert keeps.sum() == 40
    np.testing.assert_array_equal(hidden.labels[keeps], whole.labels[keeps])
    np.testing.assert_array_equal(prepare(spec_of("prokt")).train.labels, hidden.labels)
    alone = prepare(spec_of("student")).train  # of the labels, which needs the others for nothing
    np.testing.assert_array_equal(alone.inputs["student"], hidden.inputs["student"][keeps])
    assert (prepare(spec_of("kd", seed=1)).train.labels != hidden.labels).any()


@pytest.mark.slow
def test_what_learns_labels_alone_reads_the_labelled_rows_alone():
    plan = plan_of(Run(spec_of("kd"), RunFolder("unused")))
    assert plan.run.labelled.num_examples == 40 and plan.distiller.ignore_class == -1
    assert len(plan.run.task.train) == 6 and len(plan.run.labelled) == 2
    whole = plan_of(Run(spec_of("kd", labelled=None), RunFolder("unused")))
    assert whole.distiller.ignore_class is None


def test_noise_is_that_of_labelled_rows():
    rows = prepare(spec_of("prokt", label_noise=0.5)).train
    right = prepare(spec_of("prokt")).train
    np.testing.assert_array_equal(rows.labels == -1, right.labels == -1)


def test_classes_are_weighed_by_labelled_rows():
    kept = Run(spec_of(class_weight="balanced"), RunFolder("unused"))
    labels = kept.task.train.labels
    counts = np.bincount(labels[labels >= 0], minlength=10)
    np.testing.assert_allclose([*kept.class_weights.values()], 40 / (10 * counts))


@pytest.mark.thorough
@pytest.mark.whole_run
@pytest.mark.parametrize("method", ["prokt", *thorough("kd")])
def test_a_stopped_run_goes_on_exactly(method, tmp_path, capsys):
    spec = spec_of(method, teacher_epochs=2) if method == "kd" else spec_of(method)
    record = run(spec, tmp_path / "whole", cache=tmp_path / "cache")
    assert record["labelled"] == 40 and record["examples"]["train"] == 192
    assert "labels: 40 of 192 training rows have one" in capsys.readouterr().err
    stopped_run(spec, tmp_path / "pieces", [5, 4], cache=tmp_path / "other")
    resume(tmp_path / "pieces", cache=tmp_path / "other")
    one, other = (load_student(tmp_path / f / "student.keras") for f in ("whole", "pieces"))
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    shown = CliRunner().invoke(main, ["info", str(tmp_path / "whole")]).output
    assert "192 train, 40 of them with a label" in shown
    if method == "kd":  # two batches of labels, six of all
        assert record["cost"]["forwards"]["teacher"] == 2 * 3 * 40 + 2 * 192


def write(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["text", "label"], *rows])


@pytest.fixture
def tables(tmp_path):
    rows = [[f"text {i}", "ab"[i % 2]] for i in range(40)]
    write(tmp_path / "t.csv", rows + [[f"text {i}", ""] for i in range(40, 60)])
    write(tmp_path / "labelled.csv", rows)
    write(tmp_path / "more.csv", [[f"more {i}", "ignored"] for i in range(10)])
    write(tmp_path / "none.csv", [[f"other {i}", ""] for i in range(40)])
    return tmp_path


def test_empty_labels_are_read_where_that_is_asked_for(tables):
    path = str(tables / "t.csv")
    with pytest.raises(SettingError, match="received an empty one at .*line 42; fill it in, remo"):
        load_texts(path, **COLUMNS)
    data = load_texts(path, **COLUMNS, unlabelled_rows=True)
    labels = data.labels("train")
    assert labels.count(-1) == 20 and set(labels) == {-1, 0, 1} and data.class_names == ["a", "b"]
    for part in ("validation", "test"):
        assert -1 not in data.labels(part)
    assert [data.parts["train"].texts[0][i] for i in range(len(labels)) if labels[i] == -1] == [
        f"text {i}" for i in range(40, 60)
    ]


def test_a_file_without_labels_trains_beside_another(tables):
    path, more = str(tables / "labelled.csv"), str(tables / "more.csv")
    alone = load_texts(path, **COLUMNS)
    data = load_texts(path, **COLUMNS, unlabelled=more)
    assert data.labels("train") == [*alone.labels("train"), *[-1] * 10]
    assert data.parts["train"].texts[0][-10:] == [f"more {i}" for i in range(10)]
    assert data.parts["test"] == alone.parts["test"]


def test_training_may_have_no_label_where_validation_names_the_classes(tables):
    path, held_out = str(tables / "none.csv"), str(tables / "labelled.csv")
    data = load_texts(path, **COLUMNS, unlabelled_rows=True, validation=held_out)
    assert set(data.labels("train")) == {-1} and data.class_names == ["a", "b"]
    with pytest.raises(SettingError, match="at least two classes.*received none in any of the 40"):
        load_texts(path, **COLUMNS, unlabelled_rows=True)


@pytest.mark.whole_run
def test_a_set_without_labels_trains_under_kd_alone(tmp_path):
    write_bert(tmp_path / "bert")
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, 6)) for _ in range(40)]
    write(tmp_path / "t.csv", [[text, ""] for text in texts])
    write(tmp_path / "v.csv", [[f"{WORDS[i]} {WORDS[i]}", "ab"[i % 2]] for i in range(10)])
    settings = {
        "text_columns": ("text",),
        "label_column": "label",
        "validation": str(tmp_path / "v.csv"),
        "teacher": str(tmp_path / "bert"),
        "student": "bilstm-100",
        "epochs": 1,
    }
    unlabelled = {**settings, "dataset": str(tmp_path / "t.csv"), "unlabelled_rows": True}
    for method in ("prokt", "dml", "student", "kd"):
        spec = RunSpec.resolve("text", method, **unlabelled)
        with pytest.raises(SettingError, match="Expected training rows with a label for method"):
            run(spec, tmp_path / method, cache=tmp_path / "cache")
        assert not (tmp_path / method).exists()
    probabilities = np.random.default_rng(0).dirichlet(np.ones(2), 40)
    np.savez(tmp_path / "o.npz", probabilities=probabilities)
    for method in ("kd", "prokt"):
        spec = RunSpec.resolve(
            "text", method, teacher_outputs=str(tmp_path / "o.npz"), **unlabelled
        )
        record = run(spec, tmp_path / method, cache=tmp_path / "cache")
        assert record["labelled"] == 0 and record["status"] == "completed"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labelled": 500}, "labelled of at most the 192 training examples, received 500"),
        ({"labelled": 0}, "labelled of at least 1, received 0"),
        ({"unlabelled_rows": True}, "no unlabelled_rows with app 'digits'"),
    ],
)
def test_what_means_nothing_is_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        prepare(spec_of(**settings))
