"""The files of a BERT: what can be refused of a preset before Keras is loaded."""

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_prokt.files import check_is_file

SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

SMALLEST_SHARE = 0.9
"""Word pieces over embeddings. Checkpoints round the embeddings up, or count added pieces; by less
than that."""

MODEL_TYPES = ("bert", "distilbert")
"""Families of checkpoints in Hugging Face's form that can be read, by their `model_type`."""

HUGGING_FACE_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
HUGGING_FACE_VOCABULARIES = ("vocab.txt", "tokenizer.json")
"""Where word pieces are; the first that is there counts."""
KERAS_HUB_WEIGHTS = ("model.weights.h5", "model.weights.json")
_FILES = ("config.json", "tokenizer_config.json", *HUGGING_FACE_VOCABULARIES)
_FILES += (*HUGGING_FACE_WEIGHTS, *KERAS_HUB_WEIGHTS)

MOST_LAYERS = 1000
MOST_WEIGHTS = 10**10
"""No BERT has as many; what a file claims beyond it would only take the memory."""


class BertSizes(NamedTuple):
    """What the config.json of a BERT says."""

    embeddings: int
    """Most word pieces."""
    max_length: int
    """Positions of its longest sequence."""
    num_segments: int
    """Segments it tells apart: 2 where it can read pairs, which DistilBERT does without any."""


def check_preset(preset: str, *, with_weights: bool) -> BertSizes | None:
    """Refuses a preset that cannot be loaded, as far as that is seen without Keras.

    Of a local directory the files are looked at and the vocabulary is read; of a handle of the
    Hugging Face hub only whether its package is there. Other names are keras-hub's to know.

    Args:
        preset: As for `keras_prokt.models.bert.bert_classifier`.
        with_weights: Whether its weights are needed, and not its word pieces alone.

    Returns:
        The sizes of the BERT in a local directory, otherwise `None`.

    Raises:
        ValueError: If it cannot be loaded.

    Example:

    >>> from keras_prokt.bert_files import check_preset
    >>> check_preset("bert_base_en_uncased", with_weights=True)
    >>> try:
    ...     check_preset("./nowhere", with_weights=True)
    ... except ValueError as error:
    ...     print(str(error).rpartition("received ")[2])
    './nowhere'; check the path.
    """
    if preset.lower().startswith("hf://") and importlib.util.find_spec("huggingface_hub") is None:
        raise ValueError(
            f"Expected the package huggingface_hub for preset {preset!r}, received an environment "
            "without it; pip install huggingface_hub, or this package with its extra: "
            "keras-prokt[hf]."
        )
    if "://" in preset:
        return None
    folder = Path(preset).expanduser()
    if folder.is_dir():
        return _check_directory(folder, with_weights)
    if os.sep in preset or "/" in preset:  # in no name of keras-hub's
        raise ValueError(
            "Expected a keras-hub BERT preset, an 'hf://org/model' handle or an existing directory "
            f"with config.json, model.safetensors and vocab.txt, received {preset!r}; check the "
            "path."
        )
    return None


def check_holds_files(folder: Path) -> None:
    """Refuses a directory with devices, pipes or folders in the place of files.

    The first two may have no end.

    Args:
        folder: The directory.

    Raises:
        ValueError: With the first of them.
    """
    for path in sorted([folder, *folder.glob("*"), *folder.glob("assets/*/*")]):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ValueError(
                f"Expected files in directory {str(folder)!r}, received "
                f"{str(path.relative_to(folder))!r}, a device or a pipe; download the preset again."
            )
    for name in _FILES:
        if (folder / name).is_dir():
            raise ValueError(
                f"Expected files in directory {str(folder)!r}, received a folder {name!r}; "
                "download the preset again."
            )


