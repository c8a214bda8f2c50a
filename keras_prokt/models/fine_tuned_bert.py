"""A BERT classifier that was fine-tuned with transformers, head included."""

import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from safetensors import SafetensorError, safe_open

from keras_prokt.bert_heads import order_of_labels, read_head
from keras_prokt.models.bert import bert_classifier


def fine_tuned_classifier(
    directory: str | Path, class_names: Sequence[str] | None = None, *, name: str = "fine_tuned"
) -> keras.Model:
    """The classifier of a directory that transformers has written, with its trained head.

    `BertForSequenceClassification` (Devlin et al. 2019, arXiv 1810.04805) or
    `DistilBertForSequenceClassification` (Sanh et al. 2019, arXiv 1910.01108). In inference mode
    its logits are those of transformers up to rounding. Only weights in safetensors are read:
    nothing of the directory is run.

    Args:
        directory: With `config.json` and `model.safetensors`.
        class_names: Classes in the order that the logits are to have; `None`: the model's own.
            Empty for a model of one number (`problem_type` "regression").
        name: Name of the model.

    Returns:
        A model like that of `keras_prokt.models.bert.bert_classifier`: the same inputs, float32
        logits of shape `(batch, classes)`, layers of the same names.

    Raises:
        ValueError: If the directory is no such classifier, is not whole or not readable, or has
            other classes.

    Example:

    ```python
    teacher = fine_tuned_classifier("./sst2-bert", ["negative", "positive"])
    ```
    """
    folder = Path(directory).expanduser()
    head = read_head(folder, has_value=class_names is not None and not class_names)
    order = list(range(len(head.labels)))
    if class_names:
        order = list(order_of_labels(head.labels, class_names, str(directory)))
    model = bert_classifier(str(folder), len(order), dropout=head.dropout, name=name)
    for layer in model.layers:
        if layer.name == "pre_classifier":
            layer.set_weights(_read_dense(folder, layer, layer.name))
        elif layer.name == "logits":
            kernel, bias = _read_dense(folder, layer, "classifier")
            layer.set_weights([kernel[:, order], bias[order]])
    return model


def _read_dense(folder: Path, layer: keras.layers.Dense, name: str) -> list[np.ndarray]:
    """Kernel and bias of a layer by the name that transformers has for it."""
    kernel, bias = (_read_tensor(folder, f"{name}.{part}") for part in ("weight", "bias"))
    shapes = [tuple(weight.shape) for weight in layer.get_weights()]
    if [kernel.T.shape, bias.shape] != shapes:
        raise ValueError(
            f"Expected {name}.weight and {name}.bias in directory {str(folder)!r} of shapes "
            f"{shapes[0][::-1]} and {shapes[1]}, as its config.json says, received {kernel.shape} "
            f"and {bias.shape}; download it again, or correct id2label."
        )
    return [kernel.T, bias]


def _read_tensor(folder: Path, name: str) -> np.ndarray:
    index = folder / "model.safetensors.index.json"
    try:
        file = "model.safetensors"
        if index.is_file():
            file = Path(json.loads(index.read_text(encoding="utf-8"))["weight_map"][name]).name
        with safe_open(folder / file, framework="np") as tensors:
            return tensors.get_tensor(name).astype("float32")
    except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
        raise ValueError(
            f"Expected {name} among the weights in directory {str(folder)!r}, whose config.json "
            f"names a classifier, received {type(error).__name__}: {str(error)[:300]}; save it "
            "again with `model.save_pretrained(DIR, safe_serialization=True)` of transformers."
        ) from error
