"""Carries out a run: data, models, training, evaluation, export, and the record of it."""

import contextlib
import errno
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_prokt import backends, models, outputs
from keras_prokt.app_file import app_title
from keras_prokt.callbacks import StudentCheckpoint, TrainingDynamics
from keras_prokt.callbacks.best_model_checkpoint import Best, BestModelCheckpoint, read_best
from keras_prokt.callbacks.training_dynamics import read_history
from keras_prokt.data.columns import columns_of
from keras_prokt.distillers.faults import TrainingFault
from keras_prokt.export import DEFAULT, Description, export_student, get
from keras_prokt.files import digest_of_file, remove_unfinished, replacing, write_text
from keras_prokt.front_ends import FrontEnd, TextFrontEnd, from_json
from keras_prokt.models.loading import load_student
from keras_prokt.results.evaluation import Evaluation, chance, evaluate
from keras_prokt.results.metrics import log_name, lower_is_better
from keras_prokt.results.metrics import mode as mode_of
from keras_prokt.runs.cost import cost_of
from keras_prokt.runs.determinism import is_deterministic
from keras_prokt.runs.environment import describe_environment
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.known_settings import title_of
from keras_prokt.runs.patience import Patience, best_epoch, epochs_done
from keras_prokt.runs.plan import Plan, plan_of, schedules_of
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import Stop, Stopped
from keras_prokt.runs.task import (
    all_batches,
    check_same_app,
    check_same_task,
    digests,
    held_out,
    prepare,
)
from keras_prokt.runs.teachers import loads_weights
from keras_prokt.runs.threads import threads_in_use
from keras_prokt.runs.training import Run
from keras_prokt.settings import SettingError, argument

BEST_TEACHER = "teacher (best epoch)"
"""How the teacher after its best epoch on validation is reported; "teacher" is what taught last."""


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
    folder = RunFolder(out)
    folder.check_free(overwrite)
    if save_teacher:
        spec.check_has_teacher()
    check_backend(spec)
    this = Run(spec, folder, cache=cache, stop=Stop(stop_after) if stop is None else stop)
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
    with folder.created(record, _as_json(task.front_end), overwrite=overwrite) as record:
        try:
            return _carry_out(this, record, plan)
        except Stopped:
            raise
        except (Exception, SystemExit) as error:
            if record.get("replaces") is not None:
                _put_back(folder, record, error)
            raise


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


class OtherThreads(UserWarning):
    """A run goes on with another number of threads than it was begun with."""


class OtherVersions(UserWarning):
    """A run goes on with other versions of what computes than it was begun with."""


def check_can_go_on(record: Mapping[str, Any]) -> None:
    """Refuses an unfinished run that nothing can be continued of.

    Args:
        record: As in `run.json`.

    Raises:
        ValueError: If it is of an older version, or failed before it began.
    """
    if "threads" in record:
        return
    if record["status"] == "failed":
        raise ValueError(
            f"Expected a run that has begun, received one that failed before: "
            f"{record.get('failure', 'unknown')}; start it anew."
        )
    raise ValueError(
        "Expected a run of this version of keras_prokt, received one begun with "
        f"{record['package']['version']}; resume it with that version, or start it anew."
    )


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
    folder = RunFolder.existing(out)
    record, spec = folder.read(), folder.spec()
    if record["status"] == "completed":
        folder.tidy(record)
        return record
    check_can_go_on(record)
    check_backend(spec)
    if record["threads"] != threads_in_use():
        warnings.warn(
            f"The run was begun with {record['threads']} threads and goes on with "
            f"{threads_in_use()}: sums are formed in another order, so that it will not be equal, "
            "bit for bit, to one that was never stopped.",
            OtherThreads,
            stacklevel=2,
        )
    if changed := _changed_versions(record):
        warnings.warn(
            f"The run was begun with {changed}: it may not be equal, bit for bit, to one that was "
            "never stopped.",
            OtherVersions,
            stacklevel=2,
        )
    with folder.locked():
        record = folder.read()
        if record["status"] == "completed":  # by another process, meanwhile
            return record
        this = Run(spec, folder, cache=cache, stop=Stop(stop_after) if stop is None else stop)
        check_same_app(spec, record["data"])
        check_same_task(spec, this.task, record)
        folder.write_front_end(_as_json(this.task.front_end))
        record = {k: v for k, v in record.items() if k != "failure"} | {"status": "running"}
        try:
            return _carry_out(this, record, plan_of(this))
        except ValueError as error:
            raise _with_versions(error, record["package"]) from error


