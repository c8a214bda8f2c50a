"""Kills commands at file events, goes on, and compares with a command that was never killed.

    python tests/runs/kill_everywhere.py            # all cases, about an hour on two cores
    python tests/runs/kill_everywhere.py kd compare
    python tests/runs/kill_everywhere.py --sample 3 prokt
    python tests/runs/kill_everywhere.py --full-disk prokt   # as root: the disk fills at the event

A case is a command. Its events are the files and folders that it makes, moves and deletes; a place
is what happens to which file, whatever its number: the first and the last event of each place are
tried. Every command is a process of its own, forked when no more than imports has happened. The
tests of `test_kills.py` try a sample.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import pytest
from runs.damage import outcome_of
from small_disk import small_disk

SETTINGS = ["--limit", "64", "--epochs", "3", "--batch-size", "32", "--teacher", "cnn-medium"]
FEW = ["--limit", "64", "--epochs", "1", "--batch-size", "32", "--teacher", "cnn-medium"]

LONGEST = 300
"""Seconds that a command may take."""

_EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "shutil.rmtree"}

_RANDOM = (
    (r"\.unfinished-(.*?)-[0-9]+-[a-z0-9_]{8}(?=/|$)", r".unfinished-\1"),
    (r"epoch-[0-9]+-batch-[0-9]+", "epoch"),
    (r"-[0-9a-f]{16}\b", "-KEY"),
    (r"events\.out\.tfevents\S*", "events"),
)
"""Parts of names that differ from time to time, or from epoch to epoch."""


class Case(NamedTuple):
    """A command that is killed.

    Attributes:
        command: Its arguments.
        out: Name of the folder that it makes.
        finished: Whether a completed run of another seed lies there before.
        is_list: Whether it carries out a list of runs, whose processes are not killed.
    """

    command: list[str]
    out: str = "run"
    finished: bool = False
    is_list: bool = False


CASES = {
    "prokt": Case(["run", "--method", "prokt", *SETTINGS]),
    "kd": Case(["run", "--method", "kd", *SETTINGS, "--no-export"]),
    "ab": Case(["run", "--method", "ab", *SETTINGS, "--no-export"]),
    "rco": Case(["run", "--method", "rco", *SETTINGS, "--no-export"]),
    "ta": Case(["run", "--method", "ta", *SETTINGS[:-1], "cnn-large", "--no-export"]),
    "overwrite": Case(["run", "--method", "student", *FEW[:-2], "--overwrite"], finished=True),
    "search": Case(["search", "--lambda", "0,0.4", "--jobs", "1", *FEW], is_list=True),
    "compare": Case(
        ["compare", "--method", "student", "--method", "kd", "--baseline", "kd", *FEW], is_list=True
    ),
}


def forked(function: Callable[[], Any], said: Path) -> int:
    """Calls a function in a child of this process; returns its exit code, or minus the signal."""
    child = os.fork()
    if child == 0:
        code = 1
        signal.alarm(LONGEST)  # ends what hangs
        try:
            descriptor = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            function()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


DISK = "64m"
"""Size of the disk that is filled."""


def kill() -> None:
    """Ends this process by what nothing can catch."""
    os.kill(os.getpid(), signal.SIGKILL)


def fill(disk: Path) -> None:
    """Takes all space that is left on a disk."""
    ballast = os.open(disk / "ballast", os.O_WRONLY | os.O_CREAT)
    piece = bytes(2**20)
    while piece:
        try:
            os.write(ballast, piece)
        except OSError:
            piece = piece[: len(piece) // 2] if len(piece) >= 4096 else b""
    os.close(ballast)


class Workplace:
    """A folder with a run folder, a cache and a folder for temporary files.

    Args:
        path: Where.
        case: What is carried out in it.
    """

    def __init__(self, path: Path, case: Case):
        self.path = path
        self.case = case
        self.out = path / "runs" / case.out
        self.said = path / "said.txt"

    def prepare(self, finished: Path | None) -> None:
        """Empties it, and puts a completed run into it."""
        self.path.mkdir(exist_ok=True)
        for path in self.path.iterdir():  # it may be a disk
            path.unlink() if path.is_file() else shutil.rmtree(path)
        for name in ("runs", "cache", "tmp"):
            (self.path / name).mkdir(parents=True)
        if finished is not None:
            shutil.copytree(finished, self.out)

    def command(
        self,
        *arguments: str,
        at: int | None = None,
        fault: Callable[[], None] = kill,
        log: Path | None = None,
    ) -> int:
        """Carries out a command of `keras-prokt`, with a fault at a numbered event."""

        def carry_out() -> None:
            os.environ["KERAS_PROKT_CACHE"] = str(self.path / "cache")
            os.environ["TMPDIR"] = str(self.path / "tmp")
            tempfile.tempdir = None
            os.chdir(self.path / "runs")
            watch(self.path, at, fault, log)
            from keras_prokt.cli import main

            main(list(arguments))

        return forked(carry_out, self.said)

    def begin(self, **settings: Any) -> int:
        """Carries out the command of the case."""
        return self.command(*self.case.command, "--out", str(self.out), **settings)

    def go_on(self) -> int:
        """What a user does after a kill: `resume`, or the same command where there is no folder."""
        record = {"search": "search.json", "compare": "comparison.json"}.get(self.case.command[0])
        with contextlib.suppress(OSError):
            text = (self.out / (record or "run.json")).read_text()
            # Of another seed, it is the run that was there before.
            if not (self.case.finished and re.search(r'"seed": 9\b', text)):
                return self.command("resume", str(self.out))
        return self.begin()

    def found(self) -> dict[str, Any]:
        """All that came out, without times."""
        folders = sorted(path.parent for path in self.out.glob("**/run.json"))
        return {str(folder.relative_to(self.path)): outcome_of(folder) for folder in folders}

    def files(self) -> set[str]:
        """Everything that lies in the folder of runs and the cache, curves apart."""
        places = [path for name in ("runs", "cache") for path in (self.path / name).rglob("*")]
        names = {str(path.relative_to(self.path)) for path in places}
        return {name for name in names if "/events.out." not in name}


def watch(root: Path, at: int | None, fault: Callable[[], None], log: Path | None) -> None:
    """Numbers what this process does to the files of a folder; at a number a fault comes."""
    me, count = os.getpid(), 0
    out = None if log is None else log.open("w", buffering=1)
    places = tuple(str(root / name) for name in ("runs", "cache"))

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in _EVENTS or os.getpid() != me:
            return
        given = [a for a in arguments[:2] if isinstance(a, (str, os.PathLike))]
        paths = [os.path.abspath(os.fspath(one)) for one in given]
        if event == "open":
            paths = paths[:1]
            mode, flags = arguments[1], arguments[2]
            writes = isinstance(mode, str) and set(mode) & set("wax+")
            if not writes and not (isinstance(flags, int) and flags & 3):
                return
        if not any(path.startswith(places) for path in paths):
            return
        count += 1
        if out is not None:
            out.write(" ".join([event, *(os.path.relpath(p, root) for p in paths)]) + "\n")
        if count == at:
            fault()

    sys.addaudithook(on_event)


def places_of(log: Path) -> dict[int, str]:
    """Number and name of the first and the last event of every place."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for number, line in enumerate(log.read_text().splitlines(), start=1):
        for pattern, name in _RANDOM:
            line = re.sub(pattern, name, line)
        first.setdefault(line, number)
        last[line] = number
    return {n: place for of_place in (first, last) for place, n in of_place.items()}


