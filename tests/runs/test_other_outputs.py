"""Runs whose outputs are no classes: the same code trains, measures, predicts, serves, compares."""

import csv
import json
import re
import shutil

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from digits_by_output import QUESTIONS, answers_to_questions, app_of, is_even, registered
from marks import thorough
from pieces import KillAt, Killed
from sklearn.metrics import accuracy_score, f1_score, log_loss

from keras_prokt import load_student
from keras_prokt.callbacks.training_dynamics import read_history
from keras_prokt.data.digits import load_digits
from keras_prokt.results.comparison_forms import render
from keras_prokt.runs import RunSpec, resume, run, training
from keras_prokt.runs.finished_run import evaluate_run
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.method_comparison import compare_folders
from keras_prokt.runs.training import Run

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
SMALL = {"limit": 320, "epochs": 3, "batch_size": 64}
LABELS = {"output": "labels", "class_names": list(QUESTIONS)}
APPS = {
    "several": app_of(answers_to_questions, 5, **LABELS),
    "one": app_of(is_even, 1, output="labels", class_names=["odd", "even"]),
}
NAMES = {"several": list(QUESTIONS), "one": ["odd", "even"]}
METRICS = ["accuracy", "exact_match", "macro_f1", "loss", "seconds"]


def spec_of(method="prokt", **settings):
    return RunSpec.resolve("questions", method, **{**SMALL, **settings})


def digits(part):
    split = load_digits()[part]
    return split.images, split.labels


@pytest.fixture(scope="module", params=["several", *thorough("one")])
def finished(request, tmp_path_factory):
    """The name of an app, the folder of a finished run, its record, and labels `(examples, n)`."""
    place = tmp_path_factory.mktemp(request.param)
    with registered(APPS[request.param]):
        record = run(spec_of(limit=None, epochs=6), place / "run", cache=place / "cache")
        labels_of = answers_to_questions if request.param == "several" else is_even
        labels = labels_of(digits("test")[1])
        yield request.param, place / "run", record, labels.reshape(len(labels), -1)


def predicted_by(folder):
    logits = load_student(folder / "student.keras").predict(digits("test")[0], verbose=0)
    return 1 / (1 + np.exp(-logits.astype("float64")))


@pytest.mark.whole_run
class TestFinished:
    def test_metrics_are_those_of_scikit_learn(self, finished):
        name, folder, record, labels = finished
        assert (record["output"], record["class_names"]) == ("labels", NAMES[name])
        assert (record["results"]["metric"], record["results"]["mode"]) == ("accuracy", "max")
        probabilities = predicted_by(folder)
        answers = probabilities > 0.5
        found = record["results"]["models"]["student"]["test"]
        assert list(found) == METRICS
        assert found["accuracy"] == pytest.approx(np.mean(answers == labels), abs=1e-6)
        assert found["exact_match"] == accuracy_score(labels, answers)
        average = "macro" if name == "several" else "binary"
        assert found["macro_f1"] == pytest.approx(
            f1_score(labels, answers, average=average, zero_division=0), abs=1e-6
        )
        losses = [
            log_loss(labels[:, i], probabilities[:, i], labels=[0, 1])
            for i in range(labels.shape[1])
        ]
        assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-4)
        assert 0.7 < found["accuracy"] < 1

    def test_the_epoch_of_the_main_metric_is_kept(self, finished):
        _, folder, record, _ = finished
        values = [
            float(row["val_student_accuracy"]) for row in read_history(folder / "history.csv")
        ]
        assert record["results"]["best_epoch"] == 1 + int(np.argmax(values))
        kept = record["results"]["models"]["student"]["validation"]["accuracy"]
        assert kept == pytest.approx(max(values), abs=1e-6)
        assert "teacher (best epoch)" in record["results"]["models"]

    def test_answers_are_kept_by_label(self, finished):
        name, folder, _, labels = finished
        kept_rows = (folder / "predictions" / "test.csv").read_text().splitlines()
        rows = list(csv.DictReader(kept_rows))
        ends = [f"[{i}]" for i in range(5)] if name == "several" else [""]
        for who, expected in (("label", labels), ("student", predicted_by(folder) > 0.5)):
            kept = [[int(row[f"{who}{end}"]) for end in ends] for row in rows]
            np.testing.assert_array_equal(kept, expected)

    def test_it_is_evaluated_as_in_its_record(self, finished, tmp_path):
        _, folder, record, _ = finished
        evaluated = evaluate_run(folder)
        for part, found in evaluated.items():
            recorded = record["results"]["models"]["student"][part]
            scores = record["results"]["scores"]["student"][part]
            assert {**found, "seconds": 0} == {**scores, **recorded, "seconds": 0}
        shown = keras_prokt("evaluate", folder, cwd=tmp_path).stdout.splitlines()
        assert shown[0].startswith("student on")
        assert {*METRICS, "best constant answer", "auc"} <= set(re.split(r"  +", shown[0]))
        assert shown[-1].split()[1] == f"{evaluated['test']['accuracy']:.4f}"
        assert "test macro_f1" in keras_prokt("info", folder, cwd=tmp_path).stdout

    def test_it_predicts_with_the_names_of_its_labels(self, finished, tmp_path):
        name, folder, _, _ = finished
        np.savetxt(tmp_path / "new.csv", digits("test")[0][:9].reshape(9, 64), delimiter=",")
        result = keras_prokt("predict", folder, "--dataset", "new.csv", cwd=tmp_path)
        assert result.stdout == "predictions.csv: 9 rows\n"
        header, *rows = csv.reader((tmp_path / "predictions.csv").read_text().splitlines())
        yes = predicted_by(folder)[:9]
        if name == "one":
            assert header == ["line", "class_name", "p(odd)", "p(even)"]
            assert [row[1] for row in rows] == [["odd", "even"][int(p > 0.5)] for p in yes[:, 0]]
            expected = np.concatenate([1 - yes, yes], axis=1)
            given = [row[2:] for row in rows]
        else:
            assert header == ["line", *QUESTIONS, *(f"p({name})" for name in QUESTIONS)]
            assert [row[1:6] for row in rows] == (yes > 0.5).astype(int).astype(str).tolist()
            expected, given = yes, [row[6:] for row in rows]
        np.testing.assert_allclose(np.array(given, "float64"), expected, atol=2e-6)

    def test_its_saved_model_answers(self, finished):
        tf = pytest.importorskip("tensorflow")
        name, folder, _, _ = finished
        loaded = tf.saved_model.load(folder / "saved_model" / "1")
        images = tf.constant(digits("test")[0])
        served = loaded.signatures["serving_default"](image=images)
        yes = predicted_by(folder)
        np.testing.assert_allclose(served["probabilities"].numpy(), yes, atol=1e-5)
        np.testing.assert_array_equal(served["label"].numpy(), yes > 0.5)
        names = served["class_name"].numpy().astype(str)
        if name == "one":
            assert names.tolist() == [["odd", "even"][int(p > 0.5)] for p in yes[:, 0]]
        else:
            assert names.tolist() == [
                [q if p > 0.5 else "" for q, p in zip(QUESTIONS, row, strict=True)] for row in yes
            ]

    def test_it_is_exported_again_with_the_same_signature(self, finished, tmp_path):
        tf = pytest.importorskip("tensorflow")
        folder = tmp_path / "run"
        shutil.copytree(finished[1], folder)
        path = keras_prokt("export", folder, cwd=tmp_path).stdout.strip()
        [first, second] = [
            tf.saved_model.load(one).signatures["serving_default"].structured_outputs
            for one in (folder / "saved_model" / "1", path)
        ]
        assert path.endswith("/2") and first == second


