"""What is done with a run that is there: its saved models are loaded, measured and exported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_prokt import models, outputs
from keras_prokt.app import Task
from keras_prokt.data.batches import inputs_of
from keras_prokt.data.text_table import UNLABELLED
from keras_prokt.export import DEFAULT, Description, get
from keras_prokt.export.comparison import Comparison, Examples, Score
from keras_prokt.export.student import (
    MAX_LOSS,
    Exported,
    check_installed,
    check_quantization,
    export_compared,
)
from keras_prokt.files import digest_of_file, file_errors_as_python_has_them
from keras_prokt.front_ends import FrontEnd, TextFrontEnd, from_json
from keras_prokt.models.loading import load_student
from keras_prokt.outputs import Output
from keras_prokt.results.evaluation import Evaluation, evaluate, metrics_of
from keras_prokt.results.metrics import mode as mode_of
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.measuring import best_constants, write_predictions
from keras_prokt.runs.model_card import model_card
from keras_prokt.runs.progress import say
from keras_prokt.runs.task import check_same_app, check_same_task, held_out, prepare

MOST_EXAMPLES = 2000
"""Validation examples on which an export is compared."""

CALIBRATION_EXAMPLES = 256
"""Training examples of which int8 takes its ranges."""


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


def export_run(
    out: str | Path, model: str = "student", format: str = DEFAULT, **settings: Any
) -> Path:
    """What `export_run_compared` has written."""
    return export_run_compared(out, model, format, **settings).path


def export_run_compared(
    out: str | Path,
    model: str = "student",
    format: str = DEFAULT,
    *,
    path: str | Path | None = None,
    quantize: str | None = None,
    max_loss: float = MAX_LOSS,
    length: int | None = None,
    overwrite: bool = False,
) -> Exported:
    """Writes a model of a run in a form of `keras_prokt.export.FORMATS`, into the run's folder.

    What was written is compared with the model on the run's validation data before it appears,
    or on random inputs where the data is not there any more.

    Args:
        out: The run folder.
        model: As in `evaluate_run`.
        format: The form, as in `keras_prokt.export.export_student`, as the others.
        path: Where to, if not into the run's folder.
        quantize: "float16" or "int8"; int8 is calibrated on the run's training data.
        max_loss: How much of the run's metric a quantized model may lose.
        length: Of texts, for forms without open lengths.
        overwrite: Whether a file that is there is replaced.

    Returns:
        What was written, of a SavedModel its new version directory, and how far it is from the
        model.

    Raises:
        ValueError: If there is no whole model, another process works on the run, or
            `export_student` refuses it.
    """
    check_quantization(format, quantize)
    check_installed(format)
    folder = RunFolder.existing(out)
    # A run replaces its SavedModel at its end.
    with folder.locked(), file_errors_as_python_has_them():
        record = folder.read()
        # A run of an older version says nothing: it has what the width of its outputs tells.
        output = outputs.get(record["output"]) if "output" in record else None
        known = Description(front_end_of(folder, model), record["class_names"] or None, output)
        data = _data_of(folder, record, needed_for=quantize)
        settings: dict[str, Any] = {"quantize": quantize, "length": length}
        settings |= {"max_loss": max_loss, "overwrite": overwrite}
        if data is not None:
            kind = output or outputs.get(data.output)
            settings["examples"] = validation_examples(data, model, kind)
            if quantize == "int8":
                settings["calibration"] = _calibration(data, model)
        title = f"{get(format).title}{f', {quantize}' if quantize else ''}"

        def card_text(snippet: str, comparison: Comparison | None) -> str:
            found = None if comparison is None else str(comparison)
            return model_card(folder, model, title, snippet, found)

        settings["card_text"] = card_text
        place = folder.export_of(model, format, quantize) if path is None else Path(path)
        return _write(saved_model(folder, model), place, known, format, settings)


def _data_of(folder: RunFolder, record: Mapping[str, Any], needed_for: str | None) -> Task | None:
    """The data of a run; `None` where it is gone."""
    try:
        spec = folder.spec().without_stored_outputs()
        check_same_app(spec, record["data"])
        task = prepare(spec)
        check_same_task(spec, task, record)
    except (ValueError, OSError) as error:
        if needed_for is not None:
            raise
        say(f"compared on random inputs: {' '.join(str(error).split())}")
        return None
    return task


def validation_examples(task: Task, role: str, kind: Output) -> Examples:
    """What an export of a run's model is compared on.

    Args:
        task: The run's data.
        role: "student" or "teacher".
        kind: What the outputs mean.
    """
    batches = task.validation.in_order().limited(MOST_EXAMPLES)
    found = [(inputs_of(inputs, role), labels) for inputs, labels, *_ in batches.epoch()]
    labels = [labels for _, labels in found]
    if labels[0].ndim > 1 and batches.labels_per_position:
        length = max(one.shape[1] for one in labels)
        sizes = [((0, 0), (0, length - one.shape[1])) for one in labels]
        pairs = zip(labels, sizes, strict=True)
        labels = [np.pad(one, size, constant_values=UNLABELLED) for one, size in pairs]
    of_all = np.concatenate(labels)
    metric = task.metrics[0]

    def score(logits: np.ndarray) -> float:
        return metrics_of(of_all, logits, [metric], kind.id)[metric]

    lower = mode_of(metric, kind) == "min"
    return Examples(
        [inputs for inputs, _ in found], "validation examples", Score(metric, score, lower)
    )


def _calibration(task: Task, role: str) -> list[Any]:
    """Training examples of which int8 takes its ranges, without anything random about them."""
    batches = task.train.in_order().limited(CALIBRATION_EXAMPLES)
    return [inputs_of(inputs, role) for inputs, *_ in batches.epoch()]


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
    return _write(model, folder.export_of(role, format), description, format, {}).path


def _write(
    model: keras.Model, path: Path, description: Description, format: str, settings: dict[str, Any]
) -> Exported:
    held = {name: getattr(description, name) for name in get(format).holds}
    output = None if description.output is None else description.output.id
    return export_compared(model, path, format, output=output, **held, **settings)
