"""What models cost to use: tables and a picture of what `benchmark` has measured.

Imports no Keras; Matplotlib only where a picture is drawn.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_prokt.pictures import COLORS, PAGE_WIDTH, ink, literal, new_figure, save
from keras_prokt.results.tables import Grid

_NONE = "–"


def size_grid(found: Mapping[str, Any]) -> Grid:
    """How large each model is: a row a model and form.

    Args:
        found: As `keras_prokt.runs.benchmark` returns.
    """
    metric = found["metric"]
    columns = ["model", "form", "parameters", "multiply-adds", "bytes on disk", "peak memory, MB"]
    columns += ["of it libraries, MB", *([f"{found['part']} {metric}"] if metric else [])]
    return Grid(
        columns,
        [
            [
                one["model"],
                one["form"],
                _count(one["parameters"]),
                _count(one["multiply_adds"]),
                _count(one["bytes"]),
                f"{one['peak_bytes'] / 1e6:,.0f}",
                f"{one['library_bytes'] / 1e6:,.0f}",
                *([_NONE if one["value"] is None else f"{one['value']:.4f}"] if metric else []),
            ]
            for one in found["models"]
        ],
    )


def latency_grid(found: Mapping[str, Any]) -> Grid:
    """How long a call takes: a row a model, number of threads and batch size; milliseconds.

    Args:
        found: As in `size_grid`.
    """
    rows = [
        [
            f"{one['model']}, {one['form']}",
            threads,
            batch,
            *(f"{1e3 * measured[point]:,.3f}" for point in ("p50", "p95", "p99")),
            f"{measured['throughput']:,.0f}",
        ]
        for one in found["models"]
        for threads, batches in one["latency"].items()
        for batch, measured in batches.items()
    ]
    points = ["p50, ms", "p95, ms", "p99, ms"]
    return Grid(["model", "threads", "batch", *points, "examples a second"], rows)


def speed_notes(found: Mapping[str, Any]) -> list[str]:
    """What the numbers mean, a line each.

    Args:
        found: As in `size_grid`.
    """
    notes = [*found["notes"]]
    notes.append(
        f"inputs: {found['inputs']}; multiply-adds: of one example, matrix products and "
        "convolutions alone; peak memory: of a process with one thread that opens and calls the "
        "model, with the runtime's libraries in it"
    )
    hardware = found["hardware"]
    notes.append(f"measured on {hardware['cores']} cores of {hardware['processor']}")
    return notes


def _count(value: int | None) -> str:
    return _NONE if value is None else f"{value:,}"


def draw_speed(found: Mapping[str, Any], png: str | Path) -> None:
    """Draws how good each model is by how long it takes: batch 1, one thread, the median.

    Args:
        found: As in `size_grid`, with a metric.
        png: Image to write.
    """
    figure = new_figure(PAGE_WIDTH, 4, f"{found['part']} {found['metric']} by latency")
    axes = figure.subplots()
    for number, one in enumerate(found["models"]):
        if one["value"] is None:
            continue
        role = "teacher" if one["model"].startswith("teacher") else "student"
        axes.plot(
            1e3 * one["latency"]["1"]["1"]["p50"],
            one["value"],
            "os^vDP*X"[number % 8],
            color=COLORS[role],
            markeredgecolor=ink(),
            markersize=9,
            linestyle="none",
            label=literal(f"{one['model']}, {one['form']}"),
        )
    axes.set(xscale="log", xlabel="median latency of one example, one thread, ms")
    axes.set_ylabel(f"{found['part']} {found['metric']}".replace("_", " "))
    axes.margins(0.15)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize="small")
    save(figure, png)
