"""BERT loading against transformers, cutting of layers, saving, error messages."""

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
from keras_hub.models import BertBackbone, BertTokenizer
from marks import MINILM, thorough
from safetensors.numpy import save_file

from keras_prokt.bert_files import check_preset
from keras_prokt.data.text import tokenize
from keras_prokt.export import export_saved_model
from keras_prokt.front_ends import TextFrontEnd
from keras_prokt.models.bert import (
    DroppedHead,
    ExactGeluBertBackbone,
    bert_classifier,
    bert_tagger,
    bert_tokenizer,
    evenly_spaced_layers,
    exact_gelu,
)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS += ["a", "cafe", "fine", "film", "very", "un", "##like", "##ly", "!", ",", "é"]
SENTENCES = [
    "a gorgeous, witty, seductive movie.",
    "the clichés are unbelievable -- and the café scenes drag!",
    "it's slow -- very, very slow.",
    "Shakespeare's Hamlet in 1996 cost $18 million (roughly).",
    "no movement, no yuks, not much of anything.",
    "one of the year's best films",
    "unflinchingly bleak and desperate",
    "A naïve über-fan would rate it 10/10",
    "why?",
    "an utterly compelling `who wrote it' in which the reputation of the most famous author "
    "who ever lived comes into question. " * 8,
]
PAIRS = (SENTENCES[-3:], ["Why NOT?", "Voilà: it isn't.", "it's slow -- very, very slow."])
MAX_LENGTH = 128