@pytest.mark.thorough
@pytest.mark.whole_run
@pytest.mark.parametrize("method", ["prokt", "kd"])
def test_a_killed_run_goes_on_exactly(method, tmp_path, monkeypatch):
    with registered(APPS["several"]):
        spec = spec_of(method)
        run(spec, tmp_path / "whole", export=False, cache=tmp_path / "one")
        kill = KillAt(7)
        with monkeypatch.context() as patched:
            patched.setattr(training, "Progress", lambda *arguments: kill)
            with pytest.raises(Killed):
                run(spec, tmp_path / "killed", export=False, cache=tmp_path / "other")
        resume(tmp_path / "killed", cache=tmp_path / "other")
    students = [load_student(tmp_path / name / "student.keras") for name in ("whole", "killed")]
    for one, other in zip(*(s.get_weights() for s in students), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.whole_run
def test_a_comparison_says_what_was_measured(tmp_path):
    app = app_of(answers_to_questions, 5, **LABELS, metrics=("macro_f1", "accuracy"))
    runs = []
    with registered(app):
        for method in ("student", "prokt"):
            for seed in (0, 1):
                path = tmp_path / f"{method}-{seed}"
                record = run(
                    spec_of(method, epochs=2, seed=seed), path, export=False, cache=tmp_path
                )
                assert record["results"]["metric"] == "macro_f1"
                runs.append((method, RunFolder(path)))
        history = read_history(tmp_path / "prokt-0" / "history.csv")
        comparison = compare_folders(runs, ["student"])
    values = [float(row["val_student_macro_f1"]) for row in history]
    record = json.loads((tmp_path / "prokt-0" / "run.json").read_text())
    assert record["results"]["best_epoch"] == 1 + int(np.argmax(values))
    assert (comparison["metric"], comparison["mode"]) == ("macro_f1", "max")
    prokt = comparison["methods"][1]["student"]
    found = [
        json.loads((tmp_path / f"prokt-{seed}" / "run.json").read_text())["results"]["models"][
            "student"
        ]["test"]["macro_f1"]
        for seed in (0, 1)
    ]
    assert prokt["mean"] == pytest.approx(np.mean(found))
    low, high = prokt["bootstrap"]
    assert low < np.mean(found) < high
    for form in ("table", "markdown", "latex"):
        text = render(comparison, form).replace("\\_", "_")
        assert "test macro_f1, higher is better" in text and "accuracy" not in text


@pytest.mark.whole_run
def test_classes_as_rows_are_measured_as_their_indices(tmp_path):
    results = []
    names = [str(digit) for digit in range(10)]
    for form, labels_of in {"indices": lambda d: d, "rows": lambda d: np.eye(10)[d]}.items():
        with registered(app_of(labels_of, 10, class_names=names)):
            folder = tmp_path / form
            record = run(spec_of("student"), folder, export=False, cache=tmp_path)
        assert record["output"] == "classes"
        results.append((record, (folder / "predictions" / "test.csv").read_text()))
    (one, kept), (other, kept_of_rows) = results
    assert kept == kept_of_rows
    found, of_rows = (r["results"]["models"]["student"]["test"] for r in (one, other))
    assert found["accuracy"] == of_rows["accuracy"] > 0.3
    assert found["loss"] == pytest.approx(of_rows["loss"], rel=1e-5)


@pytest.mark.whole_run
def test_a_teacher_of_the_same_rows_and_another_kind_is_another_one(tmp_path, monkeypatch):
    trained = []
    fit = Run.fit

    def noting(self, distiller, epochs, title, **settings):
        trained.append(title)
        return fit(self, distiller, epochs, title, **settings)

    monkeypatch.setattr(Run, "fit", noting)
    for output in ("classes", "labels", "labels"):
        with registered(app_of(lambda d: np.eye(10)[d], 10, output=output)):
            path = tmp_path / f"{len(trained)}"
            run(spec_of("kd", epochs=1), path, export=False, cache=tmp_path / "cache")
    assert trained == ["teacher", "kd", "teacher", "kd", "kd"]


REFUSED = {
    "digits for one label": (
        (lambda d: d, 1, {"output": "labels"}),
        {},
        "Expected train labels that are 0, 1 or a probability between, received",
    ),
    "digits for several": (
        (lambda d: d, 5, {"output": "labels"}),
        {},
        r"Expected train labels of shape \(batch, 5\)",
    ),
    "several labels as classes": (
        (answers_to_questions, 5, {}),
        {},
        "Expected train labels whose rows are non-negative and sum to 1",
    ),
    "one logit as classes": (
        (is_even, 1, {}),
        {},
        "with at least 2 classes, received shape .*output='labels'",
    ),
    "too few names": (
        (answers_to_questions, 5, {"output": "labels", "class_names": ["even"]}),
        {},
        "Expected class_names to be 5 strings, one for each of the labels",
    ),
    "an unknown kind": (
        (is_even, 1, {"output": "label"}),
        {},
        "a kind of output among .*did you mean 'labels'",
    ),
    "a metric of classes": (
        (answers_to_questions, 5, {"output": "labels", "metrics": ("f1",)}),
        {},
        "a metric among accuracy, exact_match, macro_f1; received 'f1'",
    ),
    "an objective of classes": (
        (answers_to_questions, 5, LABELS),
        {"method": "crd"},
        "kind 'labels', received 'crd', which is defined for classes alone",
    ),
    "wrong labels": (
        (answers_to_questions, 5, LABELS),
        {"label_noise": 0.2},
        "no label noise for outputs of the kind 'labels', received a share of 0.2",
    ),
    "wrong labels of unknown classes": (
        (lambda d: d, 10, {}),
        {"label_noise": 0.2},
        r"names of all classes for label noise.* received \[\]; name them",
    ),
    "wrong labels as rows": (
        (lambda d: np.eye(10)[d], 10, {"class_names": list("0123456789")}),
        {"label_noise": 0.2},
        r"class indices of shape \(examples,\) for label noise, received float64 of shape",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_the_kind_is_refused_in_a_line(case, tmp_path):
    (labels_of, width, task), settings, message = REFUSED[case]
    app = app_of(labels_of, width, **task)
    with registered(app), pytest.raises(ValueError, match=message) as refused:
        run(spec_of(**settings), tmp_path / "run", cache=tmp_path / "cache")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_labels_are_smoothed_towards_a_half(tmp_path):
    with registered(APPS["several"]):
        loss = Run(spec_of(label_smoothing=0.2), RunFolder(tmp_path / "none")).label_loss
    yes = np.array([[0.3]])
    value = float(loss(np.array([[1.0]]), np.log(yes / (1 - yes))))
    assert value == pytest.approx(-(0.9 * np.log(0.3) + 0.1 * np.log(0.7)), rel=1e-5)


@pytest.mark.whole_run
def test_an_app_that_has_changed_its_kind_is_refused(tmp_path):
    app = app_of(lambda d: np.eye(10)[d], 10, output="labels")
    with registered(app):
        record = run(spec_of(), tmp_path / "run", cache=tmp_path, export=False, stop_after=0.0)
    assert record["status"] == "running"
    of_classes = app_of(lambda d: np.eye(10)[d], 10)
    message = "the kind 'labels', with which the run was started, received 'classes'"
    with registered(of_classes), pytest.raises(ValueError, match=message):
        resume(tmp_path / "run", cache=tmp_path)
    with registered(app):
        assert resume(tmp_path / "run", cache=tmp_path)["status"] == "completed"
