"""Heads of fine-tuned BERTs: which directories have one, and whose classes they are."""

import json

import pytest

from keras_prokt.bert_heads import NumberedLabels, order_of_labels, read_head, trained_files

CONFIG = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}


def write(folder, **config):
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    (folder / "model.safetensors").write_bytes(b"not looked into")
    (folder / "pytorch_model.bin").write_bytes(b"not read")


def test_files_of_a_classifier(tmp_path):
    write(tmp_path)
    names = [path.name for path in trained_files(str(tmp_path))]
    assert names == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["BertModel"]},
        {"architectures": ["BertForTokenClassification"]},
        {"architectures": None},
        {"architectures": []},
        {"architectures": [{}]},
        {"registered_name": "keras_hub>BertBackbone"},
    ],
)
def test_directories_without_a_classifier(tmp_path, config):
    write(tmp_path, **config)
    assert trained_files(str(tmp_path)) == ()


@pytest.mark.parametrize(
    "family", ["roberta", "electra", "deberta-v2", "xlm-roberta", "mobilebert"]
)
def test_other_families_are_refused_by_name(tmp_path, family):
    write(tmp_path, model_type=family, architectures=["OtherForSequenceClassification"])
    with pytest.raises(ValueError, match=f"'bert' or 'distilbert' .*received '{family}'; choose"):
        trained_files(str(tmp_path))


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({}, ("LABEL_0", "LABEL_1")),  # transformers leaves its defaults out
        ({"num_labels": 3}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"id2label": {"1": "b", "0": "a"}, "num_labels": 3}, ("a", "b")),
        ({"id2label": {"0": 5, "1": 7}}, ("5", "7")),
    ],
)
def test_labels(tmp_path, config, labels):
    write(tmp_path, **config)
    assert read_head(tmp_path).labels == labels


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"problem_type": "multi_label_classification"}, "'multi_label_classification' with 2 out"),
        ({"problem_type": "regression"}, "'regression' with 2 outputs; give its encoder alone"),
        ({"num_labels": 1}, "problem_type None with 1 outputs"),
        ({"id2label": {"0": "a", "2": "b"}}, "id2label with the keys 0, 1, 2"),
        ({"id2label": ["a", "b"]}, "id2label with the keys"),
        ({"id2label": {}}, "id2label with the keys"),
        ({"num_labels": 10**12}, "id2label with the keys .*received '1000000000000'"),
        ({"num_labels": "2"}, "id2label with the keys"),
        ({"classifier_dropout": 1.5}, r"dropout in \[0, 1\) .*received 1.5"),
        ({"classifier_dropout": "x"}, r"dropout in \[0, 1\) .*received 'x'"),
    ],
)
def test_heads_that_are_refused(tmp_path, config, message):
    write(tmp_path, **config)
    with pytest.raises(ValueError, match=message) as error:
        read_head(tmp_path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (["not_bad", "bad"], (0, 1)),
        (["bad", "not_bad"], (1, 0)),
        (["BAD", "Not-Bad"], (1, 0)),
    ],
)
def test_classes_are_matched_by_name(labels, order):
    assert order_of_labels(labels, ["not_bad", "bad"], "DIR") == order


def test_names_that_differ_in_their_case_alone_are_matched_exactly():
    assert order_of_labels(["A", "a"], ["a", "A"], "DIR") == (1, 0)
    with pytest.raises(ValueError, match="Expected a fine-tuned teacher"):
        order_of_labels(["A", "a"], ["a", "b"], "DIR")


def test_classes_without_a_name_are_taken_by_number_and_it_is_said():
    with pytest.warns(
        NumberedLabels, match="LABEL_0 is taken for 'no', LABEL_1 is taken for 'yes'"
    ):
        assert order_of_labels(["LABEL_0", "LABEL_1"], ["no", "yes"], "DIR") == (0, 1)


@pytest.mark.parametrize(
    "labels", [["a", "c"], ["a"], ["a", "b", "c"], ["LABEL_0"], ["LABEL_1", "LABEL_0"]]
)
def test_other_classes_are_refused_with_both_lists(labels):
    with pytest.raises(ValueError) as error:
        order_of_labels(labels, ["a", "b"], "DIR")
    message = str(error.value)
    assert f"the task's classes ['a', 'b'], received 'DIR' with {labels};" in message
    assert "correct id2label in its config.json, or give its encoder alone" in message
