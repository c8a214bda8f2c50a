"""New rows classified by a model of a run, by a `student.keras` or a SavedModel alone.

This module imports no Keras before all files are checked.
"""

import functools
import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_prokt.arguments import check_choice, check_flag, checked_path, checked_texts
from keras_prokt.data.columns import Column
from keras_prokt.data.table import TFDS
from keras_prokt.export.described import Described, described
from keras_prokt.files import digest_of_file, digest_of_json, replacing
from keras_prokt.front_ends import ImageFrontEnd, TextFrontEnd, from_json
from keras_prokt.runs.folder import WRITTEN_BY_RUNS, RunFolder
from keras_prokt.runs.prediction_rows import Rows, no_columns, number_rows, pixel_rows, text_rows
from keras_prokt.settings import SettingError, argument

if TYPE_CHECKING:
    from keras_prokt.runs.predictors import Predictor

ROWS_AT_ONCE = 2048
"""Rows after which what is predicted is kept, for a process that is killed."""

SUFFIXES = (".csv", ".parquet")
"""Of files of predictions."""


class Source(NamedTuple):
    """What predicts, as far as it is known before Keras is imported."""

    path: Path
    described: Described
    model_file: Path
    """What its outputs depend on: a file, or the folder of a SavedModel."""
    run: RunFolder | None = None
    role: str = "student"
    text_columns: tuple[str, ...] | None = None
    """The columns that it was trained on, if that is known."""
    image_column: str | None = None
    broken_images: str = "refuse"
    backend: str | None = None
    """The backend that trained it."""


def source_of(path: str | Path, model: str = "student") -> Source:
    """What predicts: a run folder, a `.keras` file, or a SavedModel or the folder of its versions.

    Args:
        path: Where it is.
        model: "student", or "teacher" of a run that kept it.

    Raises:
        ValueError: If there is none, the run is not completed, or a file was changed.
    """
    path = Path(path).expanduser()
    versions = path.is_dir() and any(one.name.isdecimal() for one in path.iterdir())
    is_saved_model = (path / "saved_model.pb").is_file() or versions
    if path.suffix == ".keras" or (is_saved_model and not (path / "run.json").is_file()):
        if model != "student":
            raise SettingError(
                f"Expected a run folder for its {model}, received {str(path)!r}; give the file or "
                "SavedModel of that alone."
            )
        if not path.exists():
            raise ValueError(
                f"Expected a model file (.keras), received {str(path)!r} where there is none; "
                "check the path."
            )
        latest = path
        if versions:
            numbers = (int(one.name) for one in path.iterdir() if one.name.isdecimal())
            latest = path / str(max(numbers))
        return Source(path, described(latest), latest)
    folder = RunFolder.existing(path)
    record, spec = folder.read(), folder.spec()
    folder.check_has_model(model)
    return Source(
        path,
        Described(_front_end_of(folder, model), record["class_names"], record.get("output")),
        folder.model_of(model),
        folder,
        model,
        spec.text_columns,
        spec.image_column,
        spec.broken_images or "refuse",
        spec.backend,
    )


def _front_end_of(folder: RunFolder, role: str) -> Any:
    path = folder.front_end_of(role)
    if not path.is_file():  # a run of an older version
        from keras_prokt.runs.finished_run import front_end_of

        return front_end_of(folder, role)
    folder.check_file(path, folder.read())
    config = folder.read_front_end(role)
    return None if config is None else from_json(config)


