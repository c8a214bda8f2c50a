"""Local BERT checkpoints: what is refused by their files alone."""

import json
import sys
from pathlib import Path

import pytest
from bert_vocabulary import tokenizer_json

from keras_prokt.bert_files import BertSizes, check_preset

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [*SPECIAL, *(f"piece{number}" for number in range(95))]


@pytest.fixture
def hugging_face(tmp_path):
    """The files of a Hugging Face BERT; only those are read that a check needs."""
    folder = tmp_path / "hugging_face"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"not looked into")
    write(folder)
    return folder


def write(folder, pieces=PIECES, **settings):
    config = {"model_type": "bert", "vocab_size": 100, "max_position_embeddings": 64, **settings}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))


def refusal(folder, with_weights=True):
    with pytest.raises(ValueError, match="^Expected .*; ") as error:
        check_preset(str(folder), with_weights=with_weights)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_whole_checkpoints_of_both_kinds(hugging_face, bert):
    sizes = check_preset(str(hugging_face), with_weights=True)
    assert sizes == BertSizes(embeddings=100, max_length=64, num_segments=2)
    # Written by keras-hub, of 15 word pieces (`small_glue`).
    assert check_preset(bert, with_weights=True) == BertSizes(15, 128, 2)


def test_the_home_directory_is_found(hugging_face, monkeypatch):
    monkeypatch.setenv("HOME", str(hugging_face.parent))
    assert check_preset("~/hugging_face", with_weights=True)
    assert "'~/nowhere'; check the path" in refusal("~/nowhere")


def test_names_that_are_no_paths_are_left_to_keras_hub(monkeypatch):
    for name in ("bert_base_en_uncased", "some_name", "kaggle://keras/bert/keras/base"):
        assert check_preset(name, with_weights=True) is None
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "the package huggingface_hub for preset 'hf://a/b'" in refusal("hf://a/b")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "vocab.txt"])
def test_missing_files(hugging_face, missing):
    (hugging_face / missing).unlink()
    assert missing in refusal(hugging_face)
    if missing == "model.safetensors":
        assert check_preset(str(hugging_face), with_weights=False)
    else:
        assert missing in refusal(hugging_face, with_weights=False)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("model.weights.h5", "model.weights.h5 or model.weights.json in directory"),
        ("assets/tokenizer/vocabulary.txt", "assets/tokenizer/vocabulary.txt in directory"),
    ],
)
def test_missing_files_of_keras_hub(bert, tmp_path, missing, message):
    folder = tmp_path / "copy"
    for path in Path(bert).rglob("*"):
        if path.is_file() and path.relative_to(bert).as_posix() != missing:
            copy = folder / path.relative_to(bert)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    assert message in refusal(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "Expected a readable config.json in directory"),
        (b"\xff", "Expected a readable config.json in directory"),
        (b"[]", "Expected model_type 'bert'"),
        (b'{"model_type": "gpt2"}', "received 'gpt2'; choose a checkpoint of BERT or"),
        (b'{"model_type": "bert"}', "at least 1 for vocab_size .*received None"),
        (b'{"registered_name": "x", "config": []}', "at least 1 for vocabulary_size"),
    ],
)
def test_wrong_configurations(hugging_face, content, message):
    (hugging_face / "config.json").write_bytes(content)
    (hugging_face / "assets" / "tokenizer").mkdir(parents=True)
    (hugging_face / "assets" / "tokenizer" / "vocabulary.txt").write_text("a\n")
    with pytest.raises(ValueError, match=message):
        check_preset(str(hugging_face), with_weights=False)


@pytest.mark.parametrize("value", [0, 1.5, "64", True, None])
def test_sizes_that_are_no_numbers(hugging_face, value):
    write(hugging_face, max_position_embeddings=value)
    assert f"for max_position_embeddings in the config.json of {str(hugging_face)!r}" in refusal(
        hugging_face
    )


@pytest.mark.parametrize("value", [0, -1, True, "2", None, 2.0, [2]])
@pytest.mark.parametrize(
    ("model_type", "key"),
    [("bert", "num_hidden_layers"), ("bert", "num_attention_heads"), ("bert", "hidden_size")]
    + [("distilbert", "n_layers"), ("distilbert", "n_heads"), ("distilbert", "hidden_dim")],
)
def test_layers_that_cannot_be(hugging_face, model_type, key, value):
    write(hugging_face, model_type=model_type, **{key: value})
    assert f"at least 1 for {key} in the config.json of {str(hugging_face)!r}, received " in (
        refusal(hugging_face)
    )


def test_heads_that_do_not_divide_the_width(hugging_face):
    write(hugging_face, hidden_size=8, num_attention_heads=3)
    assert "hidden_size to be a multiple of num_attention_heads" in refusal(hugging_face)


