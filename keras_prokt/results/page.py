"""A page of results: one HTML file that asks for nothing else. Imports no Keras.

What is on it is a list of sections of blocks, plain values; `page.html.jinja` beside this module
makes HTML of them, by Jinja2, which escapes everything.
"""

import base64
import datetime
import io
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import numpy as np

import keras_prokt
from keras_prokt.files import write_text
from keras_prokt.pictures import for_page
from keras_prokt.results.tables import Grid
from keras_prokt.settings import SettingError, argument

LOOKS = {"light": ("#1b1f24", "#ffffff"), "dark": ("#e6e8eb", "#15181c")}
"""Colours of text and page, by what the reader's device prefers."""

MARK = "keras_prokt report"
"""The generator that a page names, by which it is known again."""

_MARKED_WITHIN = 600
"""Characters within which it stands."""

LARGEST_EXAMPLE = 160
"""Pixels of the longer side of a picture of the data."""


@dataclass(frozen=True)
class Lines:
    """Lines of text."""

    kind: ClassVar[str] = "lines"
    lines: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table, with what is said above and below it."""

    kind: ClassVar[str] = "table"
    grid: Grid
    caption: str
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """A drawn figure, as data URIs in the colours of either look."""

    kind: ClassVar[str] = "picture"
    light: str
    dark: str
    width: int
    """In pixels, as it was drawn."""
    caption: str
    alt: str


@dataclass(frozen=True)
class Example:
    """One example of the data and what is said of it."""

    facts: Sequence[str]
    text: str | None = None
    image: str | None = None
    """A data URI."""
    alt: str = ""


@dataclass(frozen=True)
class Examples:
    """Examples of the data, one beside another."""

    kind: ClassVar[str] = "examples"
    caption: str
    examples: Sequence[Example]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Folded:
    """Blocks that are shown when asked for."""

    kind: ClassVar[str] = "folded"
    heading: str
    blocks: "Sequence[Block]"


Block = Lines | Table | Picture | Examples | Folded


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    heading: str
    blocks: Sequence[Block]


def drawn(
    draw: Callable[..., None], caption: str, alt: str, *arguments: Any, **settings: Any
) -> Picture:
    """A figure in both looks.

    Args:
        draw: Draws into the file that stands in place of the first `...` of the arguments.
        caption: What is shown.
        alt: The same for who cannot see it, with what it says.
        *arguments: Its arguments.
        **settings: Its other arguments.
    """
    found = {}
    with tempfile.TemporaryDirectory(prefix="keras_prokt-") as folder:
        path = Path(folder) / "figure.svg"
        for look, colours in LOOKS.items():
            with for_page(*colours):
                draw(*(path if one is ... else one for one in arguments), **settings)
            found[look] = path.read_bytes()
    uris = {look: _uri(svg, "image/svg+xml") for look, svg in found.items()}
    return Picture(**uris, width=_width(found["light"]), caption=caption, alt=alt)


def _width(svg: bytes) -> int:
    """Width of a drawing in pixels, of which a point has 4/3."""
    points = float(ElementTree.fromstring(svg).attrib["width"].removesuffix("pt"))
    return round(points * 4 / 3)


def image_uri(pixels: np.ndarray) -> str:
    """A picture of the data as a data URI.

    Args:
        pixels: uint8 `(height, width, channels)` of one or three channels; a large one is reduced.
    """
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((LARGEST_EXAMPLE, LARGEST_EXAMPLE))
    file = io.BytesIO()
    image.save(file, format="png", optimize=True)
    return _uri(file.getvalue(), "image/png")


def _uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def render_page(title: str, sections: Sequence[Section]) -> str:
    """The page.

    Args:
        title: What it is about.
        sections: What is on it.

    Returns:
        HTML, in which everything that is given is text: markup in it is shown as it is.

    Example:

    >>> from keras_prokt.results.page import Lines, Section, render_page
    >>> page = render_page("<b>", [Section("A run", [Lines(["5 < 6"])])])
    >>> "<b>" in page, "&lt;b&gt;" in page, "5 &lt; 6" in page
    (False, True, True)
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        title=_showable(title),
        sections=_showable(sections),
        looks=LOOKS,
        mark=MARK,
        version=keras_prokt.__version__,
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        is_number=_is_number,
    )


_NUMBER = re.compile(r"[-+–]?[\d.,]*( ?(%|s|ms|MB|kB|M))?( ?\[[-+\d., ]+\])?")


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _showable(value: Any) -> Any:
    """The same without characters that HTML cannot hold, or that turn the direction of a text."""
    if isinstance(value, str):
        return "".join(one if one.isprintable() or one in "\n\t" else "�" for one in value)
    if isinstance(value, Grid):
        return Grid(*map(_showable, value))
    if isinstance(value, (list, tuple)):
        return [_showable(one) for one in value]
    if isinstance(value, (Section, Lines, Table, Picture, Example, Examples, Folded)):
        fields: Mapping[str, Any] = vars(value)
        return type(value)(**{name: _showable(one) for name, one in fields.items()})
    return value


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuses to write over a file that is no page of ours, unless it is asked for.

    Raises:
        ValueError: If it is there, or is a folder.
    """
    if path.is_dir():
        raise SettingError(
            f"Expected {argument('out')} to be a file, received the folder {str(path)!r}; such as "
            f"{str(path / 'report.html')!r}."
        )
    if path.exists() and not overwrite and not is_page(path):
        raise SettingError(
            f"Expected a new file or an older report for {argument('out')}, received {str(path)!r} "
            f"with something else; name another one, or add {argument('overwrite')}."
        )


def is_page(path: Path) -> bool:
    """Whether a file is a page that this package wrote."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return f'content="{MARK}' in file.read(_MARKED_WITHIN)
    except OSError:
        return False


def write_page(path: Path, page: str) -> None:
    """Writes a page, whole or not at all."""
    write_text(path, page)
