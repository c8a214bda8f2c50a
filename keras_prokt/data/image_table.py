"""Which images a data set of the user's own has, and the class of each: folders and tables.

This module imports no Keras and decodes nothing.
"""

import contextlib
import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keras_prokt.data.class_names import check_repeated_labels
from keras_prokt.data.embedded_images import EmbeddedImages
from keras_prokt.data.formats import FORMATS
from keras_prokt.data.formats.parquet import image_columns, opened_parquet
from keras_prokt.data.image_files import SUFFIXES
from keras_prokt.data.image_rows import Source, files_in
from keras_prokt.data.table import check_scale, parse_text_columns, read_records, read_table
from keras_prokt.data.text_table import TextTable
from keras_prokt.names import unknown_name
from keras_prokt.settings import SettingError, argument

HELD_OUT_FOLDERS = {
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
"""Sub-folders beside `train`, and the part that each of them is."""

_LIKE_PARTS = {"train", "training", "testing", *HELD_OUT_FOLDERS}
"""Names, in any capitals, that a data set gives to its parts and hardly to a class."""

_OF_DESKTOPS = ("thumbs.db", "desktop.ini")
"""Files that a file manager leaves in folders of images, beside hidden ones."""


@dataclass(frozen=True)
class ImageTable:
    """Images and their labels, none of them read.

    Args:
        base: Folder that the paths begin in.
        table: The path of each image, where another table has a text, and its label; where it has
            several, a row of them such as `101`.
        label_names: Names of the labels, where an image has several; otherwise none.
        has_values: Whether labels are numbers to be predicted.
        embedded: The images themselves, where they lie in the table; its paths then say in which
            row.
    """

    base: Path
    table: TextTable
    label_names: tuple[str, ...] = ()
    has_values: bool = False
    embedded: EmbeddedImages | None = None

    @property
    def paths(self) -> Sequence[str]:
        """The path of each image, from `base`."""
        return self.table.texts[0]

    @property
    def source(self) -> Source:
        """Where the encoded images come from."""
        if self.embedded is None:
            return files_in(self.base, self.paths)
        embedded, rows = self.embedded, self.table.numbers
        return Source(self.paths, lambda number: embedded.read(rows[number] - 1))

    def rows(self, keep: Sequence[int]) -> "ImageTable":
        """Some of the images."""
        return replace(self, table=self.table.rows(keep))


def list_images(
    dataset: str | Path,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    validation: str | Path | None = None,
    test: str | Path | None = None,
    has_values: bool = False,
    cache: str | Path | None = None,
) -> dict[str, ImageTable]:
    """The images of a data set, by the name of their part.

    Args:
        dataset: A folder with a folder of images for each class, or with such folders in `train`
            and perhaps in `val` (or `validation`) and `test`; or a table as `read_table` reads
            it, whose paths begin in its own folder.
        image_column: The table's column of paths; of Parquet also one of encoded images, bytes or
            records with the field `bytes`.
        label_column: The table's column of labels, or `FIRST,SECOND,...`: a column of 0 and 1 for
            each of several labels.
        validation: A folder or table, as `dataset` is one, to validate on.
        test: One to test on.
        has_values: Whether the column of labels holds numbers to be predicted.
        cache: Where images out of a Parquet file are kept; see `EmbeddedImages`.

    Returns:
        "train", and those of "validation" and "test" that there are.

    Raises:
        ValueError: If there is no such folder or table, columns are given for a folder or missing
            for a table, a class has no images, or a link leads out of the folder.
    """
    dataset = Path(dataset)
    parts = {}
    for name, other in (("validation", validation), ("test", test)):
        if other is not None and dataset.exists() and Path(other).exists():
            _check_kind(name, Path(other), is_folder=dataset.is_dir())
    of_settings = {"train": dataset, "validation": validation, "test": test}
    if dataset.is_dir():
        of_settings = {**of_settings, **_parts_of_folder(dataset, of_settings)}
    for name, path in of_settings.items():
        if path is not None:
            columns = (image_column, label_column)
            parts[name] = _read_part(name, Path(path), *columns, has_values, cache)
    return parts


def _check_kind(name: str, path: Path, *, is_folder: bool) -> None:
    """Refuses a held-out table beside a folder, and the other way round."""
    if path.is_dir() != is_folder:
        kinds = ("folder of classes", "table") if is_folder else ("table", "folder of classes")
        raise SettingError(
            f"Expected a {kinds[0]} for {argument(name)}, as {argument('dataset')} is one, "
            f"received the {kinds[1]} {str(path)!r}; name a {kinds[0]}."
        )


def state_of(tables: Mapping[str, ImageTable]) -> str:
    """A digest of the names, labels, sizes and times of change of all images.

    Args:
        tables: What `list_images` returned.
    """
    digest = hashlib.sha256()
    for name, one in tables.items():
        digest.update(
            json.dumps([name, str(one.base), one.paths, one.table.labels, one.label_names]).encode()
        )
        if one.embedded is not None:
            digest.update(json.dumps(one.embedded.state()).encode())
            continue
        for path in one.paths:
            try:
                status = os.stat(os.path.join(one.base, path))
                digest.update(f"{status.st_size} {status.st_mtime_ns} ".encode())
            except OSError:
                digest.update(b"none ")
    return digest.hexdigest()


def _read_part(
    name: str,
    path: Path,
    image_column: str | None,
    label_column: str | None,
    has_values: bool,
    cache: str | Path | None,
) -> ImageTable:
    columns = {"image_column": image_column, "label_column": label_column}
    if path.is_dir():
        if has_values:
            raise SettingError(
                f"Expected a table of images and numbers with {argument('output')} values, "
                f"received the folder {str(path)!r}; its folders are classes."
            )
        for column, value in columns.items():
            if value is not None:
                raise SettingError(
                    f"Expected no {argument(column)} with a folder of images, received {value!r}; "
                    "its folders are the classes."
                )
        return read_class_folders(path, may_be_empty=name != "train")
    if path.suffix.lower() not in FORMATS:
        advice = "check the path"
        if path.is_file():
            is_archive = path.suffix.lower() in (
                ".zip",
                ".tar",
                ".gz",
                ".tgz",
                ".bz2",
                ".xz",
                ".7z",
            )
            advice = "unpack it, and name its folder" if is_archive else "name the folder or table"
        raise SettingError(
            f"Expected a folder of images or a table among {', '.join(FORMATS)} for "
            f"{argument('dataset' if name == 'train' else name)}, received {str(path)!r}"
            f"{'' if path.exists() else ' where there is nothing'}; {advice}."
        )
    for column, value in columns.items():
        if value is None:
            raise SettingError(
                f"Expected {argument('image_column')} and {argument('label_column')} with a table "
                f"of images, received no {argument(column)}; name its columns of paths and labels."
            )
    labels = parse_text_columns(str(label_column), str(path))
    if len(labels) > 1 and has_values:
        raise SettingError(
            f"Expected one column of numbers in {argument('label_column')} with "
            f"{argument('output')} values, received {','.join(labels)!r}; name one."
        )
    if len(labels) > 1:
        return _read_labels(path, str(image_column), labels, cache)
    [label] = labels
    images = read_image_column(path, str(image_column), label, has_values=has_values, cache=cache)
    if name == "train" and has_values:
        check_scale(images.table.labels, label)
    elif name == "train":
        check_repeated_labels(images.table.labels, str(path))
    return images


def read_image_column(
    path: Path,
    column: str,
    label_column: str | None,
    *,
    has_values: bool = False,
    setting: str = "image_column",
    cache: str | Path | None = None,
) -> ImageTable:
    """The images of a table, none of them read.

    Args:
        path: As in `read_table`.
        column: The column of paths; of Parquet also one of encoded images.
        label_column: As in `read_table`.
        has_values: As in `read_table`.
        setting: The setting that names the column, for messages.
        cache: As in `list_images`.

    Raises:
        ValueError: As `read_table`; also if no file can have such a path.
    """
    base = path.absolute().parent
    if _holds_images(path, column):
        columns = {"text_columns": (), "label_column": label_column, "has_values": has_values}
        table = read_table(path, **columns, column_setting=setting)
        names = [f"{path.name}, row {number}" for number in table.numbers]
        embedded = EmbeddedImages(path, column, cache)
        table = replace(table, texts=(names,))
        return ImageTable(base, table, has_values=has_values, embedded=embedded)
    table = read_table(
        path,
        text_columns=[column],
        label_column=label_column,
        has_values=has_values,
        column_setting=setting,
    )
    for row, name in enumerate(table.texts[0]):
        if "\0" in name:
            raise SettingError(
                f"Expected a path in column {column!r}, received {name!r} at {table.place(row)}; "
                "remove the NUL in it."
            )
    _check_some_are_there(base, table, column)
    return ImageTable(base, table, has_values=has_values)


def _holds_images(path: Path, column: str) -> bool:
    """Whether a column is one of encoded images; what is wrong with a file is told elsewhere."""
    if path.suffix.lower() != ".parquet":
        return False
    with contextlib.suppress(ValueError), opened_parquet(path) as file:
        return column in image_columns(file.schema_arrow)
    return False


_LOOKED_AT = 20


def _check_some_are_there(base: Path, table: TextTable, column: str) -> None:
    """Refuses paths none of which leads to a file, with what may be wrong with all of them."""
    names = table.texts[0][:_LOOKED_AT]
    if any(os.path.exists(base / name) for name in names):
        return
    first = names[0]
    if "://" in first:
        advice = "nothing is downloaded: fetch the images, and write their paths"
    elif os.path.exists(base / first.replace("\\", "/")):
        advice = "write / in place of \\"
    elif os.path.exists(base / first.strip()):
        advice = "remove the spaces around it"
    elif suffix := next((s for s in SUFFIXES if os.path.exists(base / f"{first}{s}")), None):
        advice = f"write it with its suffix, {suffix}"
    else:
        advice = "correct the paths, or put the table where they begin"
    raise SettingError(
        f"Expected paths of images from {str(base)!r} in column {column!r}, received {first!r} at "
        f"{table.place(0)}, where no file is; {advice}."
    )


_ANSWERS = {"1": "1", "1.0": "1", "true": "1", "0": "0", "0.0": "0", "false": "0"}
"""What stands for yes and no in a table."""


def _read_labels(
    path: Path, image_column: str, names: tuple[str, ...], cache: str | Path | None
) -> ImageTable:
    """A table of images in which each label has a column."""
    if len({image_column, *names}) <= len(names):
        raise SettingError(
            f"Expected different columns in {argument('image_column')} and "
            f"{argument('label_column')}, received {image_column!r} and {','.join(names)!r}; name "
            "each once."
        )
    images = read_image_column(path, image_column, None, cache=cache)
    table, rows = images.table, []
    for row, record in enumerate(read_records(path, text_columns=[image_column])):
        answers = [_ANSWERS.get(str(record.get(name)).strip().lower()) for name in names]
        if None in answers:
            name = names[answers.index(None)]
            if name not in record:
                raise SettingError(unknown_name(f"a column at {path}", name, record))
            raise SettingError(
                f"Expected 0 or 1 in column {name!r}, one of several labels, received "
                f"{record[name]!r} at {table.place(row)}; write 1 for yes and 0 for no."
            )
        rows.append("".join(map(str, answers)))
    return replace(images, table=replace(table, labels=rows), label_names=names)


def _parts_of_folder(folder: Path, given: dict) -> dict[str, Path]:
    """The folder of each part; none where its folders are the classes."""
    names = {path.name for path in _visible(folder) if path.is_dir()}
    if "train" not in names:
        if names and {name.lower() for name in names} <= _LIKE_PARTS:
            raise SettingError(
                f"Expected the folders train, val or validation, and test in {str(folder)!r}, "
                f"received {', '.join(sorted(names))}; rename them, the training images 'train'."
            )
        return {}
    parts = {"train": folder / "train"}
    for name in sorted(names - {"train"}):
        part = HELD_OUT_FOLDERS.get(name)
        if part is None or part in parts:
            raise SettingError(
                f"Expected the folders train, val or validation, and test in {str(folder)!r}, "
                f"received {', '.join(sorted(names))}; put the classes into train, or rename it."
            )
        if given[part] is not None:
            raise SettingError(
                f"Expected no {argument(part)} for a folder that has {name!r}, received "
                f"{str(given[part])!r}; leave one of them out."
            )
        parts[part] = folder / name
    return parts


def read_class_folders(folder: Path, *, may_be_empty: bool = False) -> ImageTable:
    """The images of a folder that has a folder for each class.

    Folders in the folder of a class belong to that class. Hidden files are left out; each other
    file has to be an image, which is seen when it is decoded.

    Args:
        folder: The folder.
        may_be_empty: Whether a class may have no images, as in data that is held out.

    Raises:
        ValueError: If there is no class, a class is empty, images lie beside the classes, or a
            link leads out of the folder.
    """
    classes = []
    for path in _visible(folder):
        if path.is_dir():
            classes.append(path.name)
        elif os.path.splitext(path.name)[1].lower() in SUFFIXES:
            raise SettingError(
                f"Expected all images of {str(folder)!r} in folders of their class, received "
                f"{path.name!r} beside them; move it, or name a table of labels with "
                f"{argument('dataset')}."
            )
    if not classes:
        raise SettingError(
            f"Expected a folder for each class in {str(folder)!r}, received none; put the images "
            f"into folders named by their class, or name a table with {argument('dataset')}."
        )
    is_alone = len(classes) == 1 and not may_be_empty
    if is_alone and sum(one.is_dir() for one in _visible(folder / classes[0], folder)) > 1:
        within = folder / classes[0]
        raise SettingError(
            f"Expected a folder for each of at least two classes in {str(folder)!r}, received "
            f"{classes[0]!r} alone, with folders in it; if these are the classes, or the parts of "
            f"the data, name it: {argument('dataset')} {shlex.quote(str(within))}."
        )
    paths, labels = [], []
    for name in classes:
        found = list(_files_below(folder, name, {os.path.realpath(folder)}))
        if not found and not may_be_empty:
            raise SettingError(
                f"Expected images in the folder of each class, received none in "
                f"{str(folder / name)!r}; add some, or remove the folder."
            )
        paths += found
        labels += [name] * len(found)
    if not paths:
        raise SettingError(f"Expected images in {str(folder)!r}, received none; add some.")
    numbers = list(range(1, len(paths) + 1))
    return ImageTable(folder.absolute(), TextTable(str(folder), (paths,), labels, numbers, "image"))


def list_files(folder: Path) -> ImageTable:
    """All files of a folder and of those in it, without labels; hidden ones are left out.

    Raises:
        ValueError: If there are none, or a link leads out of the folder.
    """
    paths = list(_files_below(folder, "", set()))
    if not paths:
        raise SettingError(f"Expected images in {str(folder)!r}, received none; add some.")
    numbers = list(range(1, len(paths) + 1))
    return ImageTable(folder.absolute(), TextTable(str(folder), (paths,), [], numbers, "image"))


def _files_below(root: Path, name: str, above: set[str]) -> Iterable[str]:
    """Paths of all files in a folder and those in it, sorted, from the root."""
    real = os.path.realpath(root / name)
    if real in above:
        return  # a link to a folder that it lies in
    for path in _visible(root / name, root):
        if path.is_dir():
            yield from _files_below(root, os.path.join(name, path.name), {*above, real})
        else:
            yield os.path.join(name, path.name)


def _visible(folder: Path, root: Path | None = None) -> list[os.DirEntry[str]]:
    """What is in a folder, sorted, without what file managers hide; links stay within a root."""
    root = folder if root is None else root
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise SettingError(
            f"Expected a folder that can be read, received {str(folder)!r} ({error.strerror}); "
            "check its permissions."
        ) from error
    visible = []
    for entry in found:
        if entry.name.startswith(".") or entry.name.lower() in _OF_DESKTOPS:
            continue
        try:
            entry.name.encode()
        except UnicodeEncodeError as error:
            raise SettingError(
                f"Expected names of files in UTF-8, received {entry.name!r} in {str(folder)!r}; "
                "rename it."
            ) from error
        if entry.is_symlink():
            _check_link(Path(entry.path), root)
        visible.append(entry)
    return visible


def _check_link(path: Path, root: Path) -> None:
    target, real_root = os.path.realpath(path), os.path.realpath(root)
    if os.path.commonpath([target, real_root]) != real_root:
        raise SettingError(
            f"Expected links that stay in {str(root)!r}, received {str(path)!r}, which leads to "
            f"{target!r}; copy the files, or list them in a table."
        )
