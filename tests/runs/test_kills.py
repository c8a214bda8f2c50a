"""A command that is killed at any file event goes on to the same bits, and leaves nothing."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from marks import thorough

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
SCRIPT = Path(__file__).with_name("kill_everywhere.py")


@pytest.mark.process
@pytest.mark.whole_run
@pytest.mark.skipif(not hasattr(os, "fork"), reason="commands are forked")
@pytest.mark.parametrize(("case", "places"), [("kd", 4), *thorough(("overwrite", 4))])
def test_a_killed_command_goes_on(case, places):
    """A sample; the script tries all places of all cases."""
    command = [sys.executable, str(SCRIPT), "--sample", str(places), case]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{case}: {places} places" in result.stdout
