"""A table of texts classified by the saved student, or the teacher, of a run."""

import json
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_prokt.data.table import TFDS, read_records, read_table
from keras_prokt.front_ends import TextFrontEnd
from keras_prokt.settings import SettingError, argument
from keras_prokt_apps.text_classification import texts_for_student


def predict_table(
    run: str | Path,
    table: str | Path,
    out: str | Path,
    *,
    text_columns: tuple[str, ...] | None = None,
    overwrite: bool = False,
    model: str = "student",
) -> int:
    """Writes the class of every text of a table, and the probabilities, into a CSV.

    The rows are those of the table, in its order: the line (of Parquet the row) where each
    begins, its own columns, and what the run's kind of output says of it (`Output.columns`): of
    classes, `class_name`, and for each class a column `p(NAME)`, softmax of the student's logits.
    Neither the data of the run nor its teacher has to be there.

    Args:
        run: Run folder of a run on texts.
        table: The texts, as `keras_prokt.data.table.read_table` reads them; labels are not read.
        out: The CSV to write, in UTF-8.
        text_columns: The column of the texts, or the two of pairs; `None` for those of the run.
        overwrite: Whether the file may be there; it is replaced as a whole.
        model: "student", or "teacher" of a run that kept it.

    Returns:
        Number of rows.

    Raises:
        ValueError: If the run is not completed or not one on texts, the columns do not fit it, the
            table has a fault, or `out` is in the way; then nothing has been written.

    Example:

    ```python
    predict_table("runs/text-prokt-1", "new_reviews.csv", "predictions.csv")
    ```
    """
    import numpy as np

    from keras_prokt.results.predictions import columns_of_run, write_predictions
    from keras_prokt.runs.finished_run import front_end_of, saved_model
    from keras_prokt.runs.folder import RunFolder

    folder, out = RunFolder.existing(run), Path(out)
    if str(table).startswith(TFDS):
        raise ValueError(
            f"Expected a file of texts, received {str(table)!r}; export the set as a table first."
        )
    table = Path(table).expanduser()
    spec, record = folder.spec(), folder.read()
    if record["status"] != "completed":
        raise ValueError(
            f"Expected a completed run at {str(folder.path)!r}, received one whose status is "
            f"{record['status']!r}; finish it with `{folder.resume_hint()}`."
        )
    front_end = front_end_of(folder, model)
    if not isinstance(front_end, TextFrontEnd):
        raise ValueError(
            f"Expected a run on texts, received one of app {spec.app!r}; serve its SavedModel."
        )
    columns = spec.text_columns if text_columns is None else text_columns
    expected = 2 if front_end.pair else 1
    if columns is None or len(columns) != expected:
        names = "FIRST,SECOND" if front_end.pair else "COLUMN"
        raise SettingError(
            f"Expected {argument('text_columns')} {names} for a run on "
            f"{'pairs' if front_end.pair else 'single texts'}, received "
            f"{'none' if columns is None else ','.join(columns)}; name its columns."
        )
    may_replace = overwrite and out.is_file() and not (table.exists() and out.samefile(table))
    if out.exists() and not may_replace:
        raise SettingError(
            f"Expected a new file for the predictions, received {str(out)!r}, which exists; name "
            f"another one with {argument('out')}, or replace a file of predictions with "
            f"{argument('overwrite')}."
        )
    texts = read_table(table, text_columns=columns, label_column=None)
    saved = saved_model(folder, model)
    inputs = [tensor.name for tensor in saved.inputs]
    batches = texts_for_student(texts.texts, inputs, front_end, spec.batch_size)
    by_length = saved.predict(batches.for_evaluation(), verbose=0)
    logits = np.empty_like(by_length)
    logits[batches.labels] = by_length
    answers = {name for name, _ in columns_of_run(logits[:1], record)} | {texts.unit}
    own = own_columns(read_records(table, text_columns=columns), taken=answers)
    write_predictions(out, logits, record, (texts.unit, texts.numbers), *own)
    return len(texts)


def own_columns(
    records: Sequence[Mapping[str, Any]], taken: Container[str] = ()
) -> list[tuple[str, list[str]]]:
    """The columns of rows as texts, in the order in which they appear; empty where a row has none.

    Args:
        records: What each row holds, by the name of the column.
        taken: Names of other columns beside them; one of these is marked as given.

    Example:

    >>> from keras_prokt_apps.text_predictions import own_columns
    >>> own_columns([{"id": 1, "text": "a"}, {"text": "b", "class_name": None}], {"class_name"})
    [('id', ['1', '']), ('text', ['a', 'b']), ('class_name (given)', ['', ''])]
    """
    names = dict.fromkeys(name for record in records for name in record)
    return [
        (f"{name} (given)" if name in taken else name, [_text(r.get(name)) for r in records])
        for name in names
    ]


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, default=str)
