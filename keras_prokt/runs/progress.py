"""Progress of a run on a terminal or in a log: where it is, and how long it will take."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

import keras

from keras_prokt.names import showable
from keras_prokt.runs.stopping import format_seconds

if TYPE_CHECKING:
    import rich.progress


SECONDS_BETWEEN_LINES = 10.0
"""How often a log, which has no bar, says how far a pass is."""


class Bar:
    """A bar below the lines that are written, on a terminal; elsewhere the lines alone.

    Args:
        stream: Where to write; standard error by default, so that results can be piped.
    """

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self._bar: rich.progress.Progress | None = None

    @property
    def is_shown(self) -> bool:
        """Whether there is a bar."""
        return self._bar is not None

    def __enter__(self) -> Self:
        if self._stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}", markup=False),
                console=Console(file=self._stream, highlight=False),
                # No thread of its own: one that is killed in the middle leaves no cursor hidden.
                auto_refresh=False,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=None, left="", visible=False)
            self._shown = 0.0
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def show(self, title: str, done: int, total: int | None, left: str = "") -> None:
        """How far something is, at most ten times a second."""
        now = time.monotonic()
        if self._bar is None or (now - self._shown < 0.1 and done != total):
            return
        self._shown = now
        self._bar.update(
            self._task, description=title, completed=done, total=total, left=left, visible=True
        )
        self._bar.refresh()

    def write(self, text: str) -> None:
        """A line above the bar."""
        text = showable(text)
        if self._bar is None:
            print(text, file=self._stream, flush=True)
        else:
            self._bar.console.print(text, markup=False, soft_wrap=True)


class Countdown(Bar):
    """How far a pass over rows is, and how long the rest takes; in a log a line now and then.

    Args:
        title: What is done with them.
        total: How many there are.
        stream: As in `Bar`.
    """

    def __init__(self, title: str, total: int, stream: TextIO | None = None):
        super().__init__(stream)
        self._title, self._total = title, total

    def __enter__(self) -> Self:
        self._started = self._said = time.monotonic()
        return super().__enter__()

    def reached(self, done: int, here: int | None = None) -> None:
        """Shows how far it is.

        Args:
            done: How many rows are done.
            here: How many of them in this pass; by default all.
        """
        now = time.monotonic()
        seconds = (now - self._started) / (here or done) * (self._total - done)
        left = f"{format_seconds(seconds)} left"
        self.show(self._title, done, self._total, left)
        if not self.is_shown and now - self._said > SECONDS_BETWEEN_LINES:
            self._said = now
            self.write(f"{self._title} {done:,}/{self._total:,}  {left}")


class Progress(keras.callbacks.Callback):
    """One line an epoch with the time left; between epochs a bar on a terminal.

    A context manager: the bar is gone when its block is left, whatever happens in it.

    Args:
        title: What is being trained.
        trained: What the trained model is called; a teacher that is trained alone is the student
            of its own training.
        stream: As in `Bar`.
    """

    def __init__(self, title: str, trained: str = "student", stream: TextIO | None = None):
        super().__init__()
        self._title, self._trained = title, trained
        self._bar = Bar(stream)

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.__exit__(*error)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic()
        self._first_epoch: int | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._first_epoch is None:
            self._first_epoch = epoch
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        steps = self.params.get("steps")
        done = self._epoch - (self._first_epoch or 0) + (batch + 1) / steps if steps else 0
        left = f"{self._left(done)} left" if done else ""
        self._bar.show(self._head(), batch + 1, steps, left)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        metric = self.model.output_kind.main_metric
        left = self._left(epoch + 1 - (self._first_epoch or 0))
        shown = [
            f"{label} {logs[key]:.4f}"
            for label, key in (
                ("loss", "loss"),
                (self._trained, f"val_student_{metric}"),
                ("teacher", f"val_teacher_{metric}"),
                ("gap", "gap"),
            )
            if key in logs
        ]
        self._bar.write(f"{self._head()}  {'  '.join(shown)}  {left} left")

    def _left(self, done: float) -> str:
        """Time that the epochs take which are not done yet."""
        epochs = self.params["epochs"] - (self._first_epoch or 0)
        return format_seconds((time.monotonic() - self._started) / done * (epochs - done))

    def _head(self) -> str:
        return f"{self._title} epoch {self._epoch + 1}/{self.params['epochs']}"


def say(text: str) -> None:
    """One line about what a run does, where its progress is shown."""
    print(showable(text), file=sys.stderr, flush=True)
