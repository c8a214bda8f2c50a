"""What is known of one setting: its kind, its range, its help and its messages."""

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any
from unicodedata import category

from keras_prokt.arguments import as_float32
from keras_prokt.names import unknown_name
from keras_prokt.settings.errors import SettingError, argument


@dataclass(frozen=True)
class Setting:
    """What is known of one setting.

    Attributes:
        help: One sentence for `--help`.
        kind: `float`, `int`, `str`, `bool`, `tuple` (of strings) or `dict`.
        option: How it is typed; `None` for `--` and its name.
        metavar: What stands for the value in `--help`.
        at_least: Smallest value.
        above: A value that it must exceed.
        at_most: Largest value.
        below: A value that it must stay below.
        choices: The only values.
        advice: What a message adds when the value is out of its range.
        is_file: Whether it is a path, which is kept absolute.
        is_place: Whether it only says where files lie, which changes no result.
        is_one_text: Whether a tuple is typed as one text, and not an entry at a time.
        is_listed: Whether a comma separates values in a search.
        is_logarithmic: Whether a search draws a range by its logarithm.
        may_change: Whether `"0.6..0"` is a value too: from the first to the last epoch, in equal
            steps.
        of_apps: Attribute of `App` that apps which have it share; `None` for all apps.
        advice_for_apps: What a message says of apps that do not have it.
    """

    help: str
    kind: type = str
    option: str | None = None
    metavar: str | None = None
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    advice: str = ""
    is_file: bool = False
    is_place: bool = False
    is_one_text: bool = False
    is_listed: bool = True
    is_logarithmic: bool = False
    may_change: bool = False
    of_apps: str | None = None
    advice_for_apps: str = ""

    @property
    def is_repeated(self) -> bool:
        """Whether the option may be given several times, an entry each."""
        return self.kind is dict or (self.kind is tuple and not self.is_one_text)

    def option_of(self, name: str) -> str:
        """How it is typed on the command line."""
        return self.option or f"--{name.replace('_', '-')}"

    def checked(self, name: str, value: Any, key: str | None = None) -> Any:
        """The value in its kind.

        Args:
            name: The argument's name, for messages.
            value: The value.
            key: Key in the argument, for messages.

        Raises:
            SettingError: If it is of another kind or out of range.
        """
        shown = argument(name, key)
        if self.may_change and isinstance(value, str):
            return self._checked_change(name, value)
        converted = _CONVERSIONS[self.kind](value)
        if converted is None:
            raise SettingError(f"Expected {_KINDS[self.kind]} for {shown}, received {value!r}.")
        if self.choices and converted not in self.choices:
            raise SettingError(unknown_name(f"{shown}", converted, self.choices))
        if self.kind in (float, int):
            self._check_range(shown, converted)
        return converted

    def _checked_change(self, name: str, text: str) -> str:
        """The text of a value that goes from one number to another."""
        ends = text.split("..")
        if len(ends) != 2:
            raise SettingError(
                f"Expected a number for {argument(name)}, or two of them such as 0.6..0, received "
                f"{text!r}."
            )
        for end in ends:
            replace(self, may_change=False).parsed(name, end.strip())
        return "..".join(end.strip() for end in ends)

    def _check_range(self, shown: str, value: float) -> None:
        computed = as_float32(value) if self.kind is float else value
        is_in_range = (
            math.isfinite(computed)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or computed > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or computed < self.below)
            and (computed != 0 or value == 0)
        )
        if self.kind is int and self.at_most is None and value > _LARGEST:
            raise SettingError(f"Expected {shown} of at most {_LARGEST}, received {value!r:.40}.")
        if not is_in_range:
            advice = f"; {self.advice}" if self.advice else ""
            is_infinite = not math.isfinite(computed)
            is_rounded = is_infinite or computed in (0, self.above, self.below)
            if math.isfinite(value) and is_rounded and computed != value:
                advice = f", which float32 rounds to {computed:g}{advice}"
            allowed = self._range()
            if is_infinite and allowed.startswith(("above", "of")):
                allowed = f"that is finite and {allowed.removeprefix('of ')}"
            raise SettingError(f"Expected {shown} {allowed}, received {value!r}{advice}.")

    def _range(self) -> str:
        low = self.at_least if self.above is None else self.above
        high = self.at_most if self.below is None else self.below
        if low is not None and high is not None:
            ends = "(" if self.above is not None else "[", ")" if self.below is not None else "]"
            return f"in {ends[0]}{_shown(low)}, {_shown(high)}{ends[1]}"
        if self.above is not None:
            return f"above {_shown(self.above)}"
        return "that is finite" if low is None else f"of at least {_shown(low)}"

    def parsed(self, name: str, text: str, key: str | None = None) -> Any:
        """The value of what a person typed; arguments as `checked`.

        Raises:
            SettingError: If it is of another kind or out of range.
        """
        if self.may_change and ".." in text:
            return self._checked_change(name, text)
        if self.kind in (float, int):
            try:
                return self.checked(name, self.kind(text), key)
            except (ValueError, OverflowError) as error:
                if isinstance(error, SettingError):
                    raise
                raise SettingError(
                    f"Expected {_KINDS[self.kind]} for {argument(name, key)}, received {text!r}; "
                    f"such as {'0.3' if self.kind is float else '2'}."
                ) from None
        if self.kind is bool:
            words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            if text.lower() not in words:
                raise SettingError(
                    f"Expected true or false for {argument(name, key)}, received {text!r}."
                )
            return words[text.lower()]
        if self.kind is tuple:
            return (text,)
        return self.checked(name, text, key)


