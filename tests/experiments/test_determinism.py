"""Runs held to deterministic operations. A run checks itself that its backend was told to."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace

import keras
import pytest

from keras_prokt.experiments.run import run
from keras_prokt.experiments.spec import RunSpec

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="starts processes of every backend itself"
)
RUN = ["run", "--deterministic", "--limit", "64", "--epochs", "1", "--no-export", "--out", "run"]


def keras_prokt(*arguments, cwd):
    program = [sys.executable, "-m", "keras_prokt.cli", *arguments]
    result = subprocess.run(program, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return json.loads((cwd / "run" / "run.json").read_text())


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_run(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    record = keras_prokt(*RUN, "--backend", backend, cwd=tmp_path)
    assert record["status"] == "completed" and record["spec"]["deterministic"]


def test_resuming_one(tmp_path):
    stopped = keras_prokt(*RUN, "--stop-after", "0.1s", cwd=tmp_path)
    assert stopped["status"] == "running"
    assert keras_prokt("resume", "run", cwd=tmp_path)["status"] == "completed"


def test_a_backend_that_was_not_told_to_is_refused(tmp_path):
    spec = replace(RunSpec.resolve("digits", "student", epochs=1, limit=64), deterministic=True)
    with pytest.raises(ValueError, match=r"use_deterministic_operations\('tensorflow'\)"):
        run(spec, tmp_path / "run")
    assert not os.listdir(tmp_path)
