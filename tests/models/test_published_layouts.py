"""Checkpoints as they are published: BERT miniatures, pretrained, and TinyBERT's general ones."""

import json

import keras
import numpy as np
import pytest
from fine_tuned import WORDS

from keras_prokt.bert_files import check_preset
from keras_prokt.models.bert import bert_classifier, bert_tokenizer
from keras_prokt.runs import RunSpec, run

transformers = pytest.importorskip("transformers", reason="the independent implementation")
torch = pytest.importorskip("torch", reason="transformers' models run on torch")
safetensors = pytest.importorskip("safetensors.torch")

SIZES = {
    "hidden_size": 12,
    "num_hidden_layers": 6,
    "num_attention_heads": 3,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
}


def write_pretrained(folder):
    """The layout of google/bert_uncased_L-6_H-768_A-12: an encoder with the heads of pretraining.

    Its config.json has no architectures and no tokenizer settings.
    """
    folder.mkdir()
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=len(pieces), **SIZES)
    model = transformers.BertForPreTraining(config).eval()
    for name, weight in model.named_parameters():
        if "LayerNorm.weight" not in name:
            torch.nn.init.normal_(weight, std=0.3)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    # Tied to the word embeddings, so that files have it once.
    weights.pop("cls.predictions.decoder.weight")
    weights.pop("cls.predictions.decoder.bias")
    settings = {"model_type": "bert", "vocab_size": len(pieces), "type_vocab_size": 2, **SIZES}
    settings |= {"hidden_act": "gelu", "hidden_dropout_prob": 0.1, "initializer_range": 0.02}
    return model, weights, settings


def write_tinybert(folder):
    """The layout of huawei-noah/TinyBERT_General_6L_768D: with the layer that fits the widths."""
    model, weights, settings = write_pretrained(folder)
    weights["fit_dense.weight"] = torch.zeros(24, 12)
    weights["fit_dense.bias"] = torch.zeros(24)
    return (
        model,
        weights,
        {**settings, "cell": {}, "structure": [], "pre_trained": "", "training": ""},
    )


LAYOUTS = {"miniature": write_pretrained, "tinybert": write_tinybert}


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS)
def checkpoint(request, tmp_path):
    """A directory, and transformers' encoder."""
    folder = tmp_path / "checkpoint"
    model, weights, settings = request.param(folder)
    safetensors.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(settings))
    return folder, model.bert


@pytest.mark.slow
def test_its_pooled_states_are_those_of_transformers(checkpoint):
    folder, encoder = checkpoint
    random = np.random.default_rng(0)
    ids = random.integers(5, 15, (4, 9)).astype("int32")
    mask = np.ones_like(ids)
    mask[2:, 6:] = 0
    segments = random.integers(0, 2, ids.shape).astype("int32")
    with torch.no_grad():
        tensors = [torch.from_numpy(array.astype("int64")) for array in (ids, mask, segments)]
        expected = encoder(tensors[0], tensors[1], tensors[2]).pooler_output.numpy()
    model = bert_classifier(str(folder), 2)
    inputs = {"token_ids": ids, "padding_mask": mask, "segment_ids": segments}
    states = model.get_layer("backbone")(inputs)["pooled_output"]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(states), expected, atol=1e-5)
    [pieces] = bert_tokenizer(str(folder))(["A fine film"])
    assert np.asarray(pieces).tolist() == [6, 7, 8]


def test_a_config_that_names_no_family_says_what_to_add(checkpoint):
    folder, _ = checkpoint
    config = json.loads((folder / "config.json").read_text())
    del config["model_type"]
    (folder / "config.json").write_text(json.dumps(config))
    for read in (bert_tokenizer, files_of):
        with pytest.raises(ValueError, match='if it is a BERT, add "model_type": "bert" to it'):
            read(str(folder))


def files_of(folder):
    return check_preset(folder, with_weights=True)


@pytest.mark.thorough
@pytest.mark.whole_run
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
@pytest.mark.parametrize(
    ("checkpoint", "method"),
    [(write_pretrained, "student"), (write_tinybert, "tinybert+prokt")],
    indirect=["checkpoint"],
    ids=["pf", "tinybert"],
)
def test_a_run_of_it_as_the_student(checkpoint, method, tmp_path):
    """The paper's "PF" is method `student` of a pretrained one; Table 2's rows distil into it."""
    folder, _ = checkpoint
    rows = "".join(f"{'fine' if i % 2 else 'dull'} film,{i % 2}\n" for i in range(4))
    texts = "".join(
        f"{a} {b} {c},{len(a) % 2}\n" for a in WORDS for b in WORDS[:3] for c in WORDS[:2]
    )
    (tmp_path / "t.csv").write_text("text,label\n" + rows + texts)
    settings = {
        "dataset": str(tmp_path / "t.csv"),
        "text_columns": ("text",),
        "label_column": "label",
        "teacher": str(folder),
        "student": str(folder),
        "epochs": 1,
        "batch_size": 16,
    }
    if method != "student":
        settings |= {"first_stage_epochs": 1, "teacher_epochs": 1}
    spec = RunSpec.resolve("text", method, **settings)
    record = run(spec, tmp_path / "run", cache=tmp_path / "cache")
    assert record["status"] == "completed"
