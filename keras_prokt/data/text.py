"""Texts to word-piece ids, once, before training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TokenizedText:
    """Word-piece ids of a list of texts or pairs of texts, not padded.

    Args:
        token_ids: One int32 array of shape `(length,)` per example, with [CLS] and [SEP].
        segment_ids: Arrays of the same shapes: 0 in the first text, 1 in the second.
    """

    token_ids: list[np.ndarray]
    segment_ids: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def lengths(self) -> np.ndarray:
        """Word pieces of each example, special ones counted, shape `(examples,)`, int32."""
        return np.array([len(ids) for ids in self.token_ids], dtype="int32")


def tokenize(
    tokenizer: Any,
    texts: Sequence[str] | np.ndarray,
    *,
    second: Sequence[str] | np.ndarray | None = None,
    max_length: int = 128,
    batch_size: int = 1024,
) -> TokenizedText:
    """Tokenizes texts, or pairs of texts, for a BERT model.

    `[CLS] text [SEP]`, and for pairs `[CLS] first [SEP] second [SEP]` (Devlin et al. 2019,
    section 3). The ids are those of Hugging Face's tokenizer, except that TensorFlow's lower-casing
    also folds compatibility characters ("½" becomes "1/2", "…" becomes "..."). Too long examples
    lose tokens at their ends; of a pair the longer text gives way first, until both are equally
    long. Runs keras-hub's graph tokenizer in `tf.data`.

    Args:
        tokenizer: A `keras_hub.models.BertTokenizer`, e.g. of `keras_prokt.models.bert_tokenizer`.
        texts: The texts, `str` or UTF-8 `bytes`.
        second: The second texts of pairs, as many.
        max_length: Longest result, special tokens counted; at least 3, for pairs 5.
        batch_size: Texts tokenized together, at least 1; changes the speed, not the result.

    Returns:
        The ids, unpadded, in the order of `texts`.

    Raises:
        ValueError: If an entry is not a string, the two lists differ in length, or a number is out
            of its range.

    Example:

    >>> import keras_hub
    >>> from keras_prokt.data.text import tokenize
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "fine", "film"]
    >>> tokenizer = keras_hub.models.BertTokenizer(vocabulary=words)
    >>> tokenize(tokenizer, ["a fine film"]).token_ids[0].tolist()
    [2, 5, 6, 7, 3]
    """
    import keras_hub
    import tensorflow as tf

    _check_strings("texts", texts)
    smallest = 3
    columns = [texts]
    if second is not None:
        _check_strings("second", second)
        if len(second) != len(texts):
            raise ValueError(
                f"Expected as many second texts as texts ({len(texts)}), received {len(second)}; "
                "give one of each per example."
            )
        smallest = 5
        columns.append(second)
    if max_length < smallest:
        raise ValueError(
            f"Expected max_length of at least {smallest} (special tokens and one of each text), "
            f"received {max_length}; 128 is usual."
        )
    if batch_size < 1:
        raise ValueError(f"Expected batch_size of at least 1, received {batch_size}; e.g. 1024.")
    if len(texts) == 0:
        return TokenizedText([], [])

    pack = keras_hub.layers.MultiSegmentPacker(
        sequence_length=max_length,
        start_value=tokenizer.cls_token_id,
        end_value=tokenizer.sep_token_id,
        pad_value=tokenizer.pad_token_id,
    )

    def to_ids(*batch):
        token_ids, segment_ids = pack(tuple(tokenizer(column) for column in batch))
        real = tf.cast(token_ids != tokenizer.pad_token_id, tf.int32)
        return token_ids, segment_ids, tf.reduce_sum(real, axis=1)

    dataset = tf.data.Dataset.from_tensor_slices(
        tuple(tf.constant(list(column), dtype=tf.string) for column in columns)
    )
    dataset = dataset.batch(batch_size).map(to_ids, num_parallel_calls=tf.data.AUTOTUNE)
    token_ids: list[np.ndarray] = []
    segment_ids: list[np.ndarray] = []
    for ids, segments, lengths in dataset.as_numpy_iterator():
        # Copies: a slice would keep the whole padded batch in memory.
        token_ids += [row[:length].copy() for row, length in zip(ids, lengths, strict=True)]
        segment_ids += [row[:length].copy() for row, length in zip(segments, lengths, strict=True)]
    return TokenizedText(token_ids, segment_ids)


def _check_strings(argument: str, texts: Sequence[str] | np.ndarray) -> None:
    if isinstance(texts, str | bytes):
        raise ValueError(
            f"Expected {argument} to be a list of strings, received one string; wrap it in a list."
        )
    for row, text in enumerate(texts):
        if not isinstance(text, str | bytes):
            raise ValueError(
                f"Expected {argument} to hold strings, received {text!r} "
                f"({type(text).__name__}) at row {row}; drop or fill the row."
            )
