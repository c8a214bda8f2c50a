"""A vocabulary of word pieces learnt from texts, for students that do not share the teacher's.

This module imports no Keras, so that sizes can be refused at once.
"""

import contextlib
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unicodedata import unidata_version

from keras_prokt.bert_files import SPECIAL_PIECES, read_vocabulary
from keras_prokt.files import cache_folder, is_kept, new_kept_folder
from keras_prokt.tensorflow_beside import import_tensorflow

FORMAT = 1
"""To be raised when `learn_vocabulary` gives other pieces."""

SMALLEST = 100


def learn_vocabulary(
    texts: Sequence[str], size: int, *, cache: str | Path | None = None
) -> list[str]:
    """Word pieces for lower-cased texts without accents, BERT's special ones first.

    TensorFlow Text's learner of WordPiece vocabularies (Schuster and Nakajima 2012) through
    keras-hub; what was learnt once is kept on disk.

    Args:
        texts: The texts to learn from; those of training, never the held-out ones.
        size: Most word pieces, at least `SMALLEST`.
        cache: Where it is kept; `None`: `$KERAS_PROKT_CACHE` or `~/.cache/keras_prokt`.

    Returns:
        The pieces in the order of their ids, at most `size`.

    Raises:
        ValueError: If the size is too small.

    Example:

    ```python
    pieces = learn_vocabulary(["a fine film", "a dull film"] * 50, 100)
    ```
    """
    check_size(size)
    import_tensorflow("learning word pieces")
    versions = [version(package) for package in ("keras-hub", "tensorflow-text")]
    digest = hashlib.sha256(f"{FORMAT} {versions} {unidata_version} {size} {len(texts)}".encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    folder = cache_folder(cache) / "data" / f"vocabulary-{digest.hexdigest()[:16]}"
    key = {"vocabulary": digest.hexdigest()}
    # Another process may take it away between the two.
    with contextlib.suppress(OSError):
        if is_kept(folder, key):
            return read_vocabulary(folder / "vocab.txt")
    pieces = _learn(texts, size)
    # Where it cannot be written, the next run learns it again.
    with contextlib.suppress(OSError), new_kept_folder(folder, key) as writing:
        (writing / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return pieces


def check_size(size: int) -> None:
    """Refuses a vocabulary that is too small.

    Args:
        size: Most word pieces.

    Raises:
        ValueError: If it is smaller than `SMALLEST`.
    """
    if size < SMALLEST:
        raise ValueError(
            f"Expected a vocabulary of at least {SMALLEST} word pieces, received {size}; 8000 is "
            "usual."
        )


def _learn(texts: Sequence[str], size: int) -> list[str]:
    tf = import_tensorflow("learning word pieces")
    from keras_hub.tokenizers import compute_word_piece_vocabulary

    from keras_prokt.models.wordpiece import normalize_text, split_words

    def words(batch: Any) -> Any:
        return split_words(normalize_text(batch, lowercase=True, strip_accents=True))

    data = tf.data.Dataset.from_tensor_slices(list(texts)).batch(1024).map(words)
    pieces = compute_word_piece_vocabulary(
        data, size, split=False, reserved_tokens=list(SPECIAL_PIECES)
    )
    return list(pieces)[:size]
