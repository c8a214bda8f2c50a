"""What an app is: a named, ready task, as a plain value that the command line can list.

This module imports no Keras, so that apps can be listed at once.
"""

import functools
import importlib
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_prokt.app_file import is_app_file, values_in_file
from keras_prokt.named_code import check_named
from keras_prokt.names import is_known, unknown_name
from keras_prokt.settings import DataSettings

if TYPE_CHECKING:
    import keras

    from keras_prokt.data.batches import Batches
    from keras_prokt.front_ends import FrontEnd

BUILT_IN = "keras_prokt_apps"
"""Import package of the top-level folder `apps/`; its modules that define `APP` are apps."""

ENTRY_POINTS = "keras_prokt.apps"
"""Entry-point group by which other distributions add apps."""


@dataclass(frozen=True)
class OptimizerRecipe:
    """An optimizer and its learning-rate schedule.

    Attributes:
        name: Keras's name of the optimizer, or "coupled_sgd"; that and "adam" are
            those of `keras_prokt.optimizers`.
        learning_rate: The (first) learning rate.
        schedule: "constant", or "linear" or "cosine" decay to 0 over the whole run, or "steps":
            ×0.1 after 5/8, 6/8 and 7/8 of the run (epochs 150, 180 and 210 of 240).
        options: Further arguments of the optimizer, such as `global_clipnorm`.
    """

    name: str
    learning_rate: float
    schedule: str = "constant"
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(
        self, total_steps: int, learning_rate: float | None = None
    ) -> "keras.optimizers.Optimizer":
        """The Keras optimizer for a run of so many steps, with another learning rate if given."""
        import keras

        first = self.learning_rate if learning_rate is None else learning_rate
        schedules = keras.optimizers.schedules
        rate: Any = {
            "constant": lambda: first,
            "linear": lambda: schedules.PolynomialDecay(first, total_steps, end_learning_rate=0.0),
            "cosine": lambda: schedules.CosineDecay(first, total_steps),
            # Keras keeps a value up to and with its boundary; rounded up, so that few steps have
            # the first one.
            "steps": lambda: schedules.PiecewiseConstantDecay(
                [-(-total_steps * eighths // 8) - 1 for eighths in (5, 6, 7)],
                [first * factor for factor in (1.0, 0.1, 0.01, 0.001)],
            ),
        }[self.schedule]()
        from keras_prokt import optimizers

        classes = {"coupled_sgd": optimizers.CoupledSGD, "adam": optimizers.FusedAdam}
        classes["lamb"] = keras.optimizers.Lamb  # Keras has it, and does not find it by name
        if self.name in classes:
            return classes[self.name](rate, **self.options)
        return keras.optimizers.get(
            {"class_name": self.name, "config": {"learning_rate": rate, **self.options}}
        )


@dataclass(frozen=True)
class Recipe:
    """Everything about training that an app suggests and a user may override.

    Attributes:
        epochs: Epochs of distillation, of all methods but `student`.
        batch_size: Examples a step.
        teacher: The teacher's optimizer.
        student: The student's optimizer.
        students: Optimizers of students that need another one, by name or pattern (`bert-*`).
        teacher_epochs: Epochs of training on the labels alone: of the method `student`, and of a
            fixed teacher before distillation. A run of fewer epochs than `epochs` shortens the
            teacher's and `first_stage_epochs` in proportion.
        proximal_weight: λ of ProKT.
        temperature: T of the soft targets of a fixed teacher; those of one that is trained along
            have T = 1.
        anchors: Checkpoints of the teacher's training for route-constrained optimization; 4 in
            the paper.
        first_stage_epochs: Epochs of the first stage of methods in two stages.
        soft_target_weights: Weights (γ of the labels, α of the soft targets) where soft targets
            of a fixed teacher are all that is matched.
        weights: Weights β of objectives that are not those of `keras_prokt.methods.OBJECTIVES`.
        prokt: Settings of the method `prokt` in place of the paper's form, by the names of
            `keras_prokt.runs.RunSpec.resolve`: the recipe that was found by our own protocols.
            Empty where none was. A learning rate in it holds for the students that have no
            optimizer of their own.
        trained_teacher_learning_rate: First learning rate of a teacher that has been trained
            already and goes on training beside the student; `None` for the usual one.
    """

    epochs: int
    batch_size: int
    teacher: OptimizerRecipe
    student: OptimizerRecipe
    teacher_epochs: int
    students: Mapping[str, OptimizerRecipe] = field(default_factory=dict)
    proximal_weight: float = 0.3
    temperature: float = 1.0
    anchors: int = 4
    first_stage_epochs: int = 1
    soft_target_weights: tuple[float, float] = (0.0, 1.0)
    weights: Mapping[str, float] = field(default_factory=dict)
    prokt: Mapping[str, Any] = field(default_factory=dict)
    trained_teacher_learning_rate: float | None = None

    def student_optimizer(self, student: str) -> OptimizerRecipe:
        """The optimizer of a student of a given name."""
        for pattern, recipe in self.students.items():
            if fnmatchcase(student, pattern):
                return recipe
        return self.student


@dataclass(frozen=True)
class TaskRequest(DataSettings):
    """What an app is asked to prepare: the models, and all settings of the data.

    The files of weights are those that the models start from.
    """

    teacher: str
    student: str
    batch_size: int
    seed: int
    teacher_weights: str | None = None
    student_weights: str | None = None


@dataclass
class Task:
    """Data and models, ready to train.

    Attributes:
        train: Shuffled training batches. Their `x` suits both models, or is a dict with the
            keys "teacher" and "student".
        validation: What choices are made on.
        test: What is reported once, or `None` if its labels are not public.
        class_names: Names of the classes or labels, in the order of the logits; of a single label
            those of both answers. Empty where nothing is named.
        build_teacher: Makes the untrained (or pretrained) teacher.
        build_student: Makes the student.
        front_end: How raw input becomes the student's inputs, for serving and `predict`; `None`
            where there is nothing but what the student reads.
        metrics: What is reported on each held-out part, of the kind of output's `metrics` and
            `more_metrics`, in the order of the results table; none: its `metrics`. The best student
            on validation is that of the epoch with the best value of the first.
        more_validation: Other parts that are reported and decide nothing, by name.
        validates_on_training_set: Whether the validation examples come out of the training set, so
            that what is wrong with its labels is wrong with theirs.
        teacher_front_end: As `front_end`, of the teacher.
        presets: Names of the checkpoints that the models start from.
        text_shares: Of models that read texts, by "teacher" and "student": `cut`, the share of the
            training texts that are as long as texts can be, and `unknown`, the share of their word
            pieces that the vocabulary lacks.
        output: What the logits mean, a key of `keras_prokt.outputs.OUTPUTS`.
        teacher_files: Gives the files of a teacher that is trained for the task already, its last
            layer included; none where `build_teacher` makes one whose last layer is untrained.
    """

    train: "Batches"
    validation: "Batches"
    test: "Batches | None"
    class_names: list[str]
    build_teacher: Callable[[], "keras.Model"]
    build_student: Callable[[], "keras.Model"]
    front_end: "FrontEnd | None" = None
    metrics: tuple[str, ...] = ()
    more_validation: "Mapping[str, Batches]" = field(default_factory=dict)
    validates_on_training_set: bool = False
    teacher_front_end: "FrontEnd | None" = None
    presets: tuple[str, ...] = ()
    text_shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    output: str = "classes"
    teacher_files: Callable[[], Sequence[Path]] = tuple


@dataclass(frozen=True)
class App:
    """A named, ready task.

    Attributes:
        name: What users type.
        summary: One line for the list of apps.
        teachers: Known teachers: name -> what it is.
        students: Known students: name -> what it is.
        default_teacher: Used if none is named.
        default_student: Used if none is named.
        recipe: How to train.
        prepare: Loads the data and readies the models; raises `ValueError` on bad input.
        pairs: Named pairs of teacher and student.
        assistants: Models between teacher and student for teacher assistants, the largest first.
        transformers: Teacher and student for methods that read transformer layers, if the default
            ones are no transformers.
        can_train_on_validation: Whether the app has the protocol of `full_train`, in which the
            validation examples are trained on too.
        divides_data: Whether the app divides the data itself, by `split_seed`.
        can_hold_out: Whether rows of the training set can be held out to choose on.
        can_prepare: Whether `prepare` takes data and checkpoints from the folder `prepared`.
        reads_text: Whether the models read texts, cut at `max_length`.
        reads_table: Whether the data is the user's own table of texts, or file of sentences:
            `dataset` and what goes with it.
        names_columns: Whether the columns of that table have to be named.
        outputs: Kinds of output among which its user chooses by `output`; none where it is given.
        reads_images: Whether the data is images of the user's own: `dataset`, and how its images
            are read.
        predict_table: Classifies new data by the student of a run, with the arguments of
            `keras_prokt.runs.predict`; for raw input that this does not read.
        predictions_file: Which file that writes, unless another one is named.
        write_submission: Writes predictions in the form of a benchmark's site; as
            `keras_prokt_apps.glue.submission.write_submission`. `None` where nothing does.
        suggest: Makes settings that follow from those that a user gives, such as the size of the
            images of a folder; those that are given stay. It imports no Keras.
        check: Refuses what can be refused without Keras: names of models, the user's files;
            raises `ValueError`, imports no Keras and no TensorFlow.
    """

    name: str
    summary: str
    teachers: Mapping[str, str]
    students: Mapping[str, str]
    default_teacher: str
    default_student: str
    recipe: Recipe
    prepare: Callable[[TaskRequest], Task]
    pairs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    assistants: tuple[str, ...] = ()
    transformers: tuple[str, str] | None = None
    can_train_on_validation: bool = False
    divides_data: bool = False
    can_hold_out: bool = False
    can_prepare: bool = False
    reads_text: bool = False
    reads_table: bool = False
    reads_images: bool = False
    names_columns: bool = True
    outputs: tuple[str, ...] = ()
    predict_table: Callable[..., int] | None = None
    predictions_file: str = "predictions.csv"
    write_submission: Callable[..., Any] | None = None
    suggest: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    check: Callable[[TaskRequest], None] | None = None

    @property
    def reads_own_data(self) -> bool:
        """Whether the data is the user's own, of whatever kind."""
        return self.reads_table or self.reads_images


def list_apps() -> list[App]:
    """All apps, built-in and of other distributions, by name."""
    return sorted(_load_apps(), key=lambda app: app.name)


def get_app(name: str) -> App:
    """The app of a name, or of a file.

    Args:
        name: Its name, or the path of a Python file (`.py`) that defines `APP`, or another single
            `App`. The file is run.

    Raises:
        ValueError: If there is none; the message lists the known ones, or names the line. And if a
            run names a file that the user has not (`keras_prokt.named_code`).
    """
    if is_app_file(name):
        return _app_of_file(name)
    apps = {app.name: app for app in list_apps()}
    if not is_known(name, apps):
        raise ValueError(unknown_name("an app", name, apps))
    return apps[name]


def _app_of_file(path: str) -> App:
    check_named(path)
    found = values_in_file(path, App)
    if "APP" in found:
        return found["APP"]
    different = {id(app): app for app in found.values()}
    if len(different) != 1:
        received = ", ".join(found) or "none"
        raise ValueError(
            f"Expected one App in {path!r}, received {received}; assign the one that is meant to "
            "APP, such as APP = App(...)."
        )
    return next(iter(different.values()))


def _load_apps() -> list[App]:
    package = importlib.import_module(BUILT_IN)
    found = pkgutil.walk_packages(package.__path__, f"{BUILT_IN}.")
    modules = [importlib.import_module(module.name) for module in found]
    others = [entry_point.load() for entry_point in _installed(entry_points, tuple(sys.path))]
    return [module.APP for module in modules if hasattr(module, "APP")] + others


@functools.lru_cache(maxsize=1)
def _installed(find: Callable[..., Any], path: tuple[str, ...]) -> tuple[Any, ...]:
    """Entry points of the distributions on a path; looking through all of them takes long."""
    return tuple(find(group=ENTRY_POINTS))