_LARGEST = 2**31 - 1
"""Of whole numbers that have no other bound; backends count with no larger ones."""


def _shown(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _as_float(value: Any) -> float | None:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf if value > 0 else -math.inf


def _as_int(value: Any) -> int | None:
    is_number = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return int(value) if is_number else None


def _as_text(value: Any) -> str | None:
    # No file can be named, and no terminal shown, control characters and half characters.
    is_text = isinstance(value, str) and value.strip() != ""
    return value if is_text and not any(category(c) in ("Cc", "Cs") for c in value) else None


def _as_texts(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str) or not isinstance(value, (tuple, list)):
        return None
    return tuple(value) if all(_as_text(one) is not None for one in value) else None


_CONVERSIONS: dict[type, Callable[[Any], Any]] = {
    float: _as_float,
    int: _as_int,
    str: _as_text,
    bool: lambda value: value if isinstance(value, bool) else None,
    tuple: _as_texts,
    dict: lambda value: dict(value) if isinstance(value, Mapping) else None,
}

_KINDS = {
    float: "a number",
    int: "a whole number",
    str: "a text, not empty and without control characters,",
    bool: "true or false",
    tuple: "a list of texts",
    dict: "a mapping",
}


def setting(help: str, kind: type = str, *, default: Any = None, **metadata: Any) -> Any:
    """A field of a part of the spec, with what is known of it; arguments as `Setting`."""
    return field(default=default, metadata={"setting": Setting(help, kind, **metadata)})


def settings_of(part: type) -> dict[str, Setting]:
    """The settings of a part of the spec, by name."""
    return {f.name: f.metadata["setting"] for f in fields(part) if "setting" in f.metadata}


def fields_of(part: type) -> list[Field[Any]]:
    """The fields of a part that are settings."""
    return [f for f in fields(part) if "setting" in f.metadata]


def ends_of(value: float | str) -> tuple[float, float]:
    """The first and the last value of a setting that may change.

    Example:

    >>> from keras_prokt.settings import ends_of
    >>> ends_of("0.6..0"), ends_of(0.3)
    ((0.6, 0.0), (0.3, 0.3))
    """
    if isinstance(value, str):
        first, _, last = value.partition("..")
        return float(first), float(last)
    return float(value), float(value)
