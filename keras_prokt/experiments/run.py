"""Carries out a run: data, models, training, evaluation, export, and the record of it."""

import csv
import functools
import hashlib
import inspect
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_prokt import distillers
from keras_prokt.app import App, Task, TaskRequest, get_app
from keras_prokt.callbacks import ResumableBackup, StudentCheckpoint, TrainingDynamics
from keras_prokt.data.batches import Batches
from keras_prokt.distillers import Distiller, StudentOnly
from keras_prokt.experiments.environment import describe_environment
from keras_prokt.experiments.progress import Progress
from keras_prokt.experiments.run_folder import RunFolder, write_text
from keras_prokt.experiments.spec import METHODS, RunSpec
from keras_prokt.models.loading import load_student
from keras_prokt.models.uniform_start import uniform_start


def run(
    spec: RunSpec,
    out: str | Path,
    *,
    overwrite: bool = False,
    export: bool = True,
    cache: str | Path | None = None,
) -> dict[str, Any]:
    """Carries out a run and keeps everything in a new folder.

    Args:
        spec: The run.
        out: The run folder.
        overwrite: Whether a run folder of that name may be replaced.
        export: Whether to write the student as a SavedModel.
        cache: Where fixed teachers are kept; see `teacher_cache`.

    Returns:
        The record, as in `run.json`.

    Raises:
        ValueError: On bad input; then nothing has been written.
    """
    folder = RunFolder(out)
    folder.check_free(overwrite)
    app = get_app(spec.app)
    task = prepare(app, spec)
    distiller = build(app, task, spec, teacher_cache(cache))
    record = {
        "status": "running",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "spec": spec.to_json(),
        "optimizers": {
            "teacher": asdict(app.recipe.teacher),
            "student": asdict(app.recipe.student_optimizer(spec.student)),
        },
        "export": export,
        **describe_environment(),
    }
    folder.create(record)
    return _carry_out(folder, record, app, task, spec, distiller)


def resume(out: str | Path, *, cache: str | Path | None = None) -> dict[str, Any]:
    """Continues a run that was stopped, at the step of its last checkpoint.

    Args:
        out: The run folder.
        cache: As in `run`.

    Returns:
        The record, as in `run.json`; of a completed run, the record that is there.

    Raises:
        ValueError: If there is no run, or it was made with another backend.
    """
    folder = RunFolder.existing(out)
    record, spec = folder.read(), folder.spec()
    if record["status"] == "completed":
        return record
    check_backend(spec)
    app = get_app(spec.app)
    task = prepare(app, spec)
    distiller = build(app, task, spec, teacher_cache(cache))
    return _carry_out(folder, record, app, task, spec, distiller)


def prepare(app: App, spec: RunSpec) -> Task:
    """The data and models of a run."""
    return app.prepare(
        TaskRequest(
            teacher=spec.teacher or app.default_teacher,
            student=spec.student,
            batch_size=spec.batch_size,
            seed=spec.seed,
            limit=spec.limit,
            data_dir=spec.data_dir,
        )
    )


def build(app: App, task: Task, spec: RunSpec, cache: Path) -> Distiller:
    """The compiled distiller of a run; trains the fixed teacher first where one is needed."""
    regime = getattr(distillers, METHODS[spec.method].regime)
    accepted = inspect.signature(regime).parameters
    models: dict[str, keras.Model] = {}
    if "teacher" in accepted and regime.trains_teacher:
        models["teacher"] = _seeded(task.build_teacher, spec.seed)
        uniform_start(models["teacher"])
    elif "teacher" in accepted:
        models["teacher"] = trained_teacher(app, task, spec, cache)
    models["student"] = uniform_start(_seeded(task.build_student, spec.seed))
    settings = {
        name: value
        for name in ("proximal_weight", "proximal_bound", "temperature")
        if (value := getattr(spec, name)) is not None
    }
    distiller = regime(**models, **settings)
    steps = spec.epochs * len(task.train)
    recipe = app.recipe
    optimizers = {
        "optimizer": recipe.student_optimizer(spec.student).build(steps, spec.student_learning_rate)
    }
    if regime.trains_teacher:
        optimizers["teacher_optimizer"] = recipe.teacher.build(steps, spec.teacher_learning_rate)
    distiller.compile(**optimizers)
    return distiller


def trained_teacher(app: App, task: Task, spec: RunSpec, cache: Path) -> keras.Model:
    """The fixed teacher of a run: trained on the labels once, then read from the cache."""
    teacher_spec = spec.of_teacher()
    key = {"spec": teacher_spec.to_json(), "optimizer": asdict(app.recipe.teacher)}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache / f"{spec.app}-{digest}.keras"
    if path.is_file():
        return load_student(path)
    teacher = _seeded(task.build_teacher, spec.seed)
    trainer = StudentOnly(
        uniform_start(teacher), student_inputs=functools.partial(inputs_of, role="teacher")
    )
    steps = teacher_spec.epochs * len(task.train)
    trainer.compile(optimizer=app.recipe.teacher.build(steps, spec.teacher_learning_rate))
    _fit(trainer, task, teacher_spec.epochs, [Progress("teacher")])
    cache.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    teacher.save(temporary)
    os.replace(temporary, path)
    write_text(path.with_suffix(".json"), json.dumps(key, indent=2) + "\n")
    return teacher


def teacher_cache(cache: str | Path | None = None) -> Path:
    """Folder of trained teachers: as given, or `$KERAS_PROKT_CACHE`, or `~/.cache/keras_prokt`."""
    if cache is None:
        cache = os.environ.get("KERAS_PROKT_CACHE", "~/.cache/keras_prokt")
    return Path(cache).expanduser() / "teachers"


