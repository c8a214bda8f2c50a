"""Ids by BERT's rule, against transformers where it is installed, and the same when served."""

import os
import unicodedata

import keras
import numpy as np
import pytest
from marks import MINILM

from keras_prokt.export import export_saved_model
from keras_prokt.front_ends import TextFrontEnd
from keras_prokt.models.wordpiece import (
    ExactBertTokenizer,
    check_vocabulary,
    normalize_text,
    read_vocabulary,
    split_words,
)

pytestmark = pytest.mark.slow

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Conjoining jamo of "한" (hangul), as NFD writes them.
HAN = "\u1112\u1161\u11ab"
PIECES = [*SPECIAL, "a", "b", "c", "##b", "##c", "cafe", "café", "i", "##\u0307", "ı"]
PIECES += ["strasse", "straße", "σ", "##σ", "##ς", "1", "1/2", "½", "fi"]
PIECES += ["ﬁ", ".", "…", HAN, "中", "國", "ก", "##ก", "ａ", "["]
PIECES += ["]", "sep", "##", "#", "\u0628", "क", "##र", "क\u094dर", "A", "I"]

# Text -> word pieces of an uncased vocabulary, by the rules that stand beside them.
UNCASED = {
    "": "",
    " \t\r\n": "",
    "A b": "a b",
    "a\tb\nc\r\na": "a b c a",
    # White space of Unicode divides words.
    "a\u00a0b\u2003c\u3000a\u2028b": "a b c a b",
    # Control and format characters, NUL and U+FFFD go, without dividing.
    "a\u00adb\u200bc\u200d\x00\x07\ufeff\ufffd\u202e": "a ##b ##c",
    "a\x0bb\x85c": "a ##b ##c",
    "\ue000a\U000f0000b": "a ##b",
    # A code point without a character is one of the word.
    "a\u0378b": "[UNK]",
    # Accents go, however they are written.
    "café cafe\u0301 CAFÉ": "cafe cafe cafe",
    # Korean syllables are decomposed by the same rule.
    "한": HAN,
    # Each letter is lower-cased by itself, and nothing else is folded.
    "straße STRAẞE strasse": "straße straße strasse",
    "ΣΣ σς": "σ ##σ σ ##ς",
    "I İ ı": "i i ı",
    "½ 1/2 ﬁ fi … Ａ": "½ 1 [UNK] [UNK] ﬁ fi … ａ",
    # Chinese characters and punctuation are words, letters of other scripts are not.
    "a中國b": "a 中 國 b",
    "a.b[SEP]#": "a . b [ sep ] #",
    "กกก": "ก ##ก ##ก",
    # Vowel points of Arabic and the virama of Devanagari are category Mn, vowel signs are Mc.
    "\u0628\u064e": "\u0628",
    "क\u094dर क\u093e": "क ##र [UNK]",
    # 100 characters are looked into, however many bytes they are, 101 are not.
    "a" + "b" * 99: "a" + " ##b" * 99,
    "a" + "b" * 100: "[UNK]",
    "ก" * 100: "ก" + " ##ก" * 99,
    "ก" * 101 + " a": "[UNK] a",
    "a" + "\u0301" * 200: "a",
}
CASED = {
    "A a café CAFE": "A a café [UNK]",
    "I\u00a0İ\u00ad": "I [UNK]",
    "a中A": "a 中 A",
}
WITH_ACCENTS = {"CAFÉ": "café", "I İ": "i i ##\u0307", "한": "[UNK]"}
CASED_WITHOUT_ACCENTS = {"A Á Café café": "A A [UNK] cafe"}
RULES = [
    pytest.param({}, UNCASED, id="uncased"),
    pytest.param({"lowercase": False}, CASED, id="cased"),
    pytest.param({"strip_accents": False}, WITH_ACCENTS, id="uncased-with-accents"),
    pytest.param(
        {"lowercase": False, "strip_accents": True}, CASED_WITHOUT_ACCENTS, id="cased-without"
    ),
]

