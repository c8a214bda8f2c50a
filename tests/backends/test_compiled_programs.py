"""Programs compiled for an accelerator are kept; here the CPU stands for one."""

import importlib.util
import os
import subprocess
import sys

import keras
import pytest
from marks import thorough

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow" or importlib.util.find_spec("jax") is None,
        reason="starts a process of JAX itself, and needs it",
    ),
]
CODE = """
import sys
from pathlib import Path
import jax
from keras_prokt import backends

folder, platform = Path(sys.argv[1]), sys.argv[2]
jax.default_backend = lambda: platform
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
backends.get("jax").keep_compiled_programs(folder)
jax.jit(lambda x: x @ x)(jax.numpy.ones((3, 3)))
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("platform", "has_own"),
    [("cpu", True), *thorough(("gpu", False), ("gpu", True), ("cpu", False))],
)
def test_programs_are_kept(platform, has_own, tmp_path):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if has_own:
        environment["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path / "own")
    command = [sys.executable, "-c", CODE, str(tmp_path / "ours"), platform]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "ours").is_dir() is (platform == "gpu" and not has_own)
    assert (tmp_path / "own").is_dir() is has_own
