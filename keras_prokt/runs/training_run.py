"""Carries out a run: data, models, training, evaluation, export, and the record of it."""

import contextlib
import shutil
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras

from keras_prokt.app_file import app_title
from keras_prokt.arguments import check_flags, check_type, checked_number, checked_path
from keras_prokt.callbacks import StudentCheckpoint, TrainingDynamics
from keras_prokt.callbacks.best_model_checkpoint import BestModelCheckpoint, read_best
from keras_prokt.callbacks.training_dynamics import read_history
from keras_prokt.distillers.faults import TrainingFault
from keras_prokt.export import DEFAULT, Description, get
from keras_prokt.export.described import describe_file
from keras_prokt.files import file_errors_as_python_has_them, remove_unfinished, replacing
from keras_prokt.front_ends import FrontEnd
from keras_prokt.models.loading import load_student
from keras_prokt.named_code import check_all_named, know_code
from keras_prokt.names import OneLineWarning
from keras_prokt.results.evaluation import chance, evaluate
from keras_prokt.results.metrics import log_name
from keras_prokt.results.metrics import mode as mode_of
from keras_prokt.runs.continuation import (
    check_backend,
    check_can_go_on,
    warn_of_changes,
    with_versions,
)
from keras_prokt.runs.cost import cost_of
from keras_prokt.runs.environment import describe_environment
from keras_prokt.runs.finished_run import write_export
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.known_settings import title_of
from keras_prokt.runs.measuring import Epochs, measure_models
from keras_prokt.runs.patience import Patience, best_epoch, epochs_done
from keras_prokt.runs.plan import Plan, plan_of, schedules_of
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import Stop, Stopped
from keras_prokt.runs.task import (
    all_batches,
    check_same_app,
    check_same_task,
    digests,
)
from keras_prokt.runs.threads import threads_in_use
from keras_prokt.runs.training import Run


class FilesMoved(OneLineWarning):
    """Files of the user's own were in a run folder that was replaced, and lie beside it now."""


def run(
    spec: RunSpec,
    out: str | Path,
    *,
    overwrite: bool = False,
    export: bool = True,
    save_teacher: bool = False,
    cache: str | Path | None = None,
    stop_after: float | None = None,
    measures_test: bool = True,
    keeps_checkpoint: bool = True,
    stop: Stop | None = None,
) -> dict[str, Any]:
    """Carries out a run and keeps everything in a new folder.

    Args:
        spec: The run.
        out: The run folder.
        overwrite: Whether a run folder of that name may be replaced. The old run is moved aside
            and deleted when the new one is completed; if that one fails, the old one is put back.
        export: Whether to write the student, and the teacher if it is kept, as a SavedModel; left
            out where TensorFlow is not installed, for `export_run` where it is.
        save_teacher: Whether to keep the teacher as `teacher.keras`: one that trains along after
            its best epoch on validation, of equal ones the first; a fixed one as it teaches.
        cache: Where fixed teachers are kept; `None`: `$KERAS_PROKT_CACHE` or
            `~/.cache/keras_prokt`.
        stop_after: Seconds after which the state is saved and the run left for `resume`.
        measures_test: Whether to measure the models on test data, which chooses nothing.
        keeps_checkpoint: Whether the last state of training stays when the run is completed.
        stop: When to stop, instead of `stop_after`.

    Returns:
        The record, as in `run.json`; its status is "running" if the run was stopped, and "failed"
        if training went wrong.

    Raises:
        ValueError: On bad input; then nothing has been written.
        TrainingFault: If training goes wrong; the record says so too.
        InUse: If another process works on the folder.

    Example:

    ```python
    from keras_prokt.runs import RunSpec, run

    record = run(RunSpec.resolve("digits", "prokt", epochs=150), "runs/digits")
    ```
    """
    check_type("spec", spec, RunSpec, "a RunSpec, such as RunSpec.resolve('digits', 'prokt')")
    check_flags(
        overwrite=overwrite,
        export=export,
        save_teacher=save_teacher,
        measures_test=measures_test,
        keeps_checkpoint=keeps_checkpoint,
    )
    if cache is not None:
        checked_path("cache", cache)
    stop = _checked_stop(stop, stop_after)
    folder = RunFolder(_without_detours(checked_path("out", out)))
    folder.check_free(overwrite)
    if save_teacher:
        spec.check_has_teacher()
    check_backend(spec)
    this = Run(spec, folder, cache=cache, stop=stop)
    task = this.task
    plan = plan_of(this)
    record = {
        "status": "running",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "spec": spec.to_json(),
        "data": digests(spec, task),
        "output": task.output,
        "class_names": task.class_names,
        "export": export,
        "save_teacher": save_teacher,
        "measures_test": measures_test,
        "keeps_checkpoint": keeps_checkpoint,
        "threads": threads_in_use(),
        **describe_environment(),
    }
    know_code(spec.to_json())
    with folder.created(record, _as_json(task.front_end), overwrite=overwrite) as record:
        try:
            return _carry_out(this, record, plan)
        except Stopped:
            raise
        except (Exception, SystemExit) as error:
            if record.get("replaces") is not None:
                _put_back(folder, record, error)
            raise


