"""How raw input becomes what a model reads: one file a kind, `FRONT_ENDS` lists them.

This package imports no Keras.
"""

from collections.abc import Mapping
from typing import Any

from keras_prokt.arguments import check_mapping
from keras_prokt.front_ends.base import FrontEnd, Signature
from keras_prokt.front_ends.images import ImageFrontEnd
from keras_prokt.front_ends.text import TextFrontEnd
from keras_prokt.front_ends.words import WordFrontEnd
from keras_prokt.names import is_known, unknown_name

FRONT_ENDS: dict[str, type[FrontEnd]] = {
    "images": ImageFrontEnd,
    "text": TextFrontEnd,
    "words": WordFrontEnd,
}
"""Front end by its kind, as `front_end.json` of a run names it."""


def get(kind: str) -> type[FrontEnd]:
    """The front end of a kind.

    Raises:
        ValueError: If the kind is unknown; the message lists the known ones.

    Example:

    >>> from keras_prokt import front_ends
    >>> front_ends.get("images").__name__
    'ImageFrontEnd'
    """
    if not is_known(kind, FRONT_ENDS):
        raise ValueError(unknown_name("a kind of front end", kind, FRONT_ENDS))
    return FRONT_ENDS[kind]


def from_json(config: Mapping[str, Any]) -> FrontEnd:
    """The front end of what `FrontEnd.to_json` returned.

    Args:
        config: The JSON object. Without a kind, as runs before version 0.2.0 wrote it, it is of
            texts.

    Raises:
        ValueError: If the kind is unknown, or its settings are not those of that kind.

    Example:

    >>> from keras_prokt import front_ends
    >>> grey = front_ends.ImageFrontEnd((8, 8), mean=[0.5], standard_deviation=[0.5])
    >>> front_ends.from_json(grey.to_json()) == grey
    True
    """
    check_mapping("config", config)
    settings = dict(config)
    front_end = get(settings.pop("kind", TextFrontEnd.kind))
    try:
        return front_end(**settings)
    except TypeError as error:
        raise ValueError(
            f"Expected the settings of a front end for {front_end.kind}, received {error}; restore "
            "them from a copy."
        ) from error


__all__ = [
    "FRONT_ENDS",
    "FrontEnd",
    "ImageFrontEnd",
    "Signature",
    "TextFrontEnd",
    "WordFrontEnd",
    "from_json",
    "get",
]