def write_preset(folder: Path, **settings) -> str:
    """A tiny Hugging Face BERT directory with random weights, large enough to tell GELUs apart."""
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": 16,
        "num_hidden_layers": 6,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 24,
        "vocab_size": len(WORDS),
        "type_vocab_size": 2,
        "hidden_dropout_prob": 0.25,
        "layer_norm_eps": 1e-12,
        **settings,
    }
    random = np.random.default_rng(0)
    width, inner = config["hidden_size"], config["intermediate_size"]
    weights = {}

    def add(name, *shape):
        weights[name] = random.normal(0, 0.5, shape).astype("float32")

    def add_norm(name):
        weights[f"{name}.weight"] = random.uniform(0.5, 1.5, width).astype("float32")
        add(f"{name}.bias", width)

    def add_dense(name, inputs, outputs):
        add(f"{name}.weight", outputs, inputs)
        add(f"{name}.bias", outputs)

    add("embeddings.word_embeddings.weight", config["vocab_size"], width)
    add("embeddings.position_embeddings.weight", config["max_position_embeddings"], width)
    add("embeddings.token_type_embeddings.weight", config["type_vocab_size"], width)
    add_norm("embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            add_dense(f"{layer}.attention.self.{part}", width, width)
        add_dense(f"{layer}.attention.output.dense", width, width)
        add_norm(f"{layer}.attention.output.LayerNorm")
        add_dense(f"{layer}.intermediate.dense", width, inner)
        add_dense(f"{layer}.output.dense", inner, width)
        add_norm(f"{layer}.output.LayerNorm")
    add_dense("pooler.dense", width, width)
    folder.mkdir(exist_ok=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return str(folder)


@pytest.fixture
def preset(tmp_path):
    return write_preset(tmp_path / "preset")


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def word_pieces(tokenizer, texts):
    return [np.asarray(ids).tolist() for ids in tokenizer(texts)]


def random_batch(vocabulary_size, length=12, batch=4):
    random = np.random.default_rng(1)
    lengths = random.integers(length // 2, length + 1, batch)
    mask = (np.arange(length) < lengths[:, None]).astype("int32")
    return {
        "token_ids": random.integers(5, vocabulary_size, (batch, length)).astype("int32") * mask,
        "padding_mask": mask,
        "segment_ids": (np.arange(length) > 4).astype("int32") * mask,
    }


class States(NamedTuple):
    """What BERT computes on a batch."""

    states: list[np.ndarray]
    """Embeddings and the output of each layer, `(batch, length, features)`."""
    pooled: np.ndarray


def reference_states(preset, batch):
    """The states of transformers' own BERT."""
    torch = pytest.importorskip("torch", reason="transformers' BERT runs on torch")
    transformers = pytest.importorskip("transformers", reason="the independent implementation")
    model = transformers.AutoModel.from_pretrained(preset, attn_implementation="eager").eval()
    with torch.no_grad():
        outputs = model(
            input_ids=torch.tensor(batch["token_ids"]),
            attention_mask=torch.tensor(batch["padding_mask"]),
            token_type_ids=torch.tensor(batch["segment_ids"]),
            output_hidden_states=True,
        )
    return States([state.numpy() for state in outputs.hidden_states], outputs.pooler_output.numpy())


def states_of(model, batch):
    backbone = model.get_layer("backbone")
    layers = [backbone.get_layer("embeddings_dropout"), *backbone.transformer_layers]
    pooled = backbone.output["pooled_output"]
    inner = keras.Model(backbone.input, [*(layer.output for layer in layers), pooled])
    *states, pooled = map(to_numpy, inner(batch, training=False))
    return States(states, pooled)


def largest_differences(model, batch, reference):
    """Of each state at real positions, and of the pooled output."""
    own, real = states_of(model, batch), batch["padding_mask"].astype(bool)
    pairs = zip(own.states, reference.states, strict=True)
    return [
        *(np.abs(state - expected)[real].max() for state, expected in pairs),
        np.abs(own.pooled - reference.pooled).max(),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "gelu_pytorch_tanh"])
def test_states_equal_transformers_before_and_after_saving(tmp_path, activation):
    preset = write_preset(tmp_path / "preset", hidden_act=activation)
    batch = random_batch(len(WORDS))
    reference = reference_states(preset, batch)
    model = bert_classifier(preset, 3)
    assert max(largest_differences(model, batch, reference)) < 1e-5
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert max(largest_differences(again, batch, reference)) < 1e-5
    np.testing.assert_array_equal(to_numpy(again(batch)), to_numpy(model(batch)))


@pytest.mark.slow
def test_activation_makes_a_difference_here(tmp_path):
    batch = random_batch(len(WORDS))
    exact = bert_classifier(write_preset(tmp_path / "a", hidden_act="gelu"), 2)
    tanh = bert_classifier(write_preset(tmp_path / "b", hidden_act="gelu_new"), 2)
    assert isinstance(exact.get_layer("backbone"), ExactGeluBertBackbone)
    assert type(tanh.get_layer("backbone")) is BertBackbone
    outputs = [m.get_layer("backbone")(batch)["sequence_output"] for m in (exact, tanh)]
    # Ten times the tolerance of the test above, which therefore tells the two apart.
    assert np.abs(to_numpy(outputs[0]) - to_numpy(outputs[1])).max() > 1e-4


def test_exact_gelu_equals_its_definition():
    # x Φ(x) with Φ from a table of the normal distribution.
    values = to_numpy(exact_gelu(np.array([-1.0, 0.0, 0.5, 2.0], "float32")))
    np.testing.assert_allclose(values, [-0.158655, 0.0, 0.345731, 1.954500], atol=1e-6)


@pytest.mark.slow
def test_inputs_outputs_and_dropout(preset):
    model = bert_classifier(preset, 3, name="teacher")
    assert set(model.input) == {"token_ids", "padding_mask", "segment_ids"}
    assert {keras.backend.standardize_dtype(x.dtype) for x in model.input.values()} == {"int32"}
    assert model.name == "teacher" and model.output.shape == (None, 3)
    assert model.layers[-1].name == "logits" and model.layers[-1].dtype == "float32"
    backbone = model.get_layer("backbone")
    assert backbone.dropout == 0.25  # the checkpoint's own, not keras-hub's default
    batch = random_batch(len(WORDS))
    kept, dropped = model(batch, training=False), model(batch, training=True)
    assert np.abs(to_numpy(kept) - to_numpy(dropped)).max() > 1e-3


@pytest.mark.slow
def test_padding_does_not_change_logits(preset):
    model = bert_classifier(preset, 2)
    batch = random_batch(len(WORDS), length=8)
    longer = {key: np.pad(value, ((0, 0), (0, 8))) for key, value in batch.items()}
    np.testing.assert_allclose(to_numpy(model(batch)), to_numpy(model(longer)), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "kept"), [(3, [1, 3, 5]), (1, [5]), (4, [0, 2, 3, 5]), ((0, 2), [0, 2])]
)
def test_kept_layers_are_the_teachers(preset, layers, kept):
    teacher = bert_classifier(preset, 2).get_layer("backbone")
    student = bert_classifier(preset, 2, layers=layers).get_layer("backbone")
    assert type(student) is ExactGeluBertBackbone and student.num_layers == len(kept)
    for own, index in zip(student.transformer_layers, kept, strict=True):
        for a, b in zip(
            own.get_weights(), teacher.transformer_layers[index].get_weights(), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    for name in (
        "token_embedding",
        "position_embedding",
        "segment_embedding",
        "embeddings_layer_norm",
        "pooled_dense",
    ):
        for a, b in zip(
            student.get_layer(name).get_weights(),
            teacher.get_layer(name).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)
    assert student.dropout == teacher.dropout


@pytest.mark.slow
def test_teacher_and_cut_student_share_no_variable(preset):
    teacher, student = bert_classifier(preset, 2), bert_classifier(preset, 2, layers=3)
    assert not {id(v) for v in teacher.variables} & {id(v) for v in student.variables}


@pytest.mark.slow
def test_another_width(preset):
    model = bert_classifier(preset, 2, layers=4, width=6, load_weights=False)
    backbone = model.get_layer("backbone")
    assert type(backbone) is ExactGeluBertBackbone
    received = (backbone.num_layers, backbone.num_heads, backbone.hidden_dim, backbone.dropout)
    assert received == (4, 2, 6, 0.25)
    # Embeddings with their norm, four layers with four times the width inside, pooler, classifier.
    tables, norm = (len(WORDS) + 24 + 2) * 6, 2 * 6
    layer = 4 * (6 * 6 + 6) + (6 * 24 + 24) + (24 * 6 + 6) + 2 * norm
    assert model.count_params() == tables + norm + 4 * layer + (6 * 6 + 6) + (6 * 2 + 2)
    assert model(random_batch(len(WORDS))).shape == (4, 2)


def test_evenly_spaced_layers():
    assert evenly_spaced_layers(12, 6) == [1, 3, 5, 7, 9, 11]
    assert evenly_spaced_layers(12, 12) == list(range(12))
    with pytest.raises(ValueError, match="layers from 1 to 6.*received 7"):
        evenly_spaced_layers(6, 7)


@pytest.mark.slow
def test_fresh_weights_when_asked(preset):
    os.remove(os.path.join(preset, "model.safetensors"))
    first, second = (bert_classifier(preset, 2, load_weights=False) for _ in range(2))
    assert np.abs(first.get_weights()[0] - second.get_weights()[0]).max() > 0


@pytest.mark.slow
def test_keras_hub_directory_keeps_activation_and_weights(preset, tmp_path):
    model = bert_classifier(preset, 2)
    folder = str(tmp_path / "saved")
    model.get_layer("backbone").save_to_preset(folder)
    bert_tokenizer(preset).save_to_preset(folder)
    again = bert_classifier(folder, 2)
    assert type(again.get_layer("backbone")) is ExactGeluBertBackbone
    batch = random_batch(len(WORDS))
    for a, b in zip(
        model.get_layer("backbone").get_weights(),
        again.get_layer("backbone").get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(
        to_numpy(model.get_layer("backbone")(batch)["pooled_output"]),
        to_numpy(again.get_layer("backbone")(batch)["pooled_output"]),
    )
    assert word_pieces(bert_tokenizer(folder), ["A fine Café"]) == [[5, 7, 6]]


@pytest.mark.parametrize(
    ("settings", "ids"),
    [
        (None, [5, 7, 6, 10, 11, 12, 13]),  # Hugging Face's default: uncased, no accents
        ({"do_lower_case": True, "strip_accents": None}, [5, 7, 6, 10, 11, 12, 13]),
        ({"do_lower_case": True, "strip_accents": False}, [5, 7, 1, 10, 11, 12, 13]),
        ({"do_lower_case": False}, [1, 7, 1, 1, 13]),
    ],
)
def test_tokenizer_follows_the_directory(preset, settings, ids):
    if settings is not None:
        Path(preset, "tokenizer_config.json").write_text(json.dumps(settings))
    assert word_pieces(bert_tokenizer(preset), ["A fine café Unlikely!"]) == [ids]


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="SavedModel from TensorFlow")
def test_export(preset, tmp_path):
    import tensorflow as tf

    model = bert_classifier(preset, 2, layers=2)
    model.export(tmp_path / "saved_model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved_model")
    for length in (8, 24):
        batch = random_batch(len(WORDS), length)
        np.testing.assert_allclose(loaded.serve(batch), to_numpy(model(batch)), atol=1e-5)


@pytest.mark.slow
def test_keras_hub_directory_keeps_the_accents_setting(preset, tmp_path):
    Path(preset, "tokenizer_config.json").write_text('{"strip_accents": false}')
    folder = str(tmp_path / "saved")
    bert_classifier(preset, 2).get_layer("backbone").save_to_preset(folder)
    bert_tokenizer(preset).save_to_preset(folder)
    assert word_pieces(bert_tokenizer(folder), ["A Café"]) == [[5, 1]]
    # keras-hub's own tokenizer says that accents stay when nobody has asked.
    BertTokenizer(WORDS, lowercase=True).save_to_preset(folder)
    assert word_pieces(bert_tokenizer(folder), ["A Café"]) == [[5, 6]]


@pytest.mark.slow
@pytest.mark.parametrize("layers", [None, 2])
def test_a_tagger_classifies_the_states_of_the_same_encoder(preset, layers):
    tagger, classifier = (
        bert_tagger(preset, 5, layers=layers),
        bert_classifier(preset, 2, layers=layers),
    )
    assert tagger.output.shape == (None, None, 5) and tagger.layers[-1].name == "logits"
    ids = np.array([[2, 5, 7, 9, 3], [2, 6, 3, 0, 0]], "int32")
    inputs = {"token_ids": ids, "padding_mask": (ids != 0).astype("int32")}
    backbone = classifier.get_layer("backbone")
    states = to_numpy(backbone({**inputs, "segment_ids": ids * 0})["sequence_output"])
    kernel, bias = tagger.get_layer("logits").get_weights()
    assert 0.01 < kernel.std() < 0.03
    found = to_numpy(tagger({**inputs, "segment_ids": ids * 0}, training=False))
    np.testing.assert_allclose(found, states @ kernel + bias, atol=1e-5)
    short = to_numpy(tagger({k: v[1:, :3] for k, v in {**inputs, "segment_ids": ids * 0}.items()}))
    np.testing.assert_allclose(short[0], found[1, :3], atol=1e-4)
    assert np.abs(short[0] - found[1, :3]).max() < np.abs(found[0, 0] - found[0, 1]).max()


def test_a_tagger_has_the_states_of_one_of_transformers_without_its_head(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the independent implementation")
    torch = pytest.importorskip("torch", reason="transformers' models run on torch")
    from fine_tuned import SIZES

    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=12, max_position_embeddings=24, **SIZES["Bert"])
    model = transformers.BertForTokenClassification(config).eval()
    model.save_pretrained(tmp_path, safe_serialization=True)  # which has no pooler
    with pytest.warns(DroppedHead, match="BertForTokenClassification"):
        tagger = bert_tagger(str(tmp_path), 2)
    tagger.get_layer("logits").set_weights(
        [model.classifier.weight.detach().numpy().T, model.classifier.bias.detach().numpy()]
    )
    ids = np.array([[2, 5, 7, 9, 3], [2, 6, 3, 0, 0]], "int32")
    mask = (ids != 0).astype("int32")
    found = to_numpy(tagger({"token_ids": ids, "padding_mask": mask, "segment_ids": ids * 0}))
    tensors = (torch.tensor(values, dtype=torch.long) for values in (ids, mask))
    with torch.no_grad():
        expected = model(*tensors).logits.numpy()
    np.testing.assert_allclose(found[mask > 0], expected[mask > 0], atol=1e-5)


def test_a_tagger_of_a_distilbert(tmp_path):
    pytest.importorskip("transformers", reason="writes the directory")
    from fine_tuned import write_classifier

    write_classifier(tmp_path / "distil", None, "DistilBert")
    tagger = bert_tagger(str(tmp_path / "distil"), 3)
    ids = np.array([[2, 5, 7, 3]], "int32")
    inputs = {"token_ids": ids, "padding_mask": ids * 0 + 1, "segment_ids": ids * 0}
    assert tagger(inputs).shape == (1, 4, 3)


def test_unknown_preset_names_the_nearest():
    with pytest.raises(ValueError, match="received 'bert_base_en_uncase'; did you mean 'bert_base"):
        bert_classifier("bert_base_en_uncase", 2)
    with pytest.raises(ValueError, match="existing directory.*received '/no/such/place'"):
        bert_tokenizer("/no/such/place")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", None, r"readable config\.json.*received FileNotFoundError"),
        ("config.json", "{", r"readable config\.json.*received JSONDecodeError"),
        ("config.json", '{"model_type": "roberta"}', "model_type 'bert'.*received 'roberta'"),
        ("config.json", '{"registered_name": "keras_hub>X"}', "BERT preset.*'keras_hub>X'"),
        ("model.safetensors", None, r"model\.safetensors or .*received \['config\.json', 'vocab"),
        ("model.safetensors", "cut", "readable BERT weights.*received SafetensorError"),
    ],
)
def test_incomplete_directories(preset, file, content, message):
    if content is None:
        os.remove(os.path.join(preset, file))
    else:
        Path(preset, file).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        bert_classifier(preset, 2)
    assert "\n" not in str(caught.value)