def _check_directory(folder: Path, with_weights: bool) -> BertSizes:
    check_holds_files(folder)
    config = read_config(folder)
    is_keras_hub = "registered_name" in config
    vocabularies = (
        ("assets/tokenizer/vocabulary.txt",) if is_keras_hub else HUGGING_FACE_VOCABULARIES
    )
    weights = KERAS_HUB_WEIGHTS if is_keras_hub else HUGGING_FACE_WEIGHTS
    needed = [vocabularies, *([weights] if with_weights else [])]
    for names in needed:
        if not any((folder / name).is_file() for name in names):
            found = ", ".join(sorted(path.name for path in folder.iterdir()))
            raise ValueError(
                f"Expected {' or '.join(names)} in directory {str(folder)!r}, received "
                f"{found[:300]}; download the preset again, or convert a pytorch_model.bin with "
                "`model.save_pretrained(directory, safe_serialization=True)` of transformers."
            )
    sizes = sizes_of(str(folder), config)
    if with_weights and not is_keras_hub:
        _check_weights(folder, config, sizes)
    found = [folder / name for name in vocabularies if (folder / name).is_file()]
    _check_vocabulary(found[0], sizes.embeddings)
    if len(found) > 1:
        check_same_pieces(*found)
    return sizes


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a directory of a BERT.

    Args:
        folder: The directory, in Hugging Face's form or keras-hub's.

    Raises:
        ValueError: If it cannot be read, or is of another family.
    """
    try:
        if not (folder / "config.json").is_file():
            raise OSError("no file of that name")
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"Expected a readable config.json in directory {str(folder)!r}, received "
            f"{type(error).__name__}: {str(error)[:300]}; give the directory of a BERT."
        ) from error
    check_family(str(folder), config)
    return config


def check_family(place: str, config: Any) -> None:
    """Refuses the config.json of another family, or one that does not say its own.

    Args:
        place: The preset, for the message.
        config: What the file holds; keras-hub's own form names a class, which is not looked at.

    Raises:
        ValueError: If it is none of a BERT.
    """
    is_object = isinstance(config, dict)
    found = config.get("model_type") if is_object else type(config).__name__
    if is_object and ("registered_name" in config or found in MODEL_TYPES):
        return
    advice = "choose a checkpoint of BERT or DistilBERT"
    if found is None:  # of older files, such as TinyBERT's
        advice = 'if it is a BERT, add "model_type": "bert" to it'
    raise ValueError(
        f"Expected model_type {' or '.join(map(repr, MODEL_TYPES))} in the config.json of "
        f"{place!r}, received {found!r}; {advice}."
    )


def sizes_of(place: str, config: Mapping[str, Any]) -> BertSizes:
    """What a config.json says, once it is seen that such a BERT can be.

    Args:
        place: The preset, for messages.
        config: Of a BERT or DistilBERT, in Hugging Face's form or keras-hub's.

    Raises:
        ValueError: If a size is no number of at least 1, or they do not go together.
    """
    if "registered_name" in config:
        settings = config.get("config")
        keys: dict[str, int | None] = dict.fromkeys(
            ("vocabulary_size", "max_sequence_length", "num_segments")
        )
        if "DistilBert" in str(config["registered_name"]):
            keys["num_segments"] = 2
    else:
        settings = config
        keys = {"vocab_size": None, "max_position_embeddings": 512, "type_vocab_size": 2}
    values = [
        settings.get(key, usual) if isinstance(settings, dict) else None
        for key, usual in keys.items()
    ]
    for key, value in zip(keys, values, strict=True):
        _check_count(place, key, value)
    sizes = BertSizes(*values)
    _check_shape(place, settings, sizes)
    return sizes


def _check_count(place: str, key: str, value: Any) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(
            f"Expected a number of at least 1 for {key} in the config.json of {place!r}, "
            f"received {value!r:.40}; download the preset again."
        )


class _Shape(NamedTuple):
    """Names of what gives the shape of the weights."""

    width: str
    inner: str
    layers: str
    heads: str


_SHAPES = (
    _Shape("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    _Shape("dim", "hidden_dim", "n_layers", "n_heads"),
    _Shape("hidden_dim", "intermediate_dim", "num_layers", "num_heads"),
)
"""Of BERT and of DistilBERT in Hugging Face's form, and of both in keras-hub's."""


def _shape_of(config: Mapping[str, Any]) -> _Shape:
    if "model_type" not in config:
        return _SHAPES[2]
    return _SHAPES[MODEL_TYPES.index(config["model_type"])]


def layers_of(config: Mapping[str, Any]) -> int | None:
    """How many layers a config.json says that there are; as `weights_claimed`."""
    return config.get(_shape_of(config).layers)


def _check_shape(place: str, config: Mapping[str, Any], sizes: BertSizes) -> None:
    """Refuses layers that cannot be; keys may be missing."""
    shape = _shape_of(config)
    for key in shape:
        if key in config:
            _check_count(place, key, config[key])
    width, heads = config.get(shape.width), config.get(shape.heads)
    is_hugging_face = "model_type" in config  # keras-hub rounds the width of a head down
    if is_hugging_face and width is not None and heads is not None and width % heads:
        raise ValueError(
            f"Expected {shape.width} to be a multiple of {shape.heads} in the config.json of "
            f"{place!r}, received {width} and {heads}; download the preset again."
        )
    largest = {shape.layers: (config.get(shape.layers), MOST_LAYERS)}
    largest["weights"] = (weights_claimed(config, sizes), MOST_WEIGHTS)
    for what, (number, most) in largest.items():
        if number is not None and number > most:
            raise ValueError(
                f"Expected a config.json of at most {most:,} {what} in {place!r}, received one of "
                f"{number:,}; download the preset again."
            )


def weights_claimed(config: Mapping[str, Any], sizes: BertSizes) -> int | None:
    """How many numbers the matrices of a BERT have by its config.json, at least.

    Args:
        config: As `sizes_of`; in keras-hub's form its settings.
        sizes: What `sizes_of` gives.

    Returns:
        `None` if a key is missing, which is keras-hub's to know.
    """
    shape = _shape_of(config)
    width, inner, layers, _ = (config.get(key) for key in shape)
    if width is None or inner is None or layers is None:
        return None
    tables = sizes.embeddings + sizes.max_length
    return width * tables + layers * (4 * width * width + 2 * width * inner)


def _check_weights(folder: Path, config: Mapping[str, Any], sizes: BertSizes) -> None:
    """Refuses a config.json of a larger model than the weights beside it, a byte or more each."""
    claimed = weights_claimed(config, sizes)
    if claimed is None:
        return
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    if claimed > size:
        width, inner, layers, _ = _shape_of(config)
        raise ValueError(
            f"Expected the weights of {width} {config[width]}, {inner} {config[inner]} and "
            f"{layers} {config[layers]} in directory {str(folder)!r}, as its config.json says, "
            f"received {size:,} bytes of them; they are cut, or another checkpoint's: download the "
            "preset again."
        )


def _read_pieces(path: Path) -> list[str]:
    """`read_vocabulary`, whose errors say what to do."""
    try:
        return read_vocabulary(path)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"Expected a readable BERT vocabulary at {str(path)!r}, received "
            f"{type(error).__name__}: {str(error)[:300]}; download the preset again."
        ) from error


def check_same_pieces(one: Path, other: Path) -> None:
    """Refuses two files of a preset that give word pieces different ids: one is another model's.

    Args:
        one: A `vocab.txt` or `tokenizer.json`.
        other: Another of them.

    Raises:
        ValueError: If they differ, but for blank lines at the end, or cannot be read.
    """
    pieces = []
    for path in (one, other):
        pieces.append(_read_pieces(path))
        while pieces[-1] and not pieces[-1][-1]:
            pieces[-1].pop()
    if pieces[0] != pieces[1]:
        differing = (n for n, (a, b) in enumerate(zip(*pieces, strict=False)) if a != b)
        place = next(differing, min(map(len, pieces)))
        raise ValueError(
            f"Expected the same word pieces in {one.name} and {other.name} of {str(one.parent)!r}, "
            f"received others from id {place} on; one of them is another model's: download the "
            "preset again."
        )


def _check_vocabulary(path: Path, embeddings: int) -> None:
    vocabulary = _read_pieces(path)
    check_vocabulary(vocabulary, str(path))
    if not SMALLEST_SHARE * embeddings <= len(vocabulary) <= embeddings:
        advice = "it is cut, or another checkpoint's: download the preset again"
        if len(vocabulary) > embeddings:
            advice = "delete blank lines at its end, or download the preset again"
        raise ValueError(
            f"Expected about {embeddings} word pieces at {str(path)!r}, as many as its config.json "
            f"has embeddings and no more, received {len(vocabulary)}; {advice}."
        )


def read_vocabulary(path: str | Path) -> list[str]:
    """The word pieces of a `vocab.txt`, one a line, or of a `tokenizer.json`.

    Args:
        path: The file, in UTF-8.

    Returns:
        The pieces in the order of their ids. Only line ends are cut off: some vocabularies have
        white space as a piece.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not UTF-8, or as `read_tokenizer_json`.
    """
    if Path(path).suffix == ".json":
        return read_tokenizer_json(path)[0]
    check_is_file(Path(path))
    with open(path, encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file]


# What would split texts otherwise than BERT does.
_USUAL = {
    ("model", "continuing_subword_prefix"): "##",
    ("model", "unk_token"): "[UNK]",
    ("model", "max_input_chars_per_word"): 100,
    ("normalizer", "clean_text"): True,
    ("pre_tokenizer", "type"): "BertPreTokenizer",
}


def read_tokenizer_json(path: str | Path) -> tuple[list[str], dict[str, Any]]:
    """What a `tokenizer.json` of Hugging Face's says of BERT's tokenisation.

    Args:
        path: The file.

    Returns:
        The word pieces in the order of their ids, and the settings that a `tokenizer_config.json`
        has: `do_lower_case`, `strip_accents`, `tokenize_chinese_chars`.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no such file, or of another tokenisation than BERT's.
    """
    check_is_file(Path(path))
    text = Path(path).read_text(encoding="utf-8")
    try:
        saved = json.loads(text)
        model, normalizer = saved["model"], saved["normalizer"]
        kinds = model["type"], normalizer["type"]
        others = {
            f"{part} {key}": saved[part][key]
            for (part, key), usual in _USUAL.items()
            if (saved.get(part) or {}).get(key, usual) != usual
        }
        pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
        ids = sorted(model["vocab"].values())
        settings = {
            "do_lower_case": normalizer["lowercase"],
            "strip_accents": normalizer["strip_accents"],
            "tokenize_chinese_chars": normalizer["handle_chinese_chars"],
        }
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"no tokenizer.json of BERT ({type(error).__name__}: {error})") from error
    if kinds != ("WordPiece", "BertNormalizer"):
        raise ValueError(f"a tokenizer.json of {' and '.join(map(str, kinds))}")
    for name, value in others.items():
        usual = _USUAL[tuple(name.split())]
        raise ValueError(f"a tokenizer.json with {name} {value!r:.60} instead of {usual!r}")
    if ids != list(range(len(ids))):
        raise ValueError("a tokenizer.json whose ids are not 0, 1, 2, ...")
    return pieces, settings


def check_vocabulary(vocabulary: Sequence[str], source: str) -> None:
    """Refuses what is no vocabulary of a BERT.

    Args:
        vocabulary: The word pieces in the order of their ids.
        source: Where they are from, for the message.

    Raises:
        ValueError: If a special piece is missing, any piece is there twice, or one has a NUL.
    """
    ids = {piece: index for index, piece in enumerate(vocabulary)}
    if missing := [piece for piece in SPECIAL_PIECES if piece not in ids]:
        raise ValueError(
            f"Expected a BERT vocabulary with {', '.join(SPECIAL_PIECES)} in {source}, received "
            f"{len(vocabulary)} word pieces without {', '.join(missing)}; use the vocabulary that "
            "the model was trained with."
        )
    for index, piece in enumerate(vocabulary):
        if "\0" in piece:
            raise ValueError(
                f"Expected word pieces of text in {source}, received {piece!r} on line "
                f"{index + 1}; download the preset again."
            )
        if ids[piece] != index:
            raise ValueError(
                f"Expected each word piece once in {source}, received {piece!r} on line "
                f"{index + 1} and again on line {ids[piece] + 1}; rename the first, e.g. to "
                f"'[unused line {index + 1}]', which leaves all ids as Hugging Face reads them."
            )
