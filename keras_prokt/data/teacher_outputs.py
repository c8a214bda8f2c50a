"""Stored outputs of a teacher in a file, by position in the training data; imports no Keras."""

import contextlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_prokt.data.formats import FORMATS, format_of
from keras_prokt.data.formats.base import Rows, UnknownColumn
from keras_prokt.settings import SettingError, argument

if TYPE_CHECKING:
    import numpy as np

    from keras_prokt.data.batches import Origin

LOGITS, PROBABILITIES = "logits", "probabilities"

FORMS = {LOGITS: "logit({})", PROBABILITIES: "p({})"}
"""What is stored -> how its columns are named in a table, as `keras-prokt predict` names them."""

ARCHIVE = ".npz"


@dataclass(frozen=True)
class TeacherOutputs:
    """What a teacher gave, a row for each example.

    Attributes:
        source: The file.
        form: A key of `FORMS`.
        values: Float64, shape `(rows, width)`.
        index: Position of each row in the training data as its user has it, from 0; `None` where
            the rows are all of it in its order.
    """

    source: str
    form: str
    values: "np.ndarray"
    index: "np.ndarray | None" = None

    def rows_of(self, origin: "Origin") -> "np.ndarray":
        """Which row belongs to each example of training data.

        Args:
            origin: Where its examples come from.

        Raises:
            SettingError: If the file has not exactly one row for each of them.
        """
        import numpy as np

        setting = argument("teacher_outputs")
        if self.index is None:
            if len(self.values) != origin.count:
                raise SettingError(
                    f"Expected {setting} with a row for each of the {origin.count:,} rows of the "
                    f"training data as it was given, received {len(self.values):,} in "
                    f"{self.source}; store all in its order, or their positions as 'index'."
                )
            return origin.positions
        row_of = np.full(origin.count, -1)
        outside = (self.index < 0) | (self.index >= origin.count)
        if outside.any():
            raise SettingError(
                f"Expected {setting} with an index in [0, {origin.count:,}), the rows of the "
                f"training data as it was given, received {self.index[np.argmax(outside)]} in "
                f"{self.source}; count them from 0."
            )
        if len(np.unique(self.index)) < len(self.index):
            raise SettingError(
                f"Expected {setting} with each position once in its index, received one again in "
                f"{self.source}; leave one."
            )
        row_of[self.index] = np.arange(len(self.index))
        missing = origin.positions[row_of[origin.positions] < 0]
        if len(missing):
            raise SettingError(
                f"Expected {setting} for each row that is trained on, received none for "
                f"{len(missing):,} of them in {self.source}, the first at position {missing[0]}; "
                "store these too."
            )
        return row_of[origin.positions]


def check_file(path: str) -> None:
    """Refuses a file that cannot hold outputs of a teacher, by its name and what it lists.

    Raises:
        SettingError: With what it has to be.
    """
    setting, suffix = argument("teacher_outputs"), Path(path).suffix.lower()
    if suffix not in (ARCHIVE, *FORMATS):
        raise SettingError(
            f"Expected {setting} with a suffix among {', '.join((ARCHIVE, *FORMATS))}, received "
            f"{path!r}; numpy.savez(FILE, logits=...) writes the first."
        )
    if not Path(path).is_file():
        raise SettingError(
            f"Expected {setting} that is there, received {path!r} where there is no file; check "
            "the path."
        )
    if suffix == ARCHIVE:
        _form_of_archive(path)


def columns_and_form(text: str) -> tuple[str, tuple[str, ...]]:
    """What columns of a table hold, and their names: of `probabilities=p_neg,p_pos`.

    Raises:
        SettingError: If it is of another form.
    """
    form, equals, rest = text.partition("=")
    names = tuple(name.strip() for name in rest.split(","))
    if form.strip() not in FORMS or not equals or not all(names) or len({*names}) < len(names):
        raise SettingError(
            f"Expected {argument('teacher_columns')} logits=A,B,... or probabilities=A,B,..., a "
            f"column for each class in their order, received {text!r}; such as "
            "probabilities=p_neg,p_pos."
        )
    return form.strip(), names


def read_teacher_outputs(
    path: str, columns: str | None = None, class_names: Sequence[str] = ()
) -> TeacherOutputs:
    """Reads the outputs of a teacher.

    Args:
        path: A `.npz` with an array `logits` or `probabilities` of shape `(rows, width)` and, if
            its rows are not all of the training data in its order, `index`, their positions in it,
            and, to be compared with the task's, `class_names`, as `keras-prokt record` writes them;
            or a table, as `keras_prokt.data.table.read_table` reads it, a row for each row of the
            training data: with columns `logit(NAME)` or `p(NAME)` for each class, or `columns`.
        columns: Other columns of a table, in the order of the classes: `probabilities=A,B,...`.
        class_names: Names of the classes, in the order of the student's logits.

    Raises:
        SettingError: If the file is not readable, or holds other things. The message names the
            row.
    """
    import numpy as np

    check_file(path)
    index = None
    if Path(path).suffix.lower() == ARCHIVE:
        if columns is not None:
            raise SettingError(
                f"Expected no {argument('teacher_columns')} with {path!r}, received {columns!r}; "
                "its arrays have names of their own."
            )
        form = _form_of_archive(path)
        values, index = _arrays(path, form, class_names)
    else:
        form, values = _table(path, columns, class_names)
    with np.errstate(over="ignore"):
        finite = np.isfinite(values.astype("float32")).all(axis=-1)
    if not finite.all():
        advice = "store the logarithms of clipped probabilities"
        if form == PROBABILITIES:
            advice = "correct what the teacher gave"
        raise SettingError(
            f"Expected finite {form} in {argument('teacher_outputs')}, received others in row "
            f"{int(np.argmin(finite))} of {path}; {advice}."
        )
    return TeacherOutputs(path, form, values, index)