def test_missing_vocabulary(preset):
    os.remove(os.path.join(preset, "vocab.txt"))
    with pytest.raises(ValueError, match=r"vocabulary \(vocab.txt\).*received FileNotFoundError"):
        bert_tokenizer(preset)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([*WORDS, "cafe"], "once in preset .*'cafe' on line 7 and again on line 17; rename the"),
        ([*WORDS, "more"], "at most 16 word pieces in preset .*received 17; download the"),
        (WORDS[1:], r"in preset .*, received 15 word pieces without \[PAD\]; use"),
    ],
)
def test_unsuitable_vocabularies(preset, lines, message):
    Path(preset, "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        bert_tokenizer(preset)
    assert "\n" not in str(caught.value)


def test_vocabularies_that_join_chinese_characters_are_refused(preset):
    Path(preset, "tokenizer_config.json").write_text('{"tokenize_chinese_chars": false}')
    with pytest.raises(ValueError, match="tokenize_chinese_chars true in .*received false"):
        bert_tokenizer(preset)


@pytest.mark.parametrize("load", [bert_tokenizer, lambda preset: bert_classifier(preset, 2)])
def test_the_hugging_face_hub_needs_its_package(monkeypatch, load):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match="'hf://org/model', .* pip install huggingface_hub,.*hf"):
        load("hf://org/model")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_act": "relu"}, "hidden_act among .*received 'relu'"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps 1e-12.*received 1e-05"),
        ({"position_embedding_type": "relative_key"}, "'absolute'.*received 'relative_key'"),
    ],
)
def test_checkpoints_keras_hub_would_load_wrongly(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        bert_classifier(write_preset(tmp_path / "preset", **settings), 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes of at least 1, received 0"),
        ({"dropout": 1.0}, r"dropout in \[0, 1\), received 1.0"),
        ({"width": 8}, "load_weights=False with a width, received width=8"),
        ({"width": 7, "load_weights": False}, "2 attention heads, received 7; the nearest is 8"),
        ({"layers": 0}, "layers from 1 to 6.*received 0"),
        ({"layers": [3, 1]}, r"ascending indices from 0 to 5, received \[3, 1\]"),
        ({"layers": [1, 6]}, r"ascending indices from 0 to 5, received \[1, 6\]"),
        ({"layers": []}, r"ascending indices from 0 to 5, received \[\]"),
    ],
)
def test_wrong_arguments(preset, arguments, message):
    with pytest.raises(ValueError, match=message):
        bert_classifier(preset, **{"num_classes": 2, **arguments})


