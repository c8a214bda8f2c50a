"""Carries out a run: data, models, training, evaluation, export, and the record of it."""

import contextlib
import csv
import functools
import hashlib
import json
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt import distillers, losses, models
from keras_prokt.app import App, Task, TaskRequest, get_app
from keras_prokt.callbacks import (
    ResumableBackup,
    StudentCheckpoint,
    TeacherRoute,
    TrainingDynamics,
)
from keras_prokt.callbacks.replacing import replacing
from keras_prokt.data.batches import Batches
from keras_prokt.data.cache import cache_folder, new_folder
from keras_prokt.distillers import Distiller, FrozenTeacherDistiller, StudentOnly
from keras_prokt.experiments.environment import describe_environment
from keras_prokt.experiments.metrics import get as get_metrics
from keras_prokt.experiments.metrics import log_name
from keras_prokt.experiments.progress import Progress
from keras_prokt.experiments.run_folder import RunFolder, write_text
from keras_prokt.experiments.spec import RunSpec, read_json
from keras_prokt.experiments.stopping import Stopped, TimedBackup
from keras_prokt.losses import Objective
from keras_prokt.methods import REGIMES, parse_method
from keras_prokt.models.loading import load_student
from keras_prokt.models.uniform_start import uniform_start


def run(
    spec: RunSpec,
    out: str | Path,
    *,
    overwrite: bool = False,
    export: bool = True,
    cache: str | Path | None = None,
    stop_after: float | None = None,
) -> dict[str, Any]:
    """Carries out a run and keeps everything in a new folder.

    Args:
        spec: The run.
        out: The run folder.
        overwrite: Whether a run folder of that name may be replaced.
        export: Whether to write the student as a SavedModel.
        cache: Where fixed teachers are kept; see `teacher_cache`.
        stop_after: Seconds after which the state is saved and the run left for `resume`.

    Returns:
        The record, as in `run.json`; its status is "running" if the run was stopped.

    Raises:
        ValueError: On bad input; then nothing has been written.
    """
    deadline = None if stop_after is None else time.monotonic() + stop_after
    folder = RunFolder(out)
    folder.check_free(overwrite)
    app = get_app(spec.app)
    task = prepare(app, spec)
    plan = check_before_training(app, task, spec)
    record = {
        "status": "running",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "spec": spec.to_json(),
        "data": _digests(spec, task),
        "class_names": task.class_names,
        "optimizers": {
            "teacher": asdict(app.recipe.teacher),
            "student": asdict(app.recipe.student_optimizer(spec.student)),
        },
        "export": export,
        **describe_environment(),
    }
    work = Work(folder, teacher_cache(cache), deadline)
    _create(folder, record, task)
    if spec.teacher_epochs is not None:
        plan = None  # that one has teachers that are not trained
    return _carry_out(work, record, app, task, spec, plan)


