"""The settings that every method has, in the parts of a run's spec."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_prokt.backends import BACKENDS
from keras_prokt.settings.definition import setting

PRECISIONS = ("float32", "bfloat16", "float16")
"""What the networks compute in; weights, logits and losses are float32 with each of them."""

OPTIMIZERS = (
    "adam",
    "adamw",
    "sgd",
    "coupled_sgd",
    "rmsprop",
    "nadam",
    "adamax",
    "adagrad",
    "lion",
    "lamb",
)
"""Keras's optimizers by name, and `coupled_sgd`, whose weight decay is part of the gradient."""

SCHEDULES = ("constant", "linear", "cosine", "steps")

MOMENTUM_OPTIMIZERS = ("sgd", "coupled_sgd", "rmsprop")


def _own_data(help: str, kind: type = str, **metadata: Any) -> Any:
    advice = "the app brings its own data: use app 'text', 'tokens' or 'images' for yours"
    return setting(help, kind, of_apps="reads_own_data", advice_for_apps=advice, **metadata)


def _columns(help: str, kind: type = str, **metadata: Any) -> Any:
    advice = "its data is no table of texts: use app 'text' or 'tokens' for one"
    return setting(help, kind, of_apps="reads_table", advice_for_apps=advice, **metadata)


def _images(help: str, kind: type = str, **metadata: Any) -> Any:
    advice = "it reads no images of yours: use app 'images' for them"
    return setting(help, kind, of_apps="reads_images", advice_for_apps=advice, **metadata)


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which data. A field is `None` where it is not given and the app's own holds."""

    limit: int | None = setting("Use so many training examples.", int, at_least=1)
    data_dir: str | None = setting(
        "Directory of the data. [default: $TFDS_DATA_DIR]",
        is_file=True,
        is_place=True,
        is_listed=False,
    )
    prepared: str | None = setting(
        "Folder of `keras-prokt prepare`, from which data and start weights are taken.",
        is_file=True,
        is_place=True,
        is_listed=False,
        of_apps="can_prepare",
        advice_for_apps="it cannot take its data from a folder",
    )
    full_train: bool = setting(
        "Train on the validation examples too.",
        bool,
        default=False,
        of_apps="can_train_on_validation",
        advice_for_apps="its validation examples are never trained on",
    )
    dataset: str | None = _own_data(
        "Your data: a table (.csv, .tsv, .jsonl, .parquet) or tfds:NAME; of app tokens .conll or "
        ".jsonl; of app images a folder too.",
        is_file=True,
        is_listed=False,
    )
    text_columns: tuple[str, ...] | None = _columns(
        "Its column of texts; of pairs FIRST,SECOND.",
        tuple,
        option="--text",
        is_one_text=True,
        is_listed=False,
    )
    label_column: str | None = _own_data("Its column of labels.", option="--label", is_listed=False)
    output: str | None = setting(
        "What the labels are: classes, or values, numbers to be predicted (regression). [default: "
        "classes]",
        choices=("classes", "values"),
        of_apps="outputs",
        advice_for_apps="its labels are of one kind",
        is_listed=False,
    )
    validation: str | None = _own_data(
        "A table to validate on. [default: a tenth of the rows]", is_file=True, is_listed=False
    )
    test: str | None = _own_data(
        "A table to test on. [default: a tenth, unless --validation]",
        is_file=True,
        is_listed=False,
    )
    unlabelled_rows: bool = _columns(
        "Rows with an empty label train without one; otherwise they are refused.",
        bool,
        default=False,
    )
    unlabelled: str | None = _columns(
        "A table of more texts, without labels, that train too.", is_file=True, is_listed=False
    )
    image_column: str | None = _images(
        "Of a table of images, its column of paths, or of images.",
        option="--image",
        is_listed=False,
    )
    image_size: str | None = _images(
        "Size to which images are brought: 64, or HEIGHTxWIDTH. [default: by the images, at most "
        "128]",
        is_listed=False,
    )
    image_mean: str | None = _images(
        "Mean of red, green and blue in [0, 1], such as 0.485,0.456,0.406. [default: measured]",
        is_listed=False,
    )
    image_deviation: str | None = _images(
        "Standard deviation of each, such as 0.229,0.224,0.225. [default: measured]",
        is_listed=False,
    )
    augmentation: str | None = _images(
        "How training images are changed at random: none, or crop, flip, randaugment, mixup and "
        "cutmix, joined by +. [default: crop+flip]",
    )
    broken_images: str | None = _images(
        "refuse or skip images that cannot be read. [default: refuse]",
        choices=("refuse", "skip"),
        is_listed=False,
    )
    cache_images: str | None = _images(
        "Keep decoded images on disk: auto (where they take at most half of what is free), always "
        "or never. [default: auto]",
        choices=("auto", "always", "never"),
        is_place=True,
        is_listed=False,
    )
    split_seed: int | None = setting(
        "Seed of the division into training and validation data. [default: one division for all]",
        int,
        at_least=0,
        at_most=2**32 - 1,
        of_apps="divides_data",
        advice_for_apps="its division is given",
        is_listed=False,
    )
    hold_out: int | None = setting(
        "Rows of the training set to choose on; the public validation set is then test data.",
        int,
        at_least=1,
        of_apps="can_hold_out",
        advice_for_apps="it has validation and test data of its own",
        is_listed=False,
    )
    label_noise: float | None = setting(
        "For research: share of the training labels that are made wrong on purpose.",
        float,
        above=0,
        below=1,
        is_listed=False,
    )
    labelled: int | None = setting(
        "For research: so many training examples keep their label, the others have none.",
        int,
        at_least=1,
        is_listed=False,
    )
    max_length: int | None = setting(
        "Word pieces at which texts are cut. [default: 128 or less]",
        int,
        at_least=1,
        of_apps="reads_text",
        advice_for_apps="its models read no texts",
    )


