"""Names as users type them, and the message for one that does not exist."""

import difflib
import re
import unicodedata
from collections.abc import Container, Iterable
from typing import Any

from keras_prokt.arguments import shown


class DataWarning(UserWarning):
    """Something about the user's data that is worth a line."""


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


def unknown_name(kind: str, received: Any, known: Iterable[str], also: str = "") -> str:
    """One line saying that a name is unknown.

    Args:
        kind: What was named, with its article.
        received: What the user gave, which need not be a string.
        known: The names that exist.
        also: What else would have been accepted.

    Returns:
        The message of a `ValueError`.

    Example:

    >>> from keras_prokt.names import unknown_name
    >>> unknown_name("an app", "digit", ["digits", "glue-sst2"])
    "Expected an app among digits, glue-sst2; received 'digit'; did you mean 'digits'?"
    """
    known = sorted(known)
    near = difflib.get_close_matches(received, known, n=1) if isinstance(received, str) else []
    advice = f"did you mean {near[0]!r}?" if near else "use one of those."
    return f"Expected {kind} among {', '.join(known)}{also}; received {shown(received)}; {advice}"


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
