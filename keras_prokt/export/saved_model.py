"""The student alone as a SavedModel for TensorFlow Serving, from any backend."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import keras
from keras import ops

from keras_prokt.bert_files import check_vocabulary, read_vocabulary
from keras_prokt.distillers.model_checks import check_output, check_pair
from keras_prokt.tensorflow_beside import is_installed

Tensor = Any

_HALF = ("float16", "bfloat16")
_TEXT_FEATURES = ("token_ids", "padding_mask", "segment_ids")
_SEPARATE_FEATURES = ("token_ids", "padding_mask", "token_ids_pair", "padding_mask_pair")


@dataclass(frozen=True)
class TextFrontEnd:
    """How raw strings become the inputs of a text student: BERT's WordPiece tokenisation.

    `[CLS] text [SEP]`, for pairs `[CLS] first [SEP] second [SEP]` (Devlin et al. 2019, section
    3), as `keras_prokt.data.text.tokenize` does it before training, with the ids of
    `keras_prokt.models.wordpiece.ExactBertTokenizer`. A student of pairs with an input
    `token_ids_pair` gets `[CLS] first [SEP]` and `[CLS] second [SEP]` separately.

    Args:
        vocabulary: The word pieces in the order of their ids, or the path of a `vocab.txt` with
            one a line. Kept as a tuple.
        lowercase: Whether the vocabulary is lower-cased.
        strip_accents: Whether accents are removed; `None`: as `lowercase`, which is what BERT
            does.
        max_length: Longest sequence, special pieces counted; at least 3, for pairs 5.
        pair: Whether the student reads pairs of texts.

    Raises:
        ValueError: If the vocabulary cannot be read, lacks a special piece or has a piece twice,
            or `max_length` is too small.

    Example:

    >>> from keras_prokt.export import TextFrontEnd
    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fine", "film"]
    >>> TextFrontEnd(pieces, max_length=16).signature_inputs
    ('text',)
    """

    vocabulary: Sequence[str] | str | Path
    _: KW_ONLY
    lowercase: bool = True
    strip_accents: bool | None = None
    max_length: int = 128
    pair: bool = False

    def __post_init__(self) -> None:
        vocabulary, source = self.vocabulary, "the list"
        if isinstance(vocabulary, str | Path):
            source = repr(str(vocabulary))
            try:
                vocabulary = read_vocabulary(vocabulary)
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(
                    f"Expected a readable vocabulary file, received {str(vocabulary)!r} ({error}); "
                    "give the path of a vocab.txt with one word piece a line."
                ) from error
        check_vocabulary(vocabulary, source)
        smallest = 5 if self.pair else 3
        if self.max_length < smallest:
            raise ValueError(
                f"Expected max_length of at least {smallest} (special pieces and one of each "
                f"text), received {self.max_length}; 128 is usual."
            )
        # The dataclass is frozen; these are its normal forms.
        object.__setattr__(self, "vocabulary", tuple(vocabulary))
        if self.strip_accents is None:
            object.__setattr__(self, "strip_accents", self.lowercase)

    @classmethod
    def from_tokenizer(
        cls, tokenizer: Any, *, max_length: int = 128, pair: bool = False
    ) -> "TextFrontEnd":
        """The front end that gives the ids of the tokenizer used in training.

        Args:
            tokenizer: Of `keras_prokt.models.bert.bert_tokenizer`, or another
                `ExactBertTokenizer`.
            max_length: As in training.
            pair: Whether the student reads pairs of texts.

        Returns:
            The front end.

        Raises:
            ValueError: If it is another tokenizer, whose ids serving would not reproduce.
        """
        from keras_prokt.models.wordpiece import ExactBertTokenizer

        if not isinstance(tokenizer, ExactBertTokenizer):
            raise ValueError(
                "Expected the tokenizer of bert_tokenizer, or another ExactBertTokenizer, "
                f"received {type(tokenizer).__module__}.{type(tokenizer).__name__}, which gives "
                "other ids to some texts; train with ExactBertTokenizer or serve token ids."
            )
        return cls(
            tokenizer.get_vocabulary(),
            lowercase=tokenizer.lowercase,
            strip_accents=tokenizer.strip_accents,
            max_length=max_length,
            pair=pair,
        )

    @property
    def signature_inputs(self) -> tuple[str, ...]:
        """Names of the string inputs of `serve_text`."""
        return ("text", "text_pair") if self.pair else ("text",)


def export_saved_model(
    student: keras.Model,
    directory: str | Path,
    *,
    text: TextFrontEnd | None = None,
    class_names: Sequence[str] | None = None,
) -> Path:
    """Writes the student alone as a SavedModel, in a new version directory.

    TensorFlow Serving watches `directory` and serves its highest number; a version appears there
    in one move, when it is complete. Earlier versions are never touched. The batch size, and
    every length that is `None` in the student's inputs, stay free.

    Signatures:

    - `serving_default`: the student's inputs by the names given to `keras.Input` (`inputs` for a
      single one without a name) -> `probabilities`, float32 `(batch, classes)`, the softmax of
      the logits, and `label`, int64 `(batch,)`, the most probable class; with `class_names` also
      `class_name`, its name as a UTF-8 string `(batch,)`.
    - `serve_text`, with `text`: raw UTF-8 strings `text` (and `text_pair`), each `(batch,)` ->
      the same outputs. The tokenizer is part of the graph, in operations of TensorFlow Text: the
      stock TensorFlow Serving links them, a Python process must `import tensorflow_text` before
      it loads the SavedModel (for either signature).

    A student in half precision is exported as its float32 copy. On the JAX and torch backends the
    student goes through a `.keras` file to a TensorFlow process of its own; its custom layers
    must then be registered (`keras.saving.register_keras_serializable`) in an importable module.

    Args:
        student: A functional or built sequential model whose output is logits, shape
            `(batch, classes)`.
        directory: Parent of the version directories; made if it is not there.
        text: How strings become the student's inputs `token_ids`, `padding_mask` and
            `segment_ids`, of which it reads one or more; for pairs also `token_ids`,
            `padding_mask`, `token_ids_pair` and `padding_mask_pair`.
        class_names: Names of the classes, in the order of the logits.

    Returns:
        The new version directory, `directory/1` for the first.

    Raises:
        ValueError: If the student has no known inputs, does not end in logits, does not suit
            `text` or cannot be rebuilt, `class_names` are not as many strings as there are
            classes, or `directory` is a file. Nothing is left behind.

    Example:

    ```python
    path = export_saved_model(student, "serving/digits")  # serving/digits/1
    served = tf.saved_model.load(path)  # keep this reference while the signature is in use
    served.signatures["serving_default"](image=images)["probabilities"]
    ```
    """
    directory = Path(directory)
    anchor = next(folder for folder in (directory, *directory.parents) if folder.exists())
    if not anchor.is_dir():
        raise ValueError(
            f"Expected a directory for the versions of the model, received {str(directory)!r} "
            f"where {str(anchor)!r} is a file; choose another path."
        )
    inputs = _named_inputs(student)
    if text is not None:
        _check_text_inputs(inputs, text)
    if class_names is not None:
        _check_class_names(student, class_names)
    if not is_installed():
        raise ValueError(
            "Expected TensorFlow for writing a SavedModel, received an environment without it; "
            "export where it is installed, on any backend."
        )
    if keras.backend.backend() != "tensorflow":
        return _export_in_tensorflow_process(student, directory, text, class_names)

    import tensorflow as tf

    student = _in_float32(student)
    inputs = _named_inputs(student)
    structure = student.inputs[0] if isinstance(student, keras.Sequential) else student.input

    def serving_default(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = keras.tree.pack_sequence_as(structure, [features[name] for name in inputs])
        logits = ops.cast(keras.tree.flatten(student(values, training=False))[0], "float32")
        label = ops.cast(ops.argmax(logits, axis=-1), "int64")
        outputs = {"probabilities": ops.softmax(logits), "label": label}
        if class_names is not None:
            outputs["class_name"] = tf.gather(tf.constant(list(class_names)), label)
        return outputs

    archive = keras.export.ExportArchive()
    # The student is not track()ed: the archive would take its metrics' variables as well.
    specs = {
        name: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name)
        for name, tensor in inputs.items()
    }
    archive.add_endpoint("serving_default", serving_default, [specs])
    if text is not None:
        to_features = _tokenizer_in_graph(text, inputs)
        strings = {name: tf.TensorSpec((None,), tf.string, name) for name in text.signature_inputs}
        archive.add_endpoint(
            "serve_text", lambda texts: serving_default(to_features(texts)), [strings]
        )
    # The name is no number, so that a server does not take the unfinished folder for a version.
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=anchor) as scratch:
        unfinished = Path(scratch) / "saved_model"
        archive.write_out(unfinished, verbose=False)
        return _move_to_next_version(unfinished, directory)


def _named_inputs(student: keras.Model) -> dict[str, keras.KerasTensor]:
    """The student's symbolic inputs by name, in flat order, after checks of both its ends."""
    check_pair(None, student)
    inputs = getattr(student, "inputs", None)
    if not inputs:
        raise ValueError(
            "Expected a functional model, or a sequential one that has seen its input shape, "
            f"received {type(student).__name__} {student.name!r} without known inputs; wrap it as "
            "keras.Model(inputs, student(inputs)); of a distiller, export its student."
        )
    outputs = student.outputs
    check_output("student", outputs[0] if len(outputs) == 1 else outputs)
    names = [tensor.name for tensor in inputs]
    # Keras numbers the inputs that were given no name: theirs would change with every reload.
    unnamed = re.compile(r"(keras_tensor|input_layer)(_\d+)?")
    if len(names) == 1 and unnamed.fullmatch(names[0]):
        names = ["inputs"]
    for name in names:
        if unnamed.fullmatch(name) or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
            raise ValueError(
                "Expected inputs named by letters, digits and underscores, received input "
                f"{name!r} of {student.name!r}; servers ask for it by its name: name it with "
                "keras.Input(..., name='image')."
            )
    return dict(zip(names, inputs, strict=True))


