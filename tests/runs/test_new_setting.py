"""A setting that is added by one field is there everywhere: the diff is all that it needs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parents[2]
DIFF = ROOT / "tests" / "patches" / "new_setting.diff"
SCRIPT = Path(__file__).with_name("new_setting.py")


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs the program `patch`")
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="one backend is enough for a diff"
)
def test_one_field_adds_a_whole_setting(tmp_path):
    added = [line for line in DIFF.read_text().splitlines() if line.startswith(("+", "-"))]
    assert len(added) - 2 == 1  # but for the names of the file
    ignore = shutil.ignore_patterns("*.pyc")
    shutil.copytree(ROOT / "keras_prokt", tmp_path / "keras_prokt", ignore=ignore)
    shutil.copytree(ROOT / "apps", tmp_path / "keras_prokt_apps", ignore=ignore)
    subprocess.run(
        ["patch", "-p1", "-s"], input=DIFF.read_text(), text=True, cwd=tmp_path, check=True
    )
    (tmp_path / "work").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "KERAS_BACKEND": "tensorflow"}
    environment["KERAS_PROKT_CACHE"] = str(tmp_path / "cache")
    command = [sys.executable, str(SCRIPT), str(tmp_path / "work")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    seen = json.loads(result.stdout.splitlines()[-1])
    assert all(Path(file).is_relative_to(tmp_path) for file in seen["packages"])
    [line] = [line for line in seen["help"].splitlines() if "--jitter" in line]
    assert line.split()[1:] == ["FLOAT", "Noise", "added", "to", "the", "inputs."]
    message = "Expected {} in [0, 1), received 1.0."
    assert seen["refusal"] == message.format("jitter")
    assert seen["typed"] == [2, f"keras-prokt: {message.format('--jitter')}\n"]
    assert (seen["resolved"], seen["requested"], seen["usual"]) == (0.5, 0.5, None)
    assert "jitter" in seen["fields"]
    assert seen["run"][0] == 0, seen["run"][1]
    assert seen["record"]["jitter"] == 0.25