def _changed_versions(record: Mapping[str, Any]) -> str:
    """What computes now in another version than when a run was begun; "" if nothing does."""
    now = describe_environment()
    computes = ("keras", backends.current().name, "numpy")
    pairs = {name: (record["versions"].get(name), now["versions"].get(name)) for name in computes}
    pairs["keras_prokt"] = (record["package"]["version"], now["package"]["version"])
    return " and ".join(
        f"{name} {then} and goes on with {is_now}"
        for name, (then, is_now) in pairs.items()
        if then != is_now
    )


def _with_versions(error: ValueError, then: Mapping[str, Any]) -> ValueError:
    """The error; if another version began the run, with that version, which may be the reason."""
    now = describe_environment()["package"]
    if then == now:
        return error
    old, new = (f"keras_prokt {one['version']} ({one['git']})" for one in (then, now))
    return ValueError(
        f"{error} The run was begun with {old}, and this is {new}; if that is the reason, resume "
        "it with the former."
    )


def _carry_out(run: Run, record: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """Trains from where the run is, measures and exports; the folder's lock is held."""
    folder, started = run.folder, time.monotonic()

    def with_time(record: dict[str, Any]) -> dict[str, Any]:
        seconds = record.get("wall_seconds", 0) + time.monotonic() - started
        return {**record, "wall_seconds": round(seconds, 2)}

    measures_test = record.get("measures_test", True)
    try:
        with _file_errors_as_python_has_them():
            epochs = _train(run, plan)
            roles = ["student"]
            if record.get("save_teacher", False):
                roles.append("teacher")
                _save_teacher(run, plan)
            results = _measured(run, plan, epochs, measures_test=measures_test)
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
    folder.delete_replaced(record)
    return folder.read()


@contextlib.contextmanager
def _file_errors_as_python_has_them() -> Iterator[None]:
    """Turns what TensorFlow says of a full disk into an `OSError`."""
    try:
        yield
    except Exception as error:
        for code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO):
            is_of_tensorflow = type(error).__module__.startswith("tensorflow.")
            if is_of_tensorflow and os.strerror(code) in str(error):
                raise OSError(code, f"{os.strerror(code)}, while TensorFlow wrote") from error
        raise


class _Epochs(NamedTuple):
    """Epochs of the distillation, from 1."""

    best: int
    """The best on validation, which the student is of."""
    last: int
    """The last that was trained."""


def _train(run: Run, plan: Plan) -> _Epochs:
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
        return _Epochs(spec.epochs, spec.epochs)
    return _Epochs(best_epoch(folder.history, monitor, mode), epochs_done(folder.history))


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


def _best_of_teacher(run: Run, plan: Plan, last_epoch: int) -> tuple[Best, bool] | None:
    """The teacher after its best epoch, where that is known, and whether it is the one here."""
    if not plan.distiller.trains_teacher:
        best, is_last = plan.best_fixed, run.spec.teacher_epochs
        return best and (best, run.spec.teacher_keep == "best" or best.epoch + 1 == is_last)
    if run.spec.full_train:
        return None
    best = read_best(run.folder.best_teacher)
    return best, best.epoch + 1 == last_epoch


def _measured(run: Run, plan: Plan, epochs: _Epochs, *, measures_test: bool) -> dict[str, Any]:
    """All models on all held-out data, and their size; keeps the answer to every example."""
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
        "best_constant": _best_constants(all_evaluations["student"]),
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


