"""BERT's tokenisation in TensorFlow operations: a text has the same ids in training and served.

What Hugging Face's `BertTokenizerFast` does, character for character: keras-hub's own preparation
of the text folds compatibility characters (NFKC), which BERT was not trained with. The tables of
characters are those of tokenizers 0.22, whose Unicode is that of 2015; RE2's are newer.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras_hub.models import BertTokenizer

# What keras-hub's own tokenizers are decorated with, and not public: strings may be in lists and
# stay on the CPU, and ids come as the backend's tensors.
from keras_hub.src.utils.tensor_utils import (
    no_convert_scope,
    preprocessing_function,
    tf,
    tf_text,
)

from keras_prokt.bert_files import check_vocabulary, read_vocabulary
from keras_prokt.tensorflow_beside import import_tensorflow, keep_off_gpu
from keras_prokt.typing import Tensor

# keras-hub has imported TensorFlow, if it is there, whatever the backend.
keep_off_gpu()


LONGEST_WORD = 100
"""Characters of the longest word that BERT looks into; a longer one is [UNK]."""


def _class(ranges: str) -> str:
    """Ranges of code points as they stand between the brackets of an RE2 pattern."""
    return re.sub(r"[0-9A-F]+", r"\\x{\g<0>}", ranges).replace(" ", "")


# Categories Cc, Cf and Co but for tab and line ends, and U+FFFD. Code points without a character
# (Cn) stay: Hugging Face's code says the contrary, its table has none.
_REMOVED = _class(
    "0-8 B-C E-1F 7F-9F AD 600-605 61C 6DD 70F 180E 200B-200F 202A-202E 2060-2064 2066-206F "
    "E000-F8FF FEFF FFF9-FFFB FFFD 110BD 1BCA0-1BCA3 1D173-1D17A E0001 E0020-E007F F0000-FFFFD "
    "100000-10FFFD"
)
_SPACES = _class("9 A D 20 A0 1680 2000-200A 2028-2029 202F 205F 3000")
# The gap before 2B920 is Hugging Face's.
_CHINESE = _class(
    "3400-4DBF 4E00-9FFF F900-FAFF 20000-2A6DF 2A700-2B73F 2B740-2B81F 2B920-2CEAF 2F800-2FA1F"
)
# Category Mn, without what came or changed after Unicode 8.
_NEWER_ACCENTS = _class(
    "7FD 898-8E1 9FE AFA-AFF B55 C04-C3C D00 D3B-D3C D81 EBA ECE 180F-1886 1ABF-1ACE 1DF6-1DFB "
    "A82C A8C5 A8FF A9BD 10D24-10F85 11070-11074 110C2 111C9 111CF 1123E-11241 1133B 11438-1145E "
    "1182F-13455 16F4F 16FE4 1CF00-1CF46 1E000-1E4EF 1E944-1E94A"
)
_ACCENT = rf"[^\P{{Mn}}{_NEWER_ACCENTS}]|\x{{1734}}"
# Category P, in the same way, and all of ASCII that is neither letter nor digit.
_NEWER_PUNCTUATION = _class(
    "61D 9FD-A76 C77-C84 1B7D-1B7E 2E43-2E5D 10EAD-10F89 1144B-1145D 11660-116B9 1183B-11FFF "
    "12FF1-12FF2 16E97-16FE2 1E95E-1E95F"
)
_PUNCTUATION = rf"[!-/:-@\[-`{{-~]|[^\P{{P}}{_NEWER_PUNCTUATION}]|\x{{166D}}|\x{{111C9}}"


def normalize_text(texts: Tensor, *, lowercase: bool, strip_accents: bool) -> Tensor:
    r"""Texts without control characters and, for uncased vocabularies, accents and capitals.

    Devlin et al. 2019 (arXiv 1810.04805), their `BasicTokenizer`, in the order of Hugging Face's
    `BertNormalizer`. Accents are what canonical decomposition (NFD) splits off, so that Korean
    syllables become jamo. Each letter is lower-cased by itself: "Σ" is "σ" at the end of a word
    too, and no locale changes "I". What is no UTF-8 is dropped.

    Args:
        texts: Strings in UTF-8 of any shape but `()`.
        lowercase: Whether to lower-case.
        strip_accents: Whether to remove accents.

    Returns:
        Strings of the same shape.

    Example:

    >>> import tensorflow as tf
    >>> from keras_prokt.models.wordpiece import normalize_text
    >>> text = normalize_text(tf.constant(["Caf\u00e9\u200b"]), lowercase=True, strip_accents=True)
    >>> text.numpy().tolist()
    [b'cafe']
    """
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="ignore")
    texts = tf.strings.regex_replace(texts, f"[{_REMOVED}]", "")
    if strip_accents:
        texts = tf.strings.regex_replace(tf_text.normalize_utf8(texts, "NFD"), _ACCENT, "")
    return _lower(texts) if lowercase else texts


def split_words(texts: Tensor) -> Tensor:
    """Words of normalised texts; each mark of punctuation and Chinese character is one.

    Args:
        texts: Strings in UTF-8, shape `(batch,)`.

    Returns:
        A ragged tensor of strings, shape `(batch, None)`.

    Example:

    >>> import tensorflow as tf
    >>> from keras_prokt.models.wordpiece import split_words
    >>> split_words(tf.constant(["it's fine"])).to_list()
    [[b'it', b"'", b's', b'fine']]
    """
    alone = rf"{_PUNCTUATION}|[{_CHINESE}]"
    return tf_text.regex_split(texts, rf"{alone}|[{_SPACES}]", alone)


@keras.saving.register_keras_serializable(package="keras_prokt")
class ExactBertTokenizer(BertTokenizer):
    """`keras_hub.models.BertTokenizer` with the ids of Hugging Face's `BertTokenizerFast`.

    They differ in two ways only. What Hugging Face takes out of a text beforehand, special pieces
    ("[SEP]") and those of an `added_tokens.json`, are ordinary characters here, so that no text can
    inject a special one. And up to a hundred rare letters, those which are newer than the Unicode
    of Python and U+11938, are not lower-cased or are decomposed.

    Args:
        vocabulary: The word pieces in the order of their ids, each once.
        lowercase: Whether the vocabulary is lower-cased.
        strip_accents: Whether accents are removed; `None`: as `lowercase`, which is what BERT
            does.
        name, trainable, dtype, config_file: As of every keras-hub tokenizer.

    Raises:
        ValueError: If a word piece is there twice, or a special one is not.

    Example:

    >>> from keras_prokt.models.wordpiece import ExactBertTokenizer
    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cafe", "##s"]
    >>> ExactBertTokenizer(pieces)(["Cafés"])
    [[5, 6]]
    """

    def __init__(
        self,
        vocabulary: Sequence[str] | None = None,
        *,
        lowercase: bool = True,
        strip_accents: bool | None = None,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = "int32",
        config_file: str = "tokenizer.json",
    ):
        super().__init__(
            vocabulary,
            lowercase=lowercase,
            strip_accents=lowercase if strip_accents is None else strip_accents,
            name=name,
            trainable=trainable,
            dtype=dtype,
            config_file=config_file,
        )

    def set_vocabulary(self, vocabulary: Sequence[str] | None) -> None:
        if vocabulary is not None:
            check_vocabulary(vocabulary, "the vocabulary")
            import_tensorflow("tokenizing texts")
        super().set_vocabulary(vocabulary)
        self._word_pieces = None
        if vocabulary is not None:
            # keras-hub's counts bytes: 34 letters of Thai would be too long a word.
            self._word_pieces = tf_text.FastWordpieceTokenizer(
                vocab=self.vocabulary,
                token_out_type=self.compute_dtype,
                max_bytes_per_word=4 * LONGEST_WORD,
                no_pretokenization=True,
            )

    @preprocessing_function
    def tokenize(self, inputs: Tensor) -> Tensor:
        self._check_vocabulary()
        texts = tf.convert_to_tensor(inputs)
        scalar = texts.shape.rank == 0
        texts = tf.expand_dims(texts, 0) if scalar else texts
        words = split_words(
            normalize_text(texts, lowercase=self.lowercase, strip_accents=self.strip_accents)
        )
        # A word too long in characters is made too long in bytes as well.
        pattern = f"^.{{{LONGEST_WORD + 1}}}"
        words = tf.strings.regex_replace(words, pattern, r"\0\0\0\0", replace_global=False)
        ids = self._word_pieces.tokenize(words).merge_dims(-2, -1)
        return ids[0] if scalar else ids

    def ragged_ids(self, texts: Tensor) -> Tensor:
        """What it gives in a graph, a ragged tensor of TensorFlow, outside of one too."""
        with no_convert_scope():
            return self(texts)

    def load_assets(self, dir_path: str) -> None:
        self.set_vocabulary(read_vocabulary(Path(dir_path) / self.file_assets[0]))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        own = ("name", "trainable", "dtype", "config_file", "lowercase", "strip_accents")
        return {key: config[key] for key in own}


def _lower(texts: Tensor) -> Tensor:
    """Lower case of each code point by itself; TensorFlow's follows the locale and the word."""
    capitals, small = _letters()
    # The one capital that becomes two characters.
    texts = tf.strings.regex_replace(texts, "\u0130", "i\u0307")
    points = tf.strings.unicode_decode(texts, "UTF-8")
    place = tf.minimum(tf.searchsorted(capitals, points.flat_values), len(capitals) - 1)
    is_capital = tf.gather(capitals, place) == points.flat_values
    lowered = tf.where(is_capital, tf.gather(small, place), points.flat_values)
    return tf.strings.unicode_encode(points.with_flat_values(lowered), "UTF-8")


@functools.cache
def _letters() -> tuple[np.ndarray, np.ndarray]:
    """Code points of capitals, ascending, and of their lower case, as this Python knows them."""
    letters = [(ord(c), c.lower()) for c in map(chr, range(0x20000)) if c.lower() != c]
    pairs = [(capital, ord(small)) for capital, small in letters if len(small) == 1]
    capitals, small = np.array(pairs, "int32").T
    return capitals, small
