"""Sentences: raw strings to words, and these to BERT's word pieces, with a tag for each word.

This module imports no Keras.
"""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from keras_prokt.front_ends.base import FrontEnd, Signature
from keras_prokt.front_ends.text import TextFrontEnd
from keras_prokt.typing import Tensor

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class WordFrontEnd(FrontEnd):
    """How raw strings become the inputs of a tagger: words, and BERT's WordPiece tokenisation.

    Words are what is between white space, and each mark of punctuation and Chinese character.
    The pieces are those of `TextFrontEnd`, as `keras_prokt.data.tagged_text.word_pieces` makes
    them before training; the tag of a word is that of its first piece. Its signature:

    - `serve_text`: strings `text`, UTF-8, `(batch,)`. It returns `words` and `tags`, strings
      `(batch, words)`, "" behind the last word of a text; without names of the classes `tags` are
      their numbers, and -1. A word behind `max_length` has no tag.

    Args: as `TextFrontEnd`.

    Raises:
        ValueError: As `TextFrontEnd`.

    Example:

    >>> from keras_prokt.front_ends.words import WordFrontEnd
    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "oslo", "shines"]
    >>> WordFrontEnd(pieces, max_length=16).max_length
    16
    """

    kind: ClassVar[str] = "words"

    vocabulary: Sequence[str] | str | Path
    _: KW_ONLY
    lowercase: bool = True
    strip_accents: bool | None = None
    max_length: int = 128

    def __post_init__(self) -> None:
        # The dataclass is frozen; these are its normal forms.
        text = self.of_text()
        object.__setattr__(self, "vocabulary", text.vocabulary)
        object.__setattr__(self, "strip_accents", text.strip_accents)

    @classmethod
    def from_tokenizer(cls, tokenizer: Any, *, max_length: int = 128) -> "WordFrontEnd":
        """As `TextFrontEnd.from_tokenizer`."""
        text = TextFrontEnd.from_tokenizer(tokenizer, max_length=max_length)
        return cls(
            text.vocabulary,
            lowercase=text.lowercase,
            strip_accents=text.strip_accents,
            max_length=max_length,
        )

    def of_text(self) -> TextFrontEnd:
        """The front end of texts with the same pieces."""
        return TextFrontEnd(
            self.vocabulary,
            lowercase=self.lowercase,
            strip_accents=self.strip_accents,
            max_length=self.max_length,
        )

    def tokenizer(self) -> Any:
        """The tokenizer of its pieces."""
        from keras_prokt.models.wordpiece import ExactBertTokenizer

        return ExactBertTokenizer(
            cast("tuple[str, ...]", self.vocabulary),
            lowercase=self.lowercase,
            strip_accents=self.strip_accents,
        )

    def check_inputs(self, inputs: "Mapping[str, keras.KerasTensor]") -> None:
        self.of_text().check_inputs(inputs)

    def signatures(self, inputs: "Mapping[str, keras.KerasTensor]") -> dict[str, Signature]:
        import tensorflow as tf

        from keras_prokt.models.wordpiece import normalize_text, split_words

        [text_signature] = self.of_text().signatures(inputs).values()
        tokenizer = self.tokenizer()

        def to_answers(
            raw: Mapping[str, Tensor], predictions: dict[str, Tensor]
        ) -> dict[str, Tensor]:
            # Words keep their capitals and accents.
            words = split_words(normalize_text(raw["text"], lowercase=False, strip_accents=False))
            lengths = words.with_flat_values(tokenizer(words.flat_values).row_lengths())
            tags = predictions["class_name" if "class_name" in predictions else "label"]
            missing = "" if tags.dtype == tf.string else -1
            return _tags_of(words, lengths, tags, missing, self.max_length)

        return {"serve_text": replace(text_signature, to_answers=to_answers)}


def _tags_of(
    words: Tensor, lengths: Tensor, tags: Tensor, missing: Any, max_length: int
) -> dict[str, Tensor]:
    """The tag of each word, that of its first piece.

    Args:
        words: Ragged strings `(batch, None)`.
        lengths: How many pieces each has, alike.
        tags: Of each piece, [CLS] first, `(batch, length)`.
        missing: What stands in place of a tag where there is none.
        max_length: Position before which the last piece has to be.
    """
    import tensorflow as tf

    lengths = lengths.to_tensor()
    first = 1 + tf.cumsum(lengths, axis=1, exclusive=True)
    has_tag = tf.logical_and(lengths > 0, first < max_length - 1)
    position = tf.where(has_tag, first, tf.zeros_like(first))
    found = tf.gather(tags, position, batch_dims=1)
    return {
        "words": words.to_tensor(""),
        "tags": tf.where(has_tag, found, tf.constant(missing, found.dtype)),
    }
