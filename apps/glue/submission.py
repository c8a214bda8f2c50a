"""The files that GLUE's site takes: the saved student's predictions for hidden test labels."""

import math
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from keras_prokt.files import replacing, write_text
from keras_prokt.names import unknown_name
from keras_prokt_apps.glue.app import GLUE_APPS, glue_test_data
from keras_prokt_apps.glue.data import GLUE_FILES, GLUE_TASKS, UnofficialRows

if TYPE_CHECKING:
    import keras
    import numpy as np

    from keras_prokt.data.batches import Batches
    from keras_prokt.runs.folder import RunFolder

HEADER = "index\tprediction"

ARCHIVE = "submission.zip"


@dataclass(frozen=True)
class Submission:
    """What lies in a folder of files for GLUE.

    Attributes:
        archive: The zip of them.
        rows: Name -> number of rows of each file in it.
        missing: Names of the official files that are not there; GLUE's site refuses the zip
            without them.
    """

    archive: Path
    rows: Mapping[str, int]
    missing: tuple[str, ...]


def write_submission(
    run: str | Path,
    out: str | Path,
    *,
    data_dir: str | None = None,
    model: str = "student",
) -> Submission:
    """Writes the files of a run on a GLUE task into a folder, and the zip of all that lie there.

    Runs on different tasks fill one folder. Files of the same names are replaced, each whole.

    Args:
        run: Run folder of a completed run of an app `glue-*`.
        out: The folder of the submission; made if there is none.
        data_dir: Directory of the data; `None` for that of the run.
        model: "student", or "teacher" of a run that kept it.

    Returns:
        What lies in the folder then.

    Raises:
        ValueError: If the run is not completed or its app not of GLUE, the test data is missing,
            or a file in the folder is not as GLUE wants it; then nothing has been written.

    Example:

    ```python
    submission = write_submission("runs/glue-sst2-prokt-1", "submission")
    submission.archive, submission.missing
    ```
    """
    from keras_prokt.runs.finished_run import saved_model
    from keras_prokt.runs.folder import RunFolder

    folder, out = RunFolder.existing(run), Path(out)
    task = _glue_task(folder)
    description, spec = GLUE_TASKS[task], folder.spec()
    if out.exists() and not out.is_dir():
        raise ValueError(f"Expected a folder, received the file {str(out)!r}; name a folder.")
    for path in _files_in(out):
        if path.name not in description.files.values():
            check_submission(path)
    request = spec.request()
    if data_dir is not None:
        request = replace(request, data_dir=data_dir)
    saved = saved_model(folder, model)
    data = glue_test_data(task, request, model)
    # All before the first file, so that the two of MNLI are of the same model.
    classes = {name: predicted_classes(saved, batches) for name, batches in data.items()}
    out.mkdir(parents=True, exist_ok=True)
    for name, numbers in classes.items():
        predictions = [GLUE_FILES[name].predictions[number] for number in numbers]
        _write(out / name, predictions)
        check_submission(out / name, rows=data[name].num_examples)
    return zip_submission(out)


def predicted_classes(student: "keras.Model", batches: "Batches") -> "np.ndarray":
    """The class of the highest logit of each example, in the order of their numbers.

    Args:
        student: A model that outputs logits.
        batches: Its inputs, with the number of each example, from 0, in place of labels; not
            shuffled.

    Returns:
        Shape `(examples,)`, integers.
    """
    import numpy as np

    logits = student.predict(batches.for_evaluation(), verbose=0)
    classes = np.empty(batches.num_examples, dtype="int64")
    classes[batches.labels] = logits.argmax(-1)
    return classes


