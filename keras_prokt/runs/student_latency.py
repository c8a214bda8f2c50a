"""How long the models of a run would take, before anything is trained.

`python -m keras_prokt.runs.student_latency SPEC.json` measures in a process of its own; imported,
this module imports no Keras.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from keras_prokt.runs.spec import RunSpec

SECONDS = 1.0
"""For how long calls are measured."""


def measure_latency(spec: RunSpec) -> dict[str, float]:
    """Median seconds of a forward of one example on one thread, of models with untrained weights.

    Args:
        spec: The run.

    Returns:
        "student" and, if the run has a teacher of its own, "teacher".

    Raises:
        ValueError: If a model cannot be built or called.
    """
    variables = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    environment = {
        **os.environ,
        **dict.fromkeys(variables, "1"),
        "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    with tempfile.TemporaryDirectory(prefix="keras_prokt-") as scratch:
        file = Path(scratch) / "spec.json"
        file.write_text(json.dumps(spec.to_json()), encoding="utf-8")
        command = [sys.executable, "-m", "keras_prokt.runs.student_latency", str(file)]
        child = subprocess.run(command, env=environment, capture_output=True, text=True)
    if child.returncode:
        last = (child.stderr.strip().splitlines() or ["no output"])[-1]
        raise ValueError(
            f"Expected a student whose latency can be measured, received {spec.student!r}, which "
            f"cannot be built or called: {last[:300]}"
        )
    return json.loads(child.stdout.strip().splitlines()[-1])


def _latencies(spec: RunSpec) -> Mapping[str, float]:
    """What `measure_latency` says, in this process."""
    import numpy as np

    from keras_prokt.app import get_app
    from keras_prokt.export.runtimes import measure
    from keras_prokt.methods import REGIMES, parse_method
    from keras_prokt.named_code import name_code
    from keras_prokt.runs.speed import named_inputs
    from keras_prokt.runs.task import seeded

    name_code([spec.to_json()])  # by the user, of the process that started this one
    task = get_app(spec.app).prepare(spec.request())
    builders = {"student": task.build_student}
    has_teacher = REGIMES[parse_method(spec.method).regime].trains_teacher is not None
    if has_teacher and not spec.teacher_is_stored:
        builders["teacher"] = task.build_teacher
    example = task.validation.in_order().batch(np.arange(1))[0]
    found = {}
    with tempfile.TemporaryDirectory(prefix="keras_prokt-") as scratch:
        for role, build in builders.items():
            paths = {name: str(Path(scratch) / f"{role}.{name}") for name in ("keras", "npz")}
            seeded(build, spec.seed).save(paths["keras"])
            front_end = task.front_end if role == "student" else task.teacher_front_end
            np.savez(paths["npz"], **named_inputs(example, role, front_end))
            job = {"form": "keras", "path": paths["keras"], "threads": 1, "inputs": paths["npz"]}
            job |= {"batches": [1], "seconds": SECONDS, "examples": None, "outputs": None}
            found[role] = measure(job)["latency"]["1"]["p50"]
    return found


if __name__ == "__main__":
    given = RunSpec.from_json(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    print(json.dumps(_latencies(given)))
