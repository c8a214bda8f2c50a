"""Runs in pieces: durations as people type them, and signals at any moment."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from marks import thorough

from keras_prokt.models.loading import load_student
from keras_prokt.runs import training
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import Interrupted, Stop, Stopped, parse_duration
from keras_prokt.runs.training_run import resume, run

needs_default_backend = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
COMMAND = Path(__file__).with_name("interrupted_command.py")
SMALL = {"limit": 256, "epochs": 3, "batch_size": 32}
OPTIONS = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("9m", 540), ("1.5h", 5400), (" 2m ", 120)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "9", "m", "0m", "-1s", "9 minutes", "1e9h", "٣m", "nans"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="Expected a duration such as 90s"):
        parse_duration(text)


# Signals, without a run.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_at_once_what_is_no_training(number):
    before, stop = signal.getsignal(number), Stop()
    with stop.listening(), pytest.raises(Interrupted) as interrupted:
        signal.raise_signal(number)
        pytest.fail("went on")
    assert interrupted.value.signal == stop.signal == number
    assert signal.getsignal(number) is before


def test_training_goes_on_to_the_end_of_its_step_unless_a_second_signal_comes():
    stop = Stop()
    with stop.listening():
        with stop.training():
            signal.raise_signal(signal.SIGTERM)
            assert stop.is_due()
            with pytest.raises(Stopped) as stopped:
                stop.check()
            assert stopped.value.signal == signal.SIGTERM
            with pytest.raises(Interrupted) as interrupted:
                signal.raise_signal(signal.SIGINT)
            assert interrupted.value.signal == signal.SIGINT
        assert not stop.is_training


def test_what_the_caller_ignores_stays_ignored():
    before, stop = signal.signal(signal.SIGHUP, signal.SIG_IGN), Stop()
    try:
        with stop.listening():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
            assert not stop.is_due()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_point_in_time():
    assert Stop().seconds_left is None and not Stop().is_due()
    assert Stop(0.0).is_due() and Stop(0.0).seconds_left == 0.0
    assert 99 < Stop(100.0).seconds_left <= 100
    with pytest.raises(Stopped) as stopped:
        Stop(0.0).check()
    assert stopped.value.signal is None


# Signals to whole runs.


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return tmp_path_factory.mktemp("stopping")


@pytest.fixture(scope="module")
def whole(workplace):
    """A run that nothing has interrupted."""
    keras.utils.set_random_seed(0)
    run(RunSpec.resolve("digits", "prokt", **SMALL), workplace / "whole", export=False)
    return workplace / "whole"


def interrupted(place, number, *arguments, cwd):
    """Exit code and standard error of a command that receives a signal at a place."""
    process = subprocess.Popen(
        [sys.executable, str(COMMAND), place, *arguments],
        cwd=cwd,
        env={**os.environ, "KERAS_PROKT_CACHE": str(cwd / "cache")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "here\n", process.stderr.read()
        process.send_signal(number)
        output, errors = process.communicate("\n", timeout=120)
    assert output == ""
    return process.returncode, errors


def assert_equal_runs(one, other):
    """The same weights, the same history but for its seconds, the same results."""
    students = [load_student(folder / "student.keras").get_weights() for folder in (one, other)]
    for weights in zip(*students, strict=True):
        np.testing.assert_array_equal(*weights)
    histories = []
    for folder in (one, other):
        with (folder / "history.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        histories.append([{k: v for k, v in row.items() if k != "seconds"} for row in rows])
    assert histories[0] == histories[1] and len(histories[0]) == SMALL["epochs"]
    results = [without_seconds(RunFolder(folder).read()["results"]) for folder in (one, other)]
    assert results[0] == results[1]
    predictions = [(folder / "predictions" / "test.csv").read_text() for folder in (one, other)]
    assert predictions[0] == predictions[1]


def without_seconds(value):
    if not isinstance(value, dict):
        return value
    return {k: without_seconds(one) for k, one in value.items() if k != "seconds"}


@pytest.mark.process
@pytest.mark.whole_run
@needs_default_backend
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), *thorough((signal.SIGINT, 130), (signal.SIGHUP, 129))],
)
def test_a_run_that_a_signal_stops_goes_on_as_if_none_had_come(number, code, workplace, whole):
    out = f"my {number.name}"
    arguments = ["run", *OPTIONS, "--no-export", "--out", out]
    exit_code, errors = interrupted("training", number, *arguments, cwd=workplace)
    assert exit_code == code
    assert errors.splitlines()[-1] == f"stopped; go on with `keras-prokt resume '{out}'`"
    assert "Traceback" not in errors
    folder = RunFolder(workplace / out)
    assert folder.read()["status"] == "running" and folder.position() == ("", 1)
    assert folder.holder() is None
    shown = keras_prokt("info", out, cwd=workplace).stdout
    assert f"distillation: 1 of 3 epochs done; go on with `keras-prokt resume '{out}'`" in shown
    # Its student is the best so far: an export of it would be taken for one of the whole run.
    assert folder.student.is_file()
    before = sorted(folder.path.rglob("*"))
    for command in (["evaluate"], ["benchmark"], ["export"], ["export", "--format", "onnx"]):
        refused = keras_prokt(*command, out, cwd=workplace)
        assert refused.exit_code == 2 and refused.stdout == "", refused.output
        assert refused.stderr == (
            f"keras-prokt: Expected a completed run at '{out}', received one whose status is "
            f"'running'; finish it with `keras-prokt resume '{out}'`.\n"
        )
    assert sorted(folder.path.rglob("*")) == before
    assert resume(folder.path)["status"] == "completed"
    assert_equal_runs(folder.path, whole)


@pytest.mark.process
@pytest.mark.whole_run
@needs_default_backend
def test_a_signal_while_models_are_measured(workplace, whole):
    arguments = ["run", *OPTIONS, "--no-export", "--out", "measured"]
    code, errors = interrupted("evaluation", signal.SIGINT, *arguments, cwd=workplace)
    assert code == 130
    assert errors.splitlines()[-1] == "stopped; go on with `keras-prokt resume measured`"
    assert RunFolder(workplace / "measured").read()["status"] == "running"
    assert resume(workplace / "measured")["status"] == "completed"
    assert_equal_runs(workplace / "measured", whole)


@pytest.mark.process
@pytest.mark.whole_run
@needs_default_backend
def test_a_signal_before_there_is_anything_to_go_on_with(workplace):
    arguments = ["run", *OPTIONS, "--out", "start"]
    code, errors = interrupted("start", signal.SIGTERM, *arguments, cwd=workplace)
    assert code == 143
    assert "stopped" not in errors and "Traceback" not in errors
    assert not (workplace / "start").exists()


class _Signals(training.Progress):
    """Receives signals after some step of training."""

    numbers: tuple[int, ...] = ()
    left = 0

    def on_train_batch_end(self, batch, logs=None):
        type(self).left -= 1
        if self.left == 0:
            for number in self.numbers:
                signal.raise_signal(number)


@pytest.mark.process
@pytest.mark.whole_run
@needs_default_backend
def test_a_second_signal_ends_a_run_within_its_step(workplace, whole, monkeypatch):
    kind = type("Twice", (_Signals,), {"numbers": (signal.SIGTERM, signal.SIGINT), "left": 12})
    with monkeypatch.context() as patched:
        patched.setattr(training, "Progress", kind)
        result = keras_prokt("run", *OPTIONS, "--no-export", "--out", "twice", cwd=workplace)
    assert result.exit_code == 130
    assert "stopped; go on with `keras-prokt resume twice`" in result.output
    assert kind.left == 0  # no further step
    resume(workplace / "twice")
    assert_equal_runs(workplace / "twice", whole)


@pytest.mark.process
@pytest.mark.whole_run
@needs_default_backend
def test_under_nohup_a_hang_up_does_not_stop_a_run(workplace, whole, monkeypatch):
    kind = type("Hangup", (_Signals,), {"numbers": (signal.SIGHUP,), "left": 12})
    monkeypatch.setattr(training, "Progress", kind)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        result = keras_prokt("run", *OPTIONS, "--no-export", "--out", "nohup", cwd=workplace)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert result.exit_code == 0, result.output
    assert kind.left < 0
    assert_equal_runs(workplace / "nohup", whole)


@pytest.mark.process
@pytest.mark.whole_run
@needs_default_backend
def test_what_signals_do_is_as_before_after_a_run(workplace, whole):
    assert json.loads((whole / "run.json").read_text())["status"] == "completed"
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    result = keras_prokt("run", *OPTIONS, "--stop-after", "0.001s", "--out", "due", cwd=workplace)
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "stopped; go on with `keras-prokt resume due`"
    assert before == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