def sample_of(places: dict[int, str], count: int) -> dict[int, str]:
    """Some places, evenly over the time of the command."""
    numbers = sorted(places)
    chosen = {numbers[(2 * i + 1) * len(numbers) // (2 * count)] for i in range(count)}
    return {number: places[number] for number in sorted(chosen)}


def said_badly(workplace: Workplace, code: int) -> str | None:
    """What is wrong with how a command ended on a full disk: it says so in a line or two."""
    lines = [line for line in workplace.said.read_text().splitlines() if line.strip()]
    said = [line for line in lines if " epoch " not in line]
    if code in (0, 1, 2) and "Traceback" not in "".join(lines) and (code == 0 or len(said) < 8):
        return None
    return f"ended with exit code {code} and {len(said)} lines: {' / '.join(said)[-900:]}"


def attempts(
    name: str, path: Path, sample: int | None = None, disk: Path | None = None
) -> Iterator[tuple[str, str | None]]:
    """Tries the places of a case.

    Args:
        name: Of the case.
        path: A folder to work in.
        sample: How many places; `None` for all.
        disk: A small disk, which is filled; `None` to kill.

    Yields:
        A place, and what was wrong after going on, or `None`.
    """
    case = CASES[name]
    finished = None
    if case.finished:
        before = Workplace(path / "before", case)
        before.prepare(None)
        assert before.begin() == 0, before.said.read_text()
        other = Workplace(path / "other", case)
        other.prepare(None)
        seed = [*case.command, "--seed", "9", "--out", str(other.out)]
        assert other.command(*seed) == 0, other.said.read_text()
        finished = other.out
    whole = Workplace(path / "whole", case)
    whole.prepare(finished)
    assert whole.begin(log=path / "events.txt") == 0, whole.said.read_text()
    places = places_of(path / "events.txt")
    expected, files = whole.found(), whole.files()
    chosen = sorted((places if sample is None else sample_of(places, sample)).items())
    print(f"{name}: {len(places)} places, {len(chosen)} of them tried", file=sys.stderr, flush=True)
    for number, place in chosen:
        tried = Workplace(path / "killed" if disk is None else disk, case)
        tried.said = path / "said.txt"
        tried.prepare(finished)
        problem = None
        if disk is None:
            code = tried.begin(at=number)
            if code != -signal.SIGKILL:
                said = tried.said.read_text()[-300:]
                yield f"{number} {place}", f"was not killed: {code} {said}"
                continue
        else:
            code = tried.begin(at=number, fault=lambda disk=disk: fill(disk))
            problem = said_badly(tried, code)
            if case.finished and code != 0 and not tried.out.exists():
                problem = "the run that was there is gone"
            (disk / "ballast").unlink(missing_ok=True)
        code = tried.go_on()
        if case.is_list:
            time.sleep(0.5)
        if problem is None and code != 0:
            problem = f"went on with exit code {code}: {tried.said.read_text()[-600:]}"
        elif problem is None and tried.found() != expected:
            problem = "another result"
        elif problem is None:
            left, lacks = tried.files() - files, files - tried.files()
            if disk is not None and case.finished:  # said to the user, whose it is now
                left = {one for one in left if not one.startswith("runs/run.unfinished-")}
            if left or lacks:
                problem = f"left {sorted(left)}, lacks {sorted(lacks)}"
        yield f"{number} {place}", problem


def import_everything() -> None:
    """What every command imports, once."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras  # noqa: F401
    import matplotlib.backends.backend_agg  # noqa: F401
    import sklearn.datasets  # noqa: F401
    import tensorflow  # noqa: F401

    import keras_prokt.cli
    import keras_prokt.runs.training_run  # noqa: F401


def main() -> None:
    """Tries the cases that are named, and prints what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="all if none is named")
    parser.add_argument("--sample", type=int, help="number of places of each case")
    parser.add_argument("--full-disk", action="store_true", help="fill the disk, and kill nothing")
    arguments = parser.parse_args()
    import_everything()
    wrong = 0
    for name in arguments.cases or CASES:
        count, started = 0, time.monotonic()
        print(f"{name} ...", flush=True)
        with tempfile.TemporaryDirectory() as path, contextlib.ExitStack() as stack:
            disk = None
            if arguments.full_disk:
                try:
                    disk = stack.enter_context(small_disk(Path(path) / "disk", DISK))
                except pytest.skip.Exception as reason:
                    sys.exit(f"nothing tried: {reason}")
            for place, problem in attempts(name, Path(path), arguments.sample, disk):
                count += 1
                if problem is not None:
                    wrong += 1
                    print(f"{name}: {place}: {problem}", flush=True)
        print(f"{name}: {count} places in {time.monotonic() - started:.0f} s", flush=True)
    sys.exit(min(wrong, 1))


if __name__ == "__main__":
    main()
