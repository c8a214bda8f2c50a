"""BERT classifiers and their tokenizer, from any keras-hub preset or Hugging Face directory.

A DistilBERT takes the place of a BERT wherever its checkpoint is in Hugging Face's form.
"""

import difflib
import importlib.util
import math
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
from keras import ops
from keras_hub.models import BertBackbone, DistilBertBackbone

# keras-hub has no public way to read one file of a preset; these functions resolve built-in
# names, hf:// and kaggle:// handles and directories alike, with keras-hub's own cache.
from keras_hub.src.utils.preset_utils import (
    check_file_exists,
    get_file,
    get_preset_loader,
    load_json,
)
from keras_hub.src.utils.transformers.safetensor_utils import SafetensorLoader
from safetensors import SafetensorError, safe_open

from keras_prokt import backends
from keras_prokt.bert_files import (
    HUGGING_FACE_WEIGHTS,
    KERAS_HUB_WEIGHTS,
    MODEL_TYPES,
    check_holds_files,
    check_vocabulary,
    not_a_bert,
    read_tokenizer_json,
    read_vocabulary,
)
from keras_prokt.bert_heads import ARCHITECTURES, trained_files
from keras_prokt.models.wordpiece import ExactBertTokenizer
from keras_prokt.names import OneLineWarning
from keras_prokt.typing import Tensor

# Which GELU a checkpoint means by `hidden_act` in its config.json, True for the exact one.
_EXACT_GELU = {"gelu": True, "gelu_new": False, "gelu_pytorch_tanh": False}
# keras-hub's DistilBERT has the exact one.
_GELUS_OF_DISTILBERT = ["gelu"]
# What keras-hub's BertBackbone hard-codes: a checkpoint that says otherwise would load without
# an error and compute something else.
_FIXED_SETTINGS = {
    "layer_norm_eps": 1e-12,
    "position_embedding_type": "absolute",
    "is_decoder": False,
}
Encoder = BertBackbone | DistilBertBackbone
# TypeError: a size that is no number, or weights in a type that NumPy has not.
_LOAD_ERRORS = (OSError, ValueError, KeyError, TypeError, SafetensorError)


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


def bert_tokenizer(preset: str) -> ExactBertTokenizer:
    """The WordPiece tokenizer of a BERT preset, giving the ids of Hugging Face's.

    `ExactBertTokenizer` says where they still differ. Lower-casing follows the preset. Uncased
    vocabularies also strip accents, as BERT was trained (keras-hub alone keeps them: "café" would
    become other word pieces), unless a Hugging Face `tokenizer_config.json` says otherwise.

    Args:
        preset: As for `bert_classifier`; a Hugging Face directory needs `config.json` and
            `vocab.txt` or `tokenizer.json`.

    Returns:
        A `keras_hub.models.BertTokenizer`: strings in, int32 ids without [CLS] and [SEP] out.
        `keras_prokt.data.text.tokenize` adds those.

    Raises:
        ValueError: If the preset is unknown, incomplete, unreadable or not BERT, or its vocabulary
            has a word piece twice or more of them than the checkpoint has embeddings.

    Example:

    ```python
    tokenizer = bert_tokenizer("bert_base_en_uncased")
    tokenizer(["a very fine film"])
    ```
    """
    preset, config = _read_config(preset)
    try:
        if "registered_name" in config:
            file = "assets/tokenizer/vocabulary.txt"
            embeddings = config["config"]["vocabulary_size"]
            saved = load_json(preset, "tokenizer.json")
            settings = {"do_lower_case": saved["config"]["lowercase"]}
            # keras-hub's own presets say that accents stay, whatever BERT was trained with.
            if saved["registered_name"] == keras.saving.get_registered_name(ExactBertTokenizer):
                settings["strip_accents"] = saved["config"]["strip_accents"]
        else:
            # Read here and not by keras-hub, which insists on a tokenizer_config.json; many
            # directories have none, and Hugging Face then lower-cases.
            file, embeddings = "vocab.txt", config["vocab_size"]
            settings = {}
            if not check_file_exists(preset, file) and check_file_exists(preset, "tokenizer.json"):
                file = "tokenizer.json"
                _, settings = read_tokenizer_json(get_file(preset, file))
            if check_file_exists(preset, "tokenizer_config.json"):
                settings |= load_json(preset, "tokenizer_config.json")
        vocabulary = read_vocabulary(get_file(preset, file))
    except _LOAD_ERRORS as error:
        raise ValueError(
            f"Expected a readable BERT vocabulary (vocab.txt) in preset {preset!r}, received "
            f"{_one_line(error)}; download the preset again or check its files."
        ) from error
    if not settings.get("tokenize_chinese_chars", True):
        raise ValueError(
            f"Expected tokenize_chinese_chars true in the tokenizer_config.json of {preset!r}, "
            "received false; choose another checkpoint."
        )
    check_vocabulary(vocabulary, f"preset {preset!r}")
    if len(vocabulary) > embeddings:
        raise ValueError(
            f"Expected at most {embeddings} word pieces in preset {preset!r}, as many as its "
            f"config.json has embeddings, received {len(vocabulary)}; download the preset again, "
            "or delete blank lines at the end of the vocabulary."
        )
    return ExactBertTokenizer(
        vocabulary,
        lowercase=settings.get("do_lower_case", True),
        strip_accents=settings.get("strip_accents"),
    )


