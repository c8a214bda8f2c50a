"""Texts: raw strings to BERT's word pieces, as a text student reads them.

This module imports no Keras.
"""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from keras_prokt.arguments import check_flags, checked_integer, shown
from keras_prokt.bert_files import check_vocabulary, read_vocabulary
from keras_prokt.front_ends.base import FrontEnd, Signature
from keras_prokt.front_ends.packing import pack
from keras_prokt.typing import Tensor

if TYPE_CHECKING:
    import keras


_TEXT_FEATURES = ("token_ids", "padding_mask", "segment_ids")
_SEPARATE_FEATURES = ("token_ids", "padding_mask", "token_ids_pair", "padding_mask_pair")


def _are_texts(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, bytes)
    return is_list and all(isinstance(one, str) for one in value)


@dataclass(frozen=True)
class TextFrontEnd(FrontEnd):
    """How raw strings become the inputs of a text student: BERT's WordPiece tokenisation.

    `[CLS] text [SEP]`, for pairs `[CLS] first [SEP] second [SEP]` (Devlin et al. 2019, section
    3), as `keras_prokt.data.text.tokenize` does it before training, with the ids of
    `keras_prokt.models.wordpiece.ExactBertTokenizer`. A student of pairs with an input
    `token_ids_pair` gets `[CLS] first [SEP]` and `[CLS] second [SEP]` separately. Its signature:

    - `serve_text`: strings `text`, of pairs also `text_pair`, UTF-8, each `(batch,)`. The
      tokenizer is part of the graph: plain operations of TensorFlow, and of TensorFlow Text those
      that split words into pieces and normalise UTF-8. The stock TensorFlow Serving links them, a
      Python process must `import tensorflow_text` before it loads the SavedModel, whichever
      signature it wants.

    Args:
        vocabulary: The word pieces in the order of their ids, or the path of a `vocab.txt` with
            one a line. Kept as a tuple.
        lowercase: Whether the vocabulary is lower-cased.
        strip_accents: Whether accents are removed; `None`: as `lowercase`, which is what BERT
            does.
        max_length: Longest sequence, special pieces counted; at least 3, for pairs 5.
        pair: Whether the student reads pairs of texts.

    Raises:
        ValueError: If the vocabulary cannot be read, lacks a special piece or has a piece twice,
            or `max_length` is too small.

    Example:

    >>> from keras_prokt.front_ends.text import TextFrontEnd
    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fine", "film"]
    >>> TextFrontEnd(pieces, max_length=16).signature_inputs
    ('text',)
    """

    kind: ClassVar[str] = "text"

    vocabulary: Sequence[str] | str | Path
    _: KW_ONLY
    lowercase: bool = True
    strip_accents: bool | None = None
    max_length: int = 128
    pair: bool = False

    def __post_init__(self) -> None:
        check_flags(lowercase=self.lowercase, pair=self.pair)
        if self.strip_accents is not None:
            check_flags(strip_accents=self.strip_accents)
        checked_integer("max_length", self.max_length)
        vocabulary, source = self.vocabulary, "the list"
        if isinstance(vocabulary, str | Path):
            source = repr(str(vocabulary))
            try:
                vocabulary = read_vocabulary(vocabulary)
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(
                    f"Expected a readable vocabulary file, received {str(vocabulary)!r} ({error}); "
                    "give the path of a vocab.txt with one word piece a line."
                ) from error
        elif not _are_texts(vocabulary):
            raise ValueError(
                "Expected vocabulary to be a list of word pieces or the path of a vocab.txt, "
                f"received {shown(vocabulary)}."
            )
        check_vocabulary(vocabulary, source)
        smallest = 5 if self.pair else 3
        if self.max_length < smallest:
            raise ValueError(
                f"Expected max_length of at least {smallest} (special pieces and one of each "
                f"text), received {self.max_length}; 128 is usual."
            )
        # The dataclass is frozen; these are its normal forms.
        object.__setattr__(self, "vocabulary", tuple(vocabulary))
        if self.strip_accents is None:
            object.__setattr__(self, "strip_accents", self.lowercase)

    @classmethod
    def from_tokenizer(
        cls, tokenizer: Any, *, max_length: int = 128, pair: bool = False
    ) -> "TextFrontEnd":
        """The front end that gives the ids of the tokenizer used in training.

        Args:
            tokenizer: Of `keras_prokt.models.bert.bert_tokenizer`, or another
                `ExactBertTokenizer`.
            max_length: As in training.
            pair: Whether the student reads pairs of texts.

        Returns:
            The front end.

        Raises:
            ValueError: If it is another tokenizer, whose ids serving would not reproduce.
        """
        from keras_prokt.models.wordpiece import ExactBertTokenizer

        if not isinstance(tokenizer, ExactBertTokenizer):
            raise ValueError(
                "Expected the tokenizer of bert_tokenizer, or another ExactBertTokenizer, "
                f"received {type(tokenizer).__module__}.{type(tokenizer).__name__}, which gives "
                "other ids to some texts; train with ExactBertTokenizer or serve token ids."
            )
        return cls(
            tokenizer.get_vocabulary(),
            lowercase=tokenizer.lowercase,
            strip_accents=tokenizer.strip_accents,
            max_length=max_length,
            pair=pair,
        )

    @property
    def signature_inputs(self) -> tuple[str, ...]:
        """Names of the string inputs of `serve_text`."""
        return ("text", "text_pair") if self.pair else ("text",)

    def check_inputs(self, inputs: "Mapping[str, keras.KerasTensor]") -> None:
        known = _SEPARATE_FEATURES if self._is_read_separately(inputs) else _TEXT_FEATURES
        for name, tensor in inputs.items():
            lengths = (None, self.max_length)
            if name not in known or tensor.ndim != 2 or tensor.shape[1] not in lengths:
                raise ValueError(
                    f"Expected a text student that reads {', '.join(known)} of shape "
                    f"(batch, None) or (batch, {self.max_length}), received input {name!r} of "
                    f"shape {tensor.shape}; rename the input, set max_length to its length, or "
                    "leave the front end out."
                )

    def signatures(self, inputs: "Mapping[str, keras.KerasTensor]") -> dict[str, Signature]:
        import tensorflow as tf

        from keras_prokt.models.wordpiece import ExactBertTokenizer

        tokenizer = ExactBertTokenizer(
            cast("tuple[str, ...]", self.vocabulary),
            lowercase=self.lowercase,
            strip_accents=self.strip_accents,
        )

        def of_sequence(*columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            token_ids, segment_ids = pack(
                [tokenizer(column) for column in columns],
                max_length=self.max_length,
                cls_id=tokenizer.cls_token_id,
                sep_id=tokenizer.sep_token_id,
                pad_id=tokenizer.pad_token_id,
            )
            padding_mask = tf.cast(token_ids != tokenizer.pad_token_id, tf.int32)
            return token_ids, padding_mask, segment_ids

        def to_features(texts: Mapping[str, Tensor]) -> dict[str, Tensor]:
            columns = [texts[key] for key in self.signature_inputs]
            names: tuple[tuple[str, ...], ...]
            sequences: list[tuple[Tensor, ...]]
            if self._is_read_separately(inputs):
                names = (_SEPARATE_FEATURES[:2], _SEPARATE_FEATURES[2:])
                sequences = [of_sequence(column)[:2] for column in columns]
            else:
                names, sequences = (_TEXT_FEATURES,), [of_sequence(*columns)]
            features = {}
            for keys, sequence in zip(names, sequences, strict=True):
                # 1 in a batch of no texts: Keras's LSTM takes no sequences without steps.
                longest = tf.maximum(tf.reduce_max(tf.reduce_sum(sequence[1], axis=1)), 1)
                for key, values in zip(keys, sequence, strict=True):
                    if key in inputs:
                        # Where lengths are free, no further than the longest text of the batch:
                        # most texts are much shorter than max_length.
                        values = values if inputs[key].shape[1] else values[:, :longest]
                        features[key] = tf.cast(values, inputs[key].dtype)
            return features

        strings = {name: tf.TensorSpec((None,), tf.string, name) for name in self.signature_inputs}
        pieces = cast("tuple[str, ...]", self.vocabulary)
        words = [piece for piece in pieces if piece.isalpha()][:8]
        example = {name: [" ".join(words), " ".join(words[:2])] for name in self.signature_inputs}
        return {"serve_text": Signature(strings, to_features, example=example)}

    def _is_read_separately(self, inputs: "Mapping[str, keras.KerasTensor]") -> bool:
        """Whether the two texts of a pair are sequences of their own for the student."""
        return self.pair and "token_ids_pair" in inputs
