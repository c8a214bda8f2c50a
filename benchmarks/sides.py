"""What the comparisons share: each side in a process of its own, called in turn.

A side is a script that, started with some arguments, calls `serve`; the comparison starts it as
`Side` and asks for one call at a time, so that no side competes with another for the cores.
"""

import functools
import itertools
import json
import operator
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def peak_mebibytes() -> float:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve(
    about: Mapping[str, Any], calls: Mapping[str, Callable[[], Any]], start: float = 0.0
) -> None:
    """Tells about the side, then answers names on standard input: each with that call's seconds.

    "peak" is answered with the peak memory so far above `start`, both in MiB.
    """
    print(json.dumps({**about, "calls": list(calls)}), flush=True)
    for line in sys.stdin:
        name = line.strip()
        if name == "peak":
            print(peak_mebibytes() - start, flush=True)
            continue
        started = time.perf_counter()
        calls[name]()
        print(time.perf_counter() - started, flush=True)


class Side:
    """A process that runs one side, a call at a time.

    Args:
        script: The script.
        *arguments: Its arguments.
        waits: Whether to wait until it is ready; without, several get ready at the same time.
    """

    def __init__(self, script: str, *arguments: str, waits: bool = True):
        pipe = subprocess.PIPE
        command = [sys.executable, script, *arguments]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        if waits:
            _ = self.about

    @functools.cached_property
    def about(self) -> dict[str, Any]:
        """What the side tells about itself, once it is ready."""
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"{' '.join(self.process.args)} ended with {self.process.wait()}")

    def ask(self, name: str) -> float:
        """Seconds of a call, or MiB for "peak"."""
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def in_turn(sides: Mapping[str, Side], repeats: int) -> dict[tuple[str, str], list[float]]:
    """Seconds of every call of every side, one after another, `repeats` times.

    The first calls of all sides follow each other, then the second ones, and so on; every other
    round goes backwards. A first round is not counted.
    """
    by_place = itertools.zip_longest(
        *([(name, call) for call in side.about["calls"]] for name, side in sides.items())
    )
    calls = [call for place in by_place for call in place if call]
    seconds: dict[tuple[str, str], list[float]] = {call: [] for call in calls}
    for repeat in range(repeats + 1):
        for name, call in calls if repeat % 2 else reversed(calls):
            value = sides[name].ask(call)
            if repeat:
                seconds[name, call].append(value)
    return seconds


def print_ratio(
    label: str, ours: Sequence[float], theirs: Sequence[float], starts: int, claim: str = ""
) -> None:
    """Prints the median over the rounds of our seconds over theirs in that round.

    What disturbs a round disturbs both of its calls. The medians of each start tell how far the
    starts differ.

    Args:
        label: What the ratio is.
        ours: Our seconds of each round, one start after another.
        theirs: Theirs.
        starts: Number of starts.
        claim: What the ratio should be at most, if there is a claim.
    """
    ratios = list(map(operator.truediv, ours, theirs))
    rounds = len(ratios) // starts
    medians = (statistics.median(ratios[n * rounds :][:rounds]) for n in range(starts))
    each = ", ".join(f"{median:.3f}" for median in medians)
    claimed = f"claim: at most {claim}; " if claim else ""
    print(f"  {label} {statistics.median(ratios):.3f} ({claimed}starts: {each})")


def print_peaks(ours: float, peer: float) -> None:
    """The claim on memory, in MiB."""
    print(
        f"  peak memory above start-up: ours {ours:.0f} MiB, PyTorch {peer:.0f} MiB, ratio "
        f"{ours / peer:.2f} (claim: at most 1.2)"
    )