SENTENCES = [
    "",
    "   ",
    "Hello, World! It's 3.50$ (approx.) -- isn't it?",
    "a\u00a0b\u2003c d\u2009e\u202ff\u3000g\u1680h\u2028i\u2029j",
    "soft\u00adhyphen zero\u200bwidth word\u2060joiner \ufeffbyte order",
    "bell\x07 nul\x00 escape\x1b delete\x7f next\x85line vertical\x0btab form\x0cfeed",
    "tabs\tand\nlines\r\nand returns\rhere",
    "replacement \ufffd character\ufffds, private \ue123use\U000f1234",
    "naïve café Über résumé Ångström Ệ",
    "nai\u0308ve cafe\u0301 U\u0308ber combining\u0301\u0302\u0303 accents",
    "Straße STRASSE ẞ groß",
    "ΟΔΟΣ ΟΔΥΣΣΕΥΣ λόγος",
    "İstanbul IŞIK ışık DIŞARI i\u0307",
    "Ǆ ǅ ǆ ŉ ǰ ΐ ᾈ ᾳ",
    "ﬁne ﬂow ﬃ oﬄ ﬅ Ĳ ĳ",
    "ＡＢＣ ａｂｃ １２３ ！？。",
    "½ cup, ¾ ⅓, x² + y³, H₂O, № 5, ™ ® ©",
    "wait… “quoted” ‘single’ – — ― «» ‹›",
    "µm μm \u2126 Ω \u212b \u212a ª º",
    "한국어 문장입니다. \u110b\u1161\u11ab",
    "中文测试，你好！ mixed中text",
    "日本語のテスト。がぎぐ ガギグ ｶ\uff9e",
    "\uf900\ufa10\U0002f800 \U00020000 \U0002b820 \U0002b920",
    "\u0627\u0644\u0639\u064e\u0631\u064e\u0628\u0650\u064a\u0651\u064e\u0629\u061f \ufefb \u0640",
    "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd \u05be \u05f4",
    "สว\u0e31สด\u0e35คร\u0e31บประเทศไทย" * 4,
    "ह\u093fन\u094dद\u0940 क\u094dष\u0947त\u094dर। क़ क\u093c",
    "ব\u09be\u0982ল\u09be தம\u0bbfழ\u0bcd త\u0c46ల\u0c41గ\u0c41",
    "Русский Йод Ёлка Їжак ѝ",
    "Ⴀა Ა Ꭰ ꭰ Աև Ⰰ 𐐀 \U0001e900",
    "😀 👍🏽 👨\u200d👩\u200d👧 ❤\ufe0f 🇩🇪",
    "zero\u200dwidth क\u094d\u200dष non\u200cjoiner",
    "$100 50% a+b=c <tag> ~x~ `code` ^up |pipe| under_score @user #tag \\ /",
    "€5 £ ¥ ₹ × ÷ ≠ ≤ √ °C § ¶ →",
    "ⅠⅡⅢ ⅰ ① Ⓐ ⓐ 𝐀 𝟘",
    "https://example.org/a?b=c&d=%20e user@example.org",
    "##ing ## # un##like [unused1]",
    "a" * 100,
    "a" * 101 + " fine",
    "\u0430" * 100 + " " + "\u0430" * 101,
    "e\u0301" * 101 + " x",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "\u0378 \uffff \U0010ffff a\u0378b",
    "\u2e43 ᭽ \u1734\u1714 ᙭ a\u1ac0b a\u1dfbb \u180e",
    "\u1100\u1161\u302e a\u0327\u0301 a\u0301\u0327 \u0344 \u0340",
]
SETTINGS = [(True, None), (False, None), (True, False), (False, True)]


