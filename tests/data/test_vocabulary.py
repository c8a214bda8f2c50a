"""Learnt word pieces are kept, and are never others than those that were learnt."""

import pytest

from keras_prokt.data import vocabulary as vocabulary_module
from keras_prokt.data.vocabulary import SMALLEST, check_size, learn_vocabulary

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fine", "film"]


@pytest.fixture
def learnt(monkeypatch):
    """Texts that were learnt from, in the order in which that happened."""
    learnt = []

    def learn(texts, size):
        learnt.append(list(texts))
        return PIECES

    monkeypatch.setattr(vocabulary_module, "_learn", learn)
    return learnt


def test_damaged_word_pieces_are_learnt_again(learnt, tmp_path):
    def pieces():
        return learn_vocabulary(["a fine film"], SMALLEST, cache=tmp_path)

    assert pieces() == pieces() == PIECES
    assert len(learnt) == 1
    [path] = (tmp_path / "data").glob("*/vocab.txt")
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-3] ^= 1
    for broken in (bytes(flipped), content[:-3], b"", None):
        before = len(learnt)
        path.unlink() if broken is None else path.write_bytes(broken)
        assert pieces() == PIECES
        assert len(learnt) == before + 1 and path.read_bytes() == content


def test_where_word_pieces_cannot_be_kept_they_are_learnt_each_time(learnt, tmp_path):
    (tmp_path / "data").write_text("a file where the folder would be")
    for _ in range(2):
        assert learn_vocabulary(["a fine film"], SMALLEST, cache=tmp_path) == PIECES
    assert len(learnt) == 2


def test_a_small_vocabulary_is_refused():
    check_size(SMALLEST)
    for function in (check_size, lambda size: learn_vocabulary(["a"], size)):
        with pytest.raises(ValueError, match="at least 100 word pieces, received 99; 8000"):
            function(99)
