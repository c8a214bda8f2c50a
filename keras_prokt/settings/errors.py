"""The error of a setting that means nothing, whose message names arguments."""

from collections.abc import Mapping

_OPEN, _CLOSE = "\ue000", "\ue001"


def argument(name: str, key: str | None = None) -> str:
    """An argument's name in a message, which the command line shows as its option.

    Args:
        name: Name of the setting, such as `proximal_weight`.
        key: Key in it, of settings that are mappings: the objective of a weight.

    Example:

    >>> from keras_prokt.settings import SettingError, argument
    >>> error = SettingError(f"Expected {argument('proximal_weight')} in [0, 1), received 2.")
    >>> str(error)
    'Expected proximal_weight in [0, 1), received 2.'
    >>> error.shown_as({"proximal_weight": "--lambda"})
    'Expected --lambda in [0, 1), received 2.'
    """
    return f"{_OPEN}{name}{'' if key is None else f' {key}'}{_CLOSE}"


class SettingError(ValueError):
    """A setting that means nothing; the message names arguments.

    Args:
        message: One line, with `argument(...)` for the names of arguments.
    """

    def __init__(self, message: str):
        self._message = message
        super().__init__(self.shown_as({}))

    @property
    def marked(self) -> str:
        """The message as it was given, from which the same error can be made elsewhere."""
        return self._message

    def shown_as(self, names: Mapping[str, str]) -> str:
        """The message with other names for the arguments.

        Args:
            names: Argument -> what to write in its place; others stay as they are.
        """
        shown = []
        for number, piece in enumerate(self._message.split(_OPEN)):
            if number == 0:
                shown.append(piece)
                continue
            marked, _, rest = piece.partition(_CLOSE)
            name, _, key = marked.partition(" ")
            shown.append(f"{names.get(name, name)}{' ' if key else ''}{key}{rest}")
        return "".join(shown)