def predict(
    source: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    text_columns: tuple[str, ...] | None = None,
    overwrite: bool = False,
    model: str = "student",
    broken_images: str | None = None,
) -> int:
    """Writes what a model says of every row of a table, or of every image of a folder.

    The rows are those of the data, in its order: the line (of Parquet the row) where each begins
    and its own columns, or the path of each image; then what the kind of output says of it
    (`Output.columns`): of classes, `class_name`, and for each class a column `p(NAME)`, the softmax
    of the logits. Neither the data of a run nor its teacher has to be there.

    What is predicted is kept beside `out` until that is whole: the same call goes on after a kill.

    Args:
        source: As in `source_of`.
        data: A table of texts, of paths of images or of numbers, as
            `keras_prokt.data.table.read_table` reads them, or a folder of images. What is read of
            it follows from the model; labels are not read.
        out: The `.csv`, in UTF-8, or `.parquet` to write.
        text_columns: The column of texts, the two of pairs, or that of paths; `None` for those of
            the run. Columns of numbers have the names of the model's inputs.
        overwrite: Whether the file may be there; it is replaced as a whole.
        model: As in `source_of`.
        broken_images: "refuse", or "skip" to leave out images that cannot be read; `None` for the
            choice of the run.

    Returns:
        Number of rows.

    Raises:
        ValueError: As `source_of`; if the columns do not fit the model, the data has a fault, or
            `out` is in the way. Then nothing has been written.

    Example:

    ```python
    from keras_prokt.runs import predict

    predict("runs/text-prokt-1", "new_reviews.csv", "predictions.parquet")
    ```
    """
    for name, path in (("source", source), ("data", data), ("out", out)):
        checked_path(name, path)
    if text_columns is not None:
        text_columns = tuple(checked_texts("text_columns", text_columns))
    check_flag("overwrite", overwrite)
    if broken_images is not None:
        check_choice("broken_images", broken_images, ("refuse", "skip"))
    asked = source_of(source, model)
    prepared = prepare_prediction(
        asked,
        data,
        out,
        text_columns=text_columns,
        overwrite=overwrite,
        broken_images=broken_images,
    )
    return prepared.carry_out()


class Prediction(NamedTuple):
    """What is to be predicted, all files checked."""

    source: Source
    data: Path
    out: Path
    rows: Rows | None
    """`None` of a table of numbers, whose columns the model names."""

    def carry_out(self) -> int:
        """Predicts what is missing and writes the file; returns the number of rows."""
        from keras_prokt.results.predictions import write_parts

        predictor = open_source(self.source)
        rows = self.rows or number_rows(predictor, self.data)
        about = {"model": _digest_of(self.source.model_file), "rows": rows.digest()}
        parts = _Parts(self.out, about, len(rows))
        parts.carry_out(rows.parts(ROWS_AT_ONCE), lambda part: rows.ask(predictor, part))
        write_parts(self.out, functools.partial(self._columns, rows, parts, predictor))
        parts.delete()
        return len(rows)

    def _columns(
        self, rows: Rows, parts: "_Parts", predictor: "Predictor"
    ) -> Iterator[list[Column]]:
        """What is written of the rows of each part."""
        from keras_prokt.results.predictions import columns_of_run

        is_csv = self.out.suffix.lower() == ".csv"
        for logits, origin in zip(parts.logits(), rows.origins(ROWS_AT_ONCE), strict=True):
            said = columns_of_run(logits, predictor.record(logits.shape[-1]))
            own = origin.columns([name for name, _ in said], as_texts=is_csv)
            yield [*own, *said]


def prepare_prediction(
    source: Source,
    data: str | Path,
    out: str | Path,
    *,
    text_columns: tuple[str, ...] | None = None,
    overwrite: bool = False,
    broken_images: str | None = None,
) -> Prediction:
    """Reads the data of `predict` and refuses what is wrong with it; imports no Keras.

    Args:
        source: What predicts.
        data: As in `predict`, as the others.
    """
    out = Path(out)
    check_out(out, data, overwrite=overwrite)
    if str(data).startswith(TFDS):
        raise ValueError(
            f"Expected a file or a folder, received {str(data)!r}; export the set as a table first."
        )
    data, front_end = Path(data).expanduser(), source.described.front_end
    rows: Rows | None = None
    if broken_images is not None:
        if not isinstance(front_end, ImageFrontEnd):
            raise SettingError(
                f"Expected no {argument('broken_images')} with a model that reads no images, "
                f"received {broken_images!r}; leave it out."
            )
        source = source._replace(broken_images=broken_images)
    if isinstance(front_end, TextFrontEnd):
        columns = source.text_columns if text_columns is None else text_columns
        rows = text_rows(data, front_end, columns)
    elif isinstance(front_end, ImageFrontEnd):
        rows = pixel_rows(
            data,
            front_end,
            text_columns,
            image_column=source.image_column,
            broken_images=source.broken_images,
        )
    elif text_columns is not None:
        raise no_columns(data, text_columns, "by the names of the model's inputs")
    return Prediction(source, data, out, rows)


