"""Classifiers fine-tuned with transformers: logits, order of classes, saving, what is refused."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_prokt import load_student
from keras_prokt.data.text import tokenize
from keras_prokt.models.bert import DroppedHead, bert_classifier, bert_tokenizer
from keras_prokt.models.fine_tuned_bert import fine_tuned_classifier

fine_tuned = pytest.importorskip("fine_tuned", reason="needs transformers and torch")

LABELS = ["bad", "fair", "good"]
TEXTS = ["a very fine film", "dull", "what a film ? not bad", "is it very very dull ?"]
SECOND = ["not bad", "a film is a film ?", "dull", "what"]


def inputs_of(folder, *columns):
    tokens = tokenize(bert_tokenizer(str(folder)), columns[0], second=(*columns, None)[1])
    width = max(tokens.lengths)
    rows = {
        "token_ids": tokens.token_ids,
        "padding_mask": [np.ones_like(row) for row in tokens.token_ids],
        "segment_ids": tokens.segment_ids,
    }
    return {
        name: np.stack([np.pad(row, (0, width - len(row))) for row in values]).astype("int32")
        for name, values in rows.items()
    }


def answers(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs, training=False))


def assert_same_weights(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [(TEXTS,), (TEXTS, SECOND)], ids=["texts", "pairs"])
@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("Bert", {}),
        ("Bert", {"hidden_act": "gelu_new", "problem_type": "single_label_classification"}),
        ("Bert", {"hidden_size": 14, "num_attention_heads": 7, "intermediate_size": 9}),
        ("DistilBert", {}),
    ],
)
def test_logits_are_those_of_transformers(tmp_path, family, settings, columns):
    model = fine_tuned.write_classifier(tmp_path / "model", LABELS, family, **settings)
    expected = fine_tuned.logits_of(model, tmp_path / "model", *columns)
    assert np.ptp(expected, axis=0).min() > 0.1
    inputs = inputs_of(tmp_path / "model", *columns)
    own = fine_tuned_classifier(tmp_path / "model")
    np.testing.assert_allclose(answers(own, inputs), expected, atol=1e-5)
    # In the order of other classes, and after saving.
    own = fine_tuned_classifier(tmp_path / "model", ["Good", "bad", "fair"])
    own.save(tmp_path / "model.keras")
    for one in (own, load_student(tmp_path / "model.keras")):
        np.testing.assert_allclose(answers(one, inputs), expected[:, [2, 0, 1]], atol=1e-5)


@pytest.mark.parametrize(
    ("family", "settings", "rate"),
    [
        ("Bert", {}, 0.1),
        ("Bert", {"hidden_dropout_prob": 0.25}, 0.25),
        ("Bert", {"classifier_dropout": 0.3}, 0.3),
        ("DistilBert", {}, 0.2),
        ("DistilBert", {"seq_classif_dropout": 0.0}, 0.0),
    ],
)
def test_the_dropout_before_the_classifier_is_the_checkpoints(tmp_path, family, settings, rate):
    fine_tuned.write_classifier(tmp_path / "model", LABELS, family, **settings)
    model = fine_tuned_classifier(tmp_path / "model")
    assert model.get_layer("pooled_dropout").rate == rate


@pytest.mark.slow
@pytest.mark.parametrize("family", ["Bert", "DistilBert"])
def test_encoders_are_read_with_and_without_a_head_beside_them(tmp_path, family):
    model = fine_tuned.write_classifier(tmp_path / "whole", LABELS, family)
    shutil.copytree(tmp_path / "whole", tmp_path / "encoder")
    model.base_model.save_pretrained(tmp_path / "encoder", safe_serialization=True)
    whole, encoder = (
        bert_classifier(str(tmp_path / name), 2).get_layer("backbone")
        for name in ("whole", "encoder")
    )
    assert_same_weights(whole, encoder)
    smaller = bert_classifier(str(tmp_path / "encoder"), 2, layers=1).get_layer("backbone")
    assert_same_weights(smaller.transformer_layers[0], whole.transformer_layers[1])
    assert_same_weights(
        smaller.get_layer("embeddings_layer_norm"), whole.get_layer("embeddings_layer_norm")
    )
    with pytest.raises(ValueError, match="whose config.json names a classifier"):
        config = (tmp_path / "whole" / "config.json").read_text()
        (tmp_path / "encoder" / "config.json").write_text(config)
        fine_tuned_classifier(tmp_path / "encoder")


def test_weights_in_several_files(tmp_path):
    model = fine_tuned.write_classifier(tmp_path / "one", LABELS)
    fine_tuned.write_classifier(tmp_path / "many", LABELS)
    (tmp_path / "many" / "model.safetensors").unlink()
    model.save_pretrained(tmp_path / "many", safe_serialization=True, max_shard_size="8KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 1
    one, many = (fine_tuned_classifier(tmp_path / name) for name in ("one", "many"))
    assert_same_weights(one, many)


def test_word_pieces_of_tokenizer_json_alone(tmp_path):
    fine_tuned.write_classifier(tmp_path / "model", LABELS)
    expected = inputs_of(tmp_path / "model", TEXTS)
    for name in ("vocab.txt", "tokenizer_config.json"):
        (tmp_path / "model" / name).unlink()
    for name, values in inputs_of(tmp_path / "model", TEXTS).items():
        np.testing.assert_array_equal(values, expected[name])
    path = tmp_path / "model" / "tokenizer.json"
    saved = json.loads(path.read_text())
    saved["model"]["type"] = "BPE"
    path.write_text(json.dumps(saved))
    with pytest.raises(ValueError, match="received ValueError: a tokenizer.json of BPE and Bert"):
        bert_tokenizer(str(tmp_path / "model"))


def test_a_vocabulary_of_another_model_is_refused(tmp_path):
    fine_tuned.write_classifier(tmp_path / "model", LABELS)
    path = tmp_path / "model" / "vocab.txt"
    *pieces, one, other = path.read_text().splitlines()
    path.write_text("\n".join([*pieces, other, one, ""]))
    with pytest.raises(ValueError, match=f"others from id {len(pieces)} on; one of them is"):
        bert_tokenizer(str(tmp_path / "model"))


def changed(folder: Path, **settings):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **settings}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"id2label": {"0": "a", "1": "b"}}, r"of shapes \(2, 12\) and \(2,\).*received \(3, 12\)"),
        ({"vocab_size": 10**8}, "numbers for a config.json of 1,2"),
        ({"hidden_size": 12 * 10**3}, "numbers for a config.json of "),
        ({"num_hidden_layers": 1}, "received ValueError: 2 layers for a config.json of 1"),
        ({"hidden_size": "12"}, "at least 1 for hidden_size .*received .12."),
        ({"hidden_act": "relu"}, "hidden_act among .*received 'relu'"),
    ],
)
def test_configurations_that_are_not_those_of_the_weights(tmp_path, settings, message):
    fine_tuned.write_classifier(tmp_path / "model", LABELS)
    changed(tmp_path / "model", **settings)
    with pytest.raises(ValueError, match=message) as error:
        fine_tuned_classifier(tmp_path / "model")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("architectures", [None, [], ["BertForTokenClassification"], "Bert"])
def test_a_classifier_that_is_left_out_is_told(tmp_path, architectures):
    fine_tuned.write_classifier(tmp_path / "model", LABELS)
    changed(tmp_path / "model", architectures=architectures)
    with pytest.warns(DroppedHead, match="received one of .*; it is left out") as told:
        bert_classifier(str(tmp_path / "model"), 3)
    assert len(told) == 1 and repr(architectures) in str(told[0].message)


def test_pickles_are_not_read(tmp_path):
    model = fine_tuned.write_classifier(tmp_path / "model", LABELS)
    (tmp_path / "model" / "model.safetensors").unlink()
    model.save_pretrained(tmp_path / "model", safe_serialization=False)
    assert (tmp_path / "model" / "pytorch_model.bin").is_file()
    with pytest.raises(ValueError, match=r"pytorch_model.bin can be converted with .*safe_serial"):
        fine_tuned_classifier(tmp_path / "model")


def test_distilbert_with_another_activation(tmp_path):
    fine_tuned.write_classifier(tmp_path / "model", LABELS, "DistilBert", activation="relu")
    with pytest.raises(ValueError, match=r"activation among \['gelu'\] .*received 'relu'"):
        fine_tuned_classifier(tmp_path / "model")
