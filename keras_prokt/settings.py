"""Settings of a run: each stands here, or on the row of its method, once.

From a setting's row follow its option on the command line, its help, its range, its message, its
place in `run.json` and in what an app is asked for. This module imports no Keras.
"""

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any
from unicodedata import category

from keras_prokt.arguments import as_float32
from keras_prokt.backends import BACKENDS
from keras_prokt.names import unknown_name

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

_OPEN, _CLOSE = "\ue000", "\ue001"


def argument(name: str, key: str | None = None) -> str:
    """An argument's name in a message, which the command line shows as its option.

    Args:
        name: Name of the setting, such as `proximal_weight`.
        key: Key in it, of settings that are mappings: the objective of a weight.

    Example:

    >>> from keras_prokt.settings import SettingError, argument
    >>> error = SettingError(f"Expected {argument('proximal_weight')} in [0, 1), received 2.")
    >>> str(error)
    'Expected proximal_weight in [0, 1), received 2.'
    >>> error.shown_as({"proximal_weight": "--lambda"})
    'Expected --lambda in [0, 1), received 2.'
    """
    return f"{_OPEN}{name}{'' if key is None else f' {key}'}{_CLOSE}"


class SettingError(ValueError):
    """A setting that means nothing; the message names arguments.

    Args:
        message: One line, with `argument(...)` for the names of arguments.
    """

    def __init__(self, message: str):
        self._message = message
        super().__init__(self.shown_as({}))

    @property
    def marked(self) -> str:
        """The message as it was given, from which the same error can be made elsewhere."""
        return self._message

    def shown_as(self, names: Mapping[str, str]) -> str:
        """The message with other names for the arguments.

        Args:
            names: Argument -> what to write in its place; others stay as they are.
        """
        shown = []
        for number, piece in enumerate(self._message.split(_OPEN)):
            if number == 0:
                shown.append(piece)
                continue
            marked, _, rest = piece.partition(_CLOSE)
            name, _, key = marked.partition(" ")
            shown.append(f"{names.get(name, name)}{' ' if key else ''}{key}{rest}")
        return "".join(shown)


@dataclass(frozen=True)
class Setting:
    """What is known of one setting.

    Attributes:
        help: One sentence for `--help`.
        kind: `float`, `int`, `str`, `bool`, `tuple` (of strings) or `dict`.
        option: How it is typed; `None` for `--` and its name.
        metavar: What stands for the value in `--help`.
        at_least: Smallest value.
        above: A value that it must exceed.
        at_most: Largest value.
        below: A value that it must stay below.
        choices: The only values.
        advice: What a message adds when the value is out of its range.
        is_file: Whether it is a path, which is kept absolute.
        is_place: Whether it only says where files lie, which changes no result.
        is_one_text: Whether a tuple is typed as one text, and not an entry at a time.
        is_listed: Whether a comma separates values in a search.
        is_logarithmic: Whether a search draws a range by its logarithm.
        may_change: Whether `"0.6..0"` is a value too: from the first to the last epoch, in equal
            steps.
        of_apps: Attribute of `App` that apps which have it share; `None` for all apps.
        advice_for_apps: What a message says of apps that do not have it.
    """

    help: str
    kind: type = str
    option: str | None = None
    metavar: str | None = None
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    advice: str = ""
    is_file: bool = False
    is_place: bool = False
    is_one_text: bool = False
    is_listed: bool = True
    is_logarithmic: bool = False
    may_change: bool = False
    of_apps: str | None = None
    advice_for_apps: str = ""

    @property
    def is_repeated(self) -> bool:
        """Whether the option may be given several times, an entry each."""
        return self.kind is dict or (self.kind is tuple and not self.is_one_text)

    def option_of(self, name: str) -> str:
        """How it is typed on the command line."""
        return self.option or f"--{name.replace('_', '-')}"

    def checked(self, name: str, value: Any, key: str | None = None) -> Any:
        """The value in its kind.

        Args:
            name: The argument's name, for messages.
            value: The value.
            key: Key in the argument, for messages.

        Raises:
            SettingError: If it is of another kind or out of range.
        """
        shown = argument(name, key)
        if self.may_change and isinstance(value, str):
            return self._checked_change(name, value)
        converted = _CONVERSIONS[self.kind](value)
        if converted is None:
            raise SettingError(f"Expected {_KINDS[self.kind]} for {shown}, received {value!r}.")
        if self.choices and converted not in self.choices:
            raise SettingError(unknown_name(f"{shown}", converted, self.choices))
        if self.kind in (float, int):
            self._check_range(shown, converted)
        return converted

    def _checked_change(self, name: str, text: str) -> str:
        """The text of a value that goes from one number to another."""
        ends = text.split("..")
        if len(ends) != 2:
            raise SettingError(
                f"Expected a number for {argument(name)}, or two of them such as 0.6..0, received "
                f"{text!r}."
            )
        for end in ends:
            replace(self, may_change=False).parsed(name, end.strip())
        return "..".join(end.strip() for end in ends)

    def _check_range(self, shown: str, value: float) -> None:
        computed = as_float32(value) if self.kind is float else value
        is_in_range = (
            math.isfinite(computed)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or computed > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or computed < self.below)
            and (computed != 0 or value == 0)
        )
        if self.kind is int and self.at_most is None and value > _LARGEST:
            raise SettingError(f"Expected {shown} of at most {_LARGEST}, received {value!r:.40}.")
        if not is_in_range:
            advice = f"; {self.advice}" if self.advice else ""
            is_infinite = not math.isfinite(computed)
            is_rounded = is_infinite or computed in (0, self.above, self.below)
            if math.isfinite(value) and is_rounded and computed != value:
                advice = f", which float32 rounds to {computed:g}{advice}"
            allowed = self._range()
            if is_infinite and allowed.startswith(("above", "of")):
                allowed = f"that is finite and {allowed.removeprefix('of ')}"
            raise SettingError(f"Expected {shown} {allowed}, received {value!r}{advice}.")

    def _range(self) -> str:
        low = self.at_least if self.above is None else self.above
        high = self.at_most if self.below is None else self.below
        if low is not None and high is not None:
            ends = "(" if self.above is not None else "[", ")" if self.below is not None else "]"
            return f"in {ends[0]}{_shown(low)}, {_shown(high)}{ends[1]}"
        if self.above is not None:
            return f"above {_shown(self.above)}"
        return "that is finite" if low is None else f"of at least {_shown(low)}"

    def parsed(self, name: str, text: str, key: str | None = None) -> Any:
        """The value of what a person typed; arguments as `checked`.

        Raises:
            SettingError: If it is of another kind or out of range.
        """
        if self.may_change and ".." in text:
            return self._checked_change(name, text)
        if self.kind in (float, int):
            try:
                return self.checked(name, self.kind(text), key)
            except (ValueError, OverflowError) as error:
                if isinstance(error, SettingError):
                    raise
                raise SettingError(
                    f"Expected {_KINDS[self.kind]} for {argument(name, key)}, received {text!r}; "
                    f"such as {'0.3' if self.kind is float else '2'}."
                ) from None
        if self.kind is bool:
            words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            if text.lower() not in words:
                raise SettingError(
                    f"Expected true or false for {argument(name, key)}, received {text!r}."
                )
            return words[text.lower()]
        if self.kind is tuple:
            return (text,)
        return self.checked(name, text, key)