def open_source(source: Source) -> "Predictor":
    """Loads what predicts."""
    from keras_prokt.runs.predictors import KerasPredictor, ServedPredictor

    if source.run is not None:
        from keras_prokt.runs.finished_run import saved_model

        model = saved_model(source.run, source.role)
        return KerasPredictor(source.model_file, source.described, model)
    if source.model_file.is_dir():
        return ServedPredictor(source.model_file)
    return KerasPredictor(source.model_file)


class _Parts:
    """Logits that are there already, in a folder beside the file that they become.

    Args:
        out: That file.
        identity: What they are of. Those of anything else are in another folder, as another process
            may write the same file.
        count: Of how many rows they will be.
    """

    def __init__(self, out: Path, identity: Mapping[str, str], count: int):
        self._of_all = parts_of(out)
        self._folder = self._of_all / digest_of_json(identity)[:16]
        self._count = count

    def carry_out(self, parts: Iterable[Any], ask: Callable[[Any], np.ndarray]) -> None:
        """Keeps the logits of all rows, those that are missing asked for.

        Args:
            parts: The rows, `ROWS_AT_ONCE` at once.
            ask: The logits of one of these.
        """
        from keras_prokt.runs.progress import Countdown

        asked = 0
        with Countdown("predict", self._count) as countdown:
            for path, part in zip(self._paths(), parts, strict=True):
                if path.is_file():
                    continue
                logits = ask(part)
                with replacing(path) as temporary, temporary.open("wb") as file:
                    np.save(file, logits, allow_pickle=False)
                asked += len(logits)
                end = min(int(path.stem) + ROWS_AT_ONCE, self._count)
                countdown.reached(end, asked)

    def logits(self) -> Iterator[np.ndarray]:
        """The logits of each part, all of which are there."""
        return (np.load(path, allow_pickle=False) for path in self._paths())

    def _paths(self) -> Iterator[Path]:
        starts = range(0, self._count, ROWS_AT_ONCE)
        return (self._folder / f"{start:012d}.npy" for start in starts)

    def delete(self) -> None:
        """Deletes these and, as the file is whole, all others."""
        shutil.rmtree(self._of_all, ignore_errors=True)


def parts_of(out: str | Path) -> Path:
    """The folder of what is predicted for a file that is not whole yet."""
    out = Path(out)
    return out.with_name(f".{out.name}.parts")


def check_out(out: Path, data: str | Path | None = None, *, overwrite: bool = False) -> None:
    """Refuses a file of predictions that cannot be written, or is there and not to be replaced.

    Args:
        out: The file.
        data: What is read, which is never replaced.
        overwrite: Whether another file may be.

    Raises:
        ValueError: With what to do.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise SettingError(
            f"Expected a file of predictions that ends in {' or '.join(SUFFIXES)}, received "
            f"{str(out)!r}; name another one with {argument('out')}."
        )
    if out.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise ValueError(
            f"Expected the package pyarrow to write {str(out)!r}, received an environment without "
            "it; install it with `pip install pyarrow`, or write a .csv."
        )
    for folder in out.absolute().parents:
        if (folder / "run.json").is_file():
            check_not_own(RunFolder(folder), out)
    is_there = data is not None and out.exists() and Path(data).exists()
    is_data = is_there and out.samefile(data)
    if out.exists() and not (overwrite and out.is_file() and not is_data):
        raise SettingError(
            f"Expected a new file for the predictions, received {str(out)!r}, which exists; name "
            f"another one with {argument('out')}, or replace a file of predictions with "
            f"{argument('overwrite')}."
        )


def check_not_own(folder: RunFolder, out: Path) -> None:
    """Refuses to write a file of a run's own.

    Raises:
        SettingError: If it is one, or would be.
    """
    name = out.resolve().relative_to(folder.path.resolve()).parts[0]
    if name in WRITTEN_BY_RUNS:
        raise SettingError(
            f"Expected a file of predictions, received {str(out)!r}, where a run keeps its own "
            f"{name}; name another one with {argument('out')}."
        )


def _digest_of(model: Path) -> str:
    if model.is_file():
        return digest_of_file(model)
    files = sorted(path for path in model.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(model)} {digest_of_file(path)}\n".encode())
    return digest.hexdigest()
