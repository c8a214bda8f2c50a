"""BERT classifiers and their tokenizer, from any keras-hub preset or Hugging Face directory.

A DistilBERT takes the place of a BERT wherever its checkpoint is in Hugging Face's form.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops
from keras_hub.models import BertBackbone, DistilBertBackbone

# keras-hub has no public way to load weights into an architecture of one's own.
from keras_hub.src.utils.preset_utils import get_preset_loader
from keras_hub.src.utils.transformers.safetensor_utils import SafetensorLoader

from keras_prokt import backends
from keras_prokt.bert_heads import ARCHITECTURES, trained_files
from keras_prokt.models.bert_presets import (
    EXACT_GELU,
    LOAD_ERRORS,
    Encoder,
    bert_limits,
    bert_tokenizer,
    check_sizes,
    check_weights_exist,
    one_line,
    read_config,
    registered_class,
    shapes_of_weights,
)
from keras_prokt.names import OneLineWarning
from keras_prokt.typing import Tensor

__all__ = [
    "DroppedHead",
    "ExactGeluBertBackbone",
    "bert_classifier",
    "bert_limits",
    "bert_tagger",
    "bert_tokenizer",
    "evenly_spaced_layers",
    "exact_gelu",
]


@keras.saving.register_keras_serializable(package="keras_prokt")
def exact_gelu(x: Tensor) -> Tensor:
    """Gaussian error linear unit, exact: `x Φ(x) = x/2 · (1 + erf(x / √2))`.

    Hendrycks and Gimpel 2016 (arXiv 1606.08415), section 2. Written with `erf`, which every
    export format knows; `keras.activations.gelu` uses `erfc` and does not convert to ONNX.

    Args:
        x: Tensor of any shape, float.

    Returns:
        A tensor of the same shape and dtype.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.models.bert import exact_gelu
    >>> round(float(exact_gelu(np.float32(1.0))), 4)
    0.8413
    """
    x = ops.convert_to_tensor(x)
    return 0.5 * x * (1.0 + ops.erf(x / math.sqrt(2.0)))


@keras.saving.register_keras_serializable(package="keras_prokt")
class ExactGeluBertBackbone(BertBackbone):
    """`keras_hub.models.BertBackbone` with the exact GELU in its feed-forward blocks.

    keras-hub always uses the tanh approximation; checkpoints with `hidden_act: gelu` were trained
    with the exact form and their hidden states are off by up to 5e-3 with the other. Being a
    registered class, it keeps its activation through `.keras` files.

    Args:
        **configuration: The arguments of `keras_hub.models.BertBackbone`.

    Example:

    >>> from keras_prokt.models.bert import ExactGeluBertBackbone
    >>> backbone = ExactGeluBertBackbone(
    ...     vocabulary_size=100, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    ... )
    >>> backbone.num_layers
    1
    """

    def __init__(self, **configuration: Any):
        super().__init__(**configuration)
        for layer in self.transformer_layers:
            # Both: the first is what get_config() reports, the second is what is computed.
            layer.activation = exact_gelu
            layer._feedforward_intermediate_dense.activation = exact_gelu

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        pooled = backends.current().by_kernel("bert_pooled_output", self, inputs, bool(training))
        # A graph computes of it what is read: here nothing but its states, where those are read.
        outputs = super().call(inputs, training=training, mask=mask)
        return outputs if pooled is None else {**outputs, "pooled_output": pooled}


def bert_classifier(
    preset: str,
    num_classes: int,
    *,
    layers: Sequence[int] | int | None = None,
    width: int | None = None,
    dropout: float = 0.1,
    load_weights: bool = True,
    name: str = "bert_classifier",
) -> keras.Model:
    """A BERT encoder with a linear classifier on its pooled [CLS] state.

    Devlin et al. 2019 (arXiv 1810.04805), section 3. The encoder uses the checkpoint's own
    activation (exact or tanh GELU, from `hidden_act` of a Hugging Face `config.json`; keras-hub
    presets are tanh) and its own dropout (`hidden_dropout_prob`, for attention as well).

    A DistilBERT (Sanh et al. 2019, arXiv 1910.01108) has no pooler: its [CLS] state goes through a
    linear layer `"pre_classifier"` and ReLU. It reads no `segment_ids`, which are inputs all the
    same, so that both families read the same batches.

    Args:
        preset: A keras-hub preset name (`"bert_base_en_uncased"`), a handle (`"hf://org/model"`),
            or a directory: Hugging Face (`config.json`, `model.safetensors`, `vocab.txt` or
            `tokenizer.json`) or written by `save_to_preset`. A head that it has is left out; see
            `keras_prokt.models.fine_tuned_bert`.
        num_classes: Width of the logits, at least 1: of a value.
        layers: Which transformer layers to keep, for students such as BERT-6. `None`: all. An
            integer k: k evenly spaced ones that end with the last (`evenly_spaced_layers`; 6 of
            12 are 1, 3, 5, 7, 9, 11). A sequence: these indices, ascending from 0. Embeddings
            and pooler are copied as they are.
        width: Another hidden size, for students such as TinyBERT's (Jiao et al. 2020, arXiv
            1909.10351): a multiple of the preset's attention heads, which are kept in number.
            The feed-forward blocks are four times as wide. Only with `load_weights=False`.
        dropout: Rate on the pooled output before the classifier, in [0, 1).
        load_weights: `False` gives the same architecture with fresh weights.
        name: Name of the model.

    Returns:
        A functional model. Inputs: a dict of `token_ids`, `padding_mask` (1 at real positions)
        and `segment_ids`, each int32 of shape `(batch, length)`. Output: float32 logits of shape
        `(batch, num_classes)`, of the layer `"logits"`. The encoder is the layer `"backbone"`.

    Raises:
        ValueError: If the preset is unknown, incomplete, unreadable or neither BERT nor
            DistilBERT, or an argument is out of its range.

    Example:

    ```python
    teacher = bert_classifier("bert_base_en_uncased", num_classes=2)
    student = bert_classifier("bert_base_en_uncased", num_classes=2, layers=6)
    narrow = bert_classifier(
        "bert_base_en_uncased", num_classes=2, layers=4, width=312, load_weights=False
    )
    ```
    """
    backbone = _encoder(preset, num_classes, layers, width, dropout, load_weights)
    inputs = _inputs()
    pooled = _pooled(backbone, inputs)
    pooled = keras.layers.Dropout(dropout, name="pooled_dropout")(pooled)
    return keras.Model(inputs, _logits(num_classes)(pooled), name=name)


def bert_tagger(
    preset: str,
    num_classes: int,
    *,
    layers: Sequence[int] | int | None = None,
    width: int | None = None,
    dropout: float = 0.1,
    load_weights: bool = True,
    name: str = "bert_tagger",
) -> keras.Model:
    """A BERT encoder with a linear classifier on the state of each word piece.

    Devlin et al. 2019 (arXiv 1810.04805), section 5.3. The encoder is that of `bert_classifier`.
    Its pooler is not read, and may be missing from a directory, as from those of transformers'
    taggers.

    Args: as `bert_classifier`; the dropout is on the states before the classifier.

    Returns:
        A functional model with the inputs of `bert_classifier`. Output: float32 logits of shape
        `(batch, length, num_classes)`, of the layer `"logits"`.

    Raises:
        ValueError: As `bert_classifier`.

    Example:

    ```python
    teacher = bert_tagger("bert_base_en_uncased", num_classes=9)
    ```
    """
    backbone = _encoder(preset, num_classes, layers, width, dropout, load_weights, pooler=False)
    inputs = _inputs()
    states = backbone({name: inputs[name] for name in backbone.input})
    states = states["sequence_output"] if isinstance(states, dict) else states
    states = keras.layers.Dropout(dropout, name="states_dropout")(states)
    return keras.Model(inputs, _logits(num_classes)(states), name=name)


def _encoder(
    preset: str,
    num_classes: int,
    layers: Sequence[int] | int | None,
    width: int | None,
    dropout: float,
    load_weights: bool,
    *,
    pooler: bool = True,
) -> Encoder:
    """The encoder of a model, after a check of its arguments; `pooler`: with its weights."""
    if num_classes < 1:
        raise ValueError(
            f"Expected num_classes of at least 1, received {num_classes}; "
            "give one for each class, or 1 for a value."
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"Expected dropout in [0, 1), received {dropout}; pass e.g. 0.1.")
    if width is not None and load_weights:
        raise ValueError(
            f"Expected load_weights=False with a width, received width={width}; the preset's "
            "weights fit its own width alone."
        )
    backbone = _load_backbone(preset, load_weights, pooler)
    if width is not None:
        backbone = _of_width(backbone, width)
    if layers is not None:
        backbone = _keep_layers(backbone, _layer_indices(layers, backbone.num_layers))
    return backbone


def _inputs() -> dict[str, keras.KerasTensor]:
    names = ("token_ids", "padding_mask", "segment_ids")
    return {name: keras.Input((None,), dtype="int32", name=name) for name in names}


def _logits(num_classes: int) -> keras.layers.Dense:
    # Logits stay in float32 under mixed precision: every loss here reads them.
    return keras.layers.Dense(
        num_classes, kernel_initializer=_initializer(), dtype="float32", name="logits"
    )


def _pooled(backbone: keras.Model, inputs: Mapping[str, Tensor]) -> Tensor:
    """What the classifier reads of an encoder."""
    states = backbone({name: inputs[name] for name in backbone.input})
    if isinstance(states, dict):
        return states["pooled_output"]
    pre_classifier = keras.layers.Dense(
        backbone.hidden_dim,
        activation="relu",
        kernel_initializer=_initializer(),
        name="pre_classifier",
    )
    return pre_classifier(states[:, 0, :])


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.TruncatedNormal(stddev=0.02)


def evenly_spaced_layers(num_layers: int, count: int) -> list[int]:
    """Indices of `count` evenly spaced layers of `num_layers`, ending with the last.

    `(i + 1) · num_layers // count - 1` for i = 0 … count - 1. The last layer is kept because the
    pooler was trained on its output.

    Args:
        num_layers: Layers of the teacher.
        count: Layers to keep, from 1 to `num_layers`.

    Returns:
        Ascending indices.

    Raises:
        ValueError: If `count` is out of range.

    Example:

    >>> from keras_prokt.models.bert import evenly_spaced_layers
    >>> evenly_spaced_layers(6, 3)
    [1, 3, 5]
    """
    if not 1 <= count <= num_layers:
        raise ValueError(
            f"Expected layers from 1 to {num_layers} (the preset's own number), received {count}; "
            "ask for fewer layers or use a deeper preset."
        )
    return [(i + 1) * num_layers // count - 1 for i in range(count)]


def _layer_indices(layers: Sequence[int] | int, num_layers: int) -> list[int]:
    if isinstance(layers, int):
        return evenly_spaced_layers(num_layers, layers)
    indices = [int(index) for index in layers]
    ascending = all(a < b for a, b in zip(indices, indices[1:], strict=False))
    if not indices or not ascending or indices[0] < 0 or indices[-1] >= num_layers:
        raise ValueError(
            f"Expected layers as ascending indices from 0 to {num_layers - 1}, received "
            f"{list(layers)}; list each layer to keep once, in order."
        )
    return indices


def _of_width(backbone: Encoder, width: int) -> Encoder:
    """The same architecture at another width, with fresh weights."""
    heads = backbone.num_heads
    if width < 1 or width % heads:
        raise ValueError(
            f"Expected a width that is a multiple of the preset's {heads} attention heads, "
            f"received {width}; the nearest is {max(1, round(width / heads)) * heads}."
        )
    changes = {"hidden_dim": width, "intermediate_dim": 4 * width}
    return type(backbone).from_config({**backbone.get_config(), **changes})


def _keep_layers(backbone: Encoder, indices: list[int]) -> Encoder:
    smaller = type(backbone).from_config({**backbone.get_config(), "num_layers": len(indices)})
    for layer in backbone.layers:
        if layer.weights and layer not in backbone.transformer_layers:
            smaller.get_layer(layer.name).set_weights(layer.get_weights())
    for layer, index in zip(smaller.transformer_layers, indices, strict=True):
        layer.set_weights(backbone.transformer_layers[index].get_weights())
    return smaller


def _load_backbone(preset: str, load_weights: bool, pooler: bool = True) -> Encoder:
    preset, config = read_config(preset)
    if load_weights:
        check_weights_exist(preset, config)
    try:
        loader = get_preset_loader(preset)
        if "registered_name" in config:
            backbone = loader.load_backbone(registered_class(config), load_weights, name="backbone")
            if not isinstance(backbone, Encoder):
                raise ValueError(f"a {type(backbone).__name__} in place of a BERT")
            return backbone
        if load_weights:
            check_sizes(preset, config)
            _warn_of_dropped_head(preset, config)
        if config["model_type"] == "distilbert":
            backbone = loader.load_backbone(DistilBertBackbone, False, name="backbone")
            if load_weights:
                with _WithoutPrefix(preset) as tensors:
                    loader.converter.convert_weights(backbone, tensors, config)
            return backbone
        exact = EXACT_GELU[config.get("hidden_act", "gelu")]
        backbone = loader.load_backbone(
            ExactGeluBertBackbone if exact else BertBackbone,
            load_weights and pooler,
            # keras-hub's converter leaves these two at its defaults.
            dropout=config.get("hidden_dropout_prob", 0.1),
            num_segments=config.get("type_vocab_size", 2),
            name="backbone",
        )
        if load_weights and not pooler:
            with _WithoutPooler(preset) as tensors:
                loader.converter.convert_weights(backbone, tensors, config)
        return backbone
    except LOAD_ERRORS as error:
        raise ValueError(
            f"Expected readable BERT weights in preset {preset!r}, received {one_line(error)}; "
            "download the preset again or check its files."
        ) from error


class _WithoutPooler(SafetensorLoader):
    """Weights of a BERT whose pooler keeps those that it has."""

    def port_weight(
        self, keras_variable: Any, hf_weight_key: str, hook_fn: Callable[..., Any] | None = None
    ) -> None:
        if not hf_weight_key.startswith("pooler."):
            super().port_weight(keras_variable, hf_weight_key, hook_fn)


class _WithoutPrefix(SafetensorLoader):
    """Weights of a DistilBERT, whether it was saved with a head or alone.

    keras-hub knows the names that they have beside a head.
    """

    def get_tensor(self, hf_weight_key: str) -> Any:
        return super().get_tensor(hf_weight_key.removeprefix("distilbert."))


class DroppedHead(OneLineWarning):
    """Weights have a classifier of a kind that is not read."""


_CLASSIFIER = "classifier.weight"


def _warn_of_dropped_head(preset: str, config: Mapping[str, Any]) -> None:
    if _CLASSIFIER in shapes_of_weights(preset) and not trained_files(preset):
        warnings.warn(
            f"Expected a classifier of {' or '.join(ARCHITECTURES)} in {preset!r}, received one of "
            f"{config.get('architectures')!r} in its config.json; it is left out, and a new one "
            "trained. Correct architectures, or give its outputs by keras-prokt record.",
            DroppedHead,
            stacklevel=2,
        )