def _without_detours(path: Path) -> Path:
    """A path that does not lead through the folder itself, such as `run/../run`, which is moved."""
    return path.parent.resolve() / path.name if ".." in path.parts[:-1] else path


def _checked_stop(stop: Any, stop_after: Any) -> Stop:
    """When to stop, of the arguments of `run` and `resume`."""
    if stop is not None:
        check_type("stop", stop, Stop, "a keras_prokt.runs.stopping.Stop")
        return stop
    return Stop(None if stop_after is None else checked_number("stop_after", stop_after))


def _as_json(front_end: FrontEnd | None) -> dict[str, Any] | None:
    """How raw input is read: a model can be exported without the data and preset of its run."""
    return None if front_end is None else front_end.to_json()


def _put_back(folder: RunFolder, record: dict[str, Any], error: BaseException) -> None:
    """Puts the replaced run back after the new one has failed, and says where that one is."""
    with contextlib.suppress(ValueError):
        record = folder.read()
    aside = folder.restore_replaced(record)
    where = "" if aside is None else f", the failed one is in {str(aside)!r}"
    error.add_note(f"The run that was to be replaced is in {str(folder.path)!r} again{where}.")


def resume(
    out: str | Path,
    *,
    cache: str | Path | None = None,
    stop_after: float | None = None,
    stop: Stop | None = None,
) -> dict[str, Any]:
    """Continues a run that was stopped, at the step of its last checkpoint.

    Args:
        out: The run folder.
        cache: As in `run`.
        stop_after: As in `run`.
        stop: As in `run`.

    Returns:
        The record, as in `run.json`; of a completed run, the record that is there.

    Raises:
        ValueError: If there is no run, it was changed, or it was made with another backend, other
            data, by an older version, or with deterministic operations and this backend has not
            been held to them.
        InUse: If another process works on it.

    Example:

    ```python
    from keras_prokt.runs import resume

    record = resume("runs/digits", stop_after=3600)
    ```
    """
    if cache is not None:
        checked_path("cache", cache)
    stop = _checked_stop(stop, stop_after)
    folder = RunFolder.existing(checked_path("out", out))
    record, spec = folder.read(), folder.spec()
    if record["status"] == "completed":
        folder.tidy(record)
        return record
    check_can_go_on(record)
    check_backend(spec)
    check_all_named(spec.to_json())
    warn_of_changes(record)
    with folder.locked():
        record = folder.read()
        if record["status"] == "completed":  # by another process, meanwhile
            return record
        this = Run(spec, folder, cache=cache, stop=stop)
        check_same_app(spec, record["data"])
        check_same_task(spec, this.task, record)
        folder.write_front_end(_as_json(this.task.front_end))
        record = {k: v for k, v in record.items() if k != "failure"} | {"status": "running"}
        try:
            return _carry_out(this, record, plan_of(this))
        except ValueError as error:
            raise with_versions(error, record["package"]) from error


