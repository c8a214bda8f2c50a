"""What apps refuse before Keras is loaded; each check runs where Keras cannot be imported."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from keras_prokt.app import TaskRequest, get_app, list_apps
from keras_prokt.data import table as table_module
from keras_prokt_apps import text as text_app

PROGRAM = """
import json, sys
for name in ("keras", "tensorflow", "tensorflow_datasets", "keras_hub"):
    sys.modules[name] = None
from keras_prokt.app import TaskRequest, get_app
app, settings = json.loads(sys.argv[1])
settings["text_columns"] = settings["text_columns"] and tuple(settings["text_columns"])
try:
    get_app(app).check(TaskRequest(**settings))
except ValueError as error:
    print(error)
"""


def request_of(teacher, student="bilstm", **settings):
    return TaskRequest(teacher=teacher, student=student, batch_size=4, seed=0, **settings)


def checked(app, request, tmp_path):
    """What the check of an app prints in a process without Keras: nothing, or its refusal."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([app, asdict(request)])],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_PROKT_CACHE": str(tmp_path / "cache")},
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) < 2
    return result.stdout


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["body", "stars"], *([f"text {row}", row % 2] for row in range(40))]
        )
    return path


def prepared(folder, *names):
    """Folders as TFDS leaves them, without data."""
    for name in names:
        (folder / name / "1.0.0").mkdir(parents=True)
        (folder / name / "1.0.0" / "dataset_info.json").write_text("{}")
    return str(folder)


def test_every_app_has_a_check():
    for app in list_apps():
        assert app.check is not None, app.name


@pytest.mark.process
@pytest.mark.parametrize(
    ("app", "models", "settings", "message"),
    [
        ("digits", ("cnn-large", "cnn-small"), {}, ""),
        ("digits", ("cnn-larg", "cnn-small"), {}, "did you mean 'cnn-large'?"),
        ("digits", ("cnn-large", "cnn-smal"), {}, "did you mean 'cnn-small'?"),
        ("digits", ("cnn-large", "cnn-small"), {"data_dir": "x"}, "no data_dir for app 'digits'"),
        ("cifar100", ("vgg13", "vgg8"), {}, ""),
        ("cifar100", ("vgg13", "keras:VGG16"), {}, ""),
        ("cifar100", ("vgg31", "vgg8"), {}, "did you mean 'vgg13'?"),
        ("cifar100", ("vgg13", "vgg8"), {"data_dir": "/nowhere"}, "received no such directory"),
        ("glue-sst2", ("bert_base_en_uncased", "bilstm"), {}, ""),
        ("glue-sst2", ("bert_base_en_uncased", "bilstn"), {}, "did you mean 'bilstm'?"),
        ("glue-sst2", ("bert_base_en_uncased", "bilstm-99"), {}, "at least 100 word pieces"),
        ("glue-sst2", ("/nowhere/bert", "bilstm"), {}, "received '/nowhere/bert'; check the path"),
        ("glue-sst2", ("bert_base_en_uncased", "./none"), {}, "received './none'; check the path"),
        ("glue-sst2", ("bert_base_en_uncased", "bilstm"), {"max_length": 2}, "max_length of at"),
        ("glue-mrpc", ("bert_base_en_uncased", "bilstm"), {}, "no glue/mrpc there (nearest"),
    ],
)
def test_names_and_directories(tmp_path, app, models, settings, message):
    data_dir = prepared(tmp_path / "data", "cifar100", "glue/sst2")
    settings = {"data_dir": None if app == "digits" else data_dir, **settings}
    printed = checked(app, request_of(*models, **settings), tmp_path)
    assert message in printed and bool(printed) == bool(message)


@pytest.mark.process
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, ""),
        ({"label_column": None}, "with app 'text', received no label_column;"),
        ({"dataset": None}, "with app 'text', received no dataset;"),
        ({"text_columns": ("bdy",)}, "did you mean 'body'?"),
        ({"text_columns": ("body", "stars")}, ""),
        ({"label_column": "body"}, "Expected classes with several rows each"),
        ({"dataset": "none.csv"}, "received 'none.csv' where there is none"),
        ({"validation": "none.csv"}, "received 'none.csv' where there is none"),
        ({"max_length": 129}, "max_length of at most 128, the positions of"),
        ({"dataset": "tfds:glue/cola", "data_dir": "nowhere"}, "received no such directory"),
        ({"dataset": "tfds:glue/cola", "test": "x.csv"}, "no test with a set of TensorFlow"),
    ],
)
def test_tables(tmp_path, table, bert, settings, message):
    usual = {"dataset": str(table), "text_columns": ("body",), "label_column": "stars"}
    printed = checked("text", request_of(bert, **{**usual, **settings}), tmp_path)
    assert message in printed and bool(printed) == bool(message)
    if message:  # and the same, word for word, where nobody has called the check
        with pytest.raises(ValueError) as error:
            get_app("text").prepare(request_of(bert, **{**usual, **settings}))
        assert str(error.value) == printed.removesuffix("\n")


@pytest.mark.process
def test_parquet(tmp_path, bert):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow to write Parquet")
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    records = [{"body": f"text {row}", "stars": row % 2} for row in range(40)]
    parquet.write_table(pyarrow.Table.from_pylist(records), path)
    settings = {"dataset": str(path), "text_columns": ("body",)}
    assert not checked("text", request_of(bert, **settings, label_column="stars"), tmp_path)
    printed = checked("text", request_of(bert, **settings, label_column="star"), tmp_path)
    assert "did you mean 'stars'?" in printed


@pytest.mark.process
def test_checkpoints(tmp_path, table, bert):
    copy = tmp_path / "copy"
    for path in Path(bert).rglob("*"):
        if path.is_file():
            (copy / path.relative_to(bert)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(bert)).write_bytes(path.read_bytes())
    settings = {"dataset": str(table), "text_columns": ("body",), "label_column": "stars"}
    (copy / "model.weights.h5").unlink()
    # The word pieces alone are those of a bi-LSTM, whose teacher may be trained already.
    assert not checked("text", request_of(str(copy), "bilstm", **settings), tmp_path)
    for models in ((str(copy), "bert-1"), (bert, str(copy))):
        printed = checked("text", request_of(*models, **settings), tmp_path)
        assert "Expected model.weights.h5 or model.weights.json in directory" in printed
    vocabulary = copy / "assets" / "tokenizer" / "vocabulary.txt"
    vocabulary.write_text("\n".join(vocabulary.read_text().split("\n")[:6]))
    printed = checked("text", request_of(str(copy), **settings), tmp_path)
    assert f"15 word pieces at {str(vocabulary)!r}" in printed and "received 6;" in printed


def test_a_table_is_read_once_for_check_and_preparation(table, bert, monkeypatch):
    read = []
    original = table_module.read_table

    def count(path, **columns):
        read.append(path)
        return original(path, **columns)

    monkeypatch.setattr(table_module, "read_table", count)
    app = get_app("text")
    request = request_of(
        bert, dataset=str(table), text_columns=("body",), label_column="stars", limit=8
    )
    app.check(request)
    app.prepare(request)
    assert read == [str(table)]
    app.check(request)
    table.write_text(table.read_text() + "another text,0\n")
    assert app.prepare(request).train.num_examples == 8
    assert len(read) == 3  # it has changed in between
    assert text_app._read.cache_info().currsize == 0  # not kept while models are trained
