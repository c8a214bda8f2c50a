"""Locks: one process at a time, and none after its end, however it ends."""

import os
import re
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from keras_prokt.runs import lock as module
from keras_prokt.runs.lock import InUse, Lock, describe, holder_of

pytestmark = pytest.mark.skipif(module.fcntl is None, reason="needs locks of files")
HOLD = """
import sys
from pathlib import Path
from keras_prokt.runs.lock import Lock

with Lock(Path(sys.argv[1]), "the run"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".lock"


@pytest.fixture
def other(path):
    """Another process, which holds the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "held\n"
        yield process


@pytest.mark.process
def test_the_second_process_is_told_who_holds_it_and_since_when(path, other):
    with pytest.raises(InUse) as refused, Lock(path, "the run"):
        pytest.fail("both hold it")
    pattern = (
        r"Expected the run on which no other process works, .* running, pid (\d+), since (\S+);"
    )
    pid, since = re.match(pattern, str(refused.value)).groups()
    assert int(pid) == other.pid == holder_of(path)["pid"]
    age = datetime.now(UTC) - datetime.fromisoformat(since)
    assert timedelta(seconds=-1) < age < timedelta(minutes=5)


@pytest.mark.process
def test_it_is_free_again_after_release(path, other):
    other.communicate("")
    assert other.returncode == 0 and not path.exists()
    assert holder_of(path) is None
    with Lock(path, "the run"):
        assert holder_of(path)["pid"] == os.getpid()
    assert not path.exists()


@pytest.mark.process
def test_a_holder_that_is_killed_frees_it(path, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert path.exists()  # it could not clear up
    assert holder_of(path) is None
    with Lock(path, "the run"):
        assert holder_of(path)["pid"] == os.getpid()
    assert not path.exists()


@pytest.mark.process
def test_a_refused_process_leaves_the_lock_with_its_holder(path, other):
    for _ in range(2):
        with pytest.raises(InUse), Lock(path, "the run"):
            pytest.fail("both hold it")
    assert holder_of(path)["pid"] == other.pid


def test_whoever_asks_for_the_holder_refuses_nobody(path):
    path.write_text("")
    with path.open() as file:
        module.fcntl.flock(file, module.fcntl.LOCK_SH)  # as `holder_of` does, for longer
        threading.Timer(0.1, module.fcntl.flock, [file, module.fcntl.LOCK_UN]).start()
        with Lock(path, "the run"):
            assert holder_of(path)["pid"] == os.getpid()


def test_one_process_does_not_hold_it_twice(path):
    with Lock(path, "the run"), pytest.raises(InUse), Lock(path, "the run"):
        pytest.fail("both hold it")
    with pytest.raises(RuntimeError), Lock(path, "the run"):
        raise RuntimeError
    assert not path.exists()


def test_release_leaves_the_lock_of_another_in_its_place(tmp_path):
    (tmp_path / "run").mkdir()
    with Lock(tmp_path / "run" / ".lock", "the old run"):
        (tmp_path / "run").rename(tmp_path / "aside")
        (tmp_path / "run").mkdir()
        new = Lock(tmp_path / "run" / ".lock", "the new run")
        new.__enter__()
    assert holder_of(tmp_path / "run" / ".lock")["pid"] == os.getpid()
    assert holder_of(tmp_path / "aside" / ".lock") is None
    new.__exit__()
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_holder_of_another_machine_is_named_with_it(path):
    since = "2026-01-01T00:00:00+00:00"
    assert describe({"pid": 7, "host": "far", "since": since}) == f"pid 7 on far, since {since}"
    with Lock(path, "the run"):
        path.write_text("damaged")
        assert holder_of(path)["pid"] is None
        with pytest.raises(InUse, match="running, by another process; wait"), Lock(path, "the run"):
            pytest.fail("both hold it")


def test_a_folder_that_is_not_there(tmp_path):
    assert holder_of(tmp_path / "nowhere" / ".lock") is None
    with pytest.raises(FileNotFoundError), Lock(tmp_path / "nowhere" / ".lock", "the run"):
        pytest.fail("there is no folder")
