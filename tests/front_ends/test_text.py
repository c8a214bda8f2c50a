"""Texts: the served graph makes the ids on which was trained."""

import keras
import numpy as np
import pytest
from marks import thorough

from keras_prokt.data.text import tokenize
from keras_prokt.front_ends import TextFrontEnd
from keras_prokt.models.wordpiece import ExactBertTokenizer

tf = pytest.importorskip("tensorflow")

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES += ["a", "cafe", "fine", "film", "very", "un", "##like", "##ly", "dull", ",", "!"]
TEXTS = ["A fine film!", "unlikely, very DULL", "caf\u00e9", "", "very " * 12, "", "[SEP] film"]
SECONDS = ["a film", "dull, " * 9, "", "", "unseen", "very fine, unlikely", "a"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("max_length", "pair"),
    [
        *[(3, False), (5, True), (8, True), (64, False), (64, True)],
        *thorough(
            *((n, pair) for n in range(3, 21) for pair in (False, True) if n >= 3 + 2 * pair)
        ),
    ],
)
@pytest.mark.parametrize("length", ["free", "fixed"])
def test_served_texts_have_the_ids_of_the_training_data(max_length, pair, length):
    text = TextFrontEnd(PIECES, max_length=max_length, pair=pair)
    shape = (max_length if length == "fixed" else None,)
    names = ("token_ids", "padding_mask", "segment_ids")
    inputs = {name: keras.Input(shape, dtype="int32", name=name) for name in names}
    served = tf.function(text.signatures(inputs)["serve_text"].to_features)
    columns = [TEXTS, SECONDS][: 1 + pair]
    strings = dict(zip(text.signature_inputs, map(tf.constant, columns), strict=True))
    features = served(strings)
    trained_on = tokenize(
        ExactBertTokenizer(PIECES), TEXTS, second=SECONDS if pair else None, max_length=max_length
    )
    longest = max_length if length == "fixed" else trained_on.lengths.max()
    for name in names:
        assert features[name].shape == (len(TEXTS), longest)
    for row, count in enumerate(trained_on.lengths):
        ids, mask, segments = (features[name][row].numpy() for name in names)
        np.testing.assert_array_equal(ids[:count], trained_on.token_ids[row])
        np.testing.assert_array_equal(segments[:count], trained_on.segment_ids[row])
        np.testing.assert_array_equal(mask, np.arange(longest) < count)


def test_front_ends_are_checked_when_made(tmp_path):
    with pytest.raises(ValueError, match=r"without \[SEP\], \[MASK\]"):
        TextFrontEnd(["[PAD]", "[UNK]", "[CLS]", "film"])
    with pytest.raises(ValueError, match="readable vocabulary file, received .*none.txt"):
        TextFrontEnd(tmp_path / "none.txt")
    with pytest.raises(ValueError, match="max_length of at least 5"):
        TextFrontEnd(PIECES, max_length=4, pair=True)


def test_a_front_end_from_a_tokenizer_has_its_settings():
    from keras_hub.models import BertTokenizer

    tokenizer = ExactBertTokenizer(PIECES, strip_accents=False)
    text = TextFrontEnd.from_tokenizer(tokenizer, max_length=9)
    assert text == TextFrontEnd(PIECES, lowercase=True, strip_accents=False, max_length=9)
    with pytest.raises(ValueError, match=r"received keras_hub\..*BertTokenizer, which gives other"):
        TextFrontEnd.from_tokenizer(BertTokenizer(PIECES, lowercase=True, strip_accents=True))
