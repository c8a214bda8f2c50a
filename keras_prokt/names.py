"""The message for a name that does not exist: what exists, and the nearest one."""

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, received: str, known: Iterable[str], also: str = "") -> str:
    """One line saying that a name is unknown.

    Args:
        kind: What was named, with its article.
        received: What the user typed.
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
    near = difflib.get_close_matches(received, known, n=1)
    advice = f"did you mean {near[0]!r}?" if near else "use one of those."
    return f"Expected {kind} among {', '.join(known)}{also}; received {received!r}; {advice}"
