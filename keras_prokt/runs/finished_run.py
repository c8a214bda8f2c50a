"""What is done with a run that is there: its saved models are loaded, measured and exported."""

from pathlib import Path

import keras

from keras_prokt import models, outputs
from keras_prokt.export import DEFAULT, Description, export_student, get
from keras_prokt.files import digest_of_file, file_errors_as_python_has_them
from keras_prokt.front_ends import FrontEnd, TextFrontEnd, from_json
from keras_prokt.models.loading import load_student
from keras_prokt.results.evaluation import Evaluation, evaluate
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.measuring import best_constants, write_predictions
from keras_prokt.runs.task import check_same_app, check_same_task, held_out, prepare


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
            constants = best_constants({"test": evaluation})
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
    with folder.locked(), file_errors_as_python_has_them():
        record = folder.read()
        # A run of an older version says nothing: it has what the width of its outputs tells.
        output = outputs.get(record["output"]) if "output" in record else None
        known = Description(front_end_of(folder, model), record["class_names"] or None, output)
        return write_export(folder, model, saved_model(folder, model), known, format)


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


def write_export(
    folder: RunFolder,
    role: str,
    model: keras.Model,
    description: Description,
    format: str = DEFAULT,
) -> Path:
    """Writes a model in a form of `keras_prokt.export.FORMATS`, into the folder of its run.

    Args:
        folder: The run's folder, of which the lock is held.
        role: "student" or "teacher".
        model: The model.
        description: What is known of it; the form takes what it holds.
        format: The form.

    Returns:
        What was written.
    """
    held = {name: getattr(description, name) for name in get(format).holds}
    output = None if description.output is None else description.output.id
    return export_student(model, folder.export_of(role, format), format, output=output, **held)
