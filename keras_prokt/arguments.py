"""Checks of arguments: each refusal is one line that names the argument.

Imports no Keras.
"""

import math
import os
import re
import struct
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

_LONGEST = 80


def shown(value: Any) -> str:
    """A value as a message shows it: on one line, cut where it is long.

    Example:

    >>> from keras_prokt.arguments import shown
    >>> shown(range(1000)), shown("a" * 100)[-8:]
    ('range(0, 1000)', 'aaaa ...')
    """
    if isinstance(value, int) and abs(value) >= 10**_LONGEST:
        return "a whole number of more than 80 digits"  # Python refuses to print some of these
    text = re.sub(r"\s+", " ", repr(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."


def checked_number(name: str, value: Any, *, is_bounded: bool = False) -> float:
    """A finite number as a float.

    Args:
        name: The argument, as the message is to call it.
        value: What the user gave.
        is_bounded: Whether the caller refuses all outside of a range, NaN and infinity included.

    Raises:
        ValueError: If it is none; booleans and strings are none.

    Example:

    >>> from keras_prokt.arguments import checked_number
    >>> checked_number("temperature", 2)
    2.0
    >>> checked_number("temperature", "2")
    Traceback (most recent call last):
    ValueError: Expected temperature to be a finite number, received '2'.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if is_bounded or math.isfinite(number):
            return number
    raise _refusal(name, "a number" if is_bounded else "a finite number", value, "")


def as_float32(value: float) -> float:
    """What training computes with: a number that float32 rounds, to 0 or infinity too.

    Example:

    >>> from keras_prokt.arguments import as_float32
    >>> as_float32(1e-50), as_float32(1e300), as_float32(0.5)
    (0.0, inf, 0.5)
    """
    try:
        return struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def is_weight(value: float) -> bool:
    """Whether a number is at least 0, and in float32 finite, and 0 only where it is 0."""
    computed = as_float32(value)
    return 0 <= computed < math.inf and (computed > 0) == (value != 0)


def checked_integer(name: str, value: Any, least: int = 1, advice: str = "") -> int:
    """A whole number of at least some size, as an `int`.

    Raises:
        ValueError: If it is none; booleans are none, and neither is 2.0.
    """
    if isinstance(value, Integral) and not isinstance(value, bool) and value >= least:
        return int(value)
    raise _refusal(name, f"a whole number of at least {least}", value, advice)


def checked_path(name: str, value: Any) -> Path:
    """A path.

    Raises:
        ValueError: If it is neither a string nor a path, empty, or holds a null character.
    """
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if isinstance(path, str) and path and "\0" not in path:
        return Path(path)
    raise _refusal(name, "a path", value, "")


def check_flag(name: str, value: Any) -> None:
    """Refuses what is neither true nor false."""
    if not isinstance(value, bool):
        raise _refusal(name, "True or False", value, "")


def check_flags(**flags: Any) -> None:
    """Refuses arguments that are neither true nor false."""
    for name, value in flags.items():
        check_flag(name, value)


def check_text(name: str, value: Any, advice: str = "") -> None:
    """Refuses what is no string, or an empty one."""
    if not isinstance(value, str) or not value:
        raise _refusal(name, "a string", value, advice)


def checked_numbers(name: str, value: Any) -> tuple[Any, ...]:
    """Several finite numbers, as they were given.

    Raises:
        ValueError: If they are none.
    """
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    # An array is none, but has them.
    numbers = value if is_list else getattr(value, "tolist", lambda: None)()
    if not isinstance(numbers, Sequence) or not all(_is_finite(one) for one in numbers):
        raise _refusal(name, "several finite numbers", value, "")
    return tuple(numbers)


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return is_number and math.isfinite(as_float32(float(value)))


def checked_texts(name: str, value: Any, advice: str = "") -> list[str]:
    """A list of strings.

    Raises:
        ValueError: If it is none; a single string is no list.
    """
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not is_list or not all(isinstance(one, str) and one for one in value):
        raise _refusal(name, "a list of strings", value, advice)
    return list(value)


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuses what is none of some words."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"Expected {name} in {choices}, received {shown(value)}.")


def check_function(name: str, value: Any, advice: str = "") -> None:
    """Refuses what cannot be called, and classes, which are seldom meant."""
    if not callable(value) or isinstance(value, type):
        raise _refusal(name, "a function", value, advice)


def check_mapping(name: str, value: Any, advice: str = "") -> None:
    """Refuses what is no mapping."""
    if not isinstance(value, Mapping):
        raise _refusal(name, "a mapping", value, advice)


def checked_paths(name: str, value: Any) -> list[Path]:
    """A list of paths.

    Raises:
        ValueError: If it is none; a single path is no list.
    """
    if isinstance(value, str | os.PathLike):
        raise _refusal(name, "a list of paths", value, f"use [{value!r}]")
    if isinstance(value, bytes | Mapping) or not isinstance(value, Sequence):
        raise _refusal(name, "a list of paths", value, "")
    return [checked_path(f"each of {name}", one) for one in value]


def check_type(name: str, value: Any, kind: type, expected: str) -> None:
    """Refuses what is no object of a class.

    Args:
        name: The argument.
        value: What the user gave.
        kind: The class.
        expected: What the message says is expected.
    """
    if not isinstance(value, kind):
        raise _refusal(name, expected, value, "")


def _refusal(name: str, expected: str, value: Any, advice: str) -> ValueError:
    end = f"; {advice}" if advice else ""
    return ValueError(f"Expected {name} to be {expected}, received {shown(value)}{end}.")
