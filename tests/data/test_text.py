"""Texts to ids, against transformers where it is installed."""

import numpy as np
import pytest
from keras_hub.models import BertTokenizer
from marks import DATA, MINILM, thorough

from keras_prokt.data import text as text_module
from keras_prokt.data.text import tokenize, tokenize_once
from keras_prokt.models.bert import bert_tokenizer
from keras_prokt.models.wordpiece import ExactBertTokenizer
from keras_prokt_apps.glue.data import load_glue

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##d"]


@pytest.fixture(scope="module")
def tokenizer():
    return ExactBertTokenizer(WORDS)


def as_lists(arrays):
    return [array.tolist() for array in arrays]


def test_single_texts(tokenizer):
    result = tokenize(tokenizer, ["a b", "", "ad zzz"])
    assert as_lists(result.token_ids) == [[2, 5, 6, 3], [2, 3], [2, 5, 8, 1, 3]]
    assert as_lists(result.segment_ids) == [[0] * 4, [0] * 2, [0] * 5]
    assert result.token_ids[0].dtype == result.segment_ids[0].dtype == np.int32
    assert len(result) == 3 and result.lengths.tolist() == [4, 2, 5]


def test_pairs(tokenizer):
    result = tokenize(tokenizer, ["a", "a b"], second=["b c", "c"])
    assert as_lists(result.token_ids) == [[2, 5, 3, 6, 7, 3], [2, 5, 6, 3, 7, 3]]
    assert as_lists(result.segment_ids) == [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]]


def test_truncation_keeps_the_separators(tokenizer):
    single = tokenize(tokenizer, ["a b c a b c"], max_length=5)
    assert as_lists(single.token_ids) == [[2, 5, 6, 7, 3]]
    pair = tokenize(tokenizer, ["a " * 9, "a"], second=["b " * 9, "b " * 9], max_length=7)
    assert as_lists(pair.token_ids) == [[2, 5, 5, 3, 6, 6, 3], [2, 5, 3, 6, 6, 6, 3]]


def test_texts_inject_no_special_tokens():
    result = tokenize(ExactBertTokenizer(WORDS), ["a[SEP]b"], second=["[CLS] c [PAD]"])
    assert as_lists(result.token_ids) == [[2, 5, 1, 1, 1, 6, 3, 1, 1, 1, 7, 1, 1, 1, 3]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [BertTokenizer, ExactBertTokenizer])
def test_neither_batch_size_nor_a_graph_changes_anything(kind, tokenizer, monkeypatch):
    texts = ["a", "b c ad", "", "c " * 20, "zzz b"]
    whole = tokenize(tokenizer, texts)
    for batches in (8, 0):  # none: in a graph
        monkeypatch.setattr(text_module, "FEW_BATCHES", batches)
        pieces = tokenize(kind(WORDS), texts, batch_size=2)
        assert as_lists(whole.token_ids) == as_lists(pieces.token_ids)
        assert as_lists(whole.segment_ids) == as_lists(pieces.segment_ids)


def test_bytes_arrays_and_nothing(tokenizer):
    result = tokenize(tokenizer, np.array([b"a b", "c"], dtype=object))
    assert as_lists(result.token_ids) == [[2, 5, 6, 3], [2, 7, 3]]
    assert len(tokenize(tokenizer, [])) == 0 and tokenize(tokenizer, []).lengths.shape == (0,)


@pytest.mark.parametrize(
    ("texts", "arguments", "message"),
    [
        ("a", {}, "texts to be a list of strings, received one string"),
        (["a", None], {}, r"texts to hold strings, received None \(NoneType\) at row 1"),
        (["a"], {"second": [float("nan")]}, r"second to hold strings, received nan \(float\)"),
        (["a", "b"], {"second": ["a"]}, r"second texts as texts \(2\), received 1"),
        (["a"], {"max_length": 2}, "max_length of at least 3 .*received 2"),
        (["a"], {"second": ["b"], "max_length": 4}, "max_length of at least 5 .*received 4"),
        (["a"], {"batch_size": 0}, "batch_size of at least 1, received 0"),
    ],
)
def test_wrong_arguments(tokenizer, texts, arguments, message):
    with pytest.raises(ValueError, match=message):
        tokenize(tokenizer, texts, **arguments)


