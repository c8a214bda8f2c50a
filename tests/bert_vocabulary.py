"""Vocabularies of small BERTs in the form of Hugging Face's `tokenizer.json`."""

import json
from collections.abc import Sequence
from typing import Any


def tokenizer_json(pieces: Sequence[str], **changes: Any) -> str:
    """A `tokenizer.json` of BERT's.

    Args:
        pieces: Word pieces in the order of their ids.
        **changes: Values of single keys, such as `model__type`.
    """
    saved: dict[str, dict[str, Any]] = {
        "normalizer": {
            **{"type": "BertNormalizer", "clean_text": True, "lowercase": True},
            **{"strip_accents": None, "handle_chinese_chars": True},
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            **{"type": "WordPiece", "unk_token": "[UNK]", "max_input_chars_per_word": 100},
            "continuing_subword_prefix": "##",
            "vocab": {piece: n for n, piece in enumerate(pieces)},
        },
    }
    for name, value in changes.items():
        part, _, key = name.partition("__")
        saved[part][key] = value
    return json.dumps(saved)
