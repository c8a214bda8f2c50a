"""Tags of words: how entities are written in them. Imports no NumPy and no Keras."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

OUTSIDE = "O"
"""Tag of a word that belongs to no entity."""

PLAIN = "plain"
"""Scheme of tags that each stand for themselves, such as parts of speech."""

_PREFIXED = re.compile(r"([BILUES])-(.+)")
_LIKE = {"L": "E", "U": "S"}  # BILOU's letters for what BIOES calls end and single


class Entity(NamedTuple):
    """A span of words."""

    first: int
    """Number of its first word in the sentence, from 0."""
    end: int
    """Number of the word behind its last."""
    type: str


def scheme_of(sentences: Iterable[Sequence[str]]) -> str:
    """How tags mark the words of entities.

    - IOB2: `B-X` begins each entity, `I-X` goes on.
    - IOB1 (Ramshaw and Marcus 1995): `I-X` begins an entity as well, and `B-X` only one that
      follows another of its type at once.
    - BIOES: `E-X` ends an entity and `S-X` is a whole one; BILOU calls them `L-X` and `U-X`.

    Args:
        sentences: The tags of each sentence.

    Returns:
        "IOB2", "IOB1", "IOB" (a mixture of the two), "BIOES", "BILOU", or `PLAIN`, if a tag is
        neither `O` nor a letter of these with a type.

    Example:

    >>> from keras_prokt.data.tags import scheme_of
    >>> scheme_of([["I-PER", "O", "I-LOC"]]), scheme_of([["NOUN", "VERB"]])
    ('IOB1', 'plain')
    """
    letters: set[str] = set()
    starts_with_i = needless_b = False
    for tags in sentences:
        previous = None
        for tag in tags:
            match = _PREFIXED.fullmatch(tag)
            if match is None and tag != OUTSIDE:
                return PLAIN
            letter, kind = (None, None) if match is None else match.groups()
            if letter is not None:
                letters.add(letter)
                starts_with_i |= letter == "I" and kind != previous
                needless_b |= letter == "B" and kind != previous
            previous = kind
    if not letters:
        return PLAIN
    if letters & {"L", "U"}:
        return "BILOU"
    if letters & {"E", "S"}:
        return "BIOES"
    if not starts_with_i:
        return "IOB2"
    return "IOB" if needless_b else "IOB1"


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a sentence as CoNLL's own script reads them, in any scheme.

    A word begins an entity if its tag says so (`B`, `S`), the word before it belongs to none, or
    to one of another type, or ends its own (`E`, `S`). So does the default mode of seqeval.

    Args:
        tags: Of each word.

    Example:

    >>> from keras_prokt.data.tags import entities
    >>> entities(["B-PER", "I-PER", "O", "I-LOC"])
    [Entity(first=0, end=2, type='PER'), Entity(first=3, end=4, type='LOC')]
    """
    found = []
    first, current, closed = 0, None, True
    for number, tag in enumerate([*tags, OUTSIDE]):
        match = _PREFIXED.fullmatch(tag)
        letter, kind = (None, None) if match is None else match.groups()
        letter = _LIKE.get(letter, letter)
        begins = kind is not None and (letter in ("B", "S") or closed or kind != current)
        if current is not None and (begins or kind is None):
            found.append(Entity(first, number, current))
        if begins:
            first = number
        current, closed = kind, kind is None or letter in ("E", "S")
    return found


def to_iob2(tags: Sequence[str]) -> list[str]:
    """The tags of the same entities in IOB2.

    Example:

    >>> from keras_prokt.data.tags import to_iob2
    >>> to_iob2(["S-PER", "O", "I-LOC", "I-LOC"])
    ['B-PER', 'O', 'B-LOC', 'I-LOC']
    """
    written = [OUTSIDE] * len(tags)
    for first, end, kind in entities(tags):
        written[first:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - first - 1)]
    return written


def iob2_classes(types: Iterable[str]) -> list[str]:
    """All tags of entities in the order that `keras_prokt.outputs.entity_f1` reads.

    Args:
        types: Of the entities.

    Example:

    >>> from keras_prokt.data.tags import iob2_classes
    >>> iob2_classes(["PER", "LOC"])
    ['O', 'B-LOC', 'I-LOC', 'B-PER', 'I-PER']
    """
    return [OUTSIDE, *(f"{letter}-{kind}" for kind in sorted(set(types)) for letter in "BI")]


def entity_f1(right: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]]) -> float:
    """F1 of entities over all sentences: right are those whose words and type are (micro).

    `2 TP / (2 TP + FP + FN)`; 0 where there are none (Tjong Kim Sang and De Meulder 2003).

    Args:
        right: The tags of each sentence.
        predicted: Those that are measured.

    Example:

    >>> from keras_prokt.data.tags import entity_f1
    >>> entity_f1([["B-PER", "O", "B-LOC"]], [["B-PER", "O", "B-PER"]])
    0.5
    """
    both = count = 0
    for tags, answers in zip(right, predicted, strict=True):
        here, there = set(entities(tags)), set(entities(answers))
        both += len(here & there)
        count += len(here) + len(there)
    return 2 * both / count if count else 0.0


def commonest_tags(
    words: Iterable[Sequence[str]], tags: Iterable[Sequence[str]]
) -> "CommonestTags":
    """What a tagger answers that knows each word's commonest tag and nothing of its sentence.

    Args:
        words: Of each training sentence.
        tags: Theirs.
    """
    counts: dict[str, Counter[str]] = {}
    of_all: Counter[str] = Counter()
    for one_sentence in zip(words, tags, strict=True):
        for word, tag in zip(*one_sentence, strict=True):
            counts.setdefault(word, Counter())[tag] += 1
            of_all[tag] += 1
    return CommonestTags(
        {word: of_word.most_common(1)[0][0] for word, of_word in counts.items()},
        of_all.most_common(1)[0][0],
    )


class CommonestTags(NamedTuple):
    """The commonest tag of each word of the training sentences."""

    of_words: dict[str, str]
    otherwise: str
    """The commonest tag of all, for words that are new."""

    def answers(self, sentences: Iterable[Sequence[str]]) -> Iterator[list[str]]:
        """The tags of each sentence, given its words."""
        for words in sentences:
            yield [self.of_words.get(word, self.otherwise) for word in words]
