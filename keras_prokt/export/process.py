"""Exports in a process of another backend, which `python -m keras_prokt.export` is."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import keras

from keras_prokt.backends import BACKENDS
from keras_prokt.export.base import Description
from keras_prokt.files import write_record


def write_in_process(
    backend: str, student: keras.Model, path: Path, format: str, description: Description
) -> Path:
    """Writes a student in a process of a backend.

    Args:
        backend: The name of the backend.
        student: What is to be exported.
        path: Where to.
        format: The form.
        description: What else is known of the student.

    Returns:
        What was written.

    Raises:
        ValueError: If the other process cannot rebuild the student, or fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "student.keras"
        student.save(file)
        command = [sys.executable, "-m", "keras_prokt.export", str(file), str(path)]
        command += [f"--format={format}"]
        command += [f"--import={module}" for module in _modules_of_custom_objects(student, backend)]
        if description.output is not None:
            command += [f"--output={description.output.id}"]
        if description.class_names is not None:
            names = Path(scratch) / "class_names.json"
            names.write_text(json.dumps(list(description.class_names)), encoding="utf-8")
            command += [f"--class-names={names}"]
        if description.front_end is not None:
            config = Path(scratch) / "front_end.json"
            write_record(config, description.front_end.to_json())
            command += [f"--front-end={config}"]
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            # This process may hold all of the GPU's memory, and exporting needs none.
            "CUDA_VISIBLE_DEVICES": "-1",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        child = subprocess.run(command, env=environment, capture_output=True, text=True)
    if child.returncode:
        lines = child.stderr.splitlines()
        # The backend writes there as well; without a line of ours the process was killed.
        problems = [line for line in lines if line.startswith("error: ")] or [
            f"exit status {child.returncode} after {lines[-1] if lines else 'no output'!r}"
        ]
        raise ValueError(
            f"Expected the {BACKENDS[backend].title} process that exports the student to succeed, "
            f"received {problems[-1]}"
        )
    return Path(child.stdout.strip().splitlines()[-1])


def _modules_of_custom_objects(student: keras.Model, backend: str) -> list[str]:
    """Modules that the other process must import to be able to rebuild the student."""
    config = student.to_json()
    modules = {
        custom.__module__
        for name, custom in keras.saving.get_custom_objects().items()
        if f'"{name}"' in config
    }
    if "__main__" in modules:
        raise ValueError(
            f"Expected the custom layers of {student.name!r} in an importable module, received "
            "some defined in the script itself; move them to a module of their own, or export "
            f"with KERAS_BACKEND={backend}."
        )
    return sorted(modules)