def _carry_out(run: Run, record: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """Trains from where the run is, measures and exports; the folder's lock is held."""
    folder, started = run.folder, time.monotonic()

    def with_time(record: dict[str, Any]) -> dict[str, Any]:
        seconds = record.get("wall_seconds", 0) + time.monotonic() - started
        return {**record, "wall_seconds": round(seconds, 2)}

    measures_test = record.get("measures_test", True)
    try:
        with file_errors_as_python_has_them():
            epochs = _train(run, plan)
            roles = ["student"]
            if record.get("save_teacher", False):
                roles.append("teacher")
                _save_teacher(run, plan)
            for role in roles:
                describe_file(folder.model_of(role), _description(run, role))
            results = measure_models(run, plan, epochs, measures_test=measures_test)
            if record["export"] and not get(DEFAULT).missing():
                for role in roles:
                    _export(run, role)
    except Stopped as stopped:
        record = with_time(record)
        folder.write(record)
        if stopped.signal is not None:
            raise
        return folder.read()
    except TrainingFault as fault:
        folder.write({**with_time(record), "status": "failed", "failure": str(fault)})
        raise
    except OSError as error:
        if record.get("replaces") is None:  # which is put back in the place of this run
            error.add_note(f"Go on then with `{folder.resume_hint()}`.")
        raise
    training_seconds = sum(float(row["seconds"]) for row in read_history(folder.history))
    remove_unfinished(folder.path)
    record = {
        **with_time(record),
        "status": "completed",
        "training_seconds": round(training_seconds, 2),
        "examples": {name: b.num_examples for name, b in all_batches(run.task).items()},
        "labelled": run.num_labelled,
        "lengths": run.task.train.lengths(),
        "texts": {role: dict(shares) for role, shares in run.task.text_shares.items()},
        "cost": cost_of(plan, epochs.last),
        "results": results,
        "files": folder.digests(),
    }
    folder.write(record)
    # Not before: without it and half of it gone, a killed run could not go on.
    if not record.get("keeps_checkpoint", True):
        shutil.rmtree(folder.checkpoint, ignore_errors=True)
    if kept := folder.delete_replaced(record):
        warnings.warn(
            f"The run folder that was replaced held files that no run wrote; "
            f"they are in {' and '.join(repr(str(path)) for path in kept)} now.",
            FilesMoved,
            stacklevel=2,
        )
    return folder.read()


def _train(run: Run, plan: Plan) -> Epochs:
    """Trains all stages from where they are."""
    folder, spec = run.folder, run.spec
    metric = run.task.metrics[0]
    monitor, mode = f"val_{log_name(metric)}", mode_of(metric, run.output)
    callbacks = plan.train_before()
    has_begun = any(folder.checkpoint.glob("epoch-*"))
    if plan.head_start is not None and not has_begun:
        epochs = spec.teacher_head_start
        run.fit(plan.head_start, epochs, "head start", name="head_start", data=run.labelled)
    if plan.first_stage is not None and not has_begun:
        stage = folder.path / "first_stage"
        run.fit(
            plan.first_stage,
            spec.first_stage_epochs,
            "first stage",
            callbacks=[TrainingDynamics(stage)],
            name="first_stage",
            files=[stage / folder.history.name],
        )
    dynamics = TrainingDynamics(
        folder.path,
        title=_title(spec),
        chance=_chance(run, plan.distiller.output_width),
        marks_best=not spec.full_train,
        monitor=monitor,
        mode=mode,
    )
    callbacks = [dynamics, *callbacks, *schedules_of(spec)]
    files = [folder.history]
    if not spec.full_train:
        files.append(folder.student)
        if plan.distiller.trains_teacher:
            best_teacher = _best_teacher(run)
            files.append(best_teacher.pointer)
            callbacks.insert(0, best_teacher)
        callbacks.insert(0, StudentCheckpoint(folder.student, monitor=monitor, mode=mode))
    patience = None
    if spec.patience is not None:
        patience = Patience(folder.history, monitor, mode, spec.patience)
    run.fit(
        plan.distiller,
        spec.epochs,
        spec.method,
        callbacks=callbacks,
        files=files,
        patience=patience,
    )
    if spec.full_train:
        # The paper's protocol: validation was trained on, so it chooses nothing.
        with replacing(folder.student) as temporary:
            plan.distiller.student.save(temporary)
        return Epochs(spec.epochs, spec.epochs)
    return Epochs(best_epoch(folder.history, monitor, mode), epochs_done(folder.history))


def _title(spec: RunSpec) -> str:
    """What a figure of a run is of."""
    # Of a directory the name alone: a whole path leaves no place for the rest.
    names = [Path(name).name for name in (spec.teacher, spec.student) if name is not None]
    models = " to ".join(names)
    shown = ("proximal_weight", "proximal_bound", "temperature", "label_weight", "label_noise")
    given = {name: value for name in shown if (value := getattr(spec, name)) is not None}
    settings = title_of({**given, "seed": spec.seed})
    return f"{app_title(spec.app)} · {spec.method} · {models} · {settings}"


def _chance(run: Run, width: int | None) -> float | None:
    """What the curves of a figure have to beat; `None` if models are built in the first step."""
    if width is None:
        return None
    return chance(run.task.validation.labels, width, run.output.main_metric, run.output.id)


def _best_teacher(run: Run) -> BestModelCheckpoint:
    """What keeps the teacher that trains along after its best epoch on validation."""
    metric = run.task.metrics[0]

    def measure(teacher: keras.Model) -> float:
        parts = {"validation": run.task.validation}
        evaluations = evaluate(teacher, parts, "teacher", (metric,), run.output.id)
        return evaluations["validation"].metrics[metric]

    # Of the teacher, the distiller reports the metrics of the kind of output alone.
    return BestModelCheckpoint(
        run.folder.best_teacher,
        "teacher",
        monitor=f"val_teacher_{metric}",
        mode=mode_of(metric, run.output),
        measure=measure,
    )


def _save_teacher(run: Run, plan: Plan) -> None:
    """Keeps the teacher beside the student, with how it reads raw input."""
    folder = run.folder
    folder.write_front_end(_as_json(run.task.teacher_front_end), "teacher")
    with replacing(folder.teacher) as temporary:
        if plan.distiller.trains_teacher and not run.spec.full_train:
            shutil.copyfile(read_best(folder.best_teacher).path, temporary)
        else:
            plan.teachers["teacher"].save(temporary)


def _export(run: Run, role: str) -> None:
    folder = run.folder
    shutil.rmtree(folder.export_of(role), ignore_errors=True)
    model = load_student(folder.model_of(role))
    write_export(folder, role, model, _description(run, role))


def _description(run: Run, role: str) -> Description:
    """What is known of a model of a run beside its layers."""
    task = run.task
    front_end = task.front_end if role == "student" else task.teacher_front_end
    return Description(front_end, task.class_names or None, run.output)
