"""What all pictures of the package share; Matplotlib is imported only where one is drawn."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from keras_prokt.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {"teacher": "#e69f00", "student": "#0072b2", "gap": "#009e73"}
"""Colours that colour-blind eyes tell apart (Okabe and Ito), light and dark."""


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
    figure.suptitle(literal(title), fontsize="medium")
    return figure


def literal(text: str) -> str:
    """A text of a user's in which Matplotlib finds no formula: names of files may hold dollars."""
    return text.replace("$", r"\$")


def save(figure: "Figure", png: str | Path) -> None:
    """Writes a figure, whole or not at all; a file that shows it already is left as it is."""
    drawn, png = io.BytesIO(), Path(png)
    figure.savefig(drawn, dpi=120, format="png")
    if png.is_file() and png.read_bytes() == drawn.getvalue():
        return
    with replacing(png) as temporary:
        temporary.write_bytes(drawn.getvalue())
