"""The GLUE apps on pairs: small data in TFDS format with a small BERT, and the real MRPC."""

import csv
import functools
import json

import keras
import numpy as np
import pytest
from marks import MINILM, thorough
from small_glue import (
    CLS,
    LABELS,
    PIECES,
    SENTENCES,
    SEP,
    rows_of,
    split_names,
    write_glue,
)

from keras_prokt import load_student
from keras_prokt.app import TaskRequest, get_app
from keras_prokt.callbacks.training_dynamics import read_history
from keras_prokt.data.text import tokenize
from keras_prokt.models.bert import bert_tokenizer
from keras_prokt.runs import predict
from keras_prokt.runs.finished_run import evaluate_run
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.training_run import run
from keras_prokt_apps.glue.data import load_glue

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tested on the default backend"
)

TASKS = ("qqp", "mnli", "qnli")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tfds"))
    write_glue(folder, TASKS)
    return folder


@functools.cache
def prepared(task, data_dir, bert, **changes):
    values = {"teacher": bert, "student": "bilstm", "batch_size": 4, "seed": 0}
    request = TaskRequest(**{**values, **changes}, data_dir=data_dir)
    return get_app(f"glue-{task}").prepare(request)


def real(ids):
    return [row[row != 0].tolist() for row in ids]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_labels_and_splits(data_dir, bert, task):
    prepared_task = prepared(task, data_dir, bert)
    assert prepared_task.class_names == LABELS[task]
    assert (prepared_task.train.num_examples, prepared_task.validation.num_examples) == (12, 7)
    # The rows go round the label names in their order.
    counts = np.bincount(prepared_task.validation.labels, minlength=len(LABELS[task]))
    assert counts.tolist() == ([3, 2, 2] if task == "mnli" else [4, 3])
    assert prepared_task.test is None
    more = {name: part.num_examples for name, part in prepared_task.more_validation.items()}
    assert more == ({"validation_mismatched": 5} if task == "mnli" else {})
    assert prepared_task.metrics == (("f1", "accuracy") if task == "qqp" else ("accuracy",))
    assert prepared_task.build_teacher().output.shape[1] == len(LABELS[task])


@pytest.mark.parametrize("task", TASKS)
def test_every_pair_keeps_its_label(data_dir, task):
    split = load_glue(task, split_names(task)[1], data_dir=data_dir)
    labels = {idx: row["label"] for idx, row in rows_of(task, split_names(task)[1])}
    assert {i: LABELS[task][n] for i, n in zip(split.idx, split.labels, strict=True)} == labels
    test = load_glue(task, split_names(task)[-1], data_dir=data_dir)
    assert set(test.labels.tolist()) == {-1}


@pytest.mark.parametrize("task", TASKS)
def test_the_teacher_reads_pairs_jointly_and_the_bilstm_separately(data_dir, bert, task):
    validation = prepared(task, data_dir, bert).validation
    x, _ = validation.batch(np.arange(validation.num_examples))
    assert set(x["teacher"]) == {"token_ids", "padding_mask", "segment_ids"}
    names = {"token_ids", "padding_mask", "token_ids_pair", "padding_mask_pair"}
    assert set(x["student"]) == names
    joint = real(x["teacher"]["token_ids"])
    first, second = real(x["student"]["token_ids"]), real(x["student"]["token_ids_pair"])
    for row, (one, two, whole) in enumerate(zip(first, second, joint, strict=True)):
        assert one[0] == two[0] == CLS and one[-1] == two[-1] == SEP
        assert whole == one + two[1:]
        segments = x["teacher"]["segment_ids"][row][: len(whole)].tolist()
        assert segments == [0] * len(one) + [1] * (len(two) - 1)
        assert x["teacher"]["padding_mask"][row].sum() == len(whole)
        assert x["student"]["padding_mask"][row].sum() == len(one)
        assert x["student"]["padding_mask_pair"][row].sum() == len(two)
    # TFDS shuffles what it writes.
    split = split_names(task)[1]
    written = [[row[name] for name in SENTENCES[task]] for _, row in rows_of(task, split)]
    read = [
        [" ".join(PIECES[i] for i in ids[1:-1]) for ids in pair]
        for pair in zip(first, second, strict=True)
    ]
    assert sorted(read) == sorted(written)


@pytest.mark.slow
@pytest.mark.parametrize("student", ["bert-1", "PRESET"])
def test_berts_read_pairs_jointly(data_dir, bert, student):
    student = bert if student == "PRESET" else student
    task = prepared("qnli", data_dir, bert, student=student)
    x, _ = next(task.train.epoch(0))
    for name, values in x["teacher"].items():
        np.testing.assert_array_equal(x["student"][name], values)
    assert task.build_student()(x["student"]).shape == (4, 2)
    assert task.front_end.pair


@pytest.mark.parametrize("app", ["mrpc", "qqp", "mnli", "qnli"])
def test_unknown_students_are_named(app):
    with pytest.raises(ValueError, match="did you mean 'bilstm'"):
        prepared(app, None, "x", student="bilsm")


def independent_f1(labels, predicted):
    """Harmonic mean of precision and recall of class 1, counted one by one."""
    pairs = list(zip(labels.tolist(), predicted.tolist(), strict=True))
    hits = pairs.count((1, 1))
    if not hits:
        return 0.0
    precision, recall = hits / (hits + pairs.count((0, 1))), hits / (hits + pairs.count((1, 0)))
    return 2 * precision * recall / (precision + recall)


def predictions(folder, batches):
    student = load_student(folder / "student.keras")
    logits = [student.predict_on_batch(x["student"]) for x, _ in batches.epoch(0)]
    return np.concatenate(logits).argmax(-1)


