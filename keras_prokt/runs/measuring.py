"""What a trained run is measured by: all its models on all held-out data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_prokt.callbacks.best_model_checkpoint import Best, read_best
from keras_prokt.data.columns import columns_of
from keras_prokt.files import write_text
from keras_prokt.models.loading import load_student
from keras_prokt.results.evaluation import Evaluation, evaluate
from keras_prokt.results.metrics import lower_is_better
from keras_prokt.results.metrics import mode as mode_of
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.plan import Plan
from keras_prokt.runs.task import held_out
from keras_prokt.runs.teachers import loads_weights
from keras_prokt.runs.training import Run

BEST_TEACHER = "teacher (best epoch)"
"""How the teacher after its best epoch on validation is reported; "teacher" is what taught last."""


class Epochs(NamedTuple):
    """Epochs of the distillation, from 1."""

    best: int
    """The best on validation, which the student is of."""
    last: int
    """The last that was trained."""


def _best_of_teacher(run: Run, plan: Plan, last_epoch: int) -> tuple[Best, bool] | None:
    """The teacher after its best epoch, where that is known, and whether it is the one here."""
    if not plan.distiller.trains_teacher:
        best, is_last = plan.best_fixed, run.spec.teacher_epochs
        return best and (best, run.spec.teacher_keep == "best" or best.epoch + 1 == is_last)
    if run.spec.full_train:
        return None
    best = read_best(run.folder.best_teacher)
    return best, best.epoch + 1 == last_epoch


def measure_models(run: Run, plan: Plan, epochs: Epochs, *, measures_test: bool) -> dict[str, Any]:
    """Measures all models on all held-out data, and keeps the answer to every example.

    Args:
        run: The run, trained.
        plan: Its models.
        epochs: How long they were trained.
        measures_test: Whether on test data too.

    Returns:
        `results` of the run's record.
    """
    parts = held_out(run.task)
    if not measures_test:
        parts.pop("test", None)
    roles = {"student": (load_student(run.folder.student), "student")}
    if epochs.best != epochs.last:
        roles["student (last epoch)"] = (plan.distiller.student, "student")
    roles |= {name: (model, "teacher") for name, model in plan.teachers.items()}
    measured, all_evaluations = {}, {}

    def measure(name: str, model: keras.Model, role: str) -> None:
        evaluations = evaluate(model, parts, role, run.task.metrics, run.output.id)
        measured[name] = {**_size(model), **{p: e.metrics for p, e in evaluations.items()}}
        all_evaluations[name] = evaluations

    def is_same(name: str, other: str) -> None:
        measured[name], all_evaluations[name] = measured[other], all_evaluations[other]

    for name, (model, role) in roles.items():
        measure(name, model, role)
    if epochs.best == epochs.last:
        is_same("student (last epoch)", "student")
    of_teacher: dict[str, int] = {}
    if (found := _best_of_teacher(run, plan, epochs.last)) is not None:
        best, is_measured = found
        teacher = plan.teachers["teacher"]
        # What it has of another epoch is not needed any more: no second one in memory.
        if is_measured or loads_weights(teacher, best.path):
            of_teacher["teacher_best_epoch"] = best.epoch + 1
            if is_measured:
                is_same(BEST_TEACHER, "teacher")
            else:
                measure(BEST_TEACHER, teacher, "teacher")
    for part in parts:
        of_part = {name: evaluations[part] for name, evaluations in all_evaluations.items()}
        write_predictions(run.folder, part, of_part)
    return {
        "best_epoch": epochs.best,
        "last_epoch": epochs.last,
        **of_teacher,
        "metric": run.task.metrics[0],
        "mode": mode_of(run.task.metrics[0], run.output),
        "lower_is_better": sorted(lower_is_better(run.output)),
        "best_constant": best_constants(all_evaluations["student"]),
        "scores": {
            name: {part: one.scores for part, one in evaluations.items()}
            for name, evaluations in all_evaluations.items()
        },
        **_size_ratio(measured),
        "reports": {
            name: {part: one.report for part, one in all_evaluations[name].items() if one.report}
            for name in ("teacher", "student")
            if name in all_evaluations
        },
        "models": measured,
    }


def best_constants(evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    """What the best constant answer has on each part, where the kind of output says it.

    Args:
        evaluations: Of one model, by part.
    """
    known = {part: one.best_constant for part, one in evaluations.items()}
    return {part: value for part, value in known.items() if value is not None}


def _size_ratio(measured: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """How large the student is beside the teacher, where there is a teacher."""
    if "teacher" not in measured:
        return {}
    sizes = {
        key: round(measured["student"][key] / measured["teacher"][key], 6)
        for key in ("parameters", "bytes")
    }
    return {"size_ratio": sizes}


def _size(model: keras.Model) -> dict[str, int]:
    weights = model.weights
    return {
        "parameters": model.count_params(),
        "bytes": int(sum(np.prod(w.shape) * np.dtype(w.dtype).itemsize for w in weights)),
    }


def write_predictions(folder: RunFolder, part: str, evaluations: Mapping[str, Evaluation]) -> Path:
    """Keeps what each model answers to every example, as `predictions/PART.csv`."""
    answers = {"label": next(iter(evaluations.values())).right_answers}
    answers |= {name: evaluation.answers for name, evaluation in evaluations.items()}
    columns = [column for name, values in answers.items() for column in columns_of(name, values)]
    headings, values = zip(*columns, strict=True)
    rows = [headings, *zip(*values, strict=True)]
    text = "\n".join(",".join(map(str, row)) for row in rows) + "\n"
    path = folder.predictions / f"{part.replace(' ', '_')}.csv"
    write_text(path, text)
    return path
