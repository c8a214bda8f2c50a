"""Carries out a run: data, models, training, evaluation, export, and the record of it."""

import csv
import shutil
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras

from keras_prokt.app import App, Task, get_app
from keras_prokt.callbacks import StudentCheckpoint, TrainingDynamics
from keras_prokt.files import digest_of_file, read_json, replacing
from keras_prokt.results.evaluation import measure, saved_student
from keras_prokt.results.metrics import log_name
from keras_prokt.runs import training
from keras_prokt.runs.determinism import is_deterministic
from keras_prokt.runs.environment import describe_environment
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.plan import Plan, build, check_before_training
from keras_prokt.runs.progress import Progress
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import Stopped
from keras_prokt.runs.task import (
    all_batches,
    check_teacher_init,
    digests,
    prepare,
    prepare_again,
)
from keras_prokt.runs.teachers import teacher_cache
from keras_prokt.runs.training import Work


def run(
    spec: RunSpec,
    out: str | Path,
    *,
    overwrite: bool = False,
    export: bool = True,
    cache: str | Path | None = None,
    stop_after: float | None = None,
    measures_test: bool = True,
) -> dict[str, Any]:
    """Carries out a run and keeps everything in a new folder.

    Args:
        spec: The run.
        out: The run folder.
        overwrite: Whether a run folder of that name may be replaced.
        export: Whether to write the student as a SavedModel.
        cache: Where fixed teachers are kept; see `teacher_cache`.
        stop_after: Seconds after which the state is saved and the run left for `resume`.
        measures_test: Whether to measure the models on test data, which chooses nothing.

    Returns:
        The record, as in `run.json`; its status is "running" if the run was stopped.

    Raises:
        ValueError: On bad input; then nothing has been written.
    """
    deadline = None if stop_after is None else time.monotonic() + stop_after
    folder = RunFolder(out)
    folder.check_free(overwrite)
    check_backend(spec)
    app = get_app(spec.app)
    task = prepare(app, spec)
    plan = check_before_training(app, task, spec)
    record = {
        "status": "running",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "spec": spec.to_json(),
        "data": digests(spec, task),
        "teacher_init": None if spec.teacher_init is None else digest_of_file(spec.teacher_init),
        "class_names": task.class_names,
        "optimizers": {
            "teacher": asdict(app.recipe.teacher),
            "student": asdict(app.recipe.student_optimizer(spec.student)),
        },
        "export": export,
        "measures_test": measures_test,
        **describe_environment(),
    }
    work = Work(folder, teacher_cache(cache), deadline)
    # The student can be exported without the data and the preset that it was trained with.
    front_end = None if task.text is None else asdict(task.text)
    folder.create(record, front_end, overwrite=overwrite)
    if spec.teacher_epochs is not None:
        plan = None  # that one has teachers that are not trained
    return _carry_out(work, record, app, task, spec, plan)


def resume(
    out: str | Path, *, cache: str | Path | None = None, stop_after: float | None = None
) -> dict[str, Any]:
    """Continues a run that was stopped, at the step of its last checkpoint.

    Args:
        out: The run folder.
        cache: As in `run`.
        stop_after: As in `run`.

    Returns:
        The record, as in `run.json`; of a completed run, the record that is there.

    Raises:
        ValueError: If there is no run, or it was made with another backend, or with deterministic
            operations and this backend has not been held to them.
    """
    deadline = None if stop_after is None else time.monotonic() + stop_after
    folder = RunFolder.existing(out)
    record, spec = folder.read(), folder.spec()
    if record["status"] == "completed":
        return record
    check_backend(spec)
    app = get_app(spec.app)
    work = Work(folder, teacher_cache(cache), deadline)
    task = prepare_again(folder)
    check_teacher_init(record, spec)
    return _carry_out(work, record, app, task, spec, None)


