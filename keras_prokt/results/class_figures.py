"""What a run's student does with each class, as pictures. Imports no Keras.

Matplotlib is imported only where a picture is drawn.
"""

from pathlib import Path

import numpy as np

from keras_prokt.pictures import COLORS, PAGE_WIDTH, ink, literal, new_figure, paper, save
from keras_prokt.results.class_tables import ClassReport

_NAMED = 25
"""Classes up to which their names stand beside the matrix."""

_COUNTED = 15
"""Classes up to which counts stand in it."""

_LONGEST = 14


def draw_confusion(report: ClassReport, png: Path) -> None:
    """Draws how often examples of each class are taken for each other, as shares of their class.

    Args:
        report: What is known of the classes, with a confusion matrix.
        png: Image to write.
    """
    from matplotlib.colors import LinearSegmentedColormap

    counts = np.array(report.student["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure(PAGE_WIDTH, PAGE_WIDTH * 0.82, f"confusion on {report.part} data")
    axes = figure.subplots()
    colors = LinearSegmentedColormap.from_list("shares", [paper(), COLORS["student"]])
    image = axes.imshow(shares, cmap=colors, vmin=0, vmax=1, interpolation="nearest")
    count = len(report.names)
    if count <= _NAMED:
        names = [literal(_short(name)) for name in report.names]
        axes.set_xticks(range(count), names, rotation=90, fontsize="small")
        axes.set_yticks(range(count), names, fontsize="small")
    if count <= _COUNTED:
        for row, column in zip(*np.nonzero(counts), strict=True):
            shade = "white" if shares[row, column] > 0.5 else ink()
            text = str(counts[row, column])
            axes.text(column, row, text, color=shade, ha="center", va="center", fontsize="small")
    axes.set(xlabel="student's answer", ylabel="label")
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the label's examples")
    save(figure, png)


def draw_calibration(report: ClassReport, png: Path) -> None:
    """Draws the share of right answers by how sure the student is, beside what it should be.

    Args:
        report: What is known of the classes, with calibration.
        png: Image to write.
    """
    found = report.student["calibration"]
    figure = new_figure(PAGE_WIDTH, PAGE_WIDTH * 0.8, f"calibration on {report.part} data")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=ink(), linestyle=":", label="calibrated")
    sizes = 200 * np.sqrt(np.array(found["examples"]) / max(1, sum(found["examples"])))
    axes.plot(found["confidence"], found["accuracy"], color=COLORS["student"])
    axes.scatter(
        found["confidence"],
        found["accuracy"],
        s=sizes + 8,
        color=COLORS["student"],
        label="student; larger: more answers",
    )
    axes.set(xlabel="mean probability of the answer", ylabel="share of right answers")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="best")
    save(figure, png)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