@pytest.fixture(scope="module")
def minilm():
    """The real checkpoint with logits as far apart as those of a trained classifier."""
    model = bert_classifier(MINILM, 3)
    kernel = np.random.default_rng(0).normal(0, 1.0, (384, 3))
    model.get_layer("logits").set_weights([kernel, np.zeros(3)])
    return model


def tokenized(texts, second=None):
    return tokenize(bert_tokenizer(MINILM), texts, second=second, max_length=MAX_LENGTH)


def padded(tokens):
    """A batch of token ids, padded to the longest."""
    width = max(tokens.lengths)
    batch = {
        "token_ids": tokens.token_ids,
        "padding_mask": [np.ones_like(row) for row in tokens.token_ids],
        "segment_ids": tokens.segment_ids,
    }
    return {k: np.stack([np.pad(r, (0, width - len(r))) for r in v]) for k, v in batch.items()}


@pytest.mark.real_data("minilm")
@pytest.mark.parametrize("columns", [(SENTENCES,), PAIRS], ids=["sentences", "pairs"])
def test_minilm_equals_transformers_before_and_after_saving(minilm, tmp_path, columns):
    transformers = pytest.importorskip("transformers", reason="the independent implementation")
    encode = transformers.AutoTokenizer.from_pretrained(MINILM)
    expected = encode(*columns, truncation=True, max_length=MAX_LENGTH)
    tokens = tokenized(*columns)
    assert [row.tolist() for row in tokens.token_ids] == expected["input_ids"]
    assert [row.tolist() for row in tokens.segment_ids] == expected["token_type_ids"]
    assert max(tokens.lengths) == MAX_LENGTH  # one text is cut

    batch = padded(tokens)
    reference = reference_states(MINILM, batch)
    assert len(reference.states) == 7
    minilm.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    for model in (minilm, again):
        assert max(largest_differences(model, batch, reference)) < 1e-4


