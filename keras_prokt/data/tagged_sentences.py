"""Sentences of the user's own files, with a tag for each word; imports no NumPy and no Keras."""

import random
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_prokt.data.formats.base import check_columns, decoded
from keras_prokt.data.formats.jsonl import jsonl_records
from keras_prokt.data.table import HELD_OUT_SHARE, SPLIT_SEED
from keras_prokt.data.tags import OUTSIDE, PLAIN, entities, iob2_classes, scheme_of, to_iob2
from keras_prokt.names import OneLineWarning
from keras_prokt.settings import SettingError, argument

CONLL = (".conll", ".txt", ".bio")
"""Suffixes of files with a word and its tag a line."""

JSONL = ".jsonl"

WORDS, TAGS = "words", "tags"
"""Columns of JSON Lines, where nobody names others."""

_DOCUMENT = "-DOCSTART-"

_MANY = 10
"""Sentences from which on it is no chance that each is a word."""


class OddTags(OneLineWarning):
    """A few tags are not those of entities, though most are."""


class LoneWords(OneLineWarning):
    """Every sentence is a word, as where an empty line follows each."""


@dataclass(frozen=True)
class TaggedSentences:
    """Sentences in memory.

    Args:
        source: Path of the file.
        words: Of each sentence.
        tags: Theirs; empty where tags are not read.
        numbers: The line where each sentence begins.
        columns: Of each word all that stands before its predicted tag; of JSON Lines nothing.
        is_conll: Whether each word has a line of its own.
    """

    source: str
    words: list[list[str]]
    tags: list[list[str]]
    numbers: list[int]
    columns: list[list[list[str]]]
    is_conll: bool = True

    def __len__(self) -> int:
        return len(self.numbers)

    def place(self, sentence: int, word: int) -> str:
        """Where a word is, for messages."""
        return f"{self.source}, line {self.numbers[sentence] + (word if self.is_conll else 0)}"

    def taking(self, keep: Sequence[int]) -> "TaggedSentences":
        """Some of the sentences."""
        return replace(
            self,
            words=[self.words[i] for i in keep],
            tags=[self.tags[i] for i in keep],
            numbers=[self.numbers[i] for i in keep],
            columns=[self.columns[i] for i in keep],
        )


@dataclass(frozen=True)
class TaggedData:
    """All parts of a data set.

    Args:
        scheme: How the training tags mark entities, as `keras_prokt.data.tags.scheme_of` says.
        class_names: The tags in the order of their numbers; of entities all of IOB2.
        parts: "train", "validation" and, unless there is none, "test"; tags of entities in IOB2.
        positions: Of each training sentence among those of the file before it was divided, from 0.
        count: How many those are.
    """

    scheme: str
    class_names: list[str]
    parts: Mapping[str, TaggedSentences]
    positions: list[int]
    count: int

    def labels(self, part: str) -> list[list[int]]:
        """The number of each word's tag."""
        number_of = {name: number for number, name in enumerate(self.class_names)}
        return [[number_of[tag] for tag in tags] for tags in self.parts[part].tags]

    def limited(self, count: int, seed: int) -> "TaggedData":
        """The same data with at most so many training sentences, chosen by the seed alone."""
        rows = _in_random_order(len(self.positions), seed)[:count]
        positions = [self.positions[row] for row in sorted(rows)]
        train = self.parts["train"].taking(sorted(rows))
        return replace(self, parts={**self.parts, "train": train}, positions=positions)


def load_tagged(
    dataset: str,
    *,
    word_column: str | None = None,
    tag_column: str | None = None,
    validation: str | None = None,
    test: str | None = None,
) -> TaggedData:
    """Reads sentences whose words have tags, and cuts off what is not held out.

    Without a validation file, a tenth of the sentences becomes that part, and without a test file
    either another tenth, chosen by `keras_prokt.data.table.SPLIT_SEED` alone. Tags of entities are
    written in IOB2 whatever scheme they are in, so that all schemes are learnt alike.

    Args:
        dataset: A file as `read_tagged` reads it.
        word_column: As in `read_tagged`.
        tag_column: As in `read_tagged`.
        validation: A file of the same form to validate on.
        test: A file of the same form to test on.

    Returns:
        The parts, the scheme of the tags and their names.

    Raises:
        ValueError: As `read_tagged`; also if training has a single tag or too few sentences, or a
            held-out file has a tag, or a type of entities, that training lacks.

    Example:

    ```python
    data = load_tagged("train.conll", validation="dev.conll")
    data.scheme, data.class_names, data.parts["train"].words[0]
    ```
    """
    given = {"validation": validation, "test": test}
    paths = {"train": dataset, **{name: path for name, path in given.items() if path is not None}}
    columns = {"word_column": word_column, "tag_column": tag_column}
    parts = {name: read_tagged(path, **columns) for name, path in paths.items()}
    train = parts["train"]
    _warn_of_lone_words(train)
    scheme = scheme_of(train.tags)
    if scheme == PLAIN:
        _warn_of_odd_tags(train)
        class_names = sorted({tag for tags in train.tags for tag in tags})
    else:
        class_names = iob2_classes(one.type for tags in train.tags for one in entities(tags))
    if len(class_names) < 2:
        raise SettingError(
            f"Expected at least two tags, received {class_names[0]!r} at each word of "
            f"{train.source}; check the file, whose last column is the tag."
        )
    for name in parts:
        if scheme != PLAIN:
            _check_prefixes(parts[name])
            of_part = [to_iob2(tags) for tags in parts[name].tags]
            parts[name] = replace(parts[name], tags=of_part)
        _check_known(parts[name], class_names)
    count, positions = len(train), list(range(len(train)))
    if validation is None:
        divided = _divided(count, [name for name in given if name not in parts], train.source)
        whole = parts["train"]
        parts |= {name: whole.taking(keep) for name, keep in divided.items()}
        positions = divided["train"]
    return TaggedData(scheme, class_names, parts, positions, count)


