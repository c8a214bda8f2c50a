"""BERT students as directories that transformers opens."""

import json

import keras
import numpy as np
import pytest
from exported import texts
from fine_tuned import write_classifier
from keras import layers, ops

from keras_prokt.export import export_student
from keras_prokt.front_ends import TextFrontEnd
from keras_prokt.models.bert import bert_classifier, bert_tagger
from keras_prokt.models.fine_tuned_bert import fine_tuned_classifier

torch = pytest.importorskip("torch", reason="transformers' models run on torch")
transformers = pytest.importorskip("transformers", reason="opens what was written")
NAMES = ["no", "yes"]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["Bert", "DistilBert"])
@pytest.mark.parametrize("build", [bert_classifier, bert_tagger])
def test_the_logits_of_transformers_are_the_students(tmp_path, family, build):
    write_classifier(tmp_path / "teacher", NAMES, family)
    student = build(str(tmp_path / "teacher"), 2)
    front_end = TextFrontEnd(tmp_path / "teacher" / "vocab.txt", max_length=20)
    output = "classes" if build is bert_classifier else "positions"
    known = {"front_end": front_end, "class_names": NAMES, "output": output}
    path = export_student(student, tmp_path / "hf", "huggingface", **known)
    [batch] = texts(9, segments=True)
    kind = "SequenceClassification" if build is bert_classifier else "TokenClassification"
    model = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(path).eval()
    given = {"input_ids": batch["token_ids"], "attention_mask": batch["padding_mask"]}
    with torch.no_grad():
        logits = model(**{k: torch.from_numpy(v.astype("int64")) for k, v in given.items()}).logits
    ours = ops.convert_to_numpy(student(batch, training=False))
    real = slice(None) if build is bert_classifier else batch["padding_mask"] == 1
    np.testing.assert_allclose(logits.numpy()[real], ours[real], rtol=0, atol=1e-5)
    assert model.config.id2label == {0: "no", 1: "yes"}
    assert model.config.architectures == [f"{family}For{kind}"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    assert tokenizer.model_max_length == 20 and tokenizer.tokenize("A fine FILM") == [
        *("a", "fine", "film")
    ]


@pytest.mark.slow
def test_it_is_a_teacher_again(tmp_path):
    write_classifier(tmp_path / "teacher", NAMES)
    student = fine_tuned_classifier(tmp_path / "teacher")
    front_end = TextFrontEnd(tmp_path / "teacher" / "vocab.txt", max_length=20)
    settings = {"front_end": front_end, "class_names": NAMES}
    path = export_student(student, tmp_path / "hf", "huggingface", **settings)
    again = fine_tuned_classifier(path, ["yes", "no"])
    [batch] = texts(9, segments=True)
    np.testing.assert_allclose(again(batch)[:, ::-1], student(batch), rtol=0, atol=1e-6)
    files = {"config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"}
    assert {one.name for one in path.iterdir()} == files
    assert json.loads((path / "config.json").read_text())["label2id"] == {"no": 0, "yes": 1}


def test_other_students_are_refused(tmp_path):
    student = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    match = "BERT student of classes for format 'huggingface', one of .*received 'sequential"
    with pytest.raises(ValueError, match=match) as error:
        export_student(student, tmp_path / "hf", "hf")
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def test_names_that_are_the_same_are_refused(tmp_path):
    write_classifier(tmp_path / "teacher", ["no", "yes"], "Bert")
    student = bert_classifier(str(tmp_path / "teacher"), 2)
    with pytest.raises(ValueError, match="names that differ .* received 'no' twice"):
        export_student(student, tmp_path / "hf", "hf", class_names=["no", "no"])
    assert not (tmp_path / "hf").exists()