def ids_of(tokenizer, texts):
    """Of each text in a graph, as in training."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(tf.constant(texts)).batch(512).map(tokenizer)
    return [row for batch in dataset for row in batch.to_list()]


def pieces_of(tokenizer, texts):
    vocabulary = tokenizer.get_vocabulary()
    return [" ".join(vocabulary[i] for i in row) for row in ids_of(tokenizer, texts)]


def random_texts(count):
    """Of characters of all planes, the usual ones more often, between letters and spaces."""
    random = np.random.default_rng(0)
    limits = [0x80, 0x250, 0x700, 0x3000, 0x10000, 0x20000, 0x110000]
    texts = []
    for _ in range(count):
        points = random.integers(0, random.choice(limits, 30))
        points[(points >= 0xD800) & (points < 0xE000)] = 0x301
        points[random.random(30) < 0.2] = ord("e")
        points[random.random(30) < 0.2] = ord(" ")
        texts.append("".join(map(chr, points)))
    return texts


@pytest.mark.parametrize(("settings", "rules"), RULES)
def test_ids_by_the_rule(settings, rules):
    tokenizer = ExactBertTokenizer(PIECES, **settings)
    assert dict(zip(rules, pieces_of(tokenizer, list(rules)), strict=True)) == rules
    # Outside of a graph as well.
    eager = [" ".join(PIECES[i] for i in row) for row in tokenizer(list(rules))]
    assert eager == list(rules.values())


def test_what_is_no_utf8_is_dropped():
    texts = [b"a\xffb", b"a\xed\xa0\x80b", b"caf\xc3", b"\xc0\x80a", b"a\xf4\x90\x80\x80b"]
    tokenizer = ExactBertTokenizer([*PIECES, "caf"])
    assert pieces_of(tokenizer, texts) == ["a ##b", "a ##b", "caf", "a", "a ##b"]


@pytest.mark.parametrize(("lowercase", "strip_accents"), SETTINGS)
@pytest.mark.real_data("minilm")
def test_ids_equal_transformers(lowercase, strip_accents):
    transformers = pytest.importorskip("transformers", reason="the independent implementation")
    file = os.path.join(MINILM, "vocab.txt")
    reference = transformers.BertTokenizerFast(
        file, do_lower_case=lowercase, strip_accents=strip_accents
    )
    tokenizer = ExactBertTokenizer(
        read_vocabulary(file), lowercase=lowercase, strip_accents=strip_accents
    )
    texts = [*SENTENCES, *random_texts(3000)]
    expected = reference(texts, add_special_tokens=False)["input_ids"]
    for text, own, theirs in zip(texts, ids_of(tokenizer, texts), expected, strict=True):
        assert own == theirs, ascii(text)


@pytest.mark.parametrize(("lowercase", "strip_accents"), SETTINGS)
def test_words_with_any_character_equal_those_of_tokenizers(lowercase, strip_accents):
    import tensorflow as tf

    tokenizers = pytest.importorskip("tokenizers", reason="the independent implementation")
    strip_accents = lowercase if strip_accents is None else strip_accents
    normalizer = tokenizers.normalizers.BertNormalizer(
        lowercase=lowercase, strip_accents=strip_accents
    )
    divide = tokenizers.pre_tokenizers.BertPreTokenizer()
    points = [
        *range(0xD800),
        *range(0xE000, 0x20000),
        *range(0x2A000, 0x2FB00),
        *range(0xE0000, 0xE0200),
    ]
    texts = [f"a{chr(point)}B {chr(point)}" for point in points]
    normal = normalize_text(tf.constant(texts), lowercase=lowercase, strip_accents=strip_accents)
    others = []
    for point, text, words in zip(points, texts, split_words(normal).to_list(), strict=True):
        expected = divide.pre_tokenize_str(normalizer.normalize_str(text))
        if [word.decode() for word in words] != [word for word, _ in expected]:
            others.append(point)
    # Capitals and compositions that this Python does not know; U+11938 is of Unicode 13.
    assert {unicodedata.category(chr(point)) for point in others} - {"Cn"} <= {"Mc"}
    assert len(others) < 100


def test_lower_case_depends_on_no_locale():
    import tensorflow as tf

    # ICU's operations would make "\u0131" of "I" under a Turkish locale.
    traced = tf.function(ExactBertTokenizer(PIECES)).get_concrete_function(
        tf.TensorSpec([None], tf.string)
    )
    operations = {operation.type for operation in traced.graph.get_operations()}
    assert "UnicodeTranscode" in operations
    assert not operations & {"StringLower", "CaseFoldUTF8"}


def test_shapes():
    import tensorflow as tf

    tokenizer = ExactBertTokenizer(PIECES)
    assert np.asarray(tokenizer("a b")).tolist() == [PIECES.index("a"), PIECES.index("b")]
    traced = tf.function(tokenizer, input_signature=[tf.TensorSpec([None], tf.string)])
    assert traced(tf.zeros([0], tf.string)).shape.as_list() == [0, None]
    assert traced(tf.constant(["", ""])).to_list() == [[], []]
    strings = ExactBertTokenizer(PIECES, dtype="string")
    assert strings(["abc \u4e2d"]) == [["a", "##b", "##c", "\u4e2d"]]


def test_settings_and_vocabulary_survive_saving(tmp_path):
    vocabulary = [*PIECES, "\u00a0", "\u3000"]
    tokenizer = ExactBertTokenizer(vocabulary, lowercase=True, strip_accents=False, name="own")
    again = ExactBertTokenizer.from_config(tokenizer.get_config())
    again.set_vocabulary(vocabulary)
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, tokenizer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").get_layer("own")
    for copy in (again, loaded):
        assert copy.get_config() == tokenizer.get_config()
        assert copy.get_vocabulary() == vocabulary
        assert pieces_of(copy, list(WITH_ACCENTS)) == list(WITH_ACCENTS.values())


def test_unsuitable_vocabularies(tmp_path):
    with pytest.raises(ValueError, match=r"in 'v', received 4 word pieces without \[MASK\]; use"):
        check_vocabulary(SPECIAL[:-1], "'v'")
    with pytest.raises(ValueError, match="received 'a' on line 6 and again on line 8; rename"):
        ExactBertTokenizer([*SPECIAL, "a", "b", "a"])
    for front_end in ([*SPECIAL, "a", "a"], tmp_path / "vocab.txt"):
        (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL, "a", "a", ""]))
        with pytest.raises(ValueError, match="once in .*, received 'a' on line 6") as caught:
            TextFrontEnd(front_end)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="SavedModel from TensorFlow")
@pytest.mark.parametrize(
    "of_minilm", [False, pytest.param(True, marks=pytest.mark.real_data("minilm"))]
)
def test_a_saved_model_has_the_same_ids(tmp_path, of_minilm):
    import tensorflow as tf

    vocabulary = read_vocabulary(os.path.join(MINILM, "vocab.txt")) if of_minilm else PIECES
    texts = SENTENCES if of_minilm else list(UNCASED)
    expected = ids_of(ExactBertTokenizer(vocabulary), texts)
    # The logits of this student are its ids, scaled to what exponentials can hold.
    length, scale = 2 + max(map(len, expected)), 10 / len(vocabulary)
    ids = keras.Input((length,), dtype="int32", name="token_ids")
    table = keras.layers.Embedding(len(vocabulary), 1, name="table")
    student = keras.Model(ids, keras.layers.Flatten()(table(ids)))
    table.set_weights([scale * np.arange(len(vocabulary), dtype="float32")[:, None]])

    path = export_saved_model(
        student, tmp_path, front_end=TextFrontEnd(vocabulary, max_length=length)
    )
    loaded = tf.saved_model.load(path)
    logits = np.log(loaded.signatures["serve_text"](text=tf.constant(texts))["probabilities"])
    cls, sep = vocabulary.index("[CLS]"), vocabulary.index("[SEP]")
    served = np.rint((logits - logits[:, :1]) / scale).astype(int) + cls
    for row, own in zip(served.tolist(), expected, strict=True):
        assert row[: len(own) + 2] == [cls, *own, sep]
        assert set(row[len(own) + 2 :]) <= {0}
