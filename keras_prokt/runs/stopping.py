"""Runs in pieces: stop when the time is over or a signal comes, with a state to go on from.

This module imports no Keras.
"""

import contextlib
import math
import re
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

_UNITS = {"s": 1, "m": 60, "h": 3600}

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that ask a run to save its state and end."""


class Stopped(Exception):
    """A run was asked to stop, and its state is saved.

    Attributes:
        signal: Number of the signal that asked for it; `None` where the time is over.
    """

    def __init__(self, signal: int | None = None):
        super().__init__("stopped")
        self.signal = signal


class Interrupted(KeyboardInterrupt):
    """A signal came where nothing is trained: what was saved last holds.

    Attributes:
        signal: Its number.
    """

    def __init__(self, signal: int):
        super().__init__(f"signal {signal}")
        self.signal = signal


class Stop:
    """When a run has to stop: at a point in time, or when a signal has come.

    Args:
        after: Seconds from now; `None` for never.

    Attributes:
        seconds: `after`; infinite for never.
        signal: Number of the signal that has come, or `None`.
        is_training: Whether training goes on, which a signal ends after the step, with the state
            saved; at all other times it raises `Interrupted` at once.
    """

    def __init__(self, after: float | None = None):
        self.seconds = math.inf if after is None else after
        self._deadline = time.monotonic() + self.seconds
        self.signal: int | None = None
        self.is_training = False

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the time is over, at least 0; `None` if it never is."""
        if math.isinf(self._deadline):
            return None
        return max(0.0, self._deadline - time.monotonic())

    def is_due(self) -> bool:
        """Whether it is time to stop."""
        return self.signal is not None or time.monotonic() >= self._deadline

    def check(self) -> None:
        """Stops here if it is time to.

        Raises:
            Stopped: If it is.
        """
        if self.is_due():
            raise Stopped(self.signal)

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """While the block runs, a signal waits for the end of the step."""
        self.is_training = True
        try:
            yield
        finally:
            self.is_training = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the signals of `SIGNALS` while the block runs; a second one ends at once."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python gives signals to the main thread alone
            return
        before = {}
        for number in SIGNALS:
            # What the caller ignores (nohup) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, self._receive)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        is_second = self.signal is not None
        self.signal = number
        if is_second or not self.is_training:
            raise Interrupted(number)


def parse_duration(text: str) -> float:
    """Seconds of a duration as people type it.

    Args:
        text: A number with a unit `s`, `m` or `h`, such as `"90s"`, `"9m"`, `"1.5h"`.

    Raises:
        ValueError: On anything else.

    Example:

    >>> from keras_prokt.runs.stopping import parse_duration
    >>> parse_duration("9m")
    540.0
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip(), re.ASCII)
    if match is None or not 0 < float(match.group(1)) < 1e9:
        raise ValueError(
            f"Expected a duration such as 90s, 9m or 1.5h, received {text!r}; give a number and a "
            "unit."
        )
    return float(match.group(1)) * _UNITS[match.group(2)]


def format_seconds(seconds: float) -> str:
    """A duration for people, such as `42 s`, `3 min 05 s` or `2 h 10 min`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
