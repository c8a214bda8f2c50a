"""Small classifiers of transformers with random weights, as `save_pretrained` leaves them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="transformers' models run on torch")
transformers = pytest.importorskip("transformers", reason="the independent implementation")

WORDS = ["is", "a", "fine", "film", "dull", "very", "what", "?", "not", "bad"]
SIZES = {
    "Bert": {
        "hidden_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 20,
    },
    "DistilBert": {"dim": 12, "n_layers": 2, "n_heads": 3, "hidden_dim": 20},
}


def write_classifier(
    folder: str | Path, labels: Sequence[str] | None, family: str = "Bert", **settings: Any
) -> Any:
    """Writes a classifier and its tokenizer into a folder.

    Args:
        folder: The folder.
        labels: Names of its classes; `None`: transformers' own, `LABEL_0` and `LABEL_1`.
        family: A key of `SIZES`.
        **settings: More of its configuration.

    Returns:
        The model of transformers, in inference mode.
    """
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    named = {} if labels is None else {"id2label": dict(enumerate(labels))}
    settings = {"max_position_embeddings": 24, **SIZES[family], **named, **settings}
    config = getattr(transformers, f"{family}Config")(vocab_size=len(pieces), **settings)
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForSequenceClassification")(config).eval()
    for name, weight in model.named_parameters():
        if "LayerNorm.weight" not in name and "layer_norm.weight" not in name:
            torch.nn.init.normal_(weight, std=0.5)  # far enough apart to tell GELUs apart
    model.save_pretrained(folder, safe_serialization=True)
    return model


def logits_of(model: Any, folder: str | Path, *columns: Sequence[str]) -> np.ndarray:
    """What transformers answers to texts, or pairs of them."""
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    batch = tokenizer(*map(list, columns), padding=True, return_tensors="pt")
    if model.config.model_type == "distilbert":
        del batch["token_type_ids"]
    with torch.no_grad():
        return model(**batch).logits.numpy()