_LARGEST = 2**31 - 1
"""Of whole numbers that have no other bound; backends count with no larger ones."""


def _shown(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _as_float(value: Any) -> float | None:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf if value > 0 else -math.inf


def _as_int(value: Any) -> int | None:
    is_number = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return int(value) if is_number else None


def _as_text(value: Any) -> str | None:
    # No file can be named, and no terminal shown, control characters and half characters.
    is_text = isinstance(value, str) and value.strip() != ""
    return value if is_text and not any(category(c) in ("Cc", "Cs") for c in value) else None


def _as_texts(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str) or not isinstance(value, (tuple, list)):
        return None
    return tuple(value) if all(_as_text(one) is not None for one in value) else None


_CONVERSIONS: dict[type, Callable[[Any], Any]] = {
    float: _as_float,
    int: _as_int,
    str: _as_text,
    bool: lambda value: value if isinstance(value, bool) else None,
    tuple: _as_texts,
    dict: lambda value: dict(value) if isinstance(value, Mapping) else None,
}

_KINDS = {
    float: "a number",
    int: "a whole number",
    str: "a text, not empty and without control characters,",
    bool: "true or false",
    tuple: "a list of texts",
    dict: "a mapping",
}


def setting(help: str, kind: type = str, *, default: Any = None, **metadata: Any) -> Any:
    """A field of a part of the spec, with what is known of it; arguments as `Setting`."""
    return field(default=default, metadata={"setting": Setting(help, kind, **metadata)})


def settings_of(part: type) -> dict[str, Setting]:
    """The settings of a part of the spec, by name."""
    return {f.name: f.metadata["setting"] for f in fields(part) if "setting" in f.metadata}


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


def ends_of(value: float | str) -> tuple[float, float]:
    """The first and the last value of a setting that may change.

    Example:

    >>> from keras_prokt.settings import ends_of
    >>> ends_of("0.6..0"), ends_of(0.3)
    ((0.6, 0.0), (0.3, 0.3))
    """
    if isinstance(value, str):
        first, _, last = value.partition("..")
        return float(first), float(last)
    return float(value), float(value)


ROLES = ("student", "teacher")


def name_of_role(role: str, name: str) -> str:
    """The flat name of a setting of an optimizer, such as `student_learning_rate`."""
    return f"{role}_{name}"


def fields_of(part: type) -> list[Field[Any]]:
    """The fields of a part that are settings."""
    return [f for f in fields(part) if "setting" in f.metadata]
