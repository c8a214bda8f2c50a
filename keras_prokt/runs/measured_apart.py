"""Measures in a process of its own, whose threads and memory nothing else shares.

This module imports no Keras.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


def measured_apart(module: str, job: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """What `python -m MODULE JOB.json` prints as JSON on its last line, on TensorFlow.

    Args:
        module: Name of the module.
        job: What is to be measured.
        threads: Threads of each kind.

    Raises:
        ChildProcessError: If it fails, with the last line of what it said.
    """
    environment = {
        **os.environ,
        **dict.fromkeys(_THREADS, str(threads)),
        "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    with tempfile.TemporaryDirectory(prefix="keras_prokt-") as scratch:
        file = Path(scratch) / "job.json"
        file.write_text(json.dumps(job), encoding="utf-8")
        command = [sys.executable, "-m", module, str(file)]
        child = subprocess.run(command, env=environment, capture_output=True, text=True)
    if child.returncode:
        raise ChildProcessError((child.stderr.strip().splitlines() or ["no output"])[-1][:300])
    return json.loads(child.stdout.strip().splitlines()[-1])
