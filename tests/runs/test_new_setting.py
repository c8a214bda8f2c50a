"""What is added at one place is there everywhere: the diff is all that it needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from patched_copy import APPLIES_A_DIFF, PATCHES, files_of, patched_copy

pytestmark = APPLIES_A_DIFF


def seen_with(diff: str, script: str, folder: Path) -> dict:
    """What a script sees of a copy of the package to which a diff was applied."""
    environment = {**patched_copy(diff, folder), "KERAS_BACKEND": "tensorflow"}
    (folder / "work").mkdir()
    program = [sys.executable, str(Path(__file__).with_name(script)), str(folder / "work")]
    result = subprocess.run(program, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    seen = json.loads(result.stdout.splitlines()[-1])
    assert all(Path(file).is_relative_to(folder) for file in seen["packages"])
    return seen


@pytest.mark.thorough
def test_one_field_adds_a_whole_setting(tmp_path):
    diff = (PATCHES / "new_setting.diff").read_text()
    added = [line for line in diff.splitlines() if line.startswith(("+", "-"))]
    assert len(added) - 2 == 1  # but for the names of the file
    seen = seen_with(diff, "new_setting.py", tmp_path)
    [line] = [line for line in seen["help"].splitlines() if "--jitter" in line]
    assert line.split()[1:] == ["FLOAT", "Noise", "added", "to", "the", "inputs."]
    message = "Expected {} in [0, 1), received 1.0."
    assert seen["refusal"] == message.format("jitter")
    assert seen["typed"] == [2, f"keras-prokt: {message.format('--jitter')}\n"]
    assert (seen["resolved"], seen["requested"], seen["usual"]) == (0.5, 0.5, None)
    assert "jitter" in seen["fields"]
    assert seen["run"][0] == 0, seen["run"][1]
    assert seen["record"]["jitter"] == 0.25
    assert seen["round trip"]


def test_a_file_and_a_row_add_a_regime_with_a_setting_of_its_own(tmp_path):
    diff = (PATCHES / "new_regime.diff").read_text()
    assert files_of(diff) == ["keras_prokt/distillers/paced.py", "keras_prokt/methods/regimes.py"]
    seen = seen_with(diff, "new_regime.py", tmp_path)
    [line] = [line for line in seen["help"].splitlines() if "--pace " in line]
    assert line.split()[1:] == ["FLOAT", "How", "fast", "the", "student", "follows."]
    assert "a fixed teacher, at a pace" in seen["methods"]
    assert seen["range"] == [2, "keras-prokt: Expected --pace in (0, 1], received 2.0.\n"]
    message = "Expected no --pace with method 'kd', received 0.5; it belongs to paced."
    assert seen["method"] == [2, f"keras-prokt: {message}\n"]
    assert seen["round trip"] and seen["usual"] is None
    assert seen["argument"] == seen["changed"] == 0.5
    assert seen["run"][0] == 0, seen["run"][1]
    assert seen["record"]["pace"] == 0.25
