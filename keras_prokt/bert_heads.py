"""The head of a fine-tuned BERT: which directory has one, and what its classes are.

This module imports no Keras.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_prokt.bert_files import read_config
from keras_prokt.names import OneLineWarning

ARCHITECTURES = {
    "BertForSequenceClassification": ("classifier_dropout", "hidden_dropout_prob"),
    "DistilBertForSequenceClassification": ("seq_classif_dropout",),
}
"""Classes of transformers with a head that is read -> where config.json has its dropout."""

_ENCODER_ALONE = "give its encoder alone (`model.base_model.save_pretrained(DIR)` of transformers)"


class NumberedLabels(OneLineWarning):
    """Classes of a fine-tuned model have numbers for names, and are taken by those."""


class TrainedHead(NamedTuple):
    """What config.json says of a classifier."""

    labels: tuple[str, ...]
    """Names of its classes, in the order of its logits."""
    dropout: float
    """Rate before its last layer."""


def trained_files(preset: str) -> tuple[Path, ...]:
    """Files of a fine-tuned classifier in a directory of Hugging Face's form.

    Args:
        preset: As for `keras_prokt.models.bert.bert_classifier`.

    Returns:
        `config.json` and the weights; nothing where it is no local directory, or one of an encoder
        without a classifier.

    Example:

    >>> from keras_prokt.bert_heads import trained_files
    >>> trained_files("bert_base_en_uncased")
    ()
    """
    folder = Path(preset).expanduser()
    if not (folder / "config.json").is_file() or _architecture(read_config(folder)) is None:
        return ()
    index = folder.glob("*.safetensors.index.json")
    return (folder / "config.json", *sorted(index), *sorted(folder.glob("*.safetensors")))


def read_head(directory: str | Path, *, has_value: bool = False) -> TrainedHead:
    """The head of a fine-tuned classifier.

    Args:
        directory: One of which `trained_files` returns some.
        has_value: Whether it has to give a text one number, and not a class.

    Raises:
        ValueError: If it does not give one class to a text, or one number, or its config.json is
            not whole.
    """
    config = read_config(Path(directory).expanduser())
    labels = _labels(config, str(directory))
    kind = config.get("problem_type")
    # Without a kind, transformers takes one output for a regression.
    kinds = (None, "regression" if has_value else "single_label_classification")
    if kind not in kinds or (len(labels) == 1) is not has_value:
        wanted = "model that gives one number" if has_value else "classifier that gives one class"
        raise ValueError(
            f"Expected a {wanted} to a text in {str(directory)!r}, received "
            f"problem_type {kind!r} with {len(labels)} outputs; {_ENCODER_ALONE}."
        )
    rates = [config.get(key) for key in ARCHITECTURES[str(_architecture(config))]]
    dropout = next((rate for rate in rates if rate is not None), 0.1)
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ValueError(
            f"Expected a dropout in [0, 1) before the classifier in the config.json of "
            f"{str(directory)!r}, received {dropout!r}; download the preset again."
        )
    return TrainedHead(labels, float(dropout))


def order_of_labels(
    labels: Sequence[str], class_names: Sequence[str], directory: str
) -> tuple[int, ...]:
    """Which logits of a fine-tuned classifier belong to the classes of a task.

    Names are matched as they are, or else without regard to case, hyphens, underscores and spaces.
    `LABEL_0`, `LABEL_1`, ..., which transformers gives to classes without a name, are the numbers
    of the task's classes.

    Args:
        labels: Names in the order of the logits.
        class_names: The task's, in the order of their numbers.
        directory: Where the labels are from, for messages.

    Returns:
        For each class the number of its logit.

    Raises:
        ValueError: If they are not the same classes; the message lists both.

    Example:

    >>> from keras_prokt.bert_heads import order_of_labels
    >>> order_of_labels(["POSITIVE", "NEGATIVE"], ["negative", "positive"], "./model")
    (1, 0)
    """
    for spelling in (str, _bare):
        numbers = {spelling(label): number for number, label in enumerate(labels)}
        wanted = [spelling(name) for name in class_names]
        if len(numbers) == len(labels) == len(wanted) and set(wanted) == set(numbers):
            return tuple(numbers[name] for name in wanted)
    if list(labels) == [f"LABEL_{number}" for number in range(len(class_names))]:
        warnings.warn(
            f"The classes of {directory!r} have no names: "
            + ", ".join(f"{a} is taken for {b!r}" for a, b in zip(labels, class_names, strict=True))
            + ".",
            NumberedLabels,
            stacklevel=2,
        )
        return tuple(range(len(class_names)))
    raise ValueError(
        f"Expected a fine-tuned teacher with the task's classes {list(class_names)}, received "
        f"{directory!r} with {list(labels)}; correct id2label in its config.json, or "
        f"{_ENCODER_ALONE}."
    )


def _architecture(config: Mapping[str, Any]) -> str | None:
    """The class of transformers that a checkpoint is of, if its head is read."""
    found = config.get("architectures")
    if "registered_name" in config:
        return None
    return next((name for name in ARCHITECTURES if found == [name]), None)


def _labels(config: Mapping[str, Any], directory: str) -> tuple[str, ...]:
    """The classes; two where config.json says nothing, as transformers leaves out its defaults."""
    names = config.get("id2label")
    if names is None:
        count = config.get("num_labels", 2)
        if type(count) is int and 1 <= count <= 100_000:
            return tuple(f"LABEL_{number}" for number in range(count))
        names = count
    keys = [str(number) for number in range(len(names))] if isinstance(names, Mapping) else []
    if not keys or set(names) != set(keys):
        raise ValueError(
            f"Expected id2label with the keys 0, 1, 2, ... in the config.json of {directory!r}, "
            f"received {str(names)[:300]!r}; save the model again."
        )
    return tuple(str(names[key]) for key in keys)


def _bare(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.casefold())
