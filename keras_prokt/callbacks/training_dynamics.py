"""How both models develop: a table, TensorBoard curves, and Figure 2 of the paper."""

import csv
import io
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from keras_prokt.arguments import check_choice, check_flag, check_text, checked_number, checked_path
from keras_prokt.callbacks.event_files import EventFile
from keras_prokt.files import replacing
from keras_prokt.pictures import COLORS, ink, panels, save

HISTORY = "history.csv"
FIGURE = "dynamics.png"
TENSORBOARD = "tensorboard"

_ROLES = ("teacher", "student")
MODES = ("max", "min")


class TrainingDynamics(keras.callbacks.Callback):
    """Records every epoch's logs of both models.

    Written into `directory`:

    - `history.csv`: one row an epoch: `epoch` (0-based), `seconds`, and all logs. It is written
      whole at each epoch. Training that begins at epoch e keeps the rows of the epochs before.
    - `tensorboard/`: the same as scalars, in runs named such that the curves of both models lie
      over each other: `train/teacher`, `train/student`, `validation/teacher`,
      `validation/student` each have `loss` and `accuracy` (or the metrics of another kind of
      output); the gap, λ and the like are in `train` and `validation`. Neither TensorFlow nor
      TensorBoard is needed to write it.
    - `dynamics.png`: see `plot_dynamics`; drawn at the end of training, with the main
      metric of the kind of output.

    Args:
        directory: Where to write; made if need be.
        csv: Whether to write `history.csv`.
        tensorboard: Whether to write `tensorboard/`.
        plot: Whether to draw `dynamics.png`; needs `csv`.
        title: What is trained, above the figure.
        chance: The main metric of a model that knows nothing, for the figure.
        marks_best: Whether the figure marks the student's best epoch on validation.
        monitor: The log by which it is the best; by default of the main metric.
        mode: "max", or "min" if a lower value of it is better.

    Raises:
        ValueError: If `plot` is asked for without `csv`; when a run is continued, if
            `history.csv` is damaged.

    Example:

    >>> import keras, numpy as np, os, tempfile
    >>> from keras_prokt import StudentOnly, TrainingDynamics
    >>> model = StudentOnly(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    >>> model.compile(optimizer="adam")
    >>> x, y = np.random.rand(64, 4).astype("float32"), np.random.randint(0, 3, 64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dynamics = TrainingDynamics(folder, tensorboard=False)
    ...     _ = model.fit(x, y, epochs=2, callbacks=[dynamics], verbose=0)
    ...     sorted(os.listdir(folder))
    ['dynamics.png', 'history.csv']
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        csv: bool = True,
        tensorboard: bool = True,
        plot: bool = True,
        title: str = "Training dynamics",
        chance: float | None = None,
        marks_best: bool = True,
        monitor: str | None = None,
        mode: str = "max",
    ):
        super().__init__()
        for label, flag in (
            ("csv", csv),
            ("tensorboard", tensorboard),
            ("plot", plot),
            ("marks_best", marks_best),
        ):
            check_flag(label, flag)
        check_text("title", title)
        if chance is not None:
            checked_number("chance", chance)
        if monitor is not None:
            check_text("monitor", monitor)
        check_choice("mode", mode, MODES)
        if plot and not csv:
            raise ValueError(
                "Expected csv=True with plot=True, received csv=False; the figure is drawn from "
                "history.csv, so set plot=False as well."
            )
        self.directory = checked_path("directory", directory)
        self.csv = csv
        self.tensorboard = tensorboard
        self.plot = plot
        self.title = title
        self.chance = chance
        self.marks_best = marks_best
        self.monitor = monitor
        self.mode = mode

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._rows: list[dict[str, str]] | None = None
        self._curves = _Curves(self.directory / TENSORBOARD) if self.tensorboard else None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Only here it is known at which epoch a continued run begins.
        if self._rows is None:
            rows = read_history(self.directory / HISTORY) if epoch > 0 else []
            self._rows = [row for row in rows if int(row["epoch"]) < epoch]
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        seconds = time.monotonic() - self._started
        logs = logs or {}
        if self.csv:
            values = {name: _as_text(value) for name, value in logs.items()}
            self._rows.append({"epoch": str(epoch), "seconds": f"{seconds:.3f}", **values})
            _write_history(self.directory / HISTORY, self._rows)
        if self._curves is not None:
            self._curves.write(epoch, {"seconds": seconds, **logs})

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        # A finished run that is continued trains no epoch, and keeps its figure up to date.
        if self.plot and (self.directory / HISTORY).is_file():
            plot_dynamics(
                self.directory / HISTORY,
                self.directory / FIGURE,
                self.model.output_kind.main_metric,
                title=self.title,
                chance=self.chance,
                marks_best=self.marks_best,
                monitor=self.monitor,
                mode=self.mode,
            )


def plot_dynamics(
    history_csv: str | Path,
    png: str | Path,
    metric: str = "accuracy",
    *,
    title: str = "Training dynamics",
    chance: float | None = None,
    marks_best: bool = True,
    monitor: str | None = None,
    mode: str = "max",
) -> None:
    """Draws Figure 2 of the ProKT paper from a `history.csv`.

    Panel (a): the student's training loss, which is the KL divergence from its target, and the
    gap KL(q ‖ p) between the models, in nats. Panel (b): a metric of teacher and student, on the
    training data solid, on the validation data dashed. The colours are told apart by colour-blind
    eyes, and in grey by how dark they are.

    Args:
        history_csv: Table that `TrainingDynamics` wrote.
        png: Image to write.
        metric: Name of the metric of panel (b), without role: of classes and labels, `accuracy`.
        title: What was trained.
        chance: The metric of a model that knows nothing; a dotted line of panel (b).
        marks_best: Whether the student's best epoch on validation is marked, which is the one
            that `StudentCheckpoint` keeps.
        monitor: The column by which it is the best; by default `metric` of the student on
            validation.
        mode: "max", or "min" if a lower value of it is better.

    Raises:
        ValueError: If the table is missing, empty or damaged.
    """
    from matplotlib.ticker import MaxNLocator

    history_csv, png = checked_path("history_csv", history_csv), checked_path("png", png)
    check_text("metric", metric)
    check_text("title", title)
    if chance is not None:
        checked_number("chance", chance)
    check_flag("marks_best", marks_best)
    if monitor is not None:
        check_text("monitor", monitor)
    check_choice("mode", mode, ("max", "min"))
    rows = read_history(history_csv)
    if not rows:
        raise ValueError(
            f"Expected a history with at least one epoch, received {str(history_csv)!r}, which "
            "is missing or empty; train with TrainingDynamics(directory) first."
        )
    has_target = "student_loss" in rows[0]
    figure, (losses, metrics) = panels(10, 4.2, title)
    words = metric.replace("_", " ")
    losses.set(title="(a) training loss", ylabel="nats" if has_target else "loss")
    metrics.set(title=f"(b) {words}", ylabel=words)

    def draw(axes: Any, column: str, name: str, color: str, line: str) -> None:
        if points := _points(history_csv, rows, column):
            # A single epoch would be a line of no length.
            marker = "o" if len(points) < 20 else None
            axes.plot(
                *zip(*points, strict=True), line, color=color, label=name, marker=marker, ms=3
            )

    target = r"student's loss, KL($p^+\,\|\,q$)" if has_target else "student's loss"
    draw(losses, "student_loss" if has_target else "loss", target, COLORS["student"], "-")
    draw(losses, "gap", r"gap, KL($q\,\|\,p$)", COLORS["gap"], "-.")
    for role in _ROLES:
        for prefix, data, line in (("", "training", "-"), ("val_", "validation", "--")):
            draw(metrics, f"{prefix}{role}_{metric}", f"{role}, {data}", COLORS[role], line)
    if chance is not None:
        metrics.axhline(chance, color=ink(), linestyle=":", label=f"chance, {chance:.3g}")
    drawn = f"val_student_{metric}"
    monitor = drawn if monitor is None else monitor
    validated = _points(history_csv, rows, monitor) if marks_best else []
    if validated:
        sign = -1 if mode == "min" else 1
        epoch, value = max(validated, key=lambda point: (sign * point[1], -point[0]))
        by = "" if monitor == drawn else f" ({monitor.removeprefix('val_student_')})"
        label = f"student's best, epoch {epoch}: {value:.3g}{by}"
        line = metrics.axvline(epoch, color=ink(), linewidth=0.8)
        if monitor == drawn:
            metrics.plot([epoch], [value], "*", color=ink(), ms=10, label=label)
        else:
            line.set_label(label)
    for axes in (losses, metrics):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    save(figure, png)


def read_history(path: Path) -> list[dict[str, str]]:
    """Rows of a `history.csv`, or an empty list if there is none; missing values are ''.

    Args:
        path: Table that `TrainingDynamics` wrote.

    Raises:
        ValueError: If it cannot be what was written.
    """
    if not path.is_file():
        return []
    try:
        # utf-8-sig: spreadsheets put a mark before the name of the first column.
        with path.open(newline="", encoding="utf-8-sig") as file:
            text = file.read()
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(_damaged(path, str(error))) from error
    if not text.endswith("\n"):
        raise ValueError(_damaged(path, "a last line without an end"))
    header = lines[0] if lines else []
    if "epoch" not in header or len(set(header)) < len(header):
        raise ValueError(_damaged(path, "a first line that does not name each column once"))
    rows = []
    for line in lines[1:]:
        if len(line) != len(header):
            raise ValueError(
                _damaged(path, f"{len(line)} values for {len(header)} columns in {line!r:.60}")
            )
        row = dict(zip(header, line, strict=True))
        if not re.fullmatch("[0-9]{1,18}", row["epoch"]):
            raise ValueError(_damaged(path, f"epoch {row['epoch']!r:.60}"))
        rows.append(row)
    return rows


def _damaged(path: Path, problem: str) -> str:
    return (
        f"Expected a table of epochs in {str(path)!r}, received {problem}; restore the file from a "
        "copy, or delete it."
    )


def _points(path: Path, rows: list[dict[str, str]], column: str) -> list[tuple[int, float]]:
    """Epoch, counted from 1, and value, wherever a column has one."""
    try:
        return [(int(row["epoch"]) + 1, float(row[column])) for row in rows if row.get(column)]
    except ValueError as error:
        raise ValueError(_damaged(path, f"a {column!r} that is no number ({error})")) from error


def _write_history(path: Path, rows: list[dict[str, str]]) -> None:
    # Not every epoch has all columns: validation_freq, learning rates.
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")


def _as_text(value: Any) -> str:
    # The shortest text that reads back as the same number.
    return repr(float(value)) if _is_scalar(value) else repr(value)


def _is_scalar(value: Any) -> bool:
    return getattr(value, "size", 1) == 1 and not isinstance(value, (list, tuple, dict, str))


class _Curves:
    """Event files for TensorBoard, a folder a run."""

    def __init__(self, directory: Path):
        self._directory = directory
        self._files: dict[str, EventFile] = {}

    def write(self, epoch: int, logs: Mapping[str, Any]) -> None:
        runs: dict[str, dict[str, float]] = {}
        for name, value in logs.items():
            if _is_scalar(value):
                run, tag = run_and_tag(name)
                runs.setdefault(run, {})[tag] = float(value)
        for run, scalars in runs.items():
            if run not in self._files:
                self._files[run] = EventFile(self._directory / run)
            self._files[run].write(scalars, epoch)


def run_and_tag(name: str) -> tuple[str, str]:
    """TensorBoard run and tag of a log, such that the models' curves share their tags.

    Example:

    >>> from keras_prokt.callbacks.training_dynamics import run_and_tag
    >>> run_and_tag("val_teacher_accuracy")
    ('validation/teacher', 'accuracy')
    >>> run_and_tag("gap")
    ('train', 'gap')
    """
    run, name = ("validation", name[4:]) if name.startswith("val_") else ("train", name)
    for role in _ROLES:
        if name.startswith(f"{role}_"):
            return f"{run}/{role}", name.removeprefix(f"{role}_")
    return run, name
