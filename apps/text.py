"""App `text`: classes or values of the user's own texts or pairs, BERT into a bi-LSTM or a BERT."""

import functools
import os

from keras_prokt.app import Task, TaskRequest
from keras_prokt.data.table import TFDS, LabelledTexts, check_set, load_texts
from keras_prokt.settings import SettingError, argument
from keras_prokt_apps.text_classification import (
    BILSTM,
    check_prepared_texts,
    prepared_text_task,
    text_app,
    text_task,
)
from keras_prokt_apps.text_inputs import TextPart
from keras_prokt_apps.text_students import checked_student


def check(request: TaskRequest) -> None:
    """Refuses models that cannot be, and tables with a fault; reads them, and imports no Keras."""
    for name in ("dataset", "text_columns", "label_column"):
        if not getattr(request, name):
            raise SettingError(
                f"Expected {argument('dataset')}, {argument('text_columns')} and "
                f"{argument('label_column')} with app 'text', received no {argument(name)}; name "
                "your table of texts and its columns."
            )
    if request.output == "values":
        for name in ("unlabelled", "unlabelled_rows"):
            if value := getattr(request, name):
                raise SettingError(
                    f"Expected no {argument(name)} with {argument('output')} values, received "
                    f"{value!r}; of values each row has one."
                )
    if request.prepared is not None:
        check_prepared_texts(request, "text", is_pair=len(request.text_columns) == 2)
        return
    checked_student(request, is_pair=len(request.text_columns) == 2)
    if request.dataset.startswith(TFDS):
        held_out = {"validation": request.validation, "test": request.test}
        check_set(request.dataset, **held_out, data_dir=request.data_dir)
    else:
        _texts(request)


def prepare(request: TaskRequest) -> Task:
    """Reads the table, divides it where no held-out files are given, and readies both models."""
    check(request)
    if request.prepared is not None:
        return prepared_text_task(request, is_pair=len(request.text_columns) == 2)
    student = checked_student(request, is_pair=len(request.text_columns) == 2)
    data = _texts(request)
    _read.cache_clear()  # it has been read for `check` and for this; training needs the memory
    parts = {name: TextPart(table.texts, data.labels(name)) for name, table in data.parts.items()}
    parts["train"] = parts["train"]._replace(origin=(data.positions, data.count))
    return text_task(request, student, data.class_names, parts)


def _texts(request: TaskRequest) -> LabelledTexts:
    """The user's data, read once as long as the files stay as they are."""
    files = (request.dataset, request.validation, request.test, request.unlabelled)
    return _read(
        *files,
        tuple(request.text_columns),
        request.label_column,
        request.data_dir,
        request.unlabelled_rows,
        request.output == "values",
        states=tuple(map(_state, files)),
    )


@functools.lru_cache(maxsize=1)
def _read(
    dataset: str,
    validation: str | None,
    test: str | None,
    unlabelled: str | None,
    text_columns: tuple[str, ...],
    label_column: str,
    data_dir: str | None,
    unlabelled_rows: bool,
    has_values: bool,
    *,
    states: tuple[tuple[int, int] | None, ...],
) -> LabelledTexts:
    return load_texts(
        dataset,
        text_columns=text_columns,
        label_column=label_column,
        validation=validation,
        test=test,
        data_dir=data_dir,
        unlabelled_rows=unlabelled_rows,
        unlabelled=unlabelled,
        has_values=has_values,
    )


def _state(path: str | None) -> tuple[int, int] | None:
    """Size and time of change of a file; `None` where there is none, as of `tfds:` sets."""
    try:
        status = os.stat(path or "")
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


APP = text_app(
    "text",
    "your own table of texts and labels (--dataset, --text, --label); needs a BERT",
    check,
    prepare,
    bilstm=f"{BILSTM} with BERT's vocabulary; pairs are read one sentence at a time",
    reads_table=True,
)