@dataclass(frozen=True)
class ModelSettings:
    """Which models. Methods without a teacher have its name too, where the student is cut from it
    or reads its vocabulary; `None` in the spec of a teacher itself."""

    teacher: str | None = setting(
        "The teacher: a name of the app; on text a preset or directory; on images keras:NAME, "
        "hub:PRESET or module:function."
    )
    student: str | None = setting("The student, as --teacher.")
    teacher_weights: str | None = _images(
        "File of weights that the teacher starts from, .weights.h5 or .h5; of keras:NAME without "
        "its top or with ImageNet's classes too.",
        is_file=True,
        is_listed=False,
    )
    student_weights: str | None = _images("The same of the student.", is_file=True, is_listed=False)


@dataclass(frozen=True)
class OptimizerSettings:
    """The optimizer of one of the two models; `None`: the recipe's."""

    optimizer: str | None = setting(
        "The {role}'s optimizer: " + ", ".join(OPTIMIZERS) + ".", choices=OPTIMIZERS
    )
    learning_rate: float | None = setting(
        "The {role}'s first learning rate.", float, above=0, is_logarithmic=True
    )
    schedule: str | None = setting(
        "How the {role}'s learning rate falls: " + ", ".join(SCHEDULES) + ".", choices=SCHEDULES
    )
    weight_decay: float | None = setting(
        "The {role}'s weight decay: of coupled_sgd a part of the gradient, else apart from it.",
        float,
        at_least=0,
        is_logarithmic=True,
    )
    momentum: float | None = setting(
        "The {role}'s momentum, of sgd, coupled_sgd and rmsprop.", float, at_least=0, below=1
    )
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the optimizer, from the recipe."""


@dataclass(frozen=True)
class TrainingSettings:
    """How long, in which pieces, from which random numbers, on which form of the labels."""

    epochs: int | None = setting("Epochs of distillation, or of method student.", int, at_least=1)
    batch_size: int | None = setting("Examples a step.", int, at_least=1)
    seed: int = setting(
        "Seed of weights, dropout and data order. [default: 0]",
        int,
        default=0,
        at_least=0,
        at_most=2**32 - 1,
    )
    label_smoothing: float | None = setting(
        "Label smoothing s wherever a model learns labels, student or teacher: 1 − s stays on the "
        "label, s is spread evenly over all classes. [default: 0]",
        float,
        at_least=0,
        below=1,
    )
    patience: int | None = setting(
        "Stop when the student has not been better on validation for so many epochs; schedules "
        "stay those of --epochs. [default: all epochs]",
        int,
        at_least=1,
    )
    class_weight: str | None = setting(
        "Weight of each class wherever a model learns labels, student or teacher: balanced, which "
        "is n / (K · n_k), or such as spam=5,ham=1. [default: 1 each]",
        metavar="balanced|NAME=WEIGHT,...",
        is_listed=False,
    )


@dataclass(frozen=True)
class ComputingSettings:
    """What computes, and how."""

    backend: str = setting(
        "tensorflow, jax or torch. [default: $KERAS_BACKEND or tensorflow]",
        default="tensorflow",
        choices=tuple(BACKENDS),
    )
    precision: str = setting(
        "What the networks compute in: float32, bfloat16 or float16; weights and losses stay "
        "float32, and a teacher given by --teacher-init what it is. [default: float32]",
        default="float32",
        choices=PRECISIONS,
    )
    steps_per_execution: int = setting(
        "Steps sent to the device at once; a divisor of an epoch's steps. [default: 1]",
        int,
        default=1,
        at_least=1,
    )
    deterministic: bool = setting(
        "Operations that give the same bits every time on an accelerator too, where resuming is "
        "not exact without.",
        bool,
        default=False,
    )


PARTS: dict[str, type] = {
    "data": DataSettings,
    "models": ModelSettings,
    "training": TrainingSettings,
    "computing": ComputingSettings,
}
"""Parts of the spec whose settings every method has, by name."""


ROLES = ("student", "teacher")


def name_of_role(role: str, name: str) -> str:
    """The flat name of a setting of an optimizer, such as `student_learning_rate`."""
    return f"{role}_{name}"
