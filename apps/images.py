"""App `images`: a classifier of the user's own images, in folders of their class or in a table."""

import contextlib
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_prokt.app import App, OptimizerRecipe, Recipe, Task, TaskRequest
from keras_prokt.data.prepared_folder import PreparedFolder
from keras_prokt.data.table import TFDS, check_set
from keras_prokt.names import unknown_name
from keras_prokt.settings import SettingError, argument
from keras_prokt_apps.cifar100 import NETWORKS as LARGER_NETWORKS

if TYPE_CHECKING:
    from keras_prokt.data.image_rows import Source
    from keras_prokt.data.image_table import ImageTable
    from keras_prokt.data.images import LabelledImages

NETWORKS = {
    "cnn-large": "2 stages of 2 convolutions, 32 and 64 channels, batch normalisation",
    "cnn-medium": "2 convolutions, 16 and 32 channels, batch normalisation",
    "cnn-small": "2 convolutions, 6 and 12 channels",
    **LARGER_NETWORKS,
}

ELSEWHERE = (
    ", keras:NAME of keras.applications, hub:PRESET of keras-hub, or module:function of your own"
)

PAIRS_BY_SIZE = (
    (28, ("cnn-large", "cnn-small")),
    (64, ("wrn-40-2", "shufflenet-v1")),
    (None, ("keras:ResNet50", "keras:MobileNetV2")),
)
"""Teacher and student of images whose longer side is at most so many pixels."""

LARGEST_BY_ITSELF = 128
"""Size beyond which images are not trained on unless it is asked for."""

SMALLEST, LARGEST = 8, 4096
"""Of the sides that an image may be brought to: networks halve them twice, and fill the memory."""

AUGMENTATION = "crop+flip"
"""What happens to training images if nothing else is asked for."""


def suggest(given: Mapping[str, Any]) -> dict[str, Any]:
    """The size of the images, if none is given, and a pair of networks for it."""
    size = given.get("image_size")
    if size is None and given.get("dataset") is not None and "prepared" not in given:
        size = _size_of_data(given)
    if size is None:
        return {}
    longest = max(parse_size(size))
    pair = next(pair for most, pair in PAIRS_BY_SIZE if most is None or longest <= most)
    return {"image_size": size, **dict(zip(("teacher", "student"), pair, strict=True))}


