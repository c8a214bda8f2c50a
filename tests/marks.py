"""Marks of the tests that a person does not wait for, and what keeps a test from going without.

`pytest -m "not (whole_run or process or real_data)"` leaves them out, and those marked `slow`. What
is marked `thorough`, more cases of what quicker tests show, runs with `pytest --thorough` alone.
"""

import functools
import itertools
import os
import sys
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

from keras_prokt.runs.training import Run

MINILM = os.environ.get("MINILM_DIR", "")
"""The directory of all-MiniLM-L6-v2, an encoder in the form of Hugging Face."""

DATA = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
"""What TensorFlow Datasets has prepared."""

NEEDS = {
    "minilm": (
        Path(MINILM or "none", "vocab.txt"),
        "MINILM_DIR, the directory of all-MiniLM-L6-v2",
    ),
    **{
        name: (DATA / name, f"TFDS_DATA_DIR with {name}")
        for name in ("cifar100", "glue/sst2", "glue/mrpc", "glue/qnli")
    },
}
"""What `real_data` may name: where it is, and what to set."""


class Guard:
    """Fails a test that starts Python or trains in a run, and does not carry the mark for it."""

    def __init__(self) -> None:
        self._item: pytest.Item | None = None
        sys.addaudithook(self._audit)
        Run.fit = self._marked("whole_run", "trains in a run", Run.fit)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self._item = item
        try:
            return (yield)
        finally:
            self._item = None

    def check(self, mark: str, what: str) -> None:
        """Fails the test that runs now if it lacks a mark."""
        if self._item is not None and self._item.get_closest_marker(mark) is None:
            pytest.fail(f"Expected the mark {mark!r}: the test, or its fixture, {what}; add it.")

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.fork":
            self.check("process", "starts a process")
        elif event == "subprocess.Popen" and any(sys.executable in str(a) for a in arguments[:2]):
            # Others, such as git, are over at once; Python reads Keras again.
            self.check("process", "starts a process")

    def _marked(self, mark: str, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            self.check(mark, what)
            return function(*args, **kwargs)

        return checked


def leave_out_thorough(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests marked `thorough`, unless they are asked for or named."""
    if config.getoption("thorough") or any("::" in argument for argument in config.args):
        return
    left_out = [item for item in items if item.get_closest_marker("thorough")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]


def count_slow_as_whole_runs(items: list[pytest.Item]) -> None:
    """Leaves out the tests marked `slow` wherever those marked `whole_run` are left out."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker("whole_run")


def thorough(*rows: Any) -> list[Any]:
    """Rows of `parametrize` with the mark `thorough`."""
    as_values = (row if isinstance(row, tuple) else (row,) for row in rows)
    return [pytest.param(*values, marks=pytest.mark.thorough) for values in as_values]


def crossed(*axes: Iterable[Any]) -> list[Any]:
    """All combinations of the values of some axes, as rows of `parametrize`.

    Those that are not `thorough` have each value of each axis: of two axes as many as the longer
    has, of more each pair of values of all axes but the second longest.
    """
    values = [list(axis) for axis in axes]
    period = sorted(map(len, values))[-2]
    rows = []
    for places in itertools.product(*(range(len(axis)) for axis in values)):
        row = [axis[place] for axis, place in zip(values, places, strict=True)]
        marks = [pytest.mark.thorough] if sum(places) % period else []
        rows.append(pytest.param(*row, marks=marks))
    return rows


def skip_without_data(item: pytest.Item) -> None:
    """Skips a test of real data that is not there."""
    for mark in item.iter_markers("real_data"):
        for name in mark.args:
            path, needed = NEEDS[name]
            if not path.exists():
                pytest.skip(f"needs {needed}")
