"""Claim: a change of the package leaves time and memory of a step as they were.

Steps of this checkout and of an earlier commit run in turn, each in a process of its own, on the
same batches; printed are the ratios of time, round by round, and of peak memory above start-up.

    python benchmarks/against_commit.py COMMIT [--pairs resnet8x4:vgg8] [--teacher DIRECTORY]

`--teacher` is a BERT that `keras-prokt run --app glue-sst2` takes; without it no texts are run.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from sides import Side, in_turn, print_ratio

ROOT = Path(__file__).parents[1]
PAIRS = "cnn-large:cnn-small,resnet32x4:vgg8"


class Checkout:
    """A checkout whose own package its benchmarks import."""

    def __init__(self, path: Path):
        self.path = path
        apps = path / "keras_prokt_apps"
        if path != ROOT and not apps.exists():
            apps.symlink_to("apps")

    def side(self, script: str, *arguments: str) -> Side:
        """Starts the side "ours" of one of its benchmarks."""
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = str(self.path)
        try:
            return Side(str(self.path / "benchmarks" / script), "--side", "ours", *arguments)
        finally:
            os.environ.pop("PYTHONPATH")
            if before is not None:
                os.environ["PYTHONPATH"] = before


def measure(label: str, checkouts: dict, repeats: int, starts: int, script: str, *arguments: str):
    """Prints the ratios of one benchmark."""
    ours, theirs, peaks = [], [], {name: [] for name in checkouts}
    for _ in range(starts):
        sides = {name: one.side(script, *arguments) for name, one in checkouts.items()}
        call = sides["after"].about["calls"][0]
        for side in sides.values():
            side.about["calls"] = [call]  # parts of a step are not compared
        seconds = in_turn(sides, repeats)
        ours += seconds["after", call]
        theirs += seconds["before", call]
        for name, side in sides.items():
            peak = side.about.get("peak")
            peaks[name].append(side.ask("peak") if peak is None else peak)
            side.close()
    print(f"\n{label}: before {1e3 * statistics.median(theirs):.1f} ms", flush=True)
    print_ratio("ratio of time, after to before", ours, theirs, starts)
    after, before = (statistics.median(peaks[name]) for name in ("after", "before"))
    print(f"  peak memory: {before:.0f} MiB, after {after:.0f} MiB, ratio {after / before:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit", help="the commit to compare with")
    parser.add_argument("--pairs", default=PAIRS, help="teacher:student, separated by commas")
    parser.add_argument("--teacher", help="a BERT, for texts")
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--starts", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores; both sides use all of them, in turn")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KERAS_PROKT_CACHE"] = str(Path(folder) / "cache")
        before = Path(folder) / "before"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run(
            [*git, "add", "--detach", "--quiet", str(before), arguments.commit], check=True
        )
        try:
            checkouts = {"after": Checkout(ROOT), "before": Checkout(before)}
            counts = (arguments.repeats, arguments.starts)
            for pair in filter(None, arguments.pairs.split(",")):
                measure(pair, checkouts, *counts, "image_step.py", "--pairs", pair)
            if arguments.teacher:
                options = ["--teacher", arguments.teacher]
                measure("texts", checkouts, *counts, "text_epoch.py", *options)
        finally:
            subprocess.run([*git, "remove", "--force", str(before)], check=True)


if __name__ == "__main__":
    sys.exit(main())