class BertLimits(NamedTuple):
    """What a BERT can read."""

    max_length: int
    """Positions of its longest sequence."""
    num_segments: int
    """Segments it tells apart: 2 where it can read pairs, which DistilBERT does without any."""


def bert_limits(preset: str) -> BertLimits:
    """What a BERT preset can read, from its config.json alone.

    Args:
        preset: As for `bert_classifier`.

    Raises:
        ValueError: If the preset is unknown, unreadable or not BERT.

    Example:

    ```python
    bert_limits("bert_base_en_uncased").max_length  # 512
    ```
    """
    _, config = _read_config(preset)
    if "registered_name" in config:
        settings = config["config"]
        return BertLimits(settings["max_sequence_length"], settings.get("num_segments", 2))
    return BertLimits(config.get("max_position_embeddings", 512), config.get("type_vocab_size", 2))


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
    preset, config = _read_config(preset)
    if load_weights:
        _check_weights_exist(preset, config)
    try:
        loader = get_preset_loader(preset)
        if "registered_name" in config:
            return loader.load_backbone(_registered(config), load_weights, name="backbone")
        if load_weights:
            _check_sizes(preset, config)
            _warn_of_dropped_head(preset, config)
        if config["model_type"] == "distilbert":
            backbone = loader.load_backbone(DistilBertBackbone, False, name="backbone")
            if load_weights:
                with _WithoutPrefix(preset) as tensors:
                    loader.converter.convert_weights(backbone, tensors, config)
            return backbone
        exact = _EXACT_GELU[config.get("hidden_act", "gelu")]
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
    except _LOAD_ERRORS as error:
        raise ValueError(
            f"Expected readable BERT weights in preset {preset!r}, received {_one_line(error)}; "
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


_LAYER = re.compile(r"(?:encoder|transformer)\.layer\.([0-9]{1,6})\.")
_CLASSIFIER = "classifier.weight"


def _check_sizes(preset: str, config: Mapping[str, Any]) -> None:
    """Refuses a config.json that is not that of the weights, before it takes the memory.

    Raises:
        ValueError: If it needs more numbers than there are, or has fewer layers.
    """
    if not os.path.isdir(preset):
        return
    is_bert = config["model_type"] == "bert"
    keys = (
        ("hidden_size", "num_hidden_layers", "intermediate_size")
        if is_bert
        else ("dim", "n_layers", "hidden_dim")
    )
    width, layers, inner = (config[key] for key in keys)
    tables = config["vocab_size"] + config.get("max_position_embeddings", 512)
    needed = width * tables + layers * (4 * width * width + 2 * width * inner)
    shapes = _shapes_of_weights(preset)
    there = sum(math.prod(shape) for shape in shapes.values())
    if needed > there:
        raise ValueError(f"{there:,} numbers for a config.json of {needed:,}")
    found = 1 + max((int(one[1]) for name in shapes if (one := _LAYER.search(name))), default=-1)
    if found > layers:
        raise ValueError(f"{found} layers for a config.json of {layers}")


def _shapes_of_weights(preset: str) -> dict[str, list[int]]:
    """Name of each weight in a directory of Hugging Face's form -> its shape."""
    shapes = {}
    for path in Path(preset).glob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            names = list(file.keys())
            shapes |= {name: file.get_slice(name).get_shape() for name in names}
    return shapes


def _warn_of_dropped_head(preset: str, config: Mapping[str, Any]) -> None:
    if _CLASSIFIER in _shapes_of_weights(preset) and not trained_files(preset):
        warnings.warn(
            f"Expected a classifier of {' or '.join(ARCHITECTURES)} in {preset!r}, received one of "
            f"{config.get('architectures')!r} in its config.json; it is left out, and a new one "
            "trained. Correct architectures, or give its outputs by keras-prokt record.",
            DroppedHead,
            stacklevel=2,
        )


def _registered(config: Mapping[str, Any]) -> Any:
    return keras.saving.get_registered_object(config["registered_name"])


def _read_config(preset: str) -> tuple[str, dict[str, Any]]:
    """The preset in the form keras-hub wants, and its config.json, checked to be BERT."""
    preset = _resolve_preset(preset)
    try:
        config = load_json(preset, "config.json")
    # ImportError: a handle of a hub whose package is missing.
    except (ImportError, OSError, ValueError) as error:
        raise ValueError(
            f"Expected a readable config.json in preset {preset!r}, received {_one_line(error)}; "
            "check the name, the files and the network connection."
        ) from error
    if "registered_name" in config:
        registered = _registered(config)
        if not (isinstance(registered, type) and issubclass(registered, Encoder)):
            raise ValueError(
                f"Expected a BERT preset, received {preset!r} of class "
                f"{config['registered_name']!r}; choose one whose backbone is BertBackbone."
            )
        return preset, config
    if config.get("model_type") not in MODEL_TYPES:
        raise ValueError(not_a_bert(preset, config.get("model_type")))
    is_bert = config["model_type"] == "bert"
    key, known = (
        ("hidden_act", sorted(_EXACT_GELU)) if is_bert else ("activation", _GELUS_OF_DISTILBERT)
    )
    if config.get(key, "gelu") not in known:
        raise ValueError(
            f"Expected {key} among {known} in the config.json of {preset!r}, received "
            f"{config[key]!r}; choose a checkpoint with a GELU."
        )
    for key, supported in _FIXED_SETTINGS.items():
        if config.get(key, supported) != supported:
            raise ValueError(
                f"Expected {key} {supported!r} in the config.json of {preset!r}, received "
                f"{config[key]!r}; keras-hub's BERT cannot compute that, choose another checkpoint."
            )
    return preset, config


def _resolve_preset(preset: str) -> str:
    if preset.lower().startswith("hf://") and importlib.util.find_spec("huggingface_hub") is None:
        raise ValueError(
            f"Expected the package huggingface_hub for preset {preset!r}, received an environment "
            "without it; pip install huggingface_hub, or this package with its extra: "
            "keras-prokt[hf]."
        )
    if "://" in preset or preset in BertBackbone.presets:
        return preset
    path = os.path.expanduser(preset)
    if os.path.isdir(path):
        check_holds_files(Path(path))
        return path
    nearest = difflib.get_close_matches(preset, BertBackbone.presets, n=3, cutoff=0.6)
    hint = f"did you mean {', '.join(map(repr, nearest))}?" if nearest else "check the path."
    raise ValueError(
        "Expected a keras-hub BERT preset, an 'hf://org/model' handle or an existing directory "
        f"with config.json, model.safetensors and vocab.txt, received {preset!r}; {hint}"
    )


def _check_weights_exist(preset: str, config: dict[str, Any]) -> None:
    if not os.path.isdir(preset):
        return
    candidates = KERAS_HUB_WEIGHTS if "registered_name" in config else HUGGING_FACE_WEIGHTS
    if not any(os.path.isfile(os.path.join(preset, name)) for name in candidates):
        raise ValueError(
            f"Expected {' or '.join(candidates)} in directory {preset!r}, received "
            f"{sorted(os.listdir(preset))}; a pytorch_model.bin can be converted with "
            "`model.save_pretrained(directory, safe_serialization=True)` of transformers."
        )


def _one_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"