@pytest.mark.parametrize("piece", SPECIAL)
def test_a_vocabulary_without_a_special_piece(hugging_face, piece):
    write(hugging_face, ["other" if one == piece else one for one in PIECES])
    assert f"received 100 word pieces without {piece};" in refusal(hugging_face)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (PIECES[:6], "received 6; it is cut"),
        (PIECES[:89], "received 89; it is cut"),
        ([*PIECES, ""], "received 101; delete blank lines"),
        ([*PIECES[:-1], "[MASK]"], r"'[MASK]' on line 5 and again on line 100"),
        ([*PIECES[:-1], "no\0text"], r"received 'no\x00text' on line 100"),
    ],
)
def test_vocabularies_of_other_sizes(hugging_face, pieces, message):
    write(hugging_face, pieces)
    assert message in refusal(hugging_face)
    assert str(hugging_face / "vocab.txt") in refusal(hugging_face)


def test_a_vocabulary_may_be_a_little_smaller_than_the_embeddings(hugging_face):
    # Embeddings are rounded up to a multiple of 8 or 64 now and then.
    write(hugging_face, PIECES[:93])
    assert check_preset(str(hugging_face), with_weights=True)


def test_a_vocabulary_that_is_not_utf8(hugging_face):
    (hugging_face / "vocab.txt").write_bytes(b"[PAD]\n\xe9\n")
    assert "Expected a readable BERT vocabulary at" in refusal(hugging_face)


@pytest.mark.parametrize("name", ["hidden_size", "intermediate_size", "num_hidden_layers"])
def test_a_config_that_claims_more_than_the_weights_is_refused(name, hugging_face):
    shape = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
    write(hugging_face, **shape)
    assert "download the preset again" in refusal(hugging_face)
    (hugging_face / "model.safetensors").write_bytes(bytes(6000))
    assert check_preset(str(hugging_face), with_weights=True)
    write(hugging_face, **shape | {name: 800})
    assert f"Expected the weights of hidden_size {800 if name == 'hidden_size' else 8}" in (
        refusal(hugging_face)
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hidden_size", "at most 10,000,000,000 weights"),
        ("intermediate_size", "at most 10,000,000,000 weights"),
        ("num_hidden_layers", "at most 1,000 num_hidden_layers"),
        ("max_position_embeddings", "at most 10,000,000,000 weights"),
    ],
)
def test_what_no_bert_has_is_refused_without_weights_beside_it(name, message, hugging_face):
    shape = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
    write(hugging_face, **shape | {name: 10**10})
    assert message in refusal(hugging_face, with_weights=False)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no device without an end")
@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "model.safetensors"])
def test_a_device_is_no_file_of_a_checkpoint(name, hugging_face):
    (hugging_face / name).unlink()
    (hugging_face / name).symlink_to("/dev/zero")
    assert name in refusal(hugging_face)


@pytest.mark.parametrize("is_alone", [True, False])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__type": "BPE"}, "a tokenizer.json of BPE and BertNormalizer"),
        ({"model__continuing_subword_prefix": "@@"}, "continuing_subword_prefix '@@' instead of"),
        ({"model__unk_token": "<unk>"}, "with model unk_token '<unk>' instead of '[UNK]'"),
        ({"model__max_input_chars_per_word": 20}, "max_input_chars_per_word 20 instead of 100"),
        ({"normalizer__clean_text": False}, "with normalizer clean_text False instead of True"),
        ({"pre_tokenizer__type": "Whitespace"}, "pre_tokenizer type 'Whitespace' instead of"),
    ],
)
def test_a_tokenizer_that_splits_otherwise_is_refused(changes, message, is_alone, hugging_face):
    (hugging_face / "tokenizer.json").write_text(tokenizer_json(PIECES))
    if is_alone:
        (hugging_face / "vocab.txt").unlink()
    assert check_preset(str(hugging_face), with_weights=True)
    (hugging_face / "tokenizer.json").write_text(tokenizer_json(PIECES, **changes))
    assert message in refusal(hugging_face)


@pytest.mark.parametrize(
    ("pieces", "place"),
    [
        ([*PIECES[:50], PIECES[51], PIECES[50], *PIECES[52:]], 50),
        (PIECES[:-1], 99),
        ([*PIECES, "one more"], 100),
    ],
)
def test_two_vocabularies_that_differ_are_refused(pieces, place, hugging_face):
    (hugging_face / "tokenizer.json").write_text(tokenizer_json(pieces))
    message = refusal(hugging_face)
    assert f"word pieces in vocab.txt and tokenizer.json of {str(hugging_face)!r}" in message
    assert f"others from id {place} on; one of them is another model's" in message
    write(hugging_face, [*PIECES[:95], ""])  # a blank line at the end, which no text has
    (hugging_face / "tokenizer.json").write_text(tokenizer_json(PIECES[:95]))
    assert check_preset(str(hugging_face), with_weights=True)
