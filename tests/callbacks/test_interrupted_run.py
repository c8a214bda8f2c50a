"""A training that is killed again and again ends like one that never was."""

import csv
import importlib.util
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from marks import thorough

pytestmark = pytest.mark.process

SCRIPT = Path(__file__).with_name("interrupted_run.py")
SAVE_SCRIPT = Path(__file__).with_name("interrupted_save.py")


def rows(path):
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("backend", ["tensorflow", *thorough("jax", "torch")])
def test_killed_run_equals_uninterrupted_run(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    seed = random.SystemRandom().randrange(10**6)
    settings = {
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # Every process compiles the same step.
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), str(seed)],
        env={**os.environ, **settings},
        cwd=SCRIPT.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"seed {seed}\n{done.stderr[-4000:]}"
    case = f"seed {seed}, killed at {done.stdout}"
    whole, killed = (np.load(tmp_path / f"{name}.npz") for name in ("whole", "killed"))
    assert len(whole.files) == len(killed.files) > 40, case
    for name in whole.files:
        np.testing.assert_array_equal(whole[name], killed[name], err_msg=case)
    history = rows(tmp_path / "whole" / "history.csv")
    assert len(history) == 3 and "val_student_accuracy" in history[0]
    assert history == rows(tmp_path / "killed" / "history.csv"), case


@pytest.mark.thorough
def test_a_kill_at_any_file_event_of_a_checkpoint_leaves_what_goes_on_exactly(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SAVE_SCRIPT), str(tmp_path)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=SCRIPT.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    of_saving, of_going_on = json.loads(done.stdout)
    # State, position and two files are opened to be written and to be flushed; one file is a
    # link; two folders are made, renamed and removed.
    assert of_saving > 20 and of_going_on > 20