def reference_ids(first, second, max_length):
    transformers = pytest.importorskip("transformers", reason="the independent implementation")
    return transformers.AutoTokenizer.from_pretrained(MINILM)(
        first, second, truncation=True, max_length=max_length
    )


@pytest.mark.real_data("minilm", "glue/sst2", "glue/mrpc")
@pytest.mark.parametrize(("task", "max_length"), [("sst2", 128), ("sst2", 16), ("mrpc", 128)])
def test_real_texts_equal_transformers(task, max_length):
    split = load_glue(task, "validation", data_dir=str(DATA))
    expected = reference_ids(split.texts, split.second, max_length)
    result = tokenize(
        bert_tokenizer(MINILM), split.texts, second=split.second, max_length=max_length
    )
    assert as_lists(result.token_ids) == expected["input_ids"]
    assert as_lists(result.segment_ids) == expected["token_type_ids"]


@pytest.mark.slow
def test_long_lists_are_tokenized_once(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(text_module, "WORTH_KEEPING", 3)
    first, second = ["a b", "", "ad zzz", "a"], ["c", "b c", "a", "ad"]

    def kept():
        return sorted(path.name for path in (tmp_path / "data").glob("*"))

    made = tokenize_once(tokenizer, first, second=second, cache=tmp_path)
    assert len(kept()) == 1
    with monkeypatch.context() as patch:
        patch.setattr(text_module, "tokenize", None)  # not called again
        again = ExactBertTokenizer(WORDS)
        read = tokenize_once(again, first, second=second, cache=tmp_path)
    direct = tokenize(tokenizer, first, second=second)
    for tokens in (made, read):
        assert as_lists(tokens.token_ids) == as_lists(direct.token_ids)
        assert as_lists(tokens.segment_ids) == as_lists(direct.segment_ids)
    assert read.token_ids[0].dtype == np.int32

    other_words = ExactBertTokenizer([*WORDS, "zzz"])
    with_accents = ExactBertTokenizer(WORDS, strip_accents=False)
    with_capitals = ExactBertTokenizer(WORDS, lowercase=False, strip_accents=True)
    for changed in (
        dict(second=second, max_length=64),
        dict(second=second[::-1]),
        dict(),
        dict(second=second, tokenizer=other_words),
        dict(second=second, tokenizer=with_accents),
        dict(second=second, tokenizer=with_capitals),
    ):
        before = len(kept())
        tokenize_once(changed.pop("tokenizer", tokenizer), first, cache=tmp_path, **changed)
        assert len(kept()) == before + 1
    # Not by what the texts are when joined.
    tokenize_once(tokenizer, ["a ", "b", "ad zzz", "a"], cache=tmp_path)
    assert len(kept()) == before + 2
    tokenize_once(tokenizer, first[:2], cache=tmp_path)
    assert len(kept()) == before + 2


@pytest.mark.slow
@pytest.mark.parametrize("damaged", ["token_ids.npy", *thorough("lengths.npy", "segment_ids.npy")])
def test_damaged_ids_are_made_again(damaged, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(text_module, "WORTH_KEEPING", 3)
    first, second = ["a b", "", "ad zzz", "a"], ["c", "b c", "a", "ad"]
    whole = tokenize(tokenizer, first, second=second)
    tokenize_once(tokenizer, first, second=second, cache=tmp_path)
    [path] = (tmp_path / "data").glob(f"*/{damaged}")
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-4] ^= 1  # the last number
    for broken in (bytes(flipped), content[:-4], content[:20], b"", None):
        path.unlink() if broken is None else path.write_bytes(broken)
        again = tokenize_once(tokenizer, first, second=second, cache=tmp_path)
        assert as_lists(again.token_ids) == as_lists(whole.token_ids)
        assert as_lists(again.segment_ids) == as_lists(whole.segment_ids)
        assert path.read_bytes() == content


def test_where_ids_cannot_be_kept_they_are_made_each_time(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(text_module, "WORTH_KEEPING", 1)
    (tmp_path / "data").write_text("a file where the folder would be")
    result = tokenize_once(tokenizer, ["a b"], cache=tmp_path)
    assert as_lists(result.token_ids) == [[2, 5, 6, 3]]
