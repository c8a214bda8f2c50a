"""What all pictures of the package share; Matplotlib is imported only where one is drawn."""

import contextlib
import io
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_prokt.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {"teacher": "#e69f00", "student": "#0072b2", "gap": "#009e73"}
"""Colours that colour-blind eyes tell apart (Okabe and Ito), light and dark."""

PAGE_WIDTH = 5.0
"""Inches of a figure that a page shows, whose letters a phone can still show."""


class _Look(NamedTuple):
    """How pictures are drawn."""

    ink: str = "black"
    paper: str = "white"
    is_for_page: bool = False
    """Whether a page shows them, down to the width of a phone, with a caption of its own."""


_USUAL = _Look()
_LOOK: ContextVar[_Look] = ContextVar("look", default=_USUAL)


def ink() -> str:
    """Colour of text and lines."""
    return _LOOK.get().ink


def paper() -> str:
    """Colour behind them."""
    return _LOOK.get().paper


@contextlib.contextmanager
def for_page(ink: str, paper: str) -> Iterator[None]:
    """Figures of the block are drawn for a page: without ground and title, one panel below another.

    Args:
        ink: Colour of text and lines.
        paper: Colour of the page.
    """
    import matplotlib

    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    settings: dict[str, Any] = {
        **dict.fromkeys(names, ink),
        "legend.facecolor": paper,
        "savefig.transparent": True,
        "svg.hashsalt": "keras_prokt",  # the same picture is the same file
    }
    token = _LOOK.set(_Look(ink, paper, is_for_page=True))
    try:
        with matplotlib.rc_context(settings):
            yield
    finally:
        _LOOK.reset(token)


def new_figure(width: float, height: float, title: str) -> "Figure":
    """An empty figure that no window shows.

    Args:
        width: In inches.
        height: In inches.
        title: What is shown.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    if not _LOOK.get().is_for_page:
        figure.suptitle(literal(title), fontsize="medium")
    return figure


def panels(width: float, height: float, title: str, count: int = 2) -> "tuple[Figure, list[Any]]":
    """A figure with panels side by side or, for a page, one below another.

    Args:
        width: Of the figure with them side by side, in inches.
        height: In inches.
        title: What is shown.
        count: How many panels.
    """
    if _LOOK.get().is_for_page:
        figure = new_figure(PAGE_WIDTH, height * count, title)
        return figure, list(figure.subplots(count, 1, squeeze=False)[:, 0])
    figure = new_figure(width, height, title)
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def literal(text: str) -> str:
    """A text of a user's in which Matplotlib finds no formula: names of files may hold dollars."""
    return text.replace("$", r"\$")


def save(figure: "Figure", png: str | Path) -> None:
    """Writes a figure, whole or not at all; a file that shows it already is left as it is.

    One whose name ends in `.svg` is one.
    """
    drawn, png = io.BytesIO(), Path(png)
    if png.suffix == ".svg":
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    else:
        figure.savefig(drawn, dpi=120, format="png")
    if png.is_file() and png.read_bytes() == drawn.getvalue():
        return
    with replacing(png) as temporary:
        temporary.write_bytes(drawn.getvalue())
