"""The tokenizer of a text student in Hugging Face's form, beside what cannot hold it.

This module imports no Keras.
"""

import json
from pathlib import Path
from typing import Any

from keras_prokt.front_ends import FrontEnd

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def write_tokenizer(folder: Path, front_end: FrontEnd | None) -> list[Path]:
    """Writes `vocab.txt` and `tokenizer_config.json`, which `BertTokenizer` of transformers reads.

    Args:
        folder: Where to.
        front_end: How texts become word pieces; of another one nothing is written.

    Returns:
        The files.
    """
    values: Any = front_end
    if not hasattr(front_end, "vocabulary"):
        return []
    vocabulary, settings = folder / "vocab.txt", folder / "tokenizer_config.json"
    lines = "".join(f"{piece}\n" for piece in values.vocabulary)
    vocabulary.write_text(lines, encoding="utf-8", newline="")
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": values.lowercase,
        "strip_accents": values.strip_accents,
        "tokenize_chinese_chars": True,
        "model_max_length": values.max_length,
        **SPECIAL,
    }
    settings.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return [vocabulary, settings]
