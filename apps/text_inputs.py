"""Texts in memory as inputs of the models, and how much of them the models do not see.

Imports no Keras, so that apps can be listed at once.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_prokt.app import TaskRequest
from keras_prokt.names import OneLineWarning
from keras_prokt_apps.text_students import JOINT_INPUTS, SENTENCE_INPUTS, SEPARATE_INPUTS

if TYPE_CHECKING:
    from keras_prokt.data.batches import Batches
    from keras_prokt.front_ends import TextFrontEnd


class TextPart(NamedTuple):
    """One part of a data set: a list of texts a column, one or two, and class numbers or values."""

    columns: Sequence[Sequence[str]]
    labels: Sequence[int] | Sequence[float]
    origin: tuple[Sequence[int], int] | None = None
    """Position of each row in the data as its user has it, and how many rows that has; by default
    all in order."""


class TextReader(NamedTuple):
    """Makes inputs out of texts."""

    tokenizer: Any
    max_length: int

    def read(self, names: Sequence[str], columns: Sequence[Sequence[str]]) -> dict[str, list[Any]]:
        """The inputs of those names."""
        if names != SEPARATE_INPUTS:
            tokens = self._jointly(*columns)
            return {name: tokens[name] for name in names}
        of_each = [self._jointly(column) for column in columns]
        values = [tokens[name] for tokens in of_each for name in SENTENCE_INPUTS]
        return dict(zip(SEPARATE_INPUTS, values, strict=True))

    def _jointly(
        self, texts: Sequence[str], second: Sequence[str] | None = None
    ) -> dict[str, list[Any]]:
        import numpy as np

        from keras_prokt.data.text import tokenize_once

        tokens = tokenize_once(self.tokenizer, texts, second=second, max_length=self.max_length)
        padding_mask = [np.ones_like(row) for row in tokens.token_ids]
        values = (tokens.token_ids, padding_mask, tokens.segment_ids)
        return dict(zip(JOINT_INPUTS, values, strict=True))


def read_alike(one: Any, other: Any) -> bool:
    """Whether two tokenizers give the same ids to all texts."""
    settings = [(t.get_vocabulary(), t.lowercase, t.strip_accents) for t in (one, other)]
    return settings[0] == settings[1]


def text_batches(
    part: TextPart,
    readers: "dict[str, TextReader]",
    student_inputs: tuple[str, ...],
    request: TaskRequest,
    *,
    shuffle: bool,
) -> "Batches":
    """What both models read of a part; of training the `limit` rows that the seed chooses."""
    import numpy as np

    from keras_prokt.data.batches import Batches, Origin

    labels = np.asarray(part.labels)
    labels = labels.astype("float32" if labels.dtype.kind == "f" else "int32")
    keep = np.arange(len(labels))
    positions, count = part.origin or (keep, len(keep))
    if shuffle and request.limit is not None:
        # Before tokenising: the rest would be tokenised for nothing.
        keep = np.sort(np.random.default_rng([request.seed, 1]).permutation(keep)[: request.limit])
    columns = [[column[i] for i in keep] for column in part.columns]
    teacher = readers["teacher"].read(JOINT_INPUTS, columns)
    if student_inputs != SEPARATE_INPUTS and readers["student"] is readers["teacher"]:
        student = {name: teacher[name] for name in student_inputs}
    else:
        student = readers["student"].read(student_inputs, columns)
    batches = Batches(
        {"teacher": teacher, "student": student},
        labels[keep],
        batch_size=request.batch_size,
        seed=request.seed,
        shuffle=shuffle,
        max_length=readers["teacher"].max_length,
        origin=Origin(np.asarray(positions)[keep], count),
    )
    return batches if shuffle else batches.longest_first()


class CutTexts(OneLineWarning):
    """Many texts are longer than the models read."""


class UnknownPieces(OneLineWarning):
    """Many word pieces of the texts are not in a vocabulary, so that all look the same."""


MANY = 0.1
"""Share of texts that are cut, or of word pieces that are unknown, from which on it is warned."""


def text_shares(
    inputs: Mapping[str, Any], front_ends: "Mapping[str, TextFrontEnd]"
) -> dict[str, dict[str, float]]:
    """How much of some texts two models do not see, and a warning where it is much.

    Args:
        inputs: "teacher" and "student": the inputs of that model, lists of rows.
        front_ends: "teacher" and "student": how it reads texts.

    Returns:
        As in `Task.text_shares`.
    """
    shares = {role: _shares(inputs[role], front_ends[role]) for role in ("teacher", "student")}
    longest = front_ends["teacher"].max_length
    if (cut := max(one["cut"] for one in shares.values())) > MANY:
        warnings.warn(
            f"Expected texts of fewer than {longest} word pieces, received {cut:.0%} that are as "
            "long or longer, and are cut there; a larger max_length keeps their ends.",
            CutTexts,
            stacklevel=2,
        )
    many = {role: one["unknown"] for role, one in shares.items() if one["unknown"] > MANY}
    if many:
        warnings.warn(
            f"Expected texts that the vocabulary of {' and '.join(many)} can spell, received "
            f"{max(many.values()):.0%} unknown word pieces, which look all the same; choose a "
            "checkpoint for this language and script.",
            UnknownPieces,
            stacklevel=2,
        )
    return shares


def _shares(inputs: Mapping[str, Any], front_end: "TextFrontEnd") -> dict[str, float]:
    import numpy as np

    rows = [row for name, rows in inputs.items() if name.startswith("token_ids") for row in rows]
    lengths = np.array([len(row) for row in rows])
    pieces = np.concatenate([np.asarray(row) for row in rows])
    known = {name: number for number, name in enumerate(front_end.vocabulary)}
    words = pieces[~np.isin(pieces, [known.get("[CLS]", -1), known.get("[SEP]", -1)])]
    return {
        "cut": round(float(np.mean(lengths >= front_end.max_length)), 4),
        "unknown": round(float(np.mean(words == known.get("[UNK]", -1))), 4) if len(words) else 0.0,
    }
