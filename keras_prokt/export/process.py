"""Exports in a process of another backend, which `python -m keras_prokt.export` is."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_prokt.backends import BACKENDS
from keras_prokt.export.base import Description
from keras_prokt.files import write_record
from keras_prokt.models.symbolic_inputs import symbolic_inputs


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
        command += ["--no-compare"]
        if description.quantize is not None:
            command += [f"--quantize={description.quantize}"]
        if description.length is not None:
            command += [f"--length={description.length}"]
        if description.calibration:
            batches = Path(scratch) / "calibration.npz"
            _write_batches(batches, description.calibration)
            command += [f"--calibration={batches}"]
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


def _write_batches(path: Path, batches: Sequence[Any]) -> None:
    arrays = {
        f"{number}-{place}": np.asarray(value)
        for number, batch in enumerate(batches)
        for place, value in enumerate(keras.tree.flatten(batch))
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]


def read_batches(path: Path, student: keras.Model) -> list[Any]:
    """Batches that another process has written, in the structure that a student is called with.

    Args:
        path: An `.npz` file.
        student: The student.
    """
    structure, found = symbolic_inputs(student), []
    count = len(keras.tree.flatten(structure))
    with np.load(path, allow_pickle=False) as arrays:
        for number in range(len(arrays.files) // count):
            flat = [arrays[f"{number}-{place}"] for place in range(count)]
            found.append(keras.tree.pack_sequence_as(structure, flat))
    return found


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