def _form_of_archive(path: str) -> str:
    try:
        if not Path(path).is_file():  # a device may have no end
            raise FileNotFoundError("no file of that name")
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise SettingError(
            f"Expected {argument('teacher_outputs')} that numpy.savez has written, received "
            f"{path!r} ({error}); write it again."
        ) from error
    forms = names & set(FORMS)
    if len(forms) != 1:
        raise SettingError(
            f"Expected {argument('teacher_outputs')} with one array of the name 'logits' or "
            f"'probabilities', received {', '.join(sorted(names)) or 'none'} in {path!r}; "
            "name what is stored: numpy.savez(FILE, logits=...)."
        )
    return forms.pop()


def _arrays(
    path: str, form: str, class_names: Sequence[str]
) -> "tuple[np.ndarray, np.ndarray | None]":
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            read = {key: archive[key] for key in (form, "index", "class_names") if key in archive}
        # What is no array comes as bytes, and a size that is claimed may be any.
        if any(not isinstance(array, np.ndarray) for array in read.values()):
            raise ValueError("what is no array")
        names = _names(read["class_names"]) if "class_names" in read else []
    except (OSError, ValueError, MemoryError, zipfile.BadZipFile, EOFError) as error:
        raise SettingError(
            f"Expected numbers in {argument('teacher_outputs')}, received {path!r} with "
            f"{' '.join(str(error).split())[:200]}; write it again with numpy.savez."
        ) from error
    values, index = read[form], read.get("index")
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not len(values):
        raise SettingError(
            f"Expected {form} in {argument('teacher_outputs')} that are numbers of shape (rows, "
            f"classes), received {values.dtype} of shape {values.shape} in {path!r}; store a row "
            "of floats for each example."
        )
    if index is not None and (index.shape != (len(values),) or index.dtype.kind not in "iu"):
        raise SettingError(
            f"Expected an index of {len(values):,} integers in {argument('teacher_outputs')}, "
            f"received {index.dtype} of shape {index.shape} in {path!r}; store the position of "
            "each row, from 0."
        )
    if names and class_names and names != list(class_names):
        raise SettingError(
            f"Expected {argument('teacher_outputs')} of the classes {list(class_names)}, received "
            f"{names} in {path!r}; record the teacher on this data."
        )
    return values.astype("float64"), None if index is None else index.astype("int64")


def _names(array: "np.ndarray") -> list[str]:
    """Names of classes as text, which may be stored as numbers or bytes."""
    return [
        one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)
        for one in array.reshape(-1).tolist()
    ]


def _table(path: str, columns: str | None, class_names: Sequence[str]) -> "tuple[str, np.ndarray]":
    """What a table holds, and its values."""
    import numpy as np

    choices = [(form, [name.format(one) for one in class_names]) for form, name in FORMS.items()]
    if columns is not None:
        form, names = columns_and_form(columns)
        choices = [(form, list(names))]
    for form, names in choices:
        file = Path(path)
        with contextlib.closing(format_of(file).read(file, names)) as rows:
            try:
                first = next(rows, None)
            except UnknownColumn:
                if columns is not None:
                    raise
                continue
            if first is None:
                raise SettingError(
                    f"Expected rows in {argument('teacher_outputs')}, received none in {path}; "
                    "store one for each row of the training data."
                )
            return form, np.array(_numbers([first], names, path) + _numbers(rows, names, path))
    wanted = " or ".join(", ".join(names) for _, names in choices)
    raise SettingError(
        f"Expected columns {wanted} in {argument('teacher_outputs')}, received others in {path}; "
        f"name yours in the order of the classes: {argument('teacher_columns')} "
        "probabilities=A,B,..."
    )


def _numbers(rows: "Rows | list[Any]", names: Sequence[str], path: str) -> list[list[float]]:
    unit = format_of(Path(path)).unit
    read = []
    for number, values in rows:
        try:
            read.append([float(value) for value in values])
        except (TypeError, ValueError) as error:
            raise SettingError(
                f"Expected numbers in the columns {', '.join(names)} of "
                f"{argument('teacher_outputs')}, received {list(values)} at {path}, {unit} "
                f"{number}; fill them in."
            ) from error
    return read
