"""Texts to word-piece ids, once, before training."""

import contextlib
import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import unidata_version

import numpy as np

from keras_prokt.files import cache_folder, is_kept, new_kept_folder
from keras_prokt.front_ends.packing import pack
from keras_prokt.tensorflow_beside import import_tensorflow

FORMAT = 2
"""To be raised when `tokenize`, or a tokenizer of ours, gives other ids."""

WORTH_KEEPING = 10_000
"""Texts from which on their ids are kept on disk; fewer take about a second."""

FEW_BATCHES = 8
"""Batches of texts up to which no graph is made, which takes as long as many batches."""


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
    section 3). With the tokenizer of `bert_tokenizer` the ids are those of Hugging Face's, but that
    a text cannot inject special tokens: "[SEP]" in it is ordinary characters. Too long examples
    lose tokens at their ends; of a pair the longer text gives way first, until both are equally
    long. Runs in `tf.data`, with the operations that an exported student has in its graph.

    Args:
        tokenizer: Of `keras_prokt.models.bert.bert_tokenizer`, or another
            `keras_hub.models.BertTokenizer`.
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

    >>> from keras_prokt.data.text import tokenize
    >>> from keras_prokt.models.wordpiece import ExactBertTokenizer
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "fine", "film"]
    >>> tokenize(ExactBertTokenizer(words), ["A fine film"]).token_ids[0].tolist()
    [2, 5, 6, 7, 3]
    """
    tf = import_tensorflow("tokenizing texts")
    from keras_prokt.models.wordpiece import ExactBertTokenizer

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

    needs_no_graph = isinstance(tokenizer, ExactBertTokenizer)
    to_ragged = tokenizer.ragged_ids if needs_no_graph else tokenizer

    def to_ids(*batch):
        token_ids, segment_ids = pack(
            [to_ragged(column) for column in batch],
            max_length=max_length,
            cls_id=tokenizer.cls_token_id,
            sep_id=tokenizer.sep_token_id,
            pad_id=tokenizer.pad_token_id,
        )
        real = tf.cast(token_ids != tokenizer.pad_token_id, tf.int32)
        return token_ids, segment_ids, tf.reduce_sum(real, axis=1)

    constants = tuple(tf.constant(list(column), dtype=tf.string) for column in columns)
    if needs_no_graph and len(texts) <= FEW_BATCHES * batch_size:
        # At once: to trace and optimize a graph takes seconds.
        starts = range(0, len(texts), batch_size)
        results = (to_ids(*(c[start : start + batch_size] for c in constants)) for start in starts)
        batches = ([part.numpy() for part in result] for result in results)
    else:
        dataset = tf.data.Dataset.from_tensor_slices(constants).batch(batch_size)
        batches = dataset.map(to_ids, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator()
    token_ids: list[np.ndarray] = []
    segment_ids: list[np.ndarray] = []
    for ids, segments, lengths in batches:
        # Copies: a slice would keep the whole padded batch in memory.
        token_ids += [row[:length].copy() for row, length in zip(ids, lengths, strict=True)]
        segment_ids += [row[:length].copy() for row, length in zip(segments, lengths, strict=True)]
    return TokenizedText(token_ids, segment_ids)


def tokenize_once(
    tokenizer: Any,
    texts: Sequence[str] | np.ndarray,
    *,
    second: Sequence[str] | np.ndarray | None = None,
    max_length: int = 128,
    cache: Path | None = None,
) -> TokenizedText:
    """`tokenize`, with the ids of long lists kept on disk and read from there the next time.

    Lists of fewer than `WORTH_KEEPING` texts are tokenized each time. What is kept is found by
    the SHA-256 of the texts, the vocabulary, the tokenizer's class and settings, `max_length` and
    the versions of what tokenizes, and is made again if it is no longer as it was written. Where
    it cannot be written, it is not kept.

    Args:
        tokenizer: As in `tokenize`, as all but the last.
        texts: The texts.
        second: The second texts of pairs.
        max_length: Longest result.
        cache: Where the ids are kept; `None`: `$KERAS_PROKT_CACHE` or `~/.cache/keras_prokt`.

    Returns:
        As `tokenize`.

    Raises:
        ValueError: As `tokenize`.
    """
    if len(texts) < WORTH_KEEPING:
        return tokenize(tokenizer, texts, second=second, max_length=max_length)
    digest = _digest(tokenizer, texts, second, max_length)
    folder = cache_folder(cache) / "data" / f"tokens-{digest[:32]}"
    key = {"tokens": digest}
    # Another process may take it away between the two.
    with contextlib.suppress(OSError):
        if is_kept(folder, key):
            return _read_tokens(folder)
    tokens = tokenize(tokenizer, texts, second=second, max_length=max_length)
    # A full or read-only disk costs the next run a minute, and this one nothing.
    with contextlib.suppress(OSError), new_kept_folder(folder, key) as writing:
        _write_tokens(writing, tokens)
    return tokens


def _write_tokens(folder: Path, tokens: TokenizedText) -> None:
    arrays = {
        "lengths": tokens.lengths,
        "token_ids": np.concatenate(tokens.token_ids),
        "segment_ids": np.concatenate(tokens.segment_ids),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def _read_tokens(folder: Path) -> TokenizedText:
    lengths, token_ids, segment_ids = (
        np.load(folder / f"{name}.npy", allow_pickle=False)
        for name in ("lengths", "token_ids", "segment_ids")
    )
    ends = np.cumsum(lengths)[:-1]
    return TokenizedText(np.split(token_ids, ends), np.split(segment_ids, ends))


def _digest(tokenizer: Any, texts: Any, second: Any, max_length: int) -> str:
    import_tensorflow("tokenizing texts")
    import keras
    import keras_hub
    import tensorflow_text

    # Keras counts the names up.
    settings = {k: v for k, v in tokenizer.get_config().items() if k not in ("name", "trainable")}
    settings["class"] = keras.saving.get_registered_name(type(tokenizer))
    settings["vocabulary"] = tokenizer.get_vocabulary()
    # Python's Unicode says what is a capital.
    versions = [FORMAT, keras_hub.__version__, tensorflow_text.__version__, unidata_version]
    about = [versions, max_length, second is None, len(texts), settings]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    for text in itertools.chain(texts, () if second is None else second):
        data = text if isinstance(text, bytes) else str(text).encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


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