def evaluate(model: keras.Model, batches: Batches, role: str) -> dict[str, float]:
    """Accuracy and loss of one model.

    Args:
        model: A model that outputs logits.
        batches: The data.
        role: "teacher" or "student": which part of the inputs the model reads.

    Returns:
        `accuracy`, `loss` (cross entropy on the labels) and `seconds` of the pass.
    """
    wrapper = StudentOnly(model, student_inputs=functools.partial(inputs_of, role=role))
    wrapper.compile()
    data = batches.for_evaluation()
    wrapper.evaluate(data, verbose=0)  # compiles; the second pass is the measured one
    started = time.perf_counter()
    logs = wrapper.evaluate(data, verbose=0, return_dict=True)
    seconds = time.perf_counter() - started
    return {"accuracy": logs["student_accuracy"], "loss": logs["loss"], "seconds": seconds}


def evaluate_run(out: str | Path) -> dict[str, Any]:
    """Evaluates the saved student of a run on validation and test data."""
    folder = RunFolder.existing(out)
    spec = folder.spec()
    student = saved_student(folder)
    task = prepare(get_app(spec.app), spec)
    return {
        name: evaluate(student, batches, "student") for name, batches in _held_out(task).items()
    }


def saved_student(folder: RunFolder) -> keras.Model:
    """The saved student of a run.

    Raises:
        ValueError: If the run has not saved one yet.
    """
    if not folder.student.is_file():
        raise ValueError(
            f"Expected a saved student at {str(folder.student)!r}, received none; finish the run "
            f"with `keras-prokt resume {folder.path}`."
        )
    return load_student(folder.student)


def export_run(out: str | Path) -> Path:
    """Writes the student of a run as a SavedModel; returns its new version directory."""
    from keras_prokt.export import export_saved_model

    folder = RunFolder.existing(out)
    spec = folder.spec()
    student = saved_student(folder)
    text = prepare(get_app(spec.app), spec).text
    return export_saved_model(student, folder.saved_model, text=text)


def check_backend(spec: RunSpec) -> None:
    """Refuses to continue a run on another backend: its random numbers would differ."""
    if keras.backend.backend() != spec.backend:
        raise ValueError(
            f"Expected backend {spec.backend!r}, with which the run was started, received "
            f"{keras.backend.backend()!r}; set KERAS_BACKEND={spec.backend}."
        )


def inputs_of(x: Any, role: str) -> Any:
    """The part of a batch that one of the two models reads."""
    return x[role] if isinstance(x, Mapping) and set(x) == {"teacher", "student"} else x


def _carry_out(
    folder: RunFolder,
    record: dict[str, Any],
    app: App,
    task: Task,
    spec: RunSpec,
    distiller: Distiller,
) -> dict[str, Any]:
    started = time.monotonic()
    backup = ResumableBackup(folder.checkpoint)
    first_epoch, _ = backup.position()
    monitor = f"val_{app.metric}"
    best = _best_so_far(folder, monitor, first_epoch)
    checkpoint = StudentCheckpoint(
        folder.student, monitor=monitor, initial_value_threshold=best["value"]
    )
    callbacks = [checkpoint, TrainingDynamics(folder.path), backup, Progress(spec.method)]
    _fit(distiller, task, spec.epochs, callbacks, first_epoch)
    best = _best_so_far(folder, monitor, spec.epochs)

    results = {"best_epoch": best["epoch"], "last_epoch": spec.epochs}
    results["models"] = _measure(folder, task, distiller)
    if record["export"]:
        from keras_prokt.export import export_saved_model

        shutil.rmtree(folder.saved_model, ignore_errors=True)
        export_saved_model(saved_student(folder), folder.saved_model, text=task.text)
    with folder.history.open(newline="") as file:
        training_seconds = sum(float(row["seconds"]) for row in csv.DictReader(file))
    record = {
        **record,
        "status": "completed",
        "training_seconds": round(training_seconds, 2),
        "wall_seconds": round(record.get("wall_seconds", 0) + time.monotonic() - started, 2),
        "examples": {name: b.num_examples for name, b in _all_batches(task).items()},
        "results": results,
    }
    folder.write({key: value for key, value in record.items() if key != "format"})
    return folder.read()


def _fit(
    distiller: Distiller,
    task: Task,
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
    first_epoch: int = 0,
) -> None:
    distiller.fit(
        task.train.for_training(first_epoch),
        steps_per_epoch=len(task.train),
        epochs=epochs,
        validation_data=task.validation.for_evaluation(),
        callbacks=callbacks,
        verbose=0,
    )


def _measure(folder: RunFolder, task: Task, distiller: Distiller) -> dict[str, Any]:
    """Both models on validation and test data, and their size."""
    measured = {"student": _measure_model(saved_student(folder), task, "student")}
    measured["student (last epoch)"] = _measure_model(distiller.student, task, "student")
    if distiller.teacher is not None:
        measured["teacher"] = _measure_model(distiller.teacher, task, "teacher")
    return measured


def _measure_model(model: keras.Model, task: Task, role: str) -> dict[str, Any]:
    weights = model.weights
    return {
        "parameters": model.count_params(),
        "bytes": int(sum(np.prod(w.shape) * np.dtype(w.dtype).itemsize for w in weights)),
        **{name: evaluate(model, data, role) for name, data in _held_out(task).items()},
    }


def _held_out(task: Task) -> dict[str, Batches]:
    return {k: v for k, v in _all_batches(task).items() if k != "train"}


def _all_batches(task: Task) -> dict[str, Batches]:
    parts = {"train": task.train, "validation": task.validation, "test": task.test}
    return {name: batches for name, batches in parts.items() if batches is not None}


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


def _seeded(build_model: Any, seed: int) -> keras.Model:
    # Each model by itself, so that a student starts the same under every method.
    keras.utils.set_random_seed(seed)
    return build_model()
