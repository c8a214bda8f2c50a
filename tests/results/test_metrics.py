"""Metrics of an app: over whole splits, in the evaluation and in the results table."""

import keras
import numpy as np
import pytest

from keras_prokt import ProKTDistiller, StudentOnly
from keras_prokt.data.batches import Batches
from keras_prokt.outputs import Classes
from keras_prokt.outputs.f1 import F1
from keras_prokt.results import evaluation
from keras_prokt.results.evaluation import evaluate
from keras_prokt.results.metrics import get
from keras_prokt.results.tables import no_better_than_constant, results_table
from keras_prokt.runs.spec import RunSpec


def identity_model(classes=2):
    """A model whose logits are its inputs."""
    layer = keras.layers.Dense(classes, use_bias=False, kernel_initializer="identity")
    return keras.Sequential([keras.Input((classes,)), layer])


def precision_and_recall(labels, predicted):
    hits = sum(1 for a, b in zip(labels, predicted, strict=True) if a == b == 1)
    return hits / np.sum(predicted == 1), hits / np.sum(labels == 1)


@pytest.mark.parametrize("batch_size", [1, 7, 50])
def test_f1_is_of_the_whole_split(batch_size):
    random = np.random.default_rng(0)
    logits = random.normal(size=(50, 2)).astype("float32")
    labels = random.integers(0, 2, 50)
    batches = Batches(logits, labels, batch_size=batch_size)
    other = Batches(-logits, labels, batch_size=batch_size)
    splits = {"validation": batches, "test": other}
    evaluations = evaluate(identity_model(), splits, "student", ("f1", "accuracy"))
    assert list(evaluations) == list(splits)
    measured, opposite = (evaluations[part].metrics for part in splits)
    assert opposite["accuracy"] == pytest.approx(1 - measured["accuracy"])
    assert list(measured) == ["f1", "accuracy", "loss", "seconds"]
    predicted = logits.argmax(-1)
    precision, recall = precision_and_recall(labels, predicted)
    expected = 2 * precision * recall / (precision + recall)
    assert measured["f1"] == pytest.approx(expected, abs=1e-6)
    assert measured["accuracy"] == pytest.approx(np.mean(labels == predicted), abs=1e-6)
    from sklearn.metrics import f1_score

    assert measured["f1"] == pytest.approx(f1_score(labels, predicted), abs=1e-6)


def test_accuracy_alone_is_the_default():
    batches = Batches(np.eye(2, dtype="float32"), np.array([0, 1]), batch_size=2)
    measured = evaluate(identity_model(), {"test": batches}, "student")
    assert list(measured["test"].metrics) == ["accuracy", "loss", "seconds"]


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch compiles nothing")
@pytest.mark.parametrize("examples", [2, 3])
def test_splits_of_one_shape_are_compiled_once_and_before_they_are_timed(examples, monkeypatch):
    compiled, timed = [], []

    class Clock:
        @staticmethod
        def perf_counter():
            timed.append(len(compiled))
            return 0.0

    call = StudentOnly.call

    def counting(self, *arguments, **settings):
        compiled.append(1)
        return call(self, *arguments, **settings)

    monkeypatch.setattr(StudentOnly, "call", counting)
    monkeypatch.setattr(evaluation, "time", Clock)
    first = Batches(np.eye(2, dtype="float32"), np.array([0, 1]), batch_size=2)
    x, y = np.eye(2, dtype="float32")[[0, 1, 1][:examples]], np.array([0, 1, 0])[:examples]
    splits = {"validation": first, "test": Batches(x, y, batch_size=2)}
    evaluate(identity_model(), splits, "student")
    assert len(compiled) >= 1 and len(timed) == 4
    assert timed[0] == timed[1] and timed[2] == timed[3]  # nothing while the clock runs
    if examples == 2:
        assert timed == 4 * [len(compiled)]


def test_f1_at_its_limits():
    def of(labels, predicted):
        metric = F1()
        metric.update_state(np.array(labels), np.eye(2, dtype="float32")[predicted])
        return float(metric.result())

    assert of([0, 1, 1], [0, 1, 1]) == 1.0
    assert of([0, 0], [0, 0]) == of([1, 1], [0, 0]) == of([0, 0], [1, 1]) == 0.0
    # Class 1 is the one that counts: 2 · 3 / (2 · 3 + 1) of always predicting it.
    assert of([1, 1, 1, 0], [1, 1, 1, 1]) == pytest.approx(6 / 7)


def test_weights_of_examples_count():
    metric = F1()
    logits = np.eye(2, dtype="float32")[[1, 1, 0]]
    metric.update_state(np.array([1, 0, 1]), logits, sample_weight=np.array([2.0, 1.0, 0.0]))
    assert float(metric.result()) == pytest.approx(4 / 5)


@pytest.mark.slow
def test_f1_of_every_epoch_is_of_the_whole_split():
    labels, predicted = np.array([1, 1, 1, 0, 0, 0, 0, 0]), [1, 1, 0, 1, 0, 0, 0, 0]
    batches = Batches(3 * np.eye(2, dtype="float32")[predicted], labels, batch_size=3)
    distiller = ProKTDistiller(identity_model(), identity_model())
    unchanging = keras.optimizers.SGD(1e-30)
    distiller.compile(optimizer=unchanging, metrics=get(("f1", "accuracy"), Classes()))
    history = distiller.fit(
        batches.for_training(),
        steps_per_epoch=len(batches),
        epochs=2,
        validation_data=batches.for_evaluation(),
        verbose=0,
    ).history
    # 2 TP / (2 TP + FP + FN) with 2, 1 and 1; the mean over the three batches would be 4/15.
    for name in ("student_f1", "val_student_f1"):
        assert history[name] == pytest.approx([4 / 6, 4 / 6])
    assert history["val_student_accuracy"] == pytest.approx([6 / 8, 6 / 8])