def read_tagged(
    path: str | Path,
    *,
    word_column: str | None = None,
    tag_column: str | None = None,
    has_tags: bool = True,
) -> TaggedSentences:
    """Reads sentences whose words have tags, in UTF-8.

    The suffix says the form. `.conll`, `.txt` and `.bio` have a word a line, its first column, and
    its tag, the last of two or more columns between tabs, or in a line without tabs between
    spaces; empty lines are between sentences, and lines that begin with `-DOCSTART-` are no words.
    `.jsonl` has an object a line with a list of words and one of as many tags.

    Args:
        path: The file.
        word_column: Of JSON Lines, the column of the words; `None`: `words`.
        tag_column: Of JSON Lines, the column of the tags; `None`: `tags`.
        has_tags: Whether tags are read; otherwise they may be missing.

    Returns:
        The sentences with words in the order of the file.

    Raises:
        ValueError: If the file is missing, unreadable, of another form or without words, a column
            is missing, or words and tags are not as many; with the file and the line.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_prokt.data.tagged_sentences import read_tagged
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "train.conll")
    ...     _ = path.write_text("Ada NNP B-PER\\nslept VBD O\\n\\nOslo NNP B-LOC\\n")
    ...     sentences = read_tagged(path)
    >>> sentences.words, sentences.tags, sentences.numbers
    ([['Ada', 'slept'], ['Oslo']], [['B-PER', 'O'], ['B-LOC']], [1, 4])
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (*CONLL, JSONL):
        raise ValueError(
            f"Expected a file with a suffix among {', '.join((*CONLL, JSONL))}, received "
            f"{str(path)!r}; a file with a word and its tag a line is a .conll."
        )
    if not path.is_file():
        raise ValueError(
            f"Expected a file of words and tags, received {str(path)!r} where there is none; "
            "check the path."
        )
    if suffix == JSONL:
        found = _read_jsonl(path, word_column or WORDS, (tag_column or TAGS) if has_tags else None)
    else:
        for name, value in {"text_columns": word_column, "label_column": tag_column}.items():
            if value is not None:
                raise SettingError(
                    f"Expected no {argument(name)} with {str(path)!r}, whose words are the first "
                    f"column and whose tags the last, received {value!r}; leave it out."
                )
        found = _read_conll(path, has_tags)
    if not len(found):
        raise ValueError(f"Expected words with tags, received none in {path}; add sentences.")
    return found


def _read_conll(path: Path, has_tags: bool) -> TaggedSentences:
    sentences: list[list[list[str]]] = [[]]
    numbers: list[int] = []
    width = None
    for line, text in enumerate(re.split("\r\n|\n|\r", decoded(path)), start=1):
        is_document = text.startswith(_DOCUMENT)
        if is_document or not text.strip():
            if sentences[-1]:
                sentences.append([])
            continue
        place = f"{path}, line {line}"
        stripped = text.strip(" ")
        cells = stripped.split("\t") if "\t" in text else re.split(" +", stripped)
        cells = [cell.strip(" ") for cell in cells]
        if has_tags and len(cells) < 2:
            raise ValueError(
                f"Expected a word and its tag, received {cells[0]!r} alone at {place}; separate "
                "them by a tab or spaces, and sentences by an empty line."
            )
        if not cells[0] or has_tags and not cells[-1]:
            missing = "tag" if cells[0] else "word"
            raise ValueError(
                f"Expected a word and its tag, received an empty {missing} at {place}; fill it in."
            )
        width = width or len(cells)
        if len(cells) != width:
            raise ValueError(
                f"Expected {width} columns as in the lines before, received {len(cells)} at "
                f"{place}; write as many in each line, the tag last."
            )
        if not sentences[-1]:
            numbers.append(line)
        sentences[-1].append(cells)
    rows = [sentence for sentence in sentences if sentence]
    tags = [[cells[-1] for cells in sentence] if has_tags else [] for sentence in rows]
    return TaggedSentences(
        str(path), [[cells[0] for cells in sentence] for sentence in rows], tags, numbers, rows
    )


def _read_jsonl(path: Path, word_column: str, tag_column: str | None) -> TaggedSentences:
    if tag_column == word_column:
        raise SettingError(
            f"Expected different columns in {argument('text_columns')} and "
            f"{argument('label_column')}, received {word_column!r} for both; name each once."
        )
    found = TaggedSentences(str(path), [], [], [], [], is_conll=False)
    wanted = [word_column] if tag_column is None else [word_column, tag_column]
    for line, record in jsonl_records(path, wanted):
        place = f"{path}, line {line}"
        check_columns(wanted, record, place)
        words, *of_words = (_strings(record[name], name, place) for name in wanted)
        for tags in of_words:
            if len(tags) != len(words):
                raise ValueError(
                    f"Expected as many tags as words ({len(words)}), received {len(tags)} at "
                    f"{place}; give each word one."
                )
        if words:
            found.words.append(words)
            found.tags.append([tag.strip() for tag in of_words[0]] if of_words else [])
            found.numbers.append(line)
            found.columns.append([[word] for word in words])
    return found


def _strings(values: Any, column: str, place: str) -> list[str]:
    if not isinstance(values, list):
        raise ValueError(
            f"Expected a list of strings in column {column!r}, received {type(values).__name__} "
            f"at {place}; split the text into words."
        )
    for value in values:
        # What is written again as a line has to be one.
        if not isinstance(value, str) or not value.strip() or re.search(r"[\t\r\n]", value):
            raise ValueError(
                f"Expected strings without tabs and line breaks in column {column!r}, received "
                f"{value!r} at {place}; write each word and tag as one."
            )
    return values


def _check_prefixes(sentences: TaggedSentences) -> None:
    """Refuses tags that are no entities', beside training tags that all are."""
    for row, tags in enumerate(sentences.tags):
        for number, tag in enumerate(tags):
            if not _is_of_entities(tag):
                raise ValueError(
                    f"Expected tags of entities as in training, received {tag!r} at "
                    f"{sentences.place(row, number)}; write O, or B-TYPE and I-TYPE."
                )