def _create(folder: RunFolder, record: dict[str, Any], task: Task) -> None:
    folder.create(record)
    # The student can be exported without the data and the preset that it was trained with.
    front_end = None if task.text is None else asdict(task.text)
    write_text(folder.front_end, json.dumps(front_end) + "\n")


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
        ValueError: If there is no run, or it was made with another backend.
    """
    deadline = None if stop_after is None else time.monotonic() + stop_after
    folder = RunFolder.existing(out)
    record, spec = folder.read(), folder.spec()
    if record["status"] == "completed":
        return record
    check_backend(spec)
    app = get_app(spec.app)
    work = Work(folder, teacher_cache(cache), deadline)
    return _carry_out(work, record, app, prepare_again(folder), spec, None)


@dataclass(frozen=True)
class Work:
    """Where a run works, and until when.

    Attributes:
        folder: The run folder.
        cache: Folder of trained teachers.
        deadline: Value of `time.monotonic()` at which to stop, or `None`.
    """

    folder: RunFolder
    cache: Path
    deadline: float | None = None

    def backup(self, name: str = "") -> TimedBackup:
        """The checkpoints of one training of the run."""
        return TimedBackup(self.folder.checkpoint / name, self.deadline)


def task_request(app: App, spec: RunSpec) -> TaskRequest:
    """What a run asks its app for."""
    return TaskRequest(
        teacher=spec.teacher or app.default_teacher,
        student=spec.student,
        batch_size=spec.batch_size,
        seed=spec.seed,
        limit=spec.limit,
        data_dir=spec.data_dir,
        full_train=spec.full_train,
        dataset=spec.dataset,
        text_columns=spec.text_columns,
        label_column=spec.label_column,
        validation=spec.validation,
        test=spec.test,
        max_length=spec.max_length,
    )


def prepare(app: App, spec: RunSpec) -> Task:
    """The data and models of a run."""
    task = app.prepare(task_request(app, spec))
    if len(task.train) % spec.steps_per_execution:
        divisors = [n for n in range(1, len(task.train) + 1) if len(task.train) % n == 0]
        raise ValueError(
            f"Expected --steps-per-execution that divides the {len(task.train)} steps of an epoch, "
            f"received {spec.steps_per_execution}; use one of {', '.join(map(str, divisors))}."
        )
    task.build_teacher = _computing_in(spec.precision, task.build_teacher)
    task.build_student = _computing_in(spec.precision, task.build_student)
    reads = {
        part
        for name in parse_method(spec.method).objectives
        for part in losses.objective_class(name).reads
    }
    if reads & {"embeddings", "attentions"}:
        _check_same_positions(task, spec)
    if "index" in reads:
        task.train = task.train.with_index()
    return task


def _check_same_positions(task: Task, spec: RunSpec) -> None:
    teacher, student = (inputs_of(task.train.inputs, role) for role in ("teacher", "student"))
    is_text = isinstance(teacher, Mapping) and "token_ids" in teacher
    if is_text and student.get("token_ids") is not teacher["token_ids"]:
        raise ValueError(
            f"Expected a student that reads the teacher's word pieces with method {spec.method!r}, "
            f"received {spec.student!r}; use bert-K, or a checkpoint with the same vocabulary."
        )


def prepare_again(folder: RunFolder) -> Task:
    """The data and models of a run that was started before.

    Raises:
        ValueError: If the user's own data has changed since.
    """
    record, spec = folder.read(), folder.spec()
    task = prepare(get_app(spec.app), spec)
    started_with = record.get("data", {})
    for name, digest in _digests(spec, task).items():
        if started_with.get(name, digest) != digest:
            raise ValueError(
                f"Expected the {name} with which the run was started, received "
                + (
                    f"another file at {getattr(spec, name)!r}; restore it, or start a new run."
                    if name in spec.table_files()
                    else "other data; restore it (--data-dir, TFDS_DATA_DIR), or start a new run."
                )
            )
    return task


def _digests(spec: RunSpec, task: Task) -> dict[str, str]:
    """SHA-256 of the user's own files, by the name of their field in the spec, and of the data."""
    digests = {}
    for name, path in spec.table_files().items():
        with open(path, "rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    parts = {f"{name} data": batches for name, batches in _all_batches(task).items()}
    return {**digests, **{name: batches.digest() for name, batches in parts.items()}}


@dataclass
class Plan:
    """Everything that a run trains, compiled.

    Attributes:
        distiller: What trains the student.
        first_stage: What is trained before it on the same student, or `None`.
        callbacks: Callbacks that the method needs.
        teachers: The models that taught, by the name under which they are reported.
    """

    distiller: Distiller
    first_stage: Distiller | None = None
    callbacks: list[keras.callbacks.Callback] = field(default_factory=list)
    teachers: dict[str, keras.Model] = field(default_factory=dict)


def build(app: App, task: Task, spec: RunSpec, work: Work, *, untrained: bool = False) -> Plan:
    """What a run trains; trains what has to be there before: fixed teachers and assistants.

    Args:
        app: The app.
        task: Its data and models.
        spec: The run.
        work: Where the run works.
        untrained: Whether to leave those teachers untrained, to look at the plan only.
    """
    method = parse_method(spec.method)
    regime = getattr(distillers, REGIMES[method.regime].distiller)
    if untrained:
        before = _untrained_before(app, task, spec)
    else:
        before = _trained_before(app, task, spec, work)
    teachers = dict(before.models)
    if regime.trains_teacher:
        teachers = {"teacher": _untrained_or_given_teacher(task, spec)}
    student = uniform_start(_seeded(task.build_student, spec.seed))
    keras.utils.set_random_seed(spec.seed)  # the adapters start the same after any teacher
    names = {**dict.fromkeys(method.objectives), **dict.fromkeys(method.matched)}
    objectives = {name: _objective(name, spec, task) for name in names}
    steps = spec.epochs * len(task.train)
    if not teachers:
        distiller: Distiller = regime(student)
    else:
        settings = {
            name: value
            for name in ("proximal_weight", "proximal_bound")
            if (value := getattr(spec, name)) is not None
        }
        distiller = regime(
            # The last one that was trained teaches: the assistant, where there is one.
            list(teachers.values())[-1],
            student,
            objectives=[objectives[name] for name in method.matched],
            label_weight=spec.label_weight,
            **settings,
        )
    _compile(distiller, app, task, spec, steps)
    first_stage = None
    first = [o for name in method.objectives if (o := objectives[name].first_stage()) is not None]
    if first:
        first_stage = FrozenTeacherDistiller(
            list(before.models.values())[-1], student, objectives=first, name="first_stage"
        )
        _compile(first_stage, app, task, spec, spec.first_stage_epochs * len(task.train))
    return Plan(distiller, first_stage, before.callbacks, teachers)


def check_before_training(app: App, task: Task, spec: RunSpec) -> Plan:
    """Refuses what would only be seen after a teacher has been trained for hours.

    Returns:
        The plan of the run; teachers that are trained before are not trained in it.
    """
    if spec.assistants is not None:
        assistant = spec.of_assistant()
        check_before_training(app, prepare(app, assistant), assistant)
    work = Work(RunFolder("unused"), Path("unused"))
    plan = build(app, task, spec, work, untrained=True)
    example = task.train.batch(task.train.batch_indices(0)[0][:1])
    plan.distiller.check_inputs(example[0])
    for model in (*plan.teachers.values(), plan.distiller.student):
        _check_can_be_saved(model)
    return plan


def _check_can_be_saved(model: keras.Model) -> None:
    try:
        model.to_json()
    except (NotImplementedError, TypeError) as error:
        raise ValueError(
            f"Expected a model that Keras can save, received {model.name!r} of class "
            f"{type(model).__name__}; build it from layers (functional), or give the class a "
            "get_config and register it."
        ) from error


@dataclass
class _Before:
    """What was trained before the distillation: the models, and what uses their checkpoints."""

    models: dict[str, keras.Model] = field(default_factory=dict)
    callbacks: list[keras.callbacks.Callback] = field(default_factory=list)


def _trained_before(app: App, task: Task, spec: RunSpec, work: Work) -> _Before:
    if spec.teacher_epochs is None:
        return _Before()
    if spec.anchors is not None:
        route = trained_route(app, task, spec, work)
        return _Before({"teacher": load_student(route[-1])}, [TeacherRoute(route)])
    models = {"teacher": trained_teacher(app, task, spec, work)}
    if spec.assistants is not None:
        models[f"assistant {spec.assistants[-1]}"] = trained_assistant(app, task, spec, work)
    return _Before(models)


def _untrained_before(app: App, task: Task, spec: RunSpec) -> _Before:
    """Models of the same architectures in place of those that would be trained."""
    if spec.teacher_epochs is None:
        return _Before()
    models = {"teacher": _untrained_or_given_teacher(task, spec)}
    if spec.assistants is not None:
        assistant = spec.assistants[-1]
        models[f"assistant {assistant}"] = prepare(app, spec.of_assistant()).build_student()
    return _Before(models)


def _objective(name: str, spec: RunSpec, task: Task) -> Objective:
    [objective] = losses.get(name)
    if name in (spec.weights or {}):
        objective.set_weight(spec.weights[name])
    if spec.temperature is not None and isinstance(objective, losses.SoftTargets):
        objective = losses.SoftTargets(spec.temperature, weight=spec.weights[name])
    objective.adapt(task.train.labels)
    return objective


def _compile(distiller: Distiller, app: App, task: Task, spec: RunSpec, steps: int) -> None:
    recipe = app.recipe
    student = recipe.student_optimizer(spec.student).build(steps, spec.student_learning_rate)
    optimizers = {"optimizer": student}
    if distiller.trains_teacher:
        optimizers["teacher_optimizer"] = recipe.teacher.build(steps, spec.teacher_learning_rate)
    distiller.compile(
        **optimizers,
        metrics=get_metrics(task.metrics),
        steps_per_execution=spec.steps_per_execution,
    )


def _untrained_or_given_teacher(task: Task, spec: RunSpec) -> keras.Model:
    if spec.teacher_init is not None:
        return load_student(spec.teacher_init)
    return uniform_start(_seeded(task.build_teacher, spec.seed))


def trained_teacher(app: App, task: Task, spec: RunSpec, work: Work) -> keras.Model:
    """The fixed teacher of a run: trained on the labels once, then read from the cache."""
    if spec.teacher_init is not None:
        return load_student(spec.teacher_init)
    key = _teacher_key(app, task, spec)
    path = _cached(work, spec, key) / "model.keras"
    if not _is_kept(path):
        _train_teacher(app, task, spec, work, path.parent, key, {spec.teacher_epochs: path.name})
    return load_student(path)


def trained_route(app: App, task: Task, spec: RunSpec, work: Work) -> list[Path]:
    """Files of the teacher at evenly spaced epochs of its training, from the cache if there."""
    count = spec.anchors
    key = {**_teacher_key(app, task, spec), "anchors": count}
    folder = _cached(work, spec, key)
    names = [f"anchor-{number}.keras" for number in range(1, count + 1)]
    if not _is_kept(*(folder / name for name in names)):
        epochs = [spec.teacher_epochs * number // count for number in range(1, count + 1)]
        files = dict(zip(epochs, names, strict=True))
        _train_teacher(app, task, spec, work, folder, key, files)
        # The last anchor is the teacher of the methods without anchors.
        del key["anchors"]
        with _new_folder(_cached(work, spec, key), key) as writing:
            shutil.copy(folder / names[-1], writing / "model.keras")
    return [folder / name for name in names]


def trained_assistant(app: App, task: Task, spec: RunSpec, work: Work) -> keras.Model:
    """The student's teacher under teacher assistants, itself distilled; cached by its spec."""
    assistant = spec.of_assistant()
    own_task = prepare(app, assistant)
    recipe = app.recipe.student_optimizer(assistant.student)
    key = {
        "spec": assistant.to_json(),
        "optimizer": asdict(recipe),
        "teacher": _teacher_key(app, task, spec),
        "data": own_task.train.digest("student"),
        "weights": _digest_of_weights(_seeded(own_task.build_student, spec.seed)),
    }
    folder = _cached(work, assistant, key)
    if not _is_kept(folder / "model.keras"):
        plan = build(app, own_task, assistant, work)
        name = f"assistant-{assistant.student}"
        callbacks = [work.backup(name), Progress(f"assistant {assistant.student}")]
        _fit(plan.distiller, own_task, assistant.epochs, callbacks)
        with _new_folder(folder, key) as writing:
            plan.distiller.student.save(writing / "model.keras")
    return load_student(folder / "model.keras")


def _train_teacher(
    app: App,
    task: Task,
    spec: RunSpec,
    work: Work,
    folder: Path,
    key: dict[str, Any],
    files: dict[int, str],
) -> None:
    """Trains a teacher on the labels and keeps it as it was after certain epochs."""
    teacher = uniform_start(_seeded(task.build_teacher, spec.seed))
    trainer = StudentOnly(teacher, student_inputs=teacher_part)
    steps = spec.teacher_epochs * len(task.train)
    trainer.compile(
        optimizer=app.recipe.teacher.build(steps, spec.teacher_learning_rate),
        steps_per_execution=spec.steps_per_execution,
    )
    # In the run folder until the last epoch is done: training may be stopped and resumed.
    anchors = work.folder.checkpoint / "anchors"
    anchors.mkdir(parents=True, exist_ok=True)
    save = _SaveAfter({epoch: anchors / name for epoch, name in files.items()})
    _fit(trainer, task, spec.teacher_epochs, [save, work.backup("teacher"), Progress("teacher")])
    with _new_folder(folder, key) as writing:
        for name in files.values():
            shutil.copy(anchors / name, writing / name)


class _SaveAfter(keras.callbacks.Callback):
    """Saves the trained model after certain epochs, counted from 1."""

    def __init__(self, files: Mapping[int, Path]):
        super().__init__()
        self._files = files

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch + 1 in self._files:
            with replacing(self._files[epoch + 1]) as temporary:
                self.model.student.save(temporary)


def _teacher_key(app: App, task: Task, spec: RunSpec) -> dict[str, Any]:
    """What a trained teacher follows from: settings, data, and its weights at the start."""
    if spec.teacher_init is not None:
        weights = hashlib.sha256(Path(spec.teacher_init).read_bytes()).hexdigest()
    else:
        weights = _digest_of_weights(_seeded(task.build_teacher, spec.seed))
    return {
        "spec": spec.of_teacher().to_json(),
        "optimizer": asdict(app.recipe.teacher),
        "data": task.train.digest("teacher"),
        "weights": weights,
    }


def _digest_of_weights(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(f"{weight.name} {weight.shape}".encode())
        digest.update(np.ascontiguousarray(ops.convert_to_numpy(weight)))
    return digest.hexdigest()


def _is_kept(*files: Path) -> bool:
    """Whether the files of one folder of the cache are there and whole; a damaged folder goes."""
    folder = files[0].parent
    if not folder.is_dir():
        return False
    if all(zipfile.is_zipfile(file) for file in files):
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _cached(work: Work, spec: RunSpec, key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return work.cache / f"{spec.app}-{digest}"


@contextlib.contextmanager
def _new_folder(folder: Path, key: dict[str, Any]) -> Iterator[Path]:
    """A new folder of the cache, with what it was found by."""
    with new_folder(folder) as writing:
        write_text(writing / "key.json", json.dumps(key, indent=2) + "\n")
        yield writing


def teacher_cache(cache: str | Path | None = None) -> Path:
    """Folder of trained teachers: as given, or `$KERAS_PROKT_CACHE`, or `~/.cache/keras_prokt`."""
    return cache_folder(cache) / "teachers"


def evaluate(
    model: keras.Model, batches: Batches, role: str, metrics: tuple[str, ...] = ("accuracy",)
) -> dict[str, float]:
    """Metrics and loss of one model.

    Args:
        model: A model that outputs logits.
        batches: The data.
        role: "teacher" or "student": which part of the inputs the model reads.
        metrics: "accuracy" and names of `keras_prokt.experiments.metrics.METRICS`.

    Returns:
        The metrics by name, `loss` (cross entropy on the labels) and `seconds` of the pass.
    """
    wrapper = StudentOnly(model, student_inputs=functools.partial(inputs_of, role=role))
    wrapper.compile(metrics=get_metrics(metrics))
    data = batches.for_evaluation()
    # Compiles, so that the time is that of the pass: on TensorFlow once for all shapes.
    first = 1 if keras.backend.backend() == "tensorflow" else None
    wrapper.evaluate(data, steps=first, verbose=0)
    started = time.perf_counter()
    logs = wrapper.evaluate(data, verbose=0, return_dict=True)
    seconds = time.perf_counter() - started
    measured = {name: logs[log_name(name)] for name in metrics}
    return {**measured, "loss": logs["loss"], "seconds": seconds}


def evaluate_run(out: str | Path) -> dict[str, Any]:
    """Evaluates the saved student of a run on all held-out data."""
    folder = RunFolder.existing(out)
    student = saved_student(folder)
    task = prepare_again(folder)
    return {
        name: evaluate(student, batches, "student", task.metrics)
        for name, batches in _held_out(task).items()
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
    # A builder's module may register layers of its own.
    name = folder.spec().student
    if ":" in name and "://" not in name and not Path(name).exists():
        models.get(name)
    return load_student(folder.student)


def export_run(out: str | Path) -> Path:
    """Writes the student of a run as a SavedModel; returns its new version directory."""
    from keras_prokt.export import export_saved_model

    folder = RunFolder.existing(out)
    student = saved_student(folder)
    return export_saved_model(
        student,
        folder.saved_model,
        text=_front_end(folder),
        class_names=folder.read()["class_names"],
    )


def _front_end(folder: RunFolder) -> Any:
    """How raw strings become the student's inputs; kept when the run was started."""
    from keras_prokt.export import TextFrontEnd

    if not folder.front_end.is_file():  # a run of an older version
        return prepare_again(folder).text
    settings = read_json(folder.front_end)
    return None if settings is None else TextFrontEnd(**settings)


def check_backend(spec: RunSpec) -> None:
    """Refuses to continue a run on another backend: its random numbers would differ."""
    if keras.backend.backend() != spec.backend:
        raise ValueError(
            f"Expected backend {spec.backend!r}, with which the run was started, received "
            f"{keras.backend.backend()!r}; set KERAS_BACKEND={spec.backend}."
        )


def teacher_part(x: Any) -> Any:
    """The part of a batch that the teacher reads."""
    return inputs_of(x, "teacher")


def inputs_of(x: Any, role: str) -> Any:
    """The part of a batch that one of the two models reads."""
    names_parts = isinstance(x, Mapping) and set(x) - {"index"} == {"teacher", "student"}
    return x[role] if names_parts else x


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
        folder.write({key: value for key, value in record.items() if key != "format"})
        return folder.read()
    results = {"best_epoch": best_epoch, "last_epoch": spec.epochs}
    results["models"] = _measure(folder, task, plan, best_is_last=best_epoch == spec.epochs)
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
        "examples": {name: b.num_examples for name, b in _all_batches(task).items()},
        "lengths": task.train.lengths(),
        "results": results,
    }
    folder.write({key: value for key, value in record.items() if key != "format"})
    return folder.read()


def _train(work: Work, task: Task, spec: RunSpec, plan: Plan) -> int:
    """Trains all stages from where they are; returns the best epoch on validation, from 1."""
    folder, backup, monitor = work.folder, work.backup(), f"val_{log_name(task.metrics[0])}"
    position = backup.position()
    if plan.first_stage is not None and position == (0, 0):
        callbacks = [TrainingDynamics(folder.path / "first_stage"), work.backup("first_stage")]
        callbacks.append(Progress("first stage"))
        _fit(plan.first_stage, task, spec.first_stage_epochs, callbacks)
    checkpoint = StudentCheckpoint(
        folder.student,
        monitor=monitor,
        initial_value_threshold=_best_so_far(folder, monitor, position[0])["value"],
    )
    callbacks = [TrainingDynamics(folder.path), *plan.callbacks, backup, Progress(spec.method)]
    if not spec.full_train:
        callbacks.insert(0, checkpoint)
    _fit(plan.distiller, task, spec.epochs, callbacks)
    if spec.full_train:
        # The paper's protocol: validation was trained on, so it chooses nothing.
        with replacing(folder.student) as temporary:
            plan.distiller.student.save(temporary)
        return spec.epochs
    return _best_so_far(folder, monitor, spec.epochs)["epoch"]


def _fit(
    distiller: Distiller, task: Task, epochs: int, callbacks: list[keras.callbacks.Callback]
) -> None:
    """Trains from the checkpoint of the `ResumableBackup` among the callbacks, if it has one."""
    [backup] = [c for c in callbacks if isinstance(c, ResumableBackup)]
    first_epoch, _ = backup.position()
    distiller.fit(
        task.train.for_training(first_epoch),
        steps_per_epoch=len(task.train),
        epochs=epochs,
        validation_data=task.validation.for_evaluation(),
        callbacks=callbacks,
        verbose=0,
    )


def _measure(folder: RunFolder, task: Task, plan: Plan, *, best_is_last: bool) -> dict[str, Any]:
    """All models on all held-out data, and their size."""
    best = _measure_model(saved_student(folder), task, "student")
    last = best if best_is_last else _measure_model(plan.distiller.student, task, "student")
    measured = {"student": best, "student (last epoch)": last}
    for name, model in plan.teachers.items():
        measured[name] = _measure_model(model, task, "teacher")
    return measured


def _measure_model(model: keras.Model, task: Task, role: str) -> dict[str, Any]:
    weights = model.weights
    return {
        "parameters": model.count_params(),
        "bytes": int(sum(np.prod(w.shape) * np.dtype(w.dtype).itemsize for w in weights)),
        **{
            name: evaluate(model, data, role, task.metrics)
            for name, data in _held_out(task).items()
        },
    }


def _held_out(task: Task) -> dict[str, Batches]:
    return {k: v for k, v in _all_batches(task).items() if k != "train"}


def _all_batches(task: Task) -> dict[str, Batches]:
    parts = {"train": task.train, "validation": task.validation, **task.more_validation}
    parts["test"] = task.test
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


def _computing_in(precision: str, build_model: Callable[[], keras.Model]) -> Any:
    """The same function, with layers that compute in a precision and keep float32 weights."""
    if precision == "float32":
        return build_model

    def build() -> keras.Model:
        usual = keras.config.dtype_policy()
        keras.config.set_dtype_policy(f"mixed_{precision}")
        try:
            return build_model()
        finally:
            keras.config.set_dtype_policy(usual)

    return build


def _seeded(build_model: Any, seed: int) -> keras.Model:
    # Each model by itself, so that a student starts the same under every method.
    keras.utils.set_random_seed(seed)
    return build_model()