def _carry_out(
    work: Work,
    record: dict[str, Any],
    app: App,
    task: Task,
    spec: RunSpec,
    plan: Plan | None,
) -> dict[str, Any]:
    started = time.monotonic()
    folder = work.folder
    try:
        plan = build(app, task, spec, work) if plan is None else plan
        best_epoch = _train(work, task, spec, plan)
    except Stopped:
        seconds = record.get("wall_seconds", 0) + time.monotonic() - started
        record = {**record, "wall_seconds": round(seconds, 2)}
        folder.write(record)
        return folder.read()
    results = {"best_epoch": best_epoch, "last_epoch": spec.epochs}
    results["models"] = measure(
        folder,
        task if record.get("measures_test", True) else replace(task, test=None),
        plan,
        best_is_last=best_epoch == spec.epochs,
    )
    if record["export"]:
        from keras_prokt.export import export_saved_model

        shutil.rmtree(folder.saved_model, ignore_errors=True)
        export_saved_model(
            saved_student(folder),
            folder.saved_model,
            text=task.text,
            class_names=task.class_names,
        )
    with folder.history.open(newline="") as file:
        training_seconds = sum(float(row["seconds"]) for row in csv.DictReader(file))
    record = {
        **record,
        "status": "completed",
        "training_seconds": round(training_seconds, 2),
        "wall_seconds": round(record.get("wall_seconds", 0) + time.monotonic() - started, 2),
        "examples": {name: b.num_examples for name, b in all_batches(task).items()},
        "lengths": task.train.lengths(),
        "results": results,
    }
    folder.write(record)
    return folder.read()


def _train(work: Work, task: Task, spec: RunSpec, plan: Plan) -> int:
    """Trains all stages from where they are; returns the best epoch on validation, from 1."""
    folder, backup, monitor = work.folder, work.backup(), f"val_{log_name(task.metrics[0])}"
    position = backup.position()
    if plan.first_stage is not None and position == (0, 0):
        callbacks = [TrainingDynamics(folder.path / "first_stage"), work.backup("first_stage")]
        callbacks.append(Progress("first stage"))
        training.fit(plan.first_stage, task, spec.first_stage_epochs, callbacks)
    checkpoint = StudentCheckpoint(
        folder.student,
        monitor=monitor,
        initial_value_threshold=_best_so_far(folder, monitor, position[0])["value"],
    )
    callbacks = [TrainingDynamics(folder.path), *plan.callbacks, backup, Progress(spec.method)]
    if not spec.full_train:
        callbacks.insert(0, checkpoint)
    training.fit(plan.distiller, task, spec.epochs, callbacks)
    if spec.full_train:
        # The paper's protocol: validation was trained on, so it chooses nothing.
        with replacing(folder.student) as temporary:
            plan.distiller.student.save(temporary)
        return spec.epochs
    return _best_so_far(folder, monitor, spec.epochs)["epoch"]


def _best_so_far(folder: RunFolder, monitor: str, before_epoch: int) -> dict[str, Any]:
    """Best value of a metric in the history of the epochs before a given one."""
    best: dict[str, Any] = {"value": None, "epoch": None}
    if not folder.history.is_file():
        return best
    with folder.history.open(newline="") as file:
        for row in csv.DictReader(file):
            value = float(row[monitor])
            if int(row["epoch"]) < before_epoch and (
                best["value"] is None or value > best["value"]
            ):
                best = {"value": value, "epoch": int(row["epoch"]) + 1}
    return best


def export_run(out: str | Path) -> Path:
    """Writes the student of a run as a SavedModel; returns its new version directory."""
    from keras_prokt.export import export_saved_model

    folder = RunFolder.existing(out)
    student = saved_student(folder)
    return export_saved_model(
        student,
        folder.saved_model,
        text=front_end_of(folder),
        class_names=folder.read()["class_names"],
    )


def front_end_of(folder: RunFolder) -> Any:
    """How raw strings become the student's inputs, a `TextFrontEnd`; `None` where nothing does."""
    from keras_prokt.export import TextFrontEnd

    if not folder.front_end.is_file():  # a run of an older version
        return prepare_again(folder).text
    settings = read_json(folder.front_end)
    return None if settings is None else TextFrontEnd(**settings)


def check_backend(spec: RunSpec) -> None:
    """Refuses to carry out a run on another backend, or without the operations it is held to."""
    if keras.backend.backend() != spec.backend:
        raise ValueError(
            f"Expected backend {spec.backend!r}, that of the run, received "
            f"{keras.backend.backend()!r}; set KERAS_BACKEND={spec.backend}, or resolve the spec "
            "with backend=."
        )
    if spec.deterministic and not is_deterministic(spec.backend):
        raise ValueError(
            f"Expected deterministic operations of {spec.backend}, received its usual ones; call "
            f"keras_prokt.runs.determinism.use_deterministic_operations({spec.backend!r}) "
            "before anything is computed, or use `keras-prokt run --deterministic`."
        )
