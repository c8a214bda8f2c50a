"""Names as users type them, and the message for one that does not exist."""

import contextlib
import difflib
import re
import unicodedata
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any, TextIO

from keras_prokt.arguments import shown


class OneLineWarning(UserWarning):
    """Something about the user's data, models or files that is worth a line."""


@contextlib.contextmanager
def warnings_in_one_line(show_line: Callable[[str], None]) -> Iterator[None]:
    """Shows what the library warns of, in the user's data, models or files, without its source.

    Args:
        show_line: Shows a line.
    """
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, OneLineWarning):
                show_line(f"warning: {message}")
            else:
                usual(showable(str(message)), category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def is_known(received: Any, known: Container[str]) -> bool:
    """Whether what a user gave for a name is one of those that exist; only a string can be.

    Args:
        received: What the user gave, hashable or not.
        known: The names that exist.

    Example:

    >>> from keras_prokt.names import is_known
    >>> is_known("digits", {"digits": 1}), is_known(["digits"], {"digits": 1})
    (True, False)
    """
    return isinstance(received, str) and received in known


def known_spelling(received: Any, known: Iterable[str]) -> Any:
    """A name in the spelling that is known: case, hyphens and underscores do not matter.

    Args:
        received: What the user gave.
        known: The names that exist.

    Returns:
        The known name, or `received` if there is none of that kind.

    Example:

    >>> from keras_prokt.names import known_spelling
    >>> known_spelling("MobileNetV2", ["mobilenet-v2", "vgg8"])
    'mobilenet-v2'
    """
    if not isinstance(received, str) or received in (known := list(known)):
        return received
    alike = [name for name in known if _bare(name) == _bare(received)]
    return alike[0] if len(alike) == 1 else received


def _bare(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())


MOST_NAMED = 60
"""Names that a message lists; a table may have thousands of columns."""

_LONGEST = 60


def unknown_name(
    kind: str,
    received: Any,
    known: Iterable[str],
    also: str = "",
    advice: str = "use one of those.",
) -> str:
    """One line saying that a name is unknown.

    Args:
        kind: What was named, with its article.
        received: What the user gave, which need not be a string.
        known: The names that exist.
        also: What else would have been accepted.
        advice: What to do where no name is like the one that was given.

    Returns:
        The message of a `ValueError`.

    Example:

    >>> from keras_prokt.names import unknown_name
    >>> unknown_name("an app", "digit", ["digits", "glue-sst2"])
    "Expected an app among digits, glue-sst2; received 'digit'; did you mean 'digits'?"
    """
    known = sorted(known)
    near: list[str] = []
    if isinstance(received, str):
        by_small = {name.lower(): name for name in known}
        found = difflib.get_close_matches(received.lower(), by_small, n=1)
        near = [by_small[name] for name in found]
    if near:
        advice = f"did you mean {near[0]!r}?"
    return f"Expected {kind} among {listed(known)}{also}; received {shown(received)}; {advice}"


def listed(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """Names in a message: in one line, long ones shortened, and so many at most.

    Example:

    >>> from keras_prokt.names import listed
    >>> listed(["a", "b", "c d\\n"], most=2), listed(["c d\\n"])
    ('a, b and 1 more', 'c d')
    """
    short = (" ".join(name.split()) for name in names[:most])
    text = ", ".join(n if len(n) <= _LONGEST else f"{n[: _LONGEST - 1]}…" for n in short)
    return f"{text} and {len(names) - most:,} more" if len(names) > most else text


_DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def is_showable(text: str) -> bool:
    """Whether a text does nothing but show itself: no escapes for terminals, no half characters."""
    return text == showable(text)


def showable(text: str) -> str:
    """A text in which terminals find nothing but characters, in the order in which they stand.

    Example:

    >>> from keras_prokt.names import showable
    >>> showable("\\x1b[2Jspam")
    '\\\\x1b[2Jspam'
    """
    return "".join(map(_shown, text)) if not text.isprintable() else text


def _shown(one: str) -> str:
    if one in _DIRECTIONS:
        return f"\\u{ord(one):04x}"
    is_control = unicodedata.category(one) in ("Cc", "Cs") and one not in "\t\n"
    return f"\\x{ord(one):02x}" if is_control else one
