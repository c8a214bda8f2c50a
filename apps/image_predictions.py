"""A folder or table of images classified by the saved student, or the teacher, of a run."""

from pathlib import Path

from keras_prokt.data.table import TFDS, read_records
from keras_prokt.settings import SettingError, argument
from keras_prokt_apps.text_predictions import own_columns


def predict_table(
    run: str | Path,
    table: str | Path,
    out: str | Path,
    *,
    text_columns: tuple[str, ...] | None = None,
    overwrite: bool = False,
    model: str = "student",
) -> int:
    """Writes the class of every image of a folder or table, and the probabilities, into a CSV.

    The rows are the images, in the order of their paths or of the table: of a folder `path`, of a
    table the line where each begins and its own columns; then what the run's kind of output says
    of it (`Output.columns`). Images are read as those that were trained on. Neither the data of
    the run nor its teacher has to be there.

    Args:
        run: Run folder of a run on images.
        table: A folder, whose images may lie in folders of their own, or a table of paths.
        out: The CSV to write, in UTF-8.
        text_columns: The column of paths; `None` for that of the run.
        overwrite: Whether the file may be there; it is replaced as a whole.
        model: "student", or "teacher" of a run that kept it.

    Returns:
        Number of rows.

    Raises:
        ValueError: If the run is not completed, an image cannot be read and the run did not skip
            such, or `out` is in the way; then nothing has been written.

    Example:

    ```python
    predict_table("runs/images-prokt-1", "new_images", "predictions.csv")
    ```
    """
    import numpy as np

    from keras_prokt.data.batches import Batches
    from keras_prokt.data.image_rows import files_in, read_images
    from keras_prokt.data.image_table import ImageTable, list_files
    from keras_prokt.data.images import check_broken
    from keras_prokt.data.table import read_table
    from keras_prokt.front_ends import ImageFrontEnd
    from keras_prokt.results.predictions import columns_of_run, write_predictions
    from keras_prokt.runs.finished_run import front_end_of, saved_model
    from keras_prokt.runs.folder import RunFolder

    folder, out = RunFolder.existing(run), Path(out)
    if str(table).startswith(TFDS):
        raise ValueError(
            f"Expected a folder or table of images, received {str(table)!r}; write the set's "
            "images as files first."
        )
    table = Path(table).expanduser()
    spec, record = folder.spec(), folder.read()
    if record["status"] != "completed":
        raise ValueError(
            f"Expected a completed run at {str(folder.path)!r}, received one whose status is "
            f"{record['status']!r}; finish it with `{folder.resume_hint()}`."
        )
    front_end = front_end_of(folder, model)
    if not isinstance(front_end, ImageFrontEnd):
        raise ValueError(
            f"Expected a run on images, received one of app {spec.app!r}; serve its SavedModel."
        )
    if out.exists() and not (overwrite and out.is_file()):
        raise SettingError(
            f"Expected a new file for the predictions, received {str(out)!r}, which exists; name "
            f"another one with {argument('out')}, or replace a file of predictions with "
            f"{argument('overwrite')}."
        )
    if table.is_dir():
        images, records = list_files(table), None
    else:
        columns = text_columns or ((spec.image_column,) if spec.image_column else None)
        if columns is None or len(columns) != 1:
            raise SettingError(
                f"Expected one column of paths in {argument('text_columns')} with a table of "
                f"images, received {'none' if columns is None else ','.join(columns)}; name it."
            )
        read = read_table(table, text_columns=columns, label_column=None)
        images = ImageTable(table.absolute().parent, read)
        records = read_records(table, text_columns=columns)
    source = files_in(images.base, images.paths)
    found = read_images(source, tuple(front_end.size), cache_images="never")
    check_broken({"": source}, {"": found.broken}, spec.broken_images or "refuse")
    kept = found.positions.tolist()
    batches = Batches(
        found.rows,
        np.zeros(len(kept), "int32"),
        batch_size=spec.batch_size,
        transform=_Normalization(front_end),
    )
    logits = saved_model(folder, model).predict(batches.for_evaluation(), verbose=0)
    if records is None:
        before = [("path", [images.paths[number] for number in kept])]
    else:
        unit = images.table.unit
        answers = {name for name, _ in columns_of_run(logits[:1], record)} | {unit}
        own = own_columns([records[number] for number in kept], taken=answers)
        before = [(unit, [images.table.numbers[number] for number in kept]), *own]
    write_predictions(out, logits, record, *before)
    return len(kept)


class _Normalization:
    """What training does to images that are not changed at random."""

    def __init__(self, front_end):
        self.front_end = front_end

    def draw(self, count, generator):
        return ()

    def apply(self, images, drawn, xp):
        return self.front_end.normalize(images, xp)