def _check_text_inputs(inputs: Mapping[str, keras.KerasTensor], text: TextFrontEnd) -> None:
    known = _SEPARATE_FEATURES if _reads_separately(inputs, text) else _TEXT_FEATURES
    for name, tensor in inputs.items():
        lengths = (None, text.max_length)
        if name not in known or tensor.ndim != 2 or tensor.shape[1] not in lengths:
            raise ValueError(
                f"Expected a text student that reads {', '.join(known)} of shape "
                f"(batch, None) or (batch, {text.max_length}), received input {name!r} of shape "
                f"{tensor.shape}; rename the input, set max_length to its length, or leave text "
                "out."
            )


def _check_class_names(student: keras.Model, class_names: Sequence[str]) -> None:
    classes = student.outputs[0].shape[-1]
    is_list = not isinstance(class_names, str) and all(isinstance(n, str) for n in class_names)
    if not is_list or len(class_names) != classes:
        raise ValueError(
            f"Expected class_names to be {classes} strings, one a class of {student.name!r}, "
            f"received {class_names!r}; list them in the order of the logits."
        )


def _reads_separately(inputs: Mapping[str, keras.KerasTensor], text: TextFrontEnd) -> bool:
    """Whether the two texts of a pair are sequences of their own for the student."""
    return text.pair and "token_ids_pair" in inputs


