"""SavedModels in a process without this package, which all tests of a session ask.

Python needs seconds to import TensorFlow, so that one process answers many tests.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_PROGRAM = """
import json, sys
import tensorflow as tf, tensorflow_text

def plain(value):
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.decode() if isinstance(value, bytes) else value

for line in sys.stdin:
    path, signature, columns = json.loads(line)
    model = tf.saved_model.load(path)
    inputs = {name: tf.constant(values) for name, values in columns.items()}
    outputs = model.signatures[signature](**inputs)
    answer = {name: plain(values.numpy().tolist()) for name, values in outputs.items()}
    assert "keras_prokt" not in sys.modules
    print(json.dumps(answer), flush=True)
"""


class Server:
    """Answers what a SavedModel is asked; its process starts with the first question."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, path: Path, signature: str, **columns: list[Any]) -> dict[str, Any]:
        """The outputs of a signature as lists, strings as `str`."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps([str(path), signature, columns]), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise AssertionError(f"The process ended with code {self.close()}.")
        return dict(json.loads(answer))

    def close(self) -> int | None:
        """Ends the process, and returns its exit code; the next question starts another."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.communicate()
        return process.returncode