def _size_of_data(given: Mapping[str, Any]) -> str:
    """The size that all images share, or else the largest usual one that they fill."""
    if given["dataset"].startswith(TFDS):
        raise SettingError(
            f"Expected {argument('image_size')} with a set of TensorFlow Datasets, received none; "
            "such as 32."
        )
    names = ("image_column", "label_column")
    of_columns = [given.get(name) for name in names]
    has_values = given.get("output") == "values"
    train = _tables(given["dataset"], None, None, *of_columns, has_values)["train"]
    source, count = train.source, len(train.paths)
    looked_at = range(0, count, max(1, count // 100))
    sizes = [size for number in looked_at if (size := _size_of(source, number)) is not None]
    if not sizes:
        return "64"  # what is wrong with all of them is told when they are decoded
    if len(set(sizes)) == 1 and max(sizes[0]) <= LARGEST_BY_ITSELF:
        height, width = sizes[0]
        return str(height) if height == width else f"{height}x{width}"
    shorter = sorted(min(size) for size in sizes)[len(sizes) // 2]
    return str(max(size for size in (32, 64, 96, LARGEST_BY_ITSELF) if size <= max(shorter, 32)))


def _size_of(source: "Source", number: int) -> tuple[int, int] | None:
    from keras_prokt.data.image_files import size_of_image

    with contextlib.suppress(OSError):
        return size_of_image(source.read(number))
    return None


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of `64` or `48x64`.

    Raises:
        SettingError: If it is neither, too small or too large.

    Example:

    >>> from keras_prokt_apps.images import parse_size
    >>> parse_size("64"), parse_size("48x64")
    ((64, 64), (48, 64))
    """
    match = re.fullmatch(r"([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?", text.strip().lower())
    size = None if match is None else (int(match[1]), int(match[2] or match[1]))
    if size is None or min(size) < SMALLEST or max(size) > LARGEST:
        raise SettingError(
            f"Expected {argument('image_size')} PIXELS or HEIGHTxWIDTH from {SMALLEST} to "
            f"{LARGEST}, received {text!r}; such as 64 or 48x64."
        )
    return size


def _parse_channels(name: str, text: str | None, smallest: float) -> list[float] | None:
    """Three numbers in [0, 1]."""
    if text is None:
        return None
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or not all(smallest <= number <= 1 for number in numbers):
        raise SettingError(
            f"Expected three numbers in [{smallest:g}, 1] for {argument(name)}, received {text!r}; "
            "such as 0.5,0.5,0.5."
        )
    return numbers


def _check_weights(name: str, path: str | None) -> None:
    if path is not None and not (path.endswith(".h5") and Path(path).is_file()):
        what = "of another ending" if Path(path).is_file() else "where there is no file"
        raise SettingError(
            f"Expected a file of weights, .weights.h5 or .h5, for {argument(name)}, received "
            f"{path!r} {what}; a whole model (.keras) is given as {argument('teacher_init')}."
        )


def _augmentation(request: TaskRequest) -> tuple[str, ...]:
    from keras_prokt.data.augmentation import parse_augmentation

    return parse_augmentation(request.augmentation or AUGMENTATION)


def check(request: TaskRequest) -> None:
    """Refuses models that cannot be, and images that cannot be read; imports no Keras."""
    if not request.dataset:
        raise SettingError(
            f"Expected {argument('dataset')} with app 'images', received none; name your folder or "
            "table of images."
        )
    for role, name in (("a teacher", request.teacher), ("a student", request.student)):
        if name not in NETWORKS and ":" not in name:
            raise ValueError(unknown_name(role, name, NETWORKS, ELSEWHERE))
    for name in ("teacher_weights", "student_weights"):
        _check_weights(name, getattr(request, name))
    from keras_prokt.data.augmentation import MIXING

    mixing = [name for name in _augmentation(request) if name in MIXING]
    if request.output == "values" and mixing:
        raise SettingError(
            f"Expected {argument('augmentation')} without {' and '.join(mixing)} with "
            f"{argument('output')} values, received {request.augmentation!r}; they mix classes."
        )
    _parse_channels("image_mean", request.image_mean, 0.0)
    _parse_channels("image_deviation", request.image_deviation, 1e-3)
    if request.image_size is None:
        raise SettingError(f"Expected {argument('image_size')}, received none; such as 64.")
    parse_size(request.image_size)
    if request.prepared is not None:
        PreparedFolder(request.prepared).check(request, "images")
    elif request.dataset.startswith(TFDS):
        if request.output == "values":
            raise SettingError(
                f"Expected a table of images and numbers with {argument('output')} values, "
                f"received {request.dataset!r}; write its images and numbers as one."
            )
        if request.cache_images == "never":
            raise SettingError(
                f"Expected {argument('cache_images')} auto or always with a set of TensorFlow "
                "Datasets, received 'never'; its images are no files of their own."
            )
        held_out = {"validation": request.validation, "test": request.test}
        check_set(request.dataset, **held_out, data_dir=request.data_dir)
    else:
        _images(request)


def prepare(request: TaskRequest) -> Task:
    """Reads the images, divides them where nothing is held out, and readies both networks."""
    check(request)
    from keras_prokt import front_ends
    from keras_prokt.data.augmentation import image_augmentation
    from keras_prokt.models.image_networks import image_network

    names, size = _augmentation(request), parse_size(str(request.image_size))
    if request.prepared is None:
        images = _images(request)
        front_end = _front_end(request, images)
        transform = image_augmentation(names, front_end, len(images.class_names))
        data = _batches(request, images, transform)
    else:
        folder = PreparedFolder(request.prepared)
        front_end = front_ends.from_json(folder.front_ends()["student"])
        count = len(folder.record["class_names"])
        transform = image_augmentation(names, front_end, count)
        data = folder.task_data(request, transform=transform)
    scale = {"mean": front_end.mean, "standard_deviation": front_end.standard_deviation}
    networks = {
        "teacher": image_network(request.teacher, **scale, weights=request.teacher_weights),
        "student": image_network(request.student, **scale, weights=request.student_weights),
    }
    shape = (len(data["class_names"]) or 1, (*size, 3))
    output = "labels" if data["train"].labels.ndim == 2 else request.output or "classes"
    return Task(
        **data,
        output=output,
        build_teacher=functools.partial(networks["teacher"], *shape),
        build_student=functools.partial(networks["student"], *shape),
        front_end=front_end,
        teacher_front_end=front_end,
    )


def _front_end(request: TaskRequest, images: "LabelledImages") -> Any:
    """How images are normalised: as asked for, or so that those of training have mean 0."""
    from keras_prokt.data.images import mean_and_deviation
    from keras_prokt.front_ends import ImageFrontEnd

    mean = _parse_channels("image_mean", request.image_mean, 0.0)
    deviation = _parse_channels("image_deviation", request.image_deviation, 1e-3)
    if mean is None or deviation is None:
        measured = mean_and_deviation(images.parts["train"].rows)
        mean, deviation = mean or measured[0], deviation or measured[1]
    size = parse_size(str(request.image_size))
    return ImageFrontEnd(size, mean=mean, standard_deviation=deviation)


LABEL_METRICS = ("macro_f1", "accuracy", "exact_match")
"""What is reported of several labels an image: most labels are rare, so that F1 comes first."""

ON_DEVICE = 500_000_000
"""Bytes of images up to which JAX may hold them where it computes."""


def _batches(request: TaskRequest, images: "LabelledImages", transform: Any) -> dict[str, Any]:
    """The fields of the task that are data."""
    import math

    from keras_prokt.data.batches import Batches, Origin

    may_be = not (transform.needs_host or images.parts["train"].rows.reads_slowly)
    batches = {
        name: Batches(
            part.rows,
            part.labels,
            batch_size=request.batch_size,
            seed=request.seed,
            shuffle=name == "train",
            transform=transform,
            on_device=may_be and math.prod(part.rows.shape) <= ON_DEVICE,
            origin=Origin(part.positions, part.count),
        )
        for name, part in images.parts.items()
    }
    if request.limit is not None:
        batches["train"] = batches["train"].limited(request.limit)
    return {
        "train": batches["train"],
        "validation": batches["validation"],
        "test": batches.get("test"),
        "class_names": images.class_names,
        "metrics": LABEL_METRICS if images.output == "labels" else (),
        "validates_on_training_set": images.validates_on_training_set,
    }


def _tables(
    dataset: str,
    validation: str | None,
    test: str | None,
    image_column: str | None,
    label_column: str | None,
    has_values: bool,
) -> "dict[str, ImageTable]":
    from keras_prokt.data.image_table import list_images

    return list_images(
        Path(dataset),
        image_column=image_column,
        label_column=label_column,
        validation=validation,
        test=test,
        has_values=has_values,
    )


def _images(request: TaskRequest) -> "LabelledImages":
    """The user's images, read once as long as the files stay as they are."""
    if request.dataset.startswith(TFDS):
        return _images_of_set(request)
    from keras_prokt.data.image_table import state_of

    columns = (request.image_column, request.label_column, request.output == "values")
    tables = _tables(request.dataset, request.validation, request.test, *columns)
    return _read(
        _Unhashed(tables),
        parse_size(str(request.image_size)),
        request.cache_images or "auto",
        request.broken_images or "refuse",
        state=state_of(tables),
    )


def _images_of_set(request: TaskRequest) -> "LabelledImages":
    """The images of a set of TensorFlow Datasets, whose pixels are always kept."""
    from keras_prokt.data.image_rows import Source
    from keras_prokt.data.images import labelled_images
    from keras_prokt.data.text_table import TextTable
    from keras_prokt.data.tfds_files import read_encoded_images

    tables, sources, class_names = {}, {}, None
    for part in ("train", "validation", "test"):
        split = read_encoded_images(
            request.dataset.removeprefix(TFDS),
            part,
            image=request.image_column,
            label=request.label_column,
            data_dir=request.data_dir,
        )
        if split is None or (part == "test" and set(split.labels) == {-1}):
            continue
        class_names = split.class_names
        if -1 in split.labels:
            raise SettingError(
                f"Expected a label for each image of {request.dataset}, received none in {part}, "
                f"row {split.labels.index(-1) + 1}; choose another {argument('label_column')} or "
                "set."
            )
        names = [f"{part}, row {row}" for row in range(1, len(split.labels) + 1)]
        labels = [class_names[number] for number in split.labels]
        numbers = list(range(1, len(names) + 1))
        tables[part] = TextTable(f"{request.dataset} {part}", (names,), labels, numbers, "row")
        sources[part] = Source(names, split.contents.__getitem__)
    if "train" not in tables:
        raise SettingError(
            f"Expected a set with a split 'train' for {argument('dataset')}, received "
            f"{request.dataset!r} without; choose another set."
        )
    return labelled_images(
        tables,
        sources,
        size=parse_size(str(request.image_size)),
        class_names=class_names,
        cache_images="always",
        broken_images=request.broken_images or "refuse",
    )


class _Unhashed:
    """A value that is the same argument as any other to `functools.lru_cache`."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unhashed)

    def __hash__(self) -> int:
        return 0


@functools.lru_cache(maxsize=1)
def _read(
    tables: _Unhashed, size: tuple[int, int], cache_images: str, broken_images: str, *, state: str
) -> "LabelledImages":
    from keras_prokt.data.images import labelled_images

    return labelled_images(
        {name: one.table for name, one in tables.value.items()},
        {name: one.source for name, one in tables.value.items()},
        size=size,
        label_names=tables.value["train"].label_names,
        has_values=tables.value["train"].has_values,
        cache_images=cache_images,
        broken_images=broken_images,
    )


def _adam(learning_rate: float) -> OptimizerRecipe:
    return OptimizerRecipe("adam", learning_rate, "cosine")


APP = App(
    name="images",
    summary="your own images (--dataset): a folder a class, or a table of paths and labels",
    teachers=NETWORKS,
    students=NETWORKS,
    default_teacher="wrn-40-2",
    default_student="shufflenet-v1",
    recipe=Recipe(
        epochs=30,
        batch_size=64,
        teacher=_adam(1e-3),
        student=_adam(1e-3),
        # So small a network learns little else in 30 epochs; as app `digits` has it.
        students={"cnn-small": _adam(1e-2)},
        teacher_epochs=30,
        first_stage_epochs=5,
    ),
    prepare=prepare,
    check=check,
    suggest=suggest,
    assistants=("wrn-16-2",),
    reads_images=True,
    can_prepare=True,
    outputs=("classes", "values"),
)
