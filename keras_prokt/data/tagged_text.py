"""Words to word pieces, with a tag at the first piece of each word."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_prokt.data.text import tokenize
from keras_prokt.data.text_table import UNLABELLED


class WordPieces(NamedTuple):
    """Sentences in word pieces, not padded."""

    token_ids: list[np.ndarray]
    """Of each sentence `[CLS] pieces [SEP]`, int32 `(length,)`."""
    first_pieces: list[np.ndarray]
    """Position of the first piece of each word that is there, int32."""


def word_pieces(
    tokenizer: Any, sentences: Sequence[Sequence[str]], *, max_length: int = 128
) -> WordPieces:
    """The word pieces of sentences whose words are given.

    A word of which nothing is left by the tokenizer's normalization is one unknown piece, so that
    each has a first one. What is behind `max_length` is cut.

    Args:
        tokenizer: As in `keras_prokt.data.text.tokenize`.
        sentences: The words of each.
        max_length: Longest result, special pieces counted; at least 3.

    Raises:
        ValueError: As `keras_prokt.data.text.tokenize`.

    Example:

    >>> from keras_prokt.data.tagged_text import word_pieces
    >>> from keras_prokt.models.wordpiece import ExactBertTokenizer
    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "os", "##lo", "shines"]
    >>> found = word_pieces(ExactBertTokenizer(pieces), [["Oslo", "shines"]])
    >>> found.token_ids[0].tolist(), found.first_pieces[0].tolist()
    ([2, 5, 6, 7, 3], [1, 3])
    """
    words = sorted({word for sentence in sentences for word in sentence})
    unknown = np.array([tokenizer.token_to_id("[UNK]")], "int32")
    rows = tokenize(tokenizer, words, max_length=max_length).token_ids
    pieces_of = {
        word: row[1:-1] if len(row) > 2 else unknown for word, row in zip(words, rows, strict=True)
    }
    found = WordPieces([], [])
    for sentence in sentences:
        pieces = [pieces_of[word] for word in sentence]
        ends = np.cumsum([len(one) for one in pieces])
        first = np.concatenate([[1], 1 + ends[:-1]]).astype("int32")
        kept = np.concatenate(pieces)[: max_length - 2]
        special = np.array([tokenizer.cls_token_id, tokenizer.sep_token_id], "int32")
        found.token_ids.append(np.concatenate([special[:1], kept, special[1:]]))
        found.first_pieces.append(first[first <= len(kept)])
    return found


def labels_of_pieces(
    labels: Sequence[Sequence[int]], first_pieces: Sequence[np.ndarray], *, max_length: int
) -> np.ndarray:
    """The label of each word at its first piece, and elsewhere none.

    Args:
        labels: Of the words of each sentence.
        first_pieces: As in `WordPieces`.
        max_length: As in `word_pieces`.

    Returns:
        int32 `(sentences, max_length)`, `keras_prokt.data.text_table.UNLABELLED` at other
        positions.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.data.tagged_text import labels_of_pieces
    >>> labels_of_pieces([[4, 0]], [np.array([1, 3])], max_length=5).tolist()
    [[-1, 4, -1, 0, -1]]
    """
    placed = np.full((len(labels), max_length), UNLABELLED, "int32")
    for row, of_words, first in zip(placed, labels, first_pieces, strict=True):
        row[first] = of_words[: len(first)]
    return placed
