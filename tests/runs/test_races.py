"""Two commands at once on one folder: one works, and the other says so."""

import json
import os
import signal
import subprocess
import sys
import time

import keras
import pytest
from command_line import keras_prokt
from runs.damage import outcome_of

from keras_prokt.runs.folder import RunFolder

pytestmark = [
    pytest.mark.process,
    pytest.mark.whole_run,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow",
        reason="whole runs are tested on the default backend",
    ),
]
SETTINGS = ["--method", "student", "--limit", "256", "--epochs", "40", "--batch-size", "16"]


@pytest.fixture
def started(workplace):
    """Starts a command in a process of its own; a test that fails leaves none behind."""
    environment = {
        **os.environ,
        "KERAS_PROKT_CACHE": str(workplace / "cache"),
        "PYTHONWARNINGS": "default",
    }
    processes = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "keras_prokt.cli", *map(str, arguments)],
            env=environment,
            cwd=workplace,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def ended(*processes):
    """Exit code, standard output and standard error of each."""
    said = [process.communicate(timeout=300) for process in processes]
    codes = [process.returncode for process in processes]
    return [(code, *of_one) for code, of_one in zip(codes, said, strict=True)]


def wait_until(is_so):
    until = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return tmp_path_factory.mktemp("races")


@pytest.fixture(scope="module")
def whole(workplace):
    result = keras_prokt("run", *SETTINGS, "--out", workplace / "whole", cwd=workplace)
    assert result.exit_code == 0, result.output
    return outcome_of(workplace / "whole")


@pytest.mark.thorough
def test_two_runs_that_want_one_folder(workplace, whole, started):
    folder = workplace / "two runs"
    both = ended(*(started("run", *SETTINGS, "--out", folder) for _ in "12"))
    refused = [one for one in both if one[0] != 0]
    assert [code for code, _, _ in refused] == [2], both
    assert "Expected a new folder, received" in refused[0][2]
    assert len(refused[0][2].splitlines()) == 1
    assert outcome_of(folder) == whole


def test_while_a_run_runs_others_are_refused_and_told_who_works_on_it(workplace, whole, started):
    folder = workplace / "stopped"
    stop = ["--stop-after", "1s"]
    result = keras_prokt("run", *SETTINGS, "--out", folder, *stop, cwd=workplace)
    assert result.exit_code == 0 and RunFolder(folder).read()["status"] == "running", result.output
    first = started("resume", folder)
    wait_until(lambda: (RunFolder(folder).holder() or {}).get("pid") == first.pid)
    # It sleeps while the others ask, however slow they are, so that it cannot end before.
    os.kill(first.pid, signal.SIGSTOP)
    for command in ("resume", "export", "evaluate", "benchmark", "predict"):
        more = ["--dataset", "x.csv"] if command == "predict" else []
        second = keras_prokt(command, folder, *more, cwd=workplace)
        assert second.exit_code == 2, second.output
        assert f"pid {first.pid}" in second.stderr and len(second.stderr.splitlines()) == 1
    replacing = keras_prokt("run", *SETTINGS, "--out", folder, "--overwrite", cwd=workplace)
    assert replacing.exit_code == 2 and f"pid {first.pid}" in replacing.stderr
    assert f"is running, pid {first.pid}" in keras_prokt("info", folder, cwd=workplace).stdout
    assert first.poll() is None, "the run ended before the others had asked"
    os.kill(first.pid, signal.SIGCONT)
    [(code, _, said)] = ended(first)
    assert code == 0, said
    assert outcome_of(folder) == whole
    assert keras_prokt("export", folder, cwd=workplace).exit_code == 0
    assert not list(folder.rglob(".*"))


@pytest.mark.thorough
def test_two_comparisons_in_one_folder_carry_no_run_out_twice(workplace, started):
    folder = workplace / "comparison"
    rows = ["--method", "student", "--method", "kd", "--seeds", "0,1", "--epochs", "2"]
    rows += ["--limit", "64", "--teacher", "cnn-medium", "--out", folder]
    both = ended(*(started("compare", *rows) for _ in "12"))
    assert [code for code, _, _ in both] == [0, 0], both
    assert both[0][1] == both[1][1]
    said = "\n".join(error for _, _, error in both)
    names = sorted(path.parent.name for path in folder.glob("*/run.json"))
    assert len(names) == 4
    completed = [line for line in said.splitlines() if "completed in" in line]
    assert len(completed) == len(set(completed)) == 4, said
    assert {json.loads(p.read_text())["status"] for p in folder.glob("*/run.json")} == {"completed"}
    # Of the teacher of each seed, the last epoch and the best one.
    assert not list(folder.rglob(".*")) and len(list(workplace.glob("cache/teachers/*/"))) == 4
