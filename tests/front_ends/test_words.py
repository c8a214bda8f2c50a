"""Words of raw strings: each has the tag that its first piece has in training."""

import keras
import numpy as np
import pytest
from marks import crossed

from keras_prokt.data.tagged_text import labels_of_pieces, word_pieces
from keras_prokt.export import export_saved_model
from keras_prokt.front_ends import WordFrontEnd
from keras_prokt.models.wordpiece import ExactBertTokenizer

tf = pytest.importorskip("tensorflow")

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES += ["a", "cafe", "fine", "film", "very", "un", "##like", "##ly", "dull", ",", "!"]
TEXTS = ["A fine film!", "Unlikely, very DULL", "Caf\u00e9 \u5fc3", "", "unlikely " * 5]
WORDS = [["A", "fine", "film", "!"], ["Unlikely", ",", "very", "DULL"], ["Caf\u00e9", "\u5fc3"]]
WORDS += [[], ["unlikely"] * 5]


def tagger(length=None):
    """A network whose class at each position is the number of its piece."""
    names = ("token_ids", "padding_mask")
    inputs = {name: keras.Input((length,), dtype="int32", name=name) for name in names}
    logits = keras.ops.one_hot(inputs["token_ids"], len(PIECES), dtype="float32")
    return keras.Model(
        inputs, logits * keras.ops.cast(inputs["padding_mask"][..., None], "float32")
    )


@pytest.mark.slow
@pytest.mark.parametrize(("length", "names"), crossed([None, 11], [PIECES, None]))
def test_served_words_have_the_tags_of_their_first_pieces(length, names, tmp_path):
    front_end = WordFrontEnd(PIECES, max_length=11)
    path = export_saved_model(
        tagger(length), tmp_path, front_end=front_end, class_names=names, output="positions"
    )
    served = tf.saved_model.load(path).signatures["serve_text"](text=tf.constant(TEXTS))
    found = [[word.decode() for word in row if word] for row in served["words"].numpy()]
    assert found == WORDS
    pieces = word_pieces(ExactBertTokenizer(PIECES), WORDS[:3] + WORDS[4:], max_length=11)
    first = [ids[at] for ids, at in zip(pieces.token_ids, pieces.first_pieces, strict=True)]
    first.insert(3, [])
    for row, of_row, words in zip(served["tags"].numpy(), first, WORDS, strict=True):
        expected = [PIECES[i].encode() if names else i for i in of_row]
        # Words behind the end, and no words, have none.
        expected += [b"" if names else -1] * (5 - len(of_row))
        assert row.tolist() == expected
        assert len(of_row) == (3 if len(words) == 5 else len(words))


def test_it_has_the_settings_of_a_tokenizer():
    tokenizer = ExactBertTokenizer(PIECES, strip_accents=False)
    words = WordFrontEnd.from_tokenizer(tokenizer, max_length=9)
    assert words == WordFrontEnd(PIECES, strip_accents=False, max_length=9)
    assert words.tokenizer()(["caf\u00e9"]) == tokenizer(["caf\u00e9"])
    assert words.tokenizer().lowercase and not words.tokenizer().strip_accents


def test_words_of_many_pieces_or_none_have_one_first_piece_each():
    tokenizer = ExactBertTokenizer(PIECES)
    sentence = ["unlikely", "\u200b", "a!", "film"]
    found = word_pieces(tokenizer, [sentence, ["film"]], max_length=8)
    assert [PIECES[i] for i in found.token_ids[0]] == [
        *("[CLS]", "un", "##like", "##ly", "[UNK]", "a", "!", "[SEP]")
    ]
    assert [at.tolist() for at in found.first_pieces] == [[1, 4, 5], [1]]
    labels = labels_of_pieces([[7, 8, 9, 6], [5]], found.first_pieces, max_length=8)
    np.testing.assert_array_equal(
        labels, [[-1, 7, -1, -1, 8, 9, -1, -1], [-1, 5, -1, -1, -1, -1, -1, -1]]
    )


def test_it_is_checked_when_made():
    with pytest.raises(ValueError, match="max_length of at least 3"):
        WordFrontEnd(PIECES, max_length=2)