def zip_submission(folder: str | Path) -> Submission:
    """Checks all of GLUE's files that lie in a folder, and packs them.

    Warns of files with another number of rows than GLUE's own test set (`UnofficialRows`).

    Args:
        folder: The folder. Files of other names stay out.

    Returns:
        What the zip holds and what it lacks.

    Raises:
        ValueError: As `check_submission`.
    """
    files = _files_in(Path(folder))
    rows = {path.name: check_submission(path) for path in files}
    for name, count in rows.items():
        if count != GLUE_FILES[name].rows:
            warnings.warn(
                f"{name} has {count} rows, GLUE's test set has {GLUE_FILES[name].rows}",
                UnofficialRows,
                stacklevel=2,
            )
    archive = Path(folder) / ARCHIVE
    with (
        replacing(archive) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for path in files:
            packed.write(path, path.name)
    return Submission(archive, rows, tuple(name for name in GLUE_FILES if name not in rows))


def check_submission(path: str | Path, *, rows: int | None = None) -> int:
    """Checks one file of a submission to GLUE.

    Args:
        path: The file; its name, such as `SST-2.tsv`, says which predictions it may hold.
        rows: How many rows it is to have, the header not counted; `None` for any number.

    Returns:
        The number of rows.

    Raises:
        ValueError: If the name is none of `GLUE_FILES`, the header is another one, the indices
            are not 0, 1, 2 and so on, or a prediction is none of the task's. The message names
            file and line.

    Example:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from keras_prokt_apps.glue.submission import check_submission
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "QNLI.tsv"
    ...     _ = path.write_text("index\\tprediction\\n0\\tentailment\\n1\\tnot_entailment\\n")
    ...     check_submission(path)
    2
    """
    path = Path(path)
    if path.name not in GLUE_FILES:
        raise ValueError(unknown_name("a file of GLUE's submissions", path.name, GLUE_FILES))
    try:
        header, *lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"Expected a file in UTF-8 at {path}, received {error}; replace it or take it away."
        ) from error
    if header != HEADER:
        raise ValueError(f"Expected the header {HEADER!r}, received {header!r} at {path}, line 1.")
    for index, line in enumerate(lines):
        if fault := _fault(line, index, GLUE_FILES[path.name].predictions):
            raise ValueError(f"{fault} at {path}, line {index + 2}; correct the file.")
    expected = "at least 1 row" if rows is None else f"{rows} rows"
    if not lines or (rows is not None and len(lines) != rows):
        raise ValueError(
            f"Expected {expected} below the header, received {len(lines)} at {path}, line "
            f"{len(lines) + 1}; write one row for each test example."
        )
    return len(lines)


def _fault(line: str, index: int, known: tuple[str, ...] | None) -> str | None:
    """What is wrong with one row, or `None`."""
    number, tab, prediction = line.partition("\t")
    if not tab:
        return f"Expected an index, a tab and a prediction, received {line!r}"
    if number != str(index):
        return f"Expected index {index}, as rows go from 0 and leave none out, received {number!r}"
    if known is None:
        return None if _is_number(prediction) else f"Expected a number, received {prediction!r}"
    if prediction not in known:
        return f"Expected a prediction among {', '.join(known)}, received {prediction!r}"
    return None


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _glue_task(folder: "RunFolder") -> str:
    """The GLUE task of a completed run."""
    app, status = folder.spec().app, folder.read()["status"]
    if app not in GLUE_APPS:
        raise ValueError(
            f"Expected a run of an app among {', '.join(GLUE_APPS)}, received one of {app!r}; "
            "GLUE takes predictions of its own tasks alone."
        )
    if status != "completed":
        raise ValueError(
            f"Expected a completed run at {str(folder.path)!r}, received one whose status is "
            f"{status!r}; finish it with `{folder.resume_hint()}`."
        )
    return GLUE_APPS[app]


def _files_in(folder: Path) -> list[Path]:
    """GLUE's files that are there."""
    return [path for name in GLUE_FILES if (path := folder / name).exists()]


def _write(path: Path, predictions: Sequence[str]) -> None:
    rows = [f"{index}\t{prediction}" for index, prediction in enumerate(predictions)]
    write_text(path, "\n".join([HEADER, *rows]) + "\n")