def spec_of(app, teacher, **changes):
    settings = {"epochs": 1, "batch_size": 4, **changes}
    return RunSpec.resolve(app, "prokt", teacher=teacher, **settings)


@pytest.mark.whole_run
@pytest.mark.parametrize(("task", "student"), thorough(("qqp", "bilstm"), ("qnli", "bert-1")))
def test_a_run(data_dir, bert, tmp_path, task, student):
    epochs = 8 if task == "qqp" else 1
    seed = 2  # with which, on qqp, one epoch has the best F1 and another the best accuracy
    spec = spec_of(
        f"glue-{task}", bert, student=student, data_dir=data_dir, epochs=epochs, seed=seed
    )
    record = run(spec, tmp_path / "run", export=False, save_teacher=True)
    metrics = ["f1", "accuracy"] if task == "qqp" else ["accuracy"]
    for model in ("teacher", "student"):
        measured = record["results"]["models"][model]
        assert list(measured["validation"]) == [*metrics, "loss", "seconds"]
        assert "test" not in measured
    batches = prepared(task, data_dir, bert, student=student).validation
    predicted = predictions(tmp_path / "run", batches)
    reported = record["results"]["models"]["student"]["validation"]
    assert reported["accuracy"] == pytest.approx(np.mean(predicted == batches.labels))
    if task == "qqp":
        assert reported["f1"] == pytest.approx(independent_f1(batches.labels, predicted))
        history = read_history(tmp_path / "run" / "history.csv")
        f1, accuracy = (
            [float(row[f"val_student_{name}"]) for row in history] for name in ("f1", "accuracy")
        )
        # The best epoch is that of the first metric, here not the one of the best accuracy.
        best = np.argmax(f1)
        assert best != np.argmax(accuracy)
        assert record["results"]["best_epoch"] == best + 1
        assert (reported["f1"], reported["accuracy"]) == pytest.approx((f1[best], accuracy[best]))
        # So it is of the teacher, whose F1 nothing else reports.
        of_teacher = [float(row["val_teacher_f1"]) for row in history]
        best = int(np.argmax(of_teacher))
        assert record["results"]["teacher_best_epoch"] == best + 1
        teacher = load_student(tmp_path / "run" / "teacher.keras")
        logits = [teacher.predict_on_batch(x["teacher"]) for x, _ in batches.epoch(0)]
        found = independent_f1(batches.labels, np.concatenate(logits).argmax(-1))
        reported = record["results"]["models"]["teacher (best epoch)"]["validation"]["f1"]
        assert found == pytest.approx(reported) == pytest.approx(of_teacher[best])


@pytest.mark.thorough
@pytest.mark.whole_run
def test_a_run_of_mnli_reports_both_validation_splits(data_dir, bert, tmp_path):
    spec = spec_of("glue-mnli", bert, data_dir=data_dir)
    record = run(spec, tmp_path / "run", export=False)
    assert record["examples"] == {"train": 12, "validation": 7, "validation_mismatched": 5}
    reported = record["results"]["models"]["student"]
    task = prepared("mnli", data_dir, bert)
    parts = {"validation": task.validation, **task.more_validation}
    for name, batches in parts.items():
        accuracy = np.mean(predictions(tmp_path / "run", batches) == batches.labels)
        assert reported[name]["accuracy"] == pytest.approx(accuracy)
    assert list(evaluate_run(tmp_path / "run")) == list(parts)


@pytest.mark.thorough
@pytest.mark.whole_run
@pytest.mark.real_data("minilm", "glue/mrpc")
def test_a_run_of_the_real_mrpc_serves_raw_pairs(tmp_path):
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    spec = spec_of("glue-mrpc", MINILM, batch_size=32, limit=32)
    record = run(spec, tmp_path / "run")
    assert record["examples"] == {"train": 32, "validation": 408}
    reported = record["results"]["models"]["student"]
    assert reported["parameters"] == 12_040_802
    batches = prepared("mrpc", None, MINILM, batch_size=64, limit=32).validation
    predicted = predictions(tmp_path / "run", batches)
    assert reported["validation"]["f1"] == pytest.approx(independent_f1(batches.labels, predicted))
    assert reported["validation"]["accuracy"] == pytest.approx(np.mean(predicted == batches.labels))

    texts = load_glue("mrpc", "validation")
    tokens = tokenize(bert_tokenizer(MINILM), texts.texts, second=texts.second)
    longest = np.argsort([-n for n in tokens.lengths], kind="stable")[:5]  # the first batch
    loaded = tf.saved_model.load(str(tmp_path / "run" / "saved_model" / "1"))
    served = loaded.signatures["serve_text"](
        text=tf.constant([texts.texts[i] for i in longest]),
        text_pair=tf.constant([texts.second[i] for i in longest]),
    )
    x, _ = batches.batch(np.arange(5))
    logits = load_student(tmp_path / "run" / "student.keras").predict(x["student"], verbose=0)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(served["probabilities"], expected, atol=1e-5)

    # A table of them, the shortest first: rows of many lengths come back in their own order.
    rows = [{"one": texts.texts[i], "two": texts.second[i]} for i in longest[::-1]]
    rows.insert(2, {"one": "Yes.", "two": "No."})
    table = tmp_path / "new.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    predict(tmp_path / "run", table, tmp_path / "out.csv", text_columns=("one", "two"))
    with (tmp_path / "out.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    del written[2]
    given = [[float(row[f"p({name})"]) for name in record["class_names"]] for row in written]
    np.testing.assert_allclose(given, expected[::-1], atol=1e-5)
