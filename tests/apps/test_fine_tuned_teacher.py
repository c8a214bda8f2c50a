"""A fine-tuned directory of transformers as the teacher of the apps on text."""

import csv
import json

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from pieces import stopped_run
from small_glue import write_glue

from keras_prokt.app import TaskRequest, get_app
from keras_prokt.bert_heads import NumberedLabels
from keras_prokt.runs import RunSpec, resume, run
from keras_prokt.runs.cost import estimate
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.preparation import prepare_folder
from keras_prokt.runs.task import digests, prepare
from keras_prokt.runs.training import Run

fine_tuned = pytest.importorskip("fine_tuned", reason="needs transformers and torch")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow",
        reason="whole runs are tested on the default backend",
    ),
]
# The table's classes are sorted by name, those of the teacher are not.
LABELS = ["good", "bad", "fair"]


def texts_of(count, seed):
    random = np.random.default_rng(seed)
    return [
        " ".join(random.choice(fine_tuned.WORDS, size=random.integers(2, 9))) for _ in range(count)
    ]


def write_table(path, texts, labels):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("body", "stars"), *zip(texts, labels, strict=True)])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The directory of a fine-tuned BERT, and the model of transformers that it holds."""
    folder = tmp_path_factory.mktemp("model")
    model = fine_tuned.write_classifier(folder, LABELS)
    # So that it answers each class to some texts.
    usual = fine_tuned.torch.tensor(fine_tuned.logits_of(model, folder, texts_of(40, 9)).mean(0))
    model.classifier.bias.data -= usual
    model.save_pretrained(folder, safe_serialization=True)
    return folder, model


@pytest.fixture(scope="module")
def tables(tmp_path_factory, model):
    """Tables to train and to validate on; of two thirds of the rows the teacher knows the label."""
    folder = tmp_path_factory.mktemp("tables")
    for seed, (name, count) in enumerate({"train": 48, "validation": 40}.items()):
        texts = texts_of(count, seed)
        answers = fine_tuned.logits_of(model[1], model[0], texts).argmax(-1)
        wrong = [LABELS[(answer + (row % 3 == 0)) % 3] for row, answer in enumerate(answers)]
        assert set(wrong) == set(LABELS)
        write_table(folder / f"{name}.csv", texts, wrong)
    return folder


def spec_of(tables, teacher, method="kd", **settings):
    given = {"student": "bert-1", "epochs": 2, "batch_size": 16, "student_learning_rate": 1e-3}
    given |= {"dataset": str(tables / "train.csv"), "validation": str(tables / "validation.csv")}
    given |= {"text_columns": ("body",), "label_column": "stars", "teacher": str(teacher)}
    return RunSpec.resolve("text", method, **{**given, **settings})


def accuracy_of_transformers(model, tables):
    with (tables / "validation.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    logits = fine_tuned.logits_of(model[1], model[0], [row["body"] for row in rows])
    named = [LABELS[number] for number in logits.argmax(-1)]
    return np.mean([row["stars"] == name for row, name in zip(rows, named, strict=True)])


def accuracy_of_teacher(record):
    return record["results"]["models"]["teacher"]["validation"]["accuracy"]


@pytest.mark.whole_run
def test_it_teaches_as_it_is(model, tables, tmp_path):
    spec = spec_of(tables, model[0], teacher_epochs=0)
    record = run(spec, tmp_path / "whole", cache=tmp_path / "cache", export=False)
    expected = accuracy_of_transformers(model, tables)
    assert 0.6 < expected < 0.7
    assert accuracy_of_teacher(record) == pytest.approx(expected)
    assert record["spec"]["method_settings"]["teacher_epochs"] == 0
    # A forward of each example an epoch for the targets, and none for its own training.
    assert record["cost"]["forwards"]["teacher"] == 2 * 48
    assert "teacher_best_epoch" not in record["results"]
    assert not (tmp_path / "cache" / "teachers").exists()
    assert "teacher" in record["data"]

    # Stopped twice, it is the same run; with other weights of the teacher it is another one.
    pieces = {"cache": tmp_path / "cache", "export": False}
    stopped_run(spec, tmp_path / "pieces", [2, 4], **pieces)
    weights = model[0] / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"\x01")
    with pytest.raises(ValueError, match="Expected the teacher with which the run was started"):
        resume(tmp_path / "pieces", cache=tmp_path / "cache")
    weights.write_bytes(content)
    resumed = resume(tmp_path / "pieces", cache=tmp_path / "cache")
    losses = [r["results"]["models"]["student"]["validation"]["loss"] for r in (record, resumed)]
    assert losses[0] == losses[1]


def test_nothing_of_it_is_trained_before_by_the_estimate(model, tables):
    assert list(estimate(spec_of(tables, model[0], teacher_epochs=0))["phases"]) == ["kd"]


@pytest.mark.thorough
@pytest.mark.whole_run
def test_it_trains_along_from_where_it_is(model, tables, tmp_path):
    spec = spec_of(tables, model[0], "prokt", teacher_learning_rate=1e-9)
    record = run(spec, tmp_path / "run", cache=tmp_path / "cache", export=False)
    assert accuracy_of_teacher(record) == pytest.approx(accuracy_of_transformers(model, tables))
    assert record["results"]["models"]["student"]["validation"]["loss"] > 0


@pytest.mark.thorough
@pytest.mark.whole_run
def test_it_is_trained_further_where_nothing_else_is_said(model, tables, tmp_path):
    spec = spec_of(tables, model[0], teacher_learning_rate=1e-9, epochs=1, teacher_epochs=1)
    record = run(spec, tmp_path / "run", cache=tmp_path / "cache", export=False)
    assert accuracy_of_teacher(record) == pytest.approx(accuracy_of_transformers(model, tables))
    assert record["cost"]["forwards"]["teacher"] == (3 + 1) * 48
    assert list((tmp_path / "cache" / "teachers").iterdir())


def test_the_student_does_not_start_from_its_head(model, tables):
    this = Run(spec_of(tables, model[0], "prokt"), RunFolder("unused"))
    assert np.abs(this.teacher.get_layer("logits").get_weights()[0]).min() > 0
    assert np.abs(this.student.get_layer("logits").get_weights()[0]).max() == 0


def test_other_classes_are_refused_and_nothing_is_written(model, tables, tmp_path):
    texts = texts_of(60, 2)
    write_table(tmp_path / "other.csv", texts, [f"class {row % 3}" for row in range(60)])
    arguments = ["--app", "text", "--dataset", "other.csv", "--text", "body", "--label", "stars"]
    arguments += ["--teacher", model[0], "--method", "kd", "--teacher-epochs", "0"]
    result = keras_prokt("run", *arguments, "--out", "run", cwd=tmp_path)
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    assert "['class 0', 'class 1', 'class 2'], received" in result.stderr
    assert f"with {LABELS}; correct id2label" in result.stderr
    assert not (tmp_path / "run").exists()
    # Without a teacher, nothing of its head matters.
    spec = spec_of(tables, model[0], "student", dataset=str(tmp_path / "other.csv"))
    spec = spec.replacing(validation=None)
    assert "teacher" not in digests(spec, prepare(spec))


def test_an_encoder_has_to_be_trained(model, tables, tmp_path):
    config = json.loads((model[0] / "config.json").read_text())
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    for path in model[0].iterdir():
        (encoder / path.name).write_bytes(path.read_bytes())
    (encoder / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    arguments = ["--app", "text", "--dataset", tables / "train.csv", "--text", "body"]
    arguments += ["--label", "stars", "--method", "kd", "--teacher-epochs", "0"]
    result = keras_prokt("run", *arguments, "--teacher", encoder, "--out", "run", cwd=tmp_path)
    assert result.exit_code == 2
    assert "Expected --teacher-epochs of at least 1 for a teacher that is not" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_prepared_folder_has_it_with_its_head(model, tables, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(tmp_path / "cache"))
    usual = spec_of(tables, model[0], teacher_epochs=0)
    prepare_folder(usual, tmp_path / "new")
    spec = RunSpec.resolve("text", "kd", teacher_epochs=0, prepared=str(tmp_path / "new"))
    task, usual_task = prepare(spec), prepare(usual)
    assert digests(spec, task)["teacher"] == digests(usual, usual_task)["teacher"]
    pairs = zip(
        task.build_teacher().get_weights(), usual_task.build_teacher().get_weights(), strict=True
    )
    assert all(np.array_equal(*pair) for pair in pairs)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tfds"))
    write_glue(folder, ("sst2", "mrpc"))
    return folder


@pytest.mark.parametrize(
    ("task", "family", "labels", "order"),
    [
        ("sst2", "DistilBert", ["POSITIVE", "NEGATIVE"], [1, 0]),
        ("mrpc", "Bert", ["equivalent", "not_equivalent"], [1, 0]),
        ("mrpc", "DistilBert", None, [0, 1]),
    ],
)
def test_tasks_of_glue(task, family, labels, order, data_dir, tmp_path):
    folder = tmp_path / "model"
    model = fine_tuned.write_classifier(folder, labels, family)
    request = TaskRequest(
        teacher=str(folder), student="bert-1", batch_size=4, seed=0, data_dir=data_dir
    )
    prepared = get_app(f"glue-{task}").prepare(request)
    if labels is None:
        with pytest.warns(NumberedLabels, match="LABEL_0 is taken for 'not_equivalent'"):
            teacher = prepared.build_teacher()
    else:
        teacher = prepared.build_teacher()
    # Of the ids of each batch, what transformers makes of them.
    for inputs, _ in prepared.validation.epoch():
        batch = {
            "input_ids": inputs["teacher"]["token_ids"],
            "attention_mask": inputs["teacher"]["padding_mask"],
            "token_type_ids": inputs["teacher"]["segment_ids"],
        }
        if family == "DistilBert":
            del batch["token_type_ids"]
        tensors = {name: fine_tuned.torch.tensor(np.asarray(v)) for name, v in batch.items()}
        with fine_tuned.torch.no_grad():
            expected = model(**tensors).logits.numpy()
        own = teacher.predict_on_batch(inputs["teacher"])
        np.testing.assert_allclose(own, expected[:, order], atol=1e-4)
    assert prepared.build_student().output_shape == (None, 2)
