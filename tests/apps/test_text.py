"""App `text`: a small table through the command line, up to class names for raw strings."""

import csv
import json
import os
import subprocess
import sys

import keras
import pytest

from keras_prokt.app import TaskRequest, get_app

MINILM = os.environ.get("MINILM_DIR", "")
pytestmark = [
    pytest.mark.skipif(not MINILM, reason="needs an encoder in MINILM_DIR"),
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="tested on the default backend"
    ),
]
WORDS = {"schlecht 👎": "awful", "good": "lovely", "so-so": "average"}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["title", "body", "stars"])
        for row in range(60):
            label = list(WORDS)[row % 3]
            writer.writerow([f"title {row}", f"an {WORDS[label]},\nnumber {row} film", label])
    return path


def keras_prokt(*arguments, cwd):
    command = [sys.executable, "-m", "keras_prokt.cli", *map(str, arguments)]
    environment = {**os.environ, "KERAS_PROKT_CACHE": str(cwd / "cache")}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=600, cwd=cwd, env=environment
    )


def test_pairs_are_read_by_both_models(table):
    request = TaskRequest(
        teacher=MINILM,
        student="bilstm",
        batch_size=4,
        seed=0,
        limit=10,
        dataset=str(table),
        text_columns=("title", "body"),
        label_column="stars",
    )
    task = get_app("text").prepare(request)
    parts = (task.train, task.validation, task.test)
    assert [part.num_examples for part in parts] == [10, 6, 6]
    assert sorted(task.class_names) == task.class_names == sorted(WORDS)
    assert task.text.pair
    x, y = next(task.validation.epoch())
    assert set(x["student"]) >= {"token_ids", "token_ids_pair"}
    assert x["teacher"]["segment_ids"].max() == 1
    assert y.dtype == "int32"


def test_a_run_gives_class_names_for_raw_strings(table, tmp_path):
    arguments = ["--app", "text", "--dataset", table.name, "--text", "body", "--label", "stars"]
    arguments += ["--teacher", MINILM, "--student", "bilstm", "--epochs", "1", "--out", "run"]
    result = keras_prokt("run", *arguments, "--stop-after", "1s", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    record = json.loads((folder / "run.json").read_text())
    assert record["spec"]["dataset"] == str(table)
    assert record["class_names"] == sorted(WORDS)

    content = table.read_bytes()
    table.write_bytes(content + b"a,b,good\n")
    refused = keras_prokt("resume", folder, cwd=elsewhere)
    assert refused.returncode == 2
    assert "the dataset with which the run was started" in refused.stderr
    table.write_bytes(content)
    if record["status"] != "completed":
        result = keras_prokt("resume", folder, cwd=elsewhere)
        assert result.returncode == 0, result.stderr
    record = json.loads((folder / "run.json").read_text())
    assert record["examples"] == {"train": 48, "validation": 6, "test": 6}

    texts = ["an awful film", "lovely", "average 🙂\nfilm"]
    serve = (
        "import json, tensorflow as tf, tensorflow_text\n"
        f"model = tf.saved_model.load({str(folder / 'saved_model' / '1')!r})\n"
        f"served = model.signatures['serve_text'](text=tf.constant({texts!r}))\n"
        "names = [name.decode() for name in served['class_name'].numpy()]\n"
        "print(json.dumps([names, served['label'].numpy().tolist(), sorted(served)]))"
    )
    served = subprocess.run([sys.executable, "-c", serve], capture_output=True, text=True)
    assert served.returncode == 0, served.stderr
    names, labels, outputs = json.loads(served.stdout)
    assert outputs == ["class_name", "label", "probabilities"]
    assert names == [record["class_names"][label] for label in labels]


def test_problems_of_a_table_are_one_line_and_nothing_is_written(table, tmp_path):
    with table.open("a") as file:
        file.write("title,,good\n")
    arguments = ["--app", "text", "--dataset", table, "--text", "body", "--label", "stars"]
    result = keras_prokt("run", *arguments, "--teacher", MINILM, cwd=tmp_path)
    assert result.returncode == 2
    assert f"received an empty one at {table}, line 122;" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [table]


def test_duplicate_texts_are_one_line_of_warning(table, tmp_path):
    arguments = ["--app", "text", "--dataset", table, "--text", "body", "--label", "stars"]
    arguments += ["--validation", table, "--teacher", MINILM, "--epochs", "1", "--estimate"]
    result = keras_prokt("run", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "keras-prokt: warning: Expected the validation part" in result.stderr
    assert f"60 texts again, the first at {table}, line 2;" in result.stderr