@pytest.mark.real_data("minilm")
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="SavedModel from TensorFlow")
@pytest.mark.parametrize("columns", [*thorough(((SENTENCES,),)), PAIRS], ids=["sentences", "pairs"])
def test_minilm_served_from_raw_strings_has_the_logits_of_the_model(minilm, tmp_path, columns):
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    text = TextFrontEnd.from_tokenizer(
        bert_tokenizer(MINILM), max_length=MAX_LENGTH, pair=len(columns) == 2
    )
    loaded = tf.saved_model.load(export_saved_model(minilm, tmp_path, front_end=text))
    strings = dict(zip(text.signature_inputs, map(tf.constant, columns), strict=True))
    logits = to_numpy(minilm(padded(tokenized(*columns))))
    assert np.ptp(logits, axis=0).min() > 0.5
    # The logarithm of a probability is its logit but for a constant of the example.
    served = np.log(loaded.signatures["serve_text"](**strings)["probabilities"])
    differences = (logits - logits.mean(-1, keepdims=True)) - (
        served - served.mean(-1, keepdims=True)
    )
    assert np.abs(differences).max() < 1e-4


def test_a_bert_of_keras_hub_whose_heads_do_not_divide_its_width_is_read(tmp_path):
    folder = str(tmp_path / "odd")
    shape = {"hidden_dim": 10, "num_heads": 4, "intermediate_dim": 12, "num_layers": 1}
    BertBackbone(len(WORDS), **shape).save_to_preset(folder)
    BertTokenizer(WORDS, lowercase=True).save_to_preset(folder)
    assert check_preset(folder, with_weights=True).embeddings == len(WORDS)
    assert bert_classifier(folder, 2).get_layer("backbone").hidden_dim == 10