def _best_constants(evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    """What the best constant answer has on each part, where the kind of output says it."""
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


def _export(run: Run, role: str) -> None:
    folder, task = run.folder, run.task
    shutil.rmtree(folder.export_of(role), ignore_errors=True)
    front_end = task.front_end if role == "student" else task.teacher_front_end
    model = load_student(folder.model_of(role))
    _write_export(folder, role, model, Description(front_end, task.class_names or None, run.output))


def _write_export(
    folder: RunFolder,
    role: str,
    model: keras.Model,
    description: Description,
    format: str = DEFAULT,
) -> Path:
    held = {name: getattr(description, name) for name in get(format).holds}
    output = None if description.output is None else description.output.id
    return export_student(model, folder.export_of(role, format), format, output=output, **held)


def evaluate_run(out: str | Path, model: str = "student") -> dict[str, dict[str, float]]:
    """Metrics and scores of a saved model of a run on all held-out data; as `evaluations_of`."""
    found = evaluations_of(out, model)
    return {part: {**one.metrics, **one.scores} for part, one in found.items()}


def evaluations_of(out: str | Path, model: str = "student") -> dict[str, Evaluation]:
    """What a saved model of a run does on all held-out data.

    Args:
        out: The run folder.
        model: "student", or "teacher" of a run that kept it (`save_teacher`).

    Raises:
        ValueError: If the run has no such model yet, or its data has changed.
    """
    folder = RunFolder.existing(out)
    record, spec = folder.read(), folder.spec().without_stored_outputs()
    saved = saved_model(folder, model)
    check_same_app(spec, record["data"])
    task = prepare(spec)
    check_same_task(spec, task, record)
    return evaluate(saved, held_out(task), model, task.metrics, task.output)


def add_test(folder: RunFolder) -> dict[str, float] | None:
    """Measures the saved student of a run on the test data and adds it to the run's record.

    Args:
        folder: The folder of a completed run.

    Returns:
        The metrics, measured once: what is in the record already stays. `None` without test data.
    """
    with folder.locked():
        record, spec = folder.read(), folder.spec().without_stored_outputs()
        student = record["results"]["models"]["student"]
        if "test" not in student:
            task = prepare(spec)
            check_same_task(spec, task, record)
            if task.test is None:
                return None
            model = saved_student(folder)
            parts = {"test": task.test}
            [evaluation] = evaluate(model, parts, "student", task.metrics, task.output).values()
            path = write_predictions(folder, "test", {"student": evaluation})
            student["test"] = evaluation.metrics
            results = record["results"]
            results.setdefault("scores", {}).setdefault("student", {})["test"] = evaluation.scores
            if evaluation.report:
                reports = results.setdefault("reports", {}).setdefault("student", {})
                reports["test"] = evaluation.report
            constants = _best_constants({"test": evaluation})
            results["best_constant"] = {**results.get("best_constant", {}), **constants}
            # The other files as they were: one that was changed since is to be seen.
            name = path.relative_to(folder.path).as_posix()
            files = {**record.get("files", {}), name: digest_of_file(path)}
            folder.write({**record, "measures_test": True, "files": files})
    return student["test"]


def saved_student(folder: RunFolder) -> keras.Model:
    """The saved student of a run; as `saved_model`."""
    return saved_model(folder, "student")


def saved_model(folder: RunFolder, role: str) -> keras.Model:
    """A saved model of a run.

    Args:
        folder: Its folder.
        role: "student", or "teacher" of a run that kept it.

    Raises:
        ValueError: If the run has not saved it, or it was changed since.
    """
    folder.check_has_model(role)
    spec, path = folder.spec(), folder.model_of(role)
    # A builder's module may register layers of its own.
    name = spec.student if role == "student" else spec.teacher
    if ":" in name and "://" not in name and not Path(name).exists():
        models.get(name)
    return load_student(path)


def export_run(out: str | Path, model: str = "student", format: str = DEFAULT) -> Path:
    """Writes a model of a run in a form of `keras_prokt.export.FORMATS`, into the run's folder.

    Args:
        out: The run folder.
        model: As in `evaluate_run`.
        format: The form, as in `keras_prokt.export.export_student`.

    Returns:
        What was written: of a SavedModel, its new version directory.

    Raises:
        ValueError: If there is no whole model, another process works on the run, or
            `export_student` refuses it.
    """
    folder = RunFolder.existing(out)
    # A run replaces its SavedModel at its end.
    with folder.locked(), _file_errors_as_python_has_them():
        record = folder.read()
        # A run of an older version says nothing: it has what the width of its outputs tells.
        output = outputs.get(record["output"]) if "output" in record else None
        known = Description(front_end_of(folder, model), record["class_names"] or None, output)
        return _write_export(folder, model, saved_model(folder, model), known, format)


def front_end_of(folder: RunFolder, role: str = "student") -> FrontEnd | None:
    """How raw input becomes a model's inputs; `None` where the run says of nothing that does.

    Args:
        folder: The run's folder.
        role: "student" or "teacher".

    Raises:
        ValueError: If its file was changed or is gone.
    """
    path = folder.front_end_of(role)
    folder.check_file(path, folder.read())
    if not path.is_file():
        # A run of an older version, in which texts alone had a front end.
        front_end = prepare(folder.spec()).front_end
        return front_end if isinstance(front_end, TextFrontEnd) else None
    if (front_end := folder.read_front_end(role)) is None:
        return None
    try:
        return from_json(front_end)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def check_backend(spec: RunSpec) -> None:
    """Refuses to carry out a run on another backend, or without the operations it is held to."""
    if backends.current().name != spec.backend:
        raise ValueError(
            f"Expected backend {spec.backend!r}, that of the run, received "
            f"{backends.current().name!r}; set KERAS_BACKEND={spec.backend}, or resolve the spec "
            "with backend=."
        )
    if spec.deterministic and not is_deterministic(spec.backend):
        raise SettingError(
            f"Expected deterministic operations of {spec.backend}, received its usual ones; call "
            f"keras_prokt.runs.determinism.use_deterministic_operations({spec.backend!r}) "
            f"before anything is computed, or use {argument('deterministic')} of the command line."
        )
