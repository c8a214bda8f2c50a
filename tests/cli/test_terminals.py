"""Terminals that are closed, full or obey what is printed: the run goes on, and they show text."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from command_line import keras_prokt
from pretended_runs import write_run

from keras_prokt import cli
from keras_prokt.cli.problems import LastingStream
from keras_prokt.runs import RunSpec
from keras_prokt.runs.folder import RunFolder


def test_what_cannot_be_written_is_lost_and_nothing_else(capfd):
    reading, writing = os.pipe()
    stream = LastingStream(os.fdopen(writing, "w", encoding="ascii"))
    print("λ", file=stream, flush=True)
    assert os.read(reading, 100) == b"\\u03bb\n"
    os.close(reading)
    for _ in range(3):
        print("nobody reads this" * 10000, file=stream, flush=True)
    os.write(stream.fileno(), b"native code may go on")
    stream.close()


def test_files_say_nothing_to_terminals(tmp_path):
    """Class names, and a reason for a failure, may be of a stranger."""
    names = ["\x1b]0;owned\x07", "\x9b2J"]
    write_run(tmp_path / "run", RunSpec.resolve("digits", "student"), 0.5, class_names=names)
    folder = RunFolder(tmp_path / "run")
    record = folder.read()
    half = [0.5, 0.5]
    classes = {"examples": [1, 1], "precision": half, "recall": half, "f1": half}
    calibration = {"examples": [2], "confidence": [0.5], "accuracy": [0.5]}
    report = {"classes": classes, "confusion": [[1, 0], [0, 1]], "calibration": calibration}
    record["results"]["reports"] = {"student": {"test": report}}
    folder.write(record)
    shown = keras_prokt("info", "run", cwd=tmp_path)
    assert shown.exit_code == 0 and "owned" in shown.output
    shown_json = keras_prokt("info", "run", "--json", cwd=tmp_path)
    assert "owned" in shown_json.output
    for output in (shown.output, shown_json.output):
        assert not {"\x1b", "\x07", "\x9b"} & {*output}


@pytest.mark.process
@pytest.mark.whole_run
@pytest.mark.skipif(os.name != "posix", reason="descriptors are closed by a shell")
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
def test_a_run_is_trained_to_its_end_without_a_terminal(tmp_path):
    command = f"exec {sys.executable} -m keras_prokt run --method student --limit 64 --epochs 1"
    command += " --no-export --out run <&- >&- 2>&-"
    environment = {**os.environ, "KERAS_PROKT_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment)
    assert done.returncode == 0
    assert RunFolder(tmp_path / "run").read()["status"] == "completed"


@pytest.mark.process
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_results_that_cannot_be_printed_are_one_line():
    command = f"exec {sys.executable} -m keras_prokt apps >/dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("keras-prokt: Expected output that can be written, received [Errno 28]")


def test_commands_print_by_what_shows_control_characters():
    for path in Path(cli.__file__).parent.glob("*.py"):
        assert path.name == "problems.py" or "click.echo(" not in path.read_text(), path.name