def _tokenizer_in_graph(
    text: TextFrontEnd, inputs: Mapping[str, keras.KerasTensor]
) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    """A function from batches of strings to the inputs that the student reads."""
    from keras_hub.layers import MultiSegmentPacker

    from keras_prokt.models.wordpiece import ExactBertTokenizer

    tokenizer = ExactBertTokenizer(
        text.vocabulary, lowercase=text.lowercase, strip_accents=text.strip_accents
    )
    pack = MultiSegmentPacker(
        sequence_length=text.max_length,
        start_value=tokenizer.cls_token_id,
        end_value=tokenizer.sep_token_id,
        pad_value=tokenizer.pad_token_id,
    )

    def of_sequence(*columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        token_ids, segment_ids = pack(tuple(tokenizer(column) for column in columns))
        padding_mask = ops.cast(ops.not_equal(token_ids, tokenizer.pad_token_id), "int32")
        return token_ids, padding_mask, segment_ids

    def to_features(texts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        columns = [texts[key] for key in text.signature_inputs]
        if _reads_separately(inputs, text):
            names = (_SEPARATE_FEATURES[:2], _SEPARATE_FEATURES[2:])
            sequences = [of_sequence(column)[:2] for column in columns]
        else:
            names, sequences = (_TEXT_FEATURES,), [of_sequence(*columns)]
        features = {}
        for keys, sequence in zip(names, sequences, strict=True):
            # 1 in a batch of no texts: Keras's LSTM takes no sequences without steps.
            longest = ops.max(ops.sum(sequence[1], axis=1), initial=1)
            for key, values in zip(keys, sequence, strict=True):
                if key in inputs:
                    # Where lengths are free, no further than the longest text of the batch: most
                    # texts are much shorter than max_length.
                    values = values if inputs[key].shape[1] else values[:, :longest]
                    features[key] = ops.cast(values, inputs[key].dtype)
        return features

    return to_features


def _in_float32(student: keras.Model) -> keras.Model:
    """The student itself, or a float32 copy if a part of it computes in half precision."""
    if not any(layer.compute_dtype in _HALF for layer in student._flatten_layers()):
        return student
    config = _replace_half(keras.saving.serialize_keras_object(student))
    try:
        # Safe mode guards against files by others; this configuration was made just now.
        copy = keras.saving.deserialize_keras_object(config, safe_mode=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Expected a {student.compute_dtype} student that Keras can rebuild in float32, "
            f"received {type(error).__name__}: {str(error).splitlines()[0][:300]}; register its "
            "own classes with keras.saving.register_keras_serializable."
        ) from error
    copy.set_weights(student.get_weights())
    return copy


def _replace_half(config: Any) -> Any:
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            policy = keras.DTypePolicy(config["config"]["name"])
            return "float32" if policy.compute_dtype in _HALF else config
        return {
            key: "float32" if key == "dtype" and value in _HALF else _replace_half(value)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_replace_half(value) for value in config)
    return config


def _move_to_next_version(unfinished: Path, directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    while True:
        versions = [int(path.name) for path in directory.iterdir() if path.name.isdecimal()]
        target = directory / str(max(versions, default=0) + 1)
        try:
            os.replace(unfinished, target)
        except OSError:
            # Another process may have taken the number since; anything else is an error.
            if not target.exists():
                raise
        else:
            return target


def _export_in_tensorflow_process(
    student: keras.Model,
    directory: Path,
    text: TextFrontEnd | None,
    class_names: Sequence[str] | None,
) -> Path:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "student.keras"
        student.save(file)
        command = [sys.executable, "-m", "keras_prokt.export", str(file), str(directory)]
        command += [f"--import={module}" for module in _modules_of_custom_objects(student)]
        if class_names is not None:
            names = Path(scratch) / "class_names.json"
            names.write_text(json.dumps(list(class_names)), encoding="utf-8")
            command += [f"--class-names={names}"]
        if text is not None:
            vocabulary = Path(scratch) / "vocab.txt"
            vocabulary.write_text("\n".join(text.vocabulary), encoding="utf-8")
            command += [f"--text-vocabulary={vocabulary}", f"--text-max-length={text.max_length}"]
            command += ["--text-strip-accents" if text.strip_accents else "--no-text-strip-accents"]
            command += ["--text-pair"] if text.pair else []
            command += [] if text.lowercase else ["--text-cased"]
        environment = {
            **os.environ,
            "KERAS_BACKEND": "tensorflow",
            # This process may hold all of the GPU's memory, and exporting needs none.
            "CUDA_VISIBLE_DEVICES": "-1",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        child = subprocess.run(command, env=environment, capture_output=True, text=True)
    if child.returncode:
        lines = child.stderr.splitlines()
        # TensorFlow writes there as well; without a line of ours the process was killed.
        problems = [line for line in lines if line.startswith("error: ")] or [
            f"exit status {child.returncode} after {lines[-1] if lines else 'no output'!r}"
        ]
        raise ValueError(
            "Expected the TensorFlow process that exports the student to succeed, received "
            f"{problems[-1]}"
        )
    return Path(child.stdout.strip().splitlines()[-1])


def _modules_of_custom_objects(student: keras.Model) -> list[str]:
    """Modules that the other process must import to be able to rebuild the student."""
    config = student.to_json()
    modules = {
        custom.__module__
        for name, custom in keras.saving.get_custom_objects().items()
        if f'"{name}"' in config
    }
    if "__main__" in modules:
        raise ValueError(
            f"Expected the custom layers of {student.name!r} in an importable module, received "
            "some defined in the script itself; move them to a module of their own, or export "
            "with KERAS_BACKEND=tensorflow."
        )
    return sorted(modules)
