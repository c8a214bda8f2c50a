"""What is read of a BERT preset beside its weights: configuration, limits and tokenizer."""

import difflib
import importlib.util
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
from keras_hub.models import BertBackbone, DistilBertBackbone

# keras-hub has no public way to read one file of a preset; these functions resolve built-in
# names, hf:// and kaggle:// handles and directories alike, with keras-hub's own cache.
from keras_hub.src.utils.preset_utils import check_file_exists, get_file, load_json
from safetensors import SafetensorError, safe_open

from keras_prokt.bert_files import (
    HUGGING_FACE_WEIGHTS,
    KERAS_HUB_WEIGHTS,
    BertSizes,
    check_family,
    check_holds_files,
    check_same_pieces,
    check_vocabulary,
    layers_of,
    read_tokenizer_json,
    read_vocabulary,
    sizes_of,
    weights_claimed,
)
from keras_prokt.models.wordpiece import ExactBertTokenizer

# Which GELU a checkpoint means by `hidden_act` in its config.json, True for the exact one.
EXACT_GELU = {"gelu": True, "gelu_new": False, "gelu_pytorch_tanh": False}
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
# TypeError: a size that is no number, or weights in a type that NumPy has not; AttributeError: an
# object of keras-hub's form without its class.
LOAD_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
LOAD_ERRORS += (SafetensorError,)
# What a tokenizer's settings may be besides true or false: accents go where letters become small.
_SETTINGS = {"do_lower_case": (), "strip_accents": (None,), "tokenize_chinese_chars": ()}
_LAYER = re.compile(r"(?:encoder|transformer)\.layer\.([0-9]{1,6})\.")


def bert_limits(preset: str) -> BertSizes:
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
    _, config = read_config(preset)
    return sizes_of(preset, config)


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
        ValueError: If the preset is unknown, incomplete, unreadable or not BERT, its vocabulary has
            a word piece twice or more of them than the checkpoint has embeddings, or its files say
            different things.

    Example:

    ```python
    tokenizer = bert_tokenizer("bert_base_en_uncased")
    tokenizer(["a very fine film"])
    ```
    """
    preset, config = read_config(preset)
    tokenizer_file = None
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
            if check_file_exists(preset, "tokenizer.json"):
                tokenizer_file = get_file(preset, "tokenizer.json")
                if not check_file_exists(preset, file):
                    file, (_, settings) = "tokenizer.json", read_tokenizer_json(tokenizer_file)
            if check_file_exists(preset, "tokenizer_config.json"):
                settings |= dict(load_json(preset, "tokenizer_config.json"))
        vocabulary = read_vocabulary(get_file(preset, file))
    except LOAD_ERRORS as error:
        raise ValueError(
            f"Expected a readable BERT vocabulary (vocab.txt) in preset {preset!r}, received "
            f"{one_line(error)}; download the preset again or check its files."
        ) from error
    _check_settings(preset, settings)
    check_vocabulary(vocabulary, f"preset {preset!r}")
    if file == "vocab.txt" and tokenizer_file is not None:
        check_same_pieces(Path(get_file(preset, file)), Path(tokenizer_file))
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


def _check_settings(preset: str, settings: Mapping[str, Any]) -> None:
    for key, others in _SETTINGS.items():
        value = settings.get(key, True)
        if type(value) is not bool and value not in others:
            raise ValueError(
                f"Expected {key} true or false in the tokenizer_config.json or tokenizer.json of "
                f"{preset!r}, received {value!r:.60}; download the preset again."
            )
    if not settings.get("tokenize_chinese_chars", True):
        raise ValueError(
            f"Expected tokenize_chinese_chars true in the tokenizer_config.json of {preset!r}, "
            "received false; choose another checkpoint."
        )


def check_sizes(preset: str, config: Mapping[str, Any]) -> None:
    """Refuses a config.json that is not that of the weights, before it takes the memory.

    Raises:
        ValueError: If it needs more numbers than there are, or has fewer layers.
    """
    if not os.path.isdir(preset):
        return
    layers, needed = layers_of(config), weights_claimed(config, sizes_of(preset, config))
    shapes = shapes_of_weights(preset)
    there = sum(math.prod(shape) for shape in shapes.values())
    if needed is not None and needed > there:
        raise ValueError(f"{there:,} numbers for a config.json of {needed:,}")
    found = 1 + max((int(one[1]) for name in shapes if (one := _LAYER.search(name))), default=-1)
    if layers is not None and found > layers:
        raise ValueError(f"{found} layers for a config.json of {layers}")


def shapes_of_weights(preset: str) -> dict[str, list[int]]:
    """Name of each weight in a directory of Hugging Face's form -> its shape."""
    shapes = {}
    for path in Path(preset).glob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            names = list(file.keys())
            shapes |= {name: file.get_slice(name).get_shape() for name in names}
    return shapes


def registered_class(config: Mapping[str, Any]) -> Any:
    """The class that a preset of keras-hub's form names; `None` if there is none."""
    name = config["registered_name"]
    return keras.saving.get_registered_object(name) if isinstance(name, str) else None


def read_config(preset: str) -> tuple[str, dict[str, Any]]:
    """The preset in the form keras-hub wants, and its config.json, checked to be BERT."""
    preset = _resolve_preset(preset)
    try:
        config = load_json(preset, "config.json")
    # ImportError: a handle of a hub whose package is missing.
    except (ImportError, OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"Expected a readable config.json in preset {preset!r}, received {one_line(error)}; "
            "check the name, the files and the network connection."
        ) from error
    check_family(preset, config)
    if "registered_name" in config:
        named = registered_class(config)
        if not (isinstance(named, type) and issubclass(named, Encoder)):
            raise ValueError(
                f"Expected a BERT preset, received {preset!r} of class "
                f"{config['registered_name']!r}; choose one whose backbone is BertBackbone."
            )
        sizes_of(preset, config)
        return preset, config
    sizes_of(preset, config)
    is_bert = config["model_type"] == "bert"
    key, known = (
        ("hidden_act", sorted(EXACT_GELU)) if is_bert else ("activation", _GELUS_OF_DISTILBERT)
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


def check_weights_exist(preset: str, config: Mapping[str, Any]) -> None:
    """Refuses a directory without weights in a file that is read.

    Args:
        preset: As `read_config` gives it.
        config: The same.

    Raises:
        ValueError: If there are none.
    """
    if not os.path.isdir(preset):
        return
    candidates = KERAS_HUB_WEIGHTS if "registered_name" in config else HUGGING_FACE_WEIGHTS
    if not any(os.path.isfile(os.path.join(preset, name)) for name in candidates):
        raise ValueError(
            f"Expected {' or '.join(candidates)} in directory {preset!r}, received "
            f"{sorted(os.listdir(preset))}; a pytorch_model.bin can be converted with "
            "`model.save_pretrained(directory, safe_serialization=True)` of transformers."
        )


def one_line(error: Exception) -> str:
    """What an error of another library says, its first line, for a message."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"
