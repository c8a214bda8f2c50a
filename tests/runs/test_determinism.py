"""Runs held to deterministic operations. A run checks itself that its backend was told to."""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import pytest
from marks import thorough

from keras_prokt.runs.determinism import is_deterministic, use_deterministic_operations
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.training_run import run

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="starts processes of every backend itself"
)
RUN = ["run", "--deterministic", "--limit", "64", "--epochs", "1", "--no-export", "--out", "run"]


def keras_prokt(*arguments, cwd):
    program = [sys.executable, "-m", "keras_prokt.cli", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    result = subprocess.run(
        program, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return json.loads((cwd / "run" / "run.json").read_text())


@pytest.mark.thorough
@pytest.mark.process
@pytest.mark.whole_run
@pytest.mark.parametrize("backend", ["jax", *thorough("torch")])
def test_a_run(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    record = keras_prokt(*RUN, "--backend", backend, cwd=tmp_path)
    assert record["status"] == "completed" and record["spec"]["computing"]["deterministic"]


@pytest.mark.thorough
@pytest.mark.process
@pytest.mark.whole_run
def test_resuming_one(tmp_path):
    stopped = keras_prokt(*RUN, "--stop-after", "0.1s", cwd=tmp_path)
    assert stopped["status"] == "running" and stopped["spec"]["computing"]["deterministic"]
    assert keras_prokt("resume", "run", cwd=tmp_path)["status"] == "completed"
    keras_prokt("evaluate", "run", cwd=tmp_path)


def test_what_the_spec_says_of_the_backend_is_held(tmp_path):
    spec = RunSpec.resolve("digits", "student", epochs=1, limit=64)
    with pytest.raises(ValueError, match=r"use_deterministic_operations\('tensorflow'\)"):
        run(spec.replacing(deterministic=True), tmp_path / "run")
    with pytest.raises(ValueError, match="Expected backend 'jax', .* received 'tensorflow'"):
        run(spec.replacing(backend="jax"), tmp_path / "run")
    assert not os.listdir(tmp_path)


def test_flags_of_the_user_stay(monkeypatch):
    pytest.importorskip("torch")
    import torch

    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=false --xla_dump_to=here")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    assert not is_deterministic("jax") and not is_deterministic("torch")
    try:
        use_deterministic_operations("torch")
        assert is_deterministic("torch")
    finally:
        torch.use_deterministic_algorithms(False)
    assert os.environ["XLA_FLAGS"].split()[1:] == [
        "--xla_dump_to=here",
        "--xla_gpu_deterministic_ops=true",
    ]
    assert is_deterministic("jax")
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.process
def test_jax_has_to_be_told_before_it_starts():
    pytest.importorskip("jax")
    code = (
        "import jax; jax.devices()\n"
        "from keras_prokt.runs.determinism import use_deterministic_operations\n"
        "use_deterministic_operations('jax')"
    )
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    program = [sys.executable, "-c", code]
    result = subprocess.run(program, env=environment, capture_output=True, text=True)
    assert "ValueError: Expected a JAX that has not computed anything yet" in result.stderr