def _warn_of_odd_tags(train: TaggedSentences) -> None:
    """Names the first tag that is no entities', where most are and so all stand for themselves."""
    counts = Counter(tag for tags in train.tags for tag in tags if tag != OUTSIDE)
    odd = {tag for tag in counts if not _is_of_entities(tag)}
    if 2 * sum(counts[tag] for tag in odd) >= counts.total():
        return
    places = ((row, n, tag) for row, tags in enumerate(train.tags) for n, tag in enumerate(tags))
    row, number, tag = next(place for place in places if place[2] in odd)
    warnings.warn(
        f"Expected tags of entities, as most are, received {tag!r} at {train.place(row, number)}; "
        "each tag now stands for itself: write O, or B-TYPE and I-TYPE.",
        OddTags,
        stacklevel=3,
    )


def _warn_of_lone_words(train: TaggedSentences) -> None:
    """Says it where words are read without any other beside them."""
    if len(train) >= _MANY and all(len(words) == 1 for words in train.words):
        warnings.warn(
            f"Expected sentences, received {len(train):,} of one word each in {train.source}; "
            "leave empty lines between sentences alone.",
            LoneWords,
            stacklevel=3,
        )


def _is_of_entities(tag: str) -> bool:
    """Whether a tag is one of entities' in some scheme."""
    return scheme_of([[tag, "B-X"]]) != PLAIN


def _check_known(sentences: TaggedSentences, class_names: Sequence[str]) -> None:
    known = set(class_names)
    for row, tags in enumerate(sentences.tags):
        for number, tag in enumerate(tags):
            if tag not in known:
                raise ValueError(
                    f"Expected tags that training has ({', '.join(class_names)}), received "
                    f"{tag!r} at {sentences.place(row, number)}; add such sentences to training, "
                    "or remove it."
                )


def _divided(count: int, held_out: Sequence[str], source: str) -> dict[str, list[int]]:
    """The sentences of each part, by their numbers."""
    names = ("train", *held_out)
    if count < len(names):
        raise SettingError(
            f"Expected at least {len(names)} sentences to divide into {', '.join(names)}, received "
            f"{count} in {source}; add some, or give a file as {argument('validation')}."
        )
    order = _in_random_order(count, SPLIT_SEED)
    size = max(1, round(count * HELD_OUT_SHARE))
    keep = {}
    for name in held_out:
        keep[name], order = sorted(order[:size]), order[size:]
    return {"train": sorted(order), **keep}


def _in_random_order(count: int, seed: int) -> list[int]:
    generator = random.Random(seed)
    # Of this module's generators only random() is promised to stay the same.
    return [row for _, row in sorted((generator.random(), row) for row in range(count))]
