"""Docstrings as the API reference reads them."""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(
    r"^Example:[ ]*(?P<text>.*)\n\n?(?P<body>(?:.*\n?)*?)(?=^[A-Z][a-z]+:$|\Z)", re.M
)
"""An example of ours: its text, and its code, which is not indented, to the next section."""


class Examples(griffe.Extension):
    """Shows what stands below `Example:` as code, which Griffe does for an indented `Examples:`."""

    def on_object(self, *, obj: griffe.Object, **others: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(_section, obj.docstring.value)


def _section(match: re.Match) -> str:
    lines = (
        [match["text"], "", *match["body"].splitlines()]
        if match["text"]
        else match["body"].splitlines()
    )
    return "\n".join(["Examples:", *(f"    {line}" if line else "" for line in lines), ""])
