"""How long the models of a run would take, before anything is trained.

`python -m keras_prokt.runs.student_latency SPEC.json` measures in a process of its own; imported,
this module imports no Keras.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from keras_prokt.runs.measured_apart import measured_apart
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
    try:
        return measured_apart("keras_prokt.runs.student_latency", spec.to_json(), threads=1)
    except ChildProcessError as error:
        raise ValueError(
            f"Expected a student whose latency can be measured, received {spec.student!r}, which "
            f"cannot be built or called: {error}"
        ) from error


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
