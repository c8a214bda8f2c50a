"""Names of classes: their order, and what looks as if it were not meant.

This module imports no Keras.
"""

import re
import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence

from keras_prokt.arguments import shown
from keras_prokt.names import OneLineWarning, listed
from keras_prokt.settings import SettingError, argument

NAMED = 3
"""Things of a kind that a warning names."""


_MISSING = {"na", "n/a", "#n/a", "nan", "null", "none", "nil", "<na>", "missing", "?", "-"}
"""What programs write for a value that is missing, in small letters."""


_MOST_OF_FEW = 10
"""Classes up to which each may have a single row."""


class SimilarClasses(OneLineWarning):
    """Names of classes look the same, or nearly so, so that they may be the same."""


class DoubtfulClasses(OneLineWarning):
    """Names of classes that may be none: what stands for a missing value, or several classes."""


class AbsentClasses(OneLineWarning):
    """A part has no example of some class, so that nothing is measured of it."""


def sorted_names(labels: Iterable[str]) -> list[str]:
    """The different labels, sorted; numerically if all are integers."""
    names = sorted(set(labels))
    if all(re.fullmatch(r"[+-]?[0-9]{1,4000}", name) for name in names):
        names.sort(key=int)
    return names


def warn_of_class_names(class_names: Sequence[str]) -> None:
    """Warns of names that nearly are the same, and of those that may be no classes."""
    by_spelling: dict[str, list[str]] = {}
    for name in class_names:
        by_spelling.setdefault(_spelling(name), []).append(name)
    alike = [names for names in by_spelling.values() if len(names) > 1]
    if alike:
        groups = ", ".join(" and ".join(map(ascii_if_hidden, names)) for names in alike[:NAMED])
        warnings.warn(
            "Expected classes that differ in more than capitals, spaces or the form of their "
            f"letters, received {groups} among the {len(class_names):,} classes "
            f"{listed(class_names)}; write those that are the same alike.",
            SimilarClasses,
            stacklevel=3,
        )
    missing = [name for name in class_names if name.casefold() in _MISSING]
    if missing and len(class_names) > len(missing):
        warnings.warn(
            f"Expected classes, received {' and '.join(map(repr, missing))} among the "
            f"{len(class_names):,} classes {listed(class_names)}, as if a value were missing; if "
            "so, remove these rows or leave the label empty.",
            DoubtfulClasses,
            stacklevel=3,
        )
    known = set(class_names)
    if known == {"-1", *map(str, range(len(known) - 1))} and len(known) > 2:
        warnings.warn(
            f"Expected classes, received '-1' beside {listed(class_names[1:])}, as if it stood for "
            "no label; if so, remove these rows or leave the label empty.",
            DoubtfulClasses,
            stacklevel=3,
        )
    joined = [
        name
        for name in class_names
        for separator in ";|,/+&"
        if separator in name and {one.strip() for one in name.split(separator)} <= known
    ]
    if joined:
        warnings.warn(
            f"Expected one class in each label, received {joined[0]!r}, which joins others; it is "
            "taken for a class of its own.",
            DoubtfulClasses,
            stacklevel=3,
        )


def _spelling(name: str) -> str:
    """What is left of a name without capitals, signs that do not show, and forms of letters."""
    text = unicodedata.normalize("NFKC", name).casefold()
    text = " ".join("".join(c for c in text if unicodedata.category(c) != "Cf").split())
    return str(int(text)) if re.fullmatch(r"[0-9]{1,4000}", text) else text


def ascii_if_hidden(name: str) -> str:
    """A name in quotes, in which signs that do not show, or look like others, are escapes.

    Example:

    >>> from keras_prokt.data.class_names import ascii_if_hidden
    >>> ascii_if_hidden("né"), ascii_if_hidden("ne\\u0301")
    ("'né'", "'ne\\\\u0301'")
    """
    plain = all(unicodedata.category(c) not in ("Mn", "Cf", "Zs") or c == " " for c in name)
    return repr(name) if plain else ascii(name)


def warn_of_absent_classes(labels: Mapping[str, Iterable[str]], known: Sequence[str]) -> None:
    """Warns of parts that are held out and lack classes.

    Args:
        labels: Of each part.
        known: All classes.
    """
    for part, present in labels.items():
        absent = sorted(set(known) - set(present))
        if absent and part != "train":
            count = "1 class" if len(absent) == 1 else f"{len(absent):,} classes"
            warnings.warn(
                f"Expected examples of all {len(known):,} classes in the {part} part, received "
                f"none of {count}: {listed(absent, NAMED)}; add some, or nothing is said of them.",
                AbsentClasses,
                stacklevel=4,
            )


def check_repeated_labels(labels: Sequence[str], source: str) -> None:
    """Refuses labels that are nearly all different, as of a column of names or numbers of rows.

    Args:
        labels: Those of training rows, "" of one without.
        source: Where they are from, for the message.

    Raises:
        SettingError: If it is so.
    """
    present = set(labels) - {""}
    count = sum(map(bool, labels))
    if len(present) > _MOST_OF_FEW and 2 * len(present) > count:
        first = next(filter(None, labels))
        raise SettingError(
            f"Expected classes with several rows each, received {len(present):,} different labels "
            f"in {count:,} rows of {source}, such as {shown(first)}; choose another column with "
            f"{argument('label_column')}."
        )
