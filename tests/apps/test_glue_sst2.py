"""App `glue-sst2` on the real data with a real pretrained encoder."""

import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from marks import MINILM

from keras_prokt.app import TaskRequest, get_app
from keras_prokt.cli import main

pytestmark = [
    pytest.mark.real_data("minilm", "glue/sst2"),
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="tested on the default backend"
    ),
]


def request(**changes):
    values = {"teacher": MINILM, "student": "bilstm", "batch_size": 8, "seed": 0, "limit": 40}
    return TaskRequest(**{**values, **changes})


def test_batches_for_both_models():
    task = get_app("glue-sst2").prepare(request())
    assert (task.train.num_examples, task.validation.num_examples) == (40, 872)
    assert task.class_names == ["negative", "positive"]
    x, y = next(task.train.epoch(0))
    assert set(x["teacher"]) == {"token_ids", "padding_mask", "segment_ids"}
    assert set(x["student"]) == {"token_ids", "padding_mask"}
    assert x["teacher"]["token_ids"][:, 0].tolist() == [101] * 8
    assert set(y) <= {0, 1}


@pytest.mark.thorough
def test_a_limit_is_a_random_subset_by_seed():
    labels = [get_app("glue-sst2").prepare(request(seed=s)).train.labels for s in (0, 0, 1)]
    assert labels[0].tolist() == labels[1].tolist() != labels[2].tolist()


def test_unknown_students_are_named():
    with pytest.raises(ValueError, match="did you mean 'bilstm'"):
        get_app("glue-sst2").prepare(request(student="bilsm"))


@pytest.mark.thorough
@pytest.mark.process
@pytest.mark.whole_run
def test_a_run_serves_raw_strings(server, tmp_path):
    folder = tmp_path / "run"
    command = ["run", "--app", "glue-sst2", "--teacher", MINILM, "--limit", "64", "--epochs", "1"]
    result = CliRunner().invoke(main, [*command, "--out", str(folder)])
    assert result.exit_code == 0, result.output
    record = json.loads((folder / "run.json").read_text())
    assert record["results"]["models"]["student"]["parameters"] == 10_600_202
    assert "test" not in record["results"]["models"]["student"]

    texts = ["a gorgeous, witty, seductive movie", "boring"]
    served = server.ask(folder / "saved_model" / "1", "serve_text", text=texts)

    from keras_prokt import load_student
    from keras_prokt.data.batches import Batches
    from keras_prokt.data.text import tokenize
    from keras_prokt.models.bert import bert_tokenizer

    ids = tokenize(bert_tokenizer(MINILM), texts).token_ids
    inputs = {"token_ids": ids, "padding_mask": [np.ones_like(row) for row in ids]}
    x, _ = Batches(inputs, np.zeros(2), batch_size=2).batch(np.arange(2))
    logits = load_student(folder / "student.keras").predict(x, verbose=0)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(served["probabilities"], expected, atol=1e-5)