def test_f1_is_saved_and_loaded():
    [metric] = get(("f1",), Classes())
    config = keras.saving.serialize_keras_object(metric)
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, F1) and again.name == metric.name == "student_f1"


def test_what_has_no_f1_and_unknown_metrics():
    with pytest.raises(ValueError, match="logits of two classes for F1, received 3"):
        F1().update_state(np.array([0]), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="a metric among accuracy, f1; received 'f2'"):
        get(("f2",), Classes())


def record(*models):
    spec = RunSpec.resolve("digits", "student").to_json()
    parts = {"parameters": 1000, "bytes": 4000}
    return {
        "spec": spec,
        "status": "completed",
        "examples": {"train": 10},
        "training_seconds": 1.0,
        "results": {
            "best_epoch": 1,
            "last_epoch": 1,
            "models": {f"model {i}": {**parts, **model} for i, model in enumerate(models)},
        },
    }


def rows_of(table):
    return [line.split("  ") for line in table.splitlines() if line.startswith("model")]


def test_a_column_a_metric_in_the_results_table():
    one = {"f1": 0.8123, "accuracy": 0.7, "loss": 0.1, "seconds": 1.25}
    table = results_table(record({"validation": one}))
    header, row = ([cell.strip() for cell in cells if cell] for cells in rows_of(table))
    assert header[:4] == ["model", "validation f1", "validation accuracy", "test"]
    assert row[1:4] == ["0.8123", "0.7000", "–"] and row[-1] == "1.250"


def test_a_column_a_part_in_the_results_table():
    accuracies = {"validation": 0.5, "validation_mismatched": 0.25, "test": 0.125}
    model = {k: {"accuracy": v, "loss": 1.0, "seconds": 1.0} for k, v in accuracies.items()}
    table = results_table(record(model))
    header, row = ([cell.strip() for cell in cells if cell] for cells in rows_of(table))
    assert header[1:4] == list(accuracies)
    assert row[1:4] == ["0.5000", "0.2500", "0.1250"] and row[-1] == "3.000"


def of_student(accuracy, constant, mode="max", part="test", **results):
    """The record of a run whose student and whose best constant answer are so good."""
    measured = {"error" if mode == "min" else "accuracy": accuracy, "loss": 1.0, "seconds": 1.0}
    one = record()
    one["results"] |= {"metric": next(iter(measured)), "mode": mode, **results}
    one["results"]["models"] = {"student": {"parameters": 1, "bytes": 4, part: measured}}
    one["results"]["best_constant"] = {part: constant}
    return one


def test_the_best_constant_answer_and_the_scores_in_the_results_table():
    scores = {"student": {"test": {"macro_f1": 0.25, "auc": 0.5}, "validation": {"auc": 0.75}}}
    table = results_table(of_student(0.99, 0.9876, scores=scores)).splitlines()
    assert any(line.startswith("best constant answer") and " 0.9876 " in line for line in table)
    [head] = [line.split() for line in table if line.startswith("scores of")]
    assert head[2:] == ["macro_f1", "auc"]
    rows = [line.split()[2:] for line in table if line.startswith("student on ")]
    assert rows == [["test", "0.2500", "0.5000"], ["validation", "–", "0.7500"]]


@pytest.mark.parametrize(
    ("value", "constant", "mode", "is_said"),
    [(0.5, 0.5, "max", True), (0.4, 0.5, "max", True), (0.51, 0.5, "max", False)]
    + [(0.5, 0.5, "min", True), (0.6, 0.5, "min", True), (0.4, 0.5, "min", False)],
)
def test_a_student_that_a_constant_answer_equals_is_said_so(value, constant, mode, is_said):
    one = of_student(value, constant, mode)
    line = no_better_than_constant(one)
    assert (line is not None) == is_said
    assert (line in results_table(one).splitlines()) if is_said else True
    if is_said:
        assert (
            f"{value:.4f}) is no better than the same answer to all examples ({constant:.4f})"
            in (line)
        )


@pytest.mark.parametrize(
    ("settings", "is_said"),
    [({"proximal_weight": 0.3}, True), ({"proximal_weight": 0.3, "target_mode": "training"}, False)]
    + [({"proximal_weight": 0.3, "target_mode": "inference"}, True), ({"temperature": 4.0}, False)],
)
def test_targets_in_training_mode_are_advised_where_they_are_not(settings, is_said):
    one = of_student(0.1, 0.2)
    one["spec"] = {**one.get("spec", {}), "method_settings": settings}
    assert ("try --target-mode training, more epochs" in no_better_than_constant(one)) == is_said


def test_validation_says_it_where_no_test_data_was_measured():
    assert "validation accuracy" in no_better_than_constant(of_student(0.1, 0.2, part="validation"))
    unknown = of_student(0.1, 0.2)
    del unknown["results"]["best_constant"]  # of an older version
    assert no_better_than_constant(unknown) is None
    assert no_better_than_constant({"status": "running"}) is None
