"""Training rows of a run whose label both of its models contradict."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_prokt import outputs
from keras_prokt.arguments import check_flag, checked_path
from keras_prokt.data.columns import Column
from keras_prokt.data.formats import format_of
from keras_prokt.data.image_table import list_images
from keras_prokt.data.table import TFDS, read_records, read_table
from keras_prokt.outputs.scores import sigmoid, softmax
from keras_prokt.results.evaluation import outputs_of
from keras_prokt.results.predictions import write_columns
from keras_prokt.results.suspects import contradicted
from keras_prokt.runs.finished_run import saved_model
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.prediction import check_out
from keras_prokt.runs.prediction_rows import Origin
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import check_same_app, check_same_task, prepare
from keras_prokt.runs.unlabelled import labelled_rows
from keras_prokt.settings import ROLES


def suspects(run: str | Path, out: str | Path, *, overwrite: bool = False) -> tuple[int, int]:
    """Writes the training rows whose label both models of a run contradict, the surest first.

    Where the student is small and the teacher is held near it, neither memorises labels that are
    wrong. Each row has where it is in the data as it was given (of a folder of images `path`, of a
    table its line and its own columns, otherwise `position`, from 0), `training_label`, of each
    model the class that it finds and its probability, and `margin`, as
    `keras_prokt.results.suspects.contradicted`.

    Args:
        run: Folder of a completed run that kept its teacher, of classes or one yes-or-no label.
        out: The `.csv` or `.parquet` to write.
        overwrite: Whether the file may be there.

    Returns:
        How many rows were written, and how many were trained on with a label.

    Raises:
        ValueError: If the run has no such models, its data has changed since, or `out` is in the
            way.

    Example:

    ```python
    from keras_prokt.runs import suspects

    found, of_all = suspects("runs/text-prokt-1", "suspects.csv")
    ```
    """
    folder, out = RunFolder.existing(checked_path("run", run)), checked_path("out", out)
    check_flag("overwrite", overwrite)
    record, spec = folder.read(), folder.spec().without_stored_outputs()
    check_out(out, overwrite=overwrite)
    if (output := record.get("output", "classes")) not in ("classes", "labels"):
        raise _several(output)
    models = {role: saved_model(folder, role) for role in ROLES}
    check_same_app(spec, record["data"])
    task = prepare(spec)
    check_same_task(spec, task, record)
    batches = task.train.in_order()
    batches = batches.taking(np.flatnonzero(labelled_rows(batches, outputs.get(task.output))))
    found = {
        role: _probabilities(task.output, outputs_of(model, batches, role, task.output))
        for role, model in models.items()
    }
    labels = np.asarray(batches.labels).reshape(len(batches.labels), -1)[:, 0].astype("int64")
    rows, margins = contradicted(labels, list(found.values()))
    names = task.class_names or [str(k) for k in range(found["student"].shape[-1])]
    columns: list[Column] = [("training_label", [names[k] for k in labels[rows]])]
    for role, values in found.items():
        answers = values[rows].argmax(axis=-1)
        columns.append((f"{role}_class", [names[k] for k in answers]))
        columns.append((f"p_{role}", values[rows, answers].tolist()))
    columns.append(("margin", margins.tolist()))
    origin = _origin(spec, batches.origin.positions[rows])
    is_csv = out.suffix.lower() == ".csv"
    own = origin.columns([name for name, _ in columns], as_texts=is_csv)
    write_columns(out, [*own, *columns])
    return len(rows), len(labels)


def _probabilities(output: str, logits: np.ndarray) -> np.ndarray:
    if output == "classes":
        return softmax(logits)
    if output == "labels" and logits.shape[-1] == 1:
        yes = sigmoid(logits)
        return np.concatenate([1 - yes, yes], axis=-1)
    raise _several(output)


def _several(output: str) -> ValueError:
    return ValueError(
        "Expected a run whose examples have one class each, received one of outputs of the kind "
        f"{output!r}; compare its predictions with the labels yourself."
    )


def _origin(spec: RunSpec, positions: np.ndarray) -> Origin:
    """Where rows are in the data as it was given, with what they hold, if it is there."""
    by_position = Origin(("position", positions.tolist()))
    if spec.dataset is None or spec.dataset.startswith(TFDS) or spec.prepared is not None:
        return by_position
    path = Path(spec.dataset)
    if path.is_dir():
        paths = list_images(path)["train"].paths
        return Origin(("path", [paths[position] for position in positions]))
    columns = spec.text_columns or (spec.image_column,)
    table = read_table(path, text_columns=columns, label_column=None)
    records: Sequence[Mapping[str, Any]] = read_records(path, text_columns=columns)
    return Origin(
        (format_of(path).unit, [table.numbers[position] for position in positions]),
        [records[position] for position in positions],
    )
