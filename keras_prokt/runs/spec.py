"""The specification of a run: a frozen value with a strict JSON form.

This module imports no Keras.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from keras_prokt.app import App, Recipe, get_app
from keras_prokt.data.table import TFDS
from keras_prokt.methods import (
    OBJECTIVES,
    REGIMES,
    Method,
    known_methods,
    parse_method,
)
from keras_prokt.names import known_spelling, unknown_name

_OPTION = {
    "proximal_weight": "--lambda",
    "proximal_bound": "--epsilon",
    "temperature": "--temperature",
    "teacher_epochs": "--teacher-epochs",
    "teacher_learning_rate": "--teacher-learning-rate",
    "weights": "--weight",
    "label_weight": "--label-weight",
    "anchors": "--anchors",
    "assistants": "--assistant",
    "first_stage_epochs": "--first-stage-epochs",
    "teacher_init": "--teacher-init",
}
"""Settings that only some methods have, and how they are typed."""

_TABLE_OPTION = {
    "dataset": "--dataset",
    "text_columns": "--text",
    "label_column": "--label",
    "validation": "--validation",
    "test": "--test",
}
"""Settings that only apps on the user's own table have, and how they are typed."""

_TABLE_FILES = ("dataset", "validation", "test")

PRECISIONS = ("float32", "bfloat16", "float16")
"""What the networks compute in; weights, logits and losses are float32 with each of them."""

_NOT_GIVEN = (None, (), {})


@dataclass(frozen=True)
class RunSpec:
    """All that decides the result of a run.

    Attributes:
        app: Name of the app.
        method: Objectives and a regime, as `keras_prokt.methods.parse_method` reads them.
        student: Name of the student.
        epochs: Epochs of distillation; of method `student`, of training on the labels.
        batch_size: Examples a step.
        seed: Seed of initial weights, dropout and data order.
        student_learning_rate: The student's first learning rate.
        teacher: Name of the teacher. Methods without one use it too where the student takes its
            vocabulary or its layers from it; `None` in the spec of a teacher itself.
        teacher_learning_rate: The teacher's first learning rate.
        teacher_epochs: Epochs a fixed teacher is trained for before; `None` otherwise.
        proximal_weight: λ; `None` for methods without it and in the bounded form.
        proximal_bound: ε of the bounded form, or `None`.
        temperature: T, or `None` for methods without soft targets.
        weights: Weight β of each objective of the distillation, by name.
        label_weight: Weight γ of the labels in the student's loss.
        anchors: Checkpoints of the teacher's training that are targets in turn.
        assistants: Names of the models between teacher and student, the largest first.
        first_stage_epochs: Epochs of the stage before the distillation, of methods that have one.
        teacher_init: File (`.keras`) of a teacher that has been trained; `None` to train one.
        full_train: Whether to train on the validation examples too.
        limit: Number of training examples to use; `None` for all.
        data_dir: Directory of the data; `None` for the app's default.
        dataset: The table to train on, an absolute path, or `tfds:` and the name of a set of
            TensorFlow Datasets; of apps on the user's own data.
        text_columns: Its column of texts, or the two of pairs.
        label_column: Its column of labels.
        validation: A table to validate on, an absolute path.
        test: A table to test on, an absolute path.
        max_length: Word pieces at which texts are cut, special ones counted: of a pair where both
            texts are read jointly, of each text otherwise. `None`: 128, or what the models can
            read if that is less.
        backend: "tensorflow", "jax" or "torch".
        precision: What the networks compute in, of `PRECISIONS`.
        steps_per_execution: Steps that are sent to the device at once; a divisor of the steps of
            an epoch.
        deterministic: Whether the backend is held to operations that give the same bits every
            time, on accelerators too; see `keras_prokt.runs.determinism`.
    """

    app: str
    method: str
    student: str
    epochs: int
    batch_size: int
    seed: int
    student_learning_rate: float
    teacher: str | None = None
    teacher_learning_rate: float | None = None
    teacher_epochs: int | None = None
    proximal_weight: float | None = None
    proximal_bound: float | None = None
    temperature: float | None = None
    weights: dict[str, float] | None = None
    label_weight: float | None = None
    anchors: int | None = None
    assistants: tuple[str, ...] | None = None
    first_stage_epochs: int | None = None
    teacher_init: str | None = None
    full_train: bool = False
    limit: int | None = None
    data_dir: str | None = None
    dataset: str | None = None
    text_columns: tuple[str, ...] | None = None
    label_column: str | None = None
    validation: str | None = None
    test: str | None = None
    max_length: int | None = None
    backend: str = "tensorflow"
    precision: str = "float32"
    steps_per_execution: int = 1
    deterministic: bool = False

    @classmethod
    def resolve(cls, app: str, method: str, **overrides: Any) -> Self:
        """A spec from an app's recipe and what the user overrides (`None`: not overridden).

        Raises:
            ValueError: On unknown names, values out of range, and options that the method does
                not have.
        """
        description: App = get_app(app)
        parsed = parse_method(method)
        settings = parsed.settings
        for name, option in _OPTION.items():
            if overrides.get(name) not in _NOT_GIVEN and name not in settings:
                having = [m for m in known_methods() if name in parse_method(m).settings]
                raise ValueError(
                    f"Expected no {option} with method {method!r}, received "
                    f"{overrides[name]!r}; it belongs to {', '.join(having)}."
                )
        if overrides.get("proximal_weight") is not None and overrides.get("proximal_bound"):
            raise ValueError(
                "Expected either --lambda or --epsilon, received both; with a bound the weight "
                "adapts itself."
            )
        is_fixed = REGIMES[parsed.regime].trains_teacher_before
        for name in ("teacher_epochs", "teacher_learning_rate"):
            if overrides.get("teacher_init") and is_fixed and overrides.get(name) is not None:
                raise ValueError(
                    f"Expected no --{name.replace('_', '-')} with --teacher-init and method "
                    f"{method!r}, received {overrides[name]!r}; that teacher is not trained."
                )
        if overrides.get("full_train") and not description.can_train_on_validation:
            raise ValueError(
                f"Expected no --full-train with app {app!r}, received it; its validation examples "
                "are never trained on."
            )
        if overrides.get("max_length") is not None and not description.reads_text:
            raise ValueError(
                f"Expected no --max-length with app {app!r}, received {overrides['max_length']}; "
                "its models read no texts."
            )
        _check_table_options(description, overrides)
        recipe = description.recipe
        teacher, student = _pair(description, parsed, overrides.pop("pair", None))
        for role, known in (("teacher", description.teachers), ("student", description.students)):
            if overrides.get(role) is not None:
                overrides[role] = _model_name(overrides[role], known)
        if overrides.get("assistants"):
            overrides["assistants"] = tuple(
                _model_name(name, description.students) for name in overrides["assistants"]
            )
        student = overrides.get("student") or student
        teacher_rate = recipe.teacher.learning_rate
        if overrides.get("teacher_init") and REGIMES[parsed.regime].trains_teacher_along:
            teacher_rate = recipe.trained_teacher_learning_rate or teacher_rate
        defaults = {
            "student": student,
            "student_learning_rate": recipe.student_optimizer(student).learning_rate,
            "teacher_learning_rate": teacher_rate,
            "teacher": teacher,
            "epochs": recipe.epochs if parsed.distils else recipe.teacher_epochs,
            "batch_size": recipe.batch_size,
            "seed": 0,
            "temperature": (
                # Eq. 5 of the paper, and deep mutual learning, have none.
                1.0 if REGIMES[parsed.regime].trains_teacher_along else recipe.temperature
            ),
            "label_weight": _label_weight(parsed, recipe),
            "assistants": description.assistants,
            "backend": "tensorflow",
            **_epochs_before(recipe, overrides),
        }
        if overrides.get("proximal_bound") is None:
            defaults["proximal_weight"] = recipe.proximal_weight
        given = {key: value for key, value in overrides.items() if value not in _NOT_GIVEN}
        for name in (*_TABLE_FILES, "data_dir", "teacher_init"):
            if name in given:
                given[name] = _absolute(given[name])
        if parsed.matched:
            given["weights"] = _weights(parsed, recipe, given.get("weights", {}))
        values = {
            key: value
            for key, value in {**defaults, **given}.items()
            if key in settings or key not in _OPTION
        }
        chain = [values["teacher"], *values.get("assistants", ()), values["student"]]
        if "assistants" in values and len(set(chain)) < len(chain):
            raise ValueError(
                f"Expected different models in the chain of {method!r}, received "
                f"{', '.join(chain)}; name others between teacher and student with --assistant."
            )
        return cls(app=app, method=method, **values)

    def __post_init__(self) -> None:
        for name in (
            "epochs",
            "batch_size",
            "limit",
            "teacher_epochs",
            "anchors",
            "first_stage_epochs",
            "steps_per_execution",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(
                    f"Expected --{name.replace('_', '-')} of at least 1, received {value!r}."
                )
        if self.precision not in PRECISIONS:
            raise ValueError(unknown_name("a precision", self.precision, PRECISIONS))
        if self.backend == "torch" and self.steps_per_execution > 1:
            raise ValueError(
                "Expected --steps-per-execution 1 on PyTorch, received "
                f"{self.steps_per_execution}; Keras knows it on TensorFlow and JAX alone."
            )
        if self.seed < 0:
            raise ValueError(f"Expected --seed of at least 0, received {self.seed!r}.")
        if self.proximal_weight is not None and not 0 <= self.proximal_weight < 1:
            raise ValueError(
                f"Expected --lambda in [0, 1), received {self.proximal_weight!r}; the paper's "
                "Figure 3 goes from 0 to 0.8."
            )
        for name, option in (
            ("proximal_bound", "--epsilon"),
            ("temperature", "--temperature"),
            ("student_learning_rate", "--student-learning-rate"),
            ("teacher_learning_rate", "--teacher-learning-rate"),
        ):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"Expected {option} above 0, received {value!r}.")
        for option, value in (
            ("--label-weight", self.label_weight),
            *((f"--weight {name}", value) for name, value in (self.weights or {}).items()),
        ):
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"Expected {option} of at least 0, received {value!r}.")
        if self.anchors is not None and self.epochs < self.anchors:
            raise ValueError(
                f"Expected --epochs of at least --anchors, received {self.epochs} and "
                f"{self.anchors}; each anchor is the target for at least one epoch."
            )
        if self.anchors is not None and self.teacher_epochs < self.anchors:
            raise ValueError(
                f"Expected --teacher-epochs of at least --anchors, received {self.teacher_epochs} "
                f"and {self.anchors}; the anchors are states at the ends of epochs."
            )
        if self.assistants == ():
            raise ValueError(
                "Expected at least one --assistant with method 'ta', received none; "
                "`keras-prokt apps` lists the models of the app."
            )
        if self.text_columns is not None:
            _check_columns(self.text_columns, self.label_column)

    def table_files(self) -> dict[str, str]:
        """The user's own files that the run reads, by the name of the field."""
        files = {name: getattr(self, name) for name in _TABLE_FILES}
        return {k: v for k, v in files.items() if v is not None and not v.startswith(TFDS)}

    def of_teacher(self) -> Self:
        """The run that trains the fixed teacher of this one; the key of the teacher cache."""
        return replace(
            self._without_settings(),
            method="student",
            student=self.teacher,
            student_learning_rate=self.teacher_learning_rate,
            epochs=self.teacher_epochs,
            teacher=None,
        )

    def of_assistant(self) -> Self:
        """The run that trains the last assistant of this one, the student's own teacher.

        It is the student of a fixed teacher, or of the assistants before it.
        """
        *before, assistant = self.assistants
        recipe = get_app(self.app).recipe
        return replace(
            self._without_settings(),
            method="ta" if before else "kd",
            student=assistant,
            student_learning_rate=recipe.student_optimizer(assistant).learning_rate,
            teacher_learning_rate=self.teacher_learning_rate,
            teacher_epochs=self.teacher_epochs,
            temperature=self.temperature,
            weights={"kd": recipe.soft_target_weights[1]},
            label_weight=recipe.soft_target_weights[0],
            teacher_init=self.teacher_init,
            assistants=tuple(before) or None,
        )

    def _without_settings(self) -> Self:
        return replace(self, **dict.fromkeys(_OPTION))

    def to_json(self) -> dict[str, Any]:
        """The spec as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The spec of a JSON object; every key must be known.

        Raises:
            ValueError: On unknown or missing keys.
        """
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"Expected spec keys among {sorted(known)}, received {unknown}.")
        for name in ("assistants", "text_columns"):
            if values.get(name) is not None:
                values = {**values, name: tuple(values[name])}
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"Expected a whole run spec, received one with {error}.") from error


def _check_table_options(app: App, overrides: dict[str, Any]) -> None:
    """Refuses tables where the app brings its own data, and half a description of a table."""
    given = {name: overrides.get(name) for name in _TABLE_OPTION}
    given = {name: value for name, value in given.items() if value not in _NOT_GIVEN}
    if not app.reads_table:
        for name, value in given.items():
            raise ValueError(
                f"Expected no {_TABLE_OPTION[name]} with app {app.name!r}, received {value!r}; "
                "the app brings its own data: use --app text for yours."
            )
    for name in ("dataset", "text_columns", "label_column"):
        if given and name not in given:
            raise ValueError(
                f"Expected --dataset FILE, --text COLUMN and --label COLUMN, received no "
                f"{_TABLE_OPTION[name]}; add it."
            )


def _check_columns(text_columns: tuple[str, ...], label_column: str | None) -> None:
    if len(text_columns) > 2 or not all(text_columns):
        raise ValueError(
            f"Expected --text COLUMN, or --text FIRST,SECOND for pairs, received "
            f"{','.join(text_columns)!r}; name one or two columns."
        )
    if len({*text_columns, label_column}) <= len(text_columns):
        raise ValueError(
            f"Expected different columns in --text and --label, received {','.join(text_columns)!r}"
            f" and {label_column!r}; name each once."
        )


def _model_name(name: str, known: Mapping[str, str]) -> str:
    """A model of the app in its own spelling, or the absolute path of a directory."""
    if name in known or not os.path.isdir(name):
        return known_spelling(name, known)
    return os.path.abspath(name)


def _absolute(path: str) -> str:
    """The same file from any folder, so that a run can be resumed from any."""
    is_elsewhere = path.startswith(TFDS) or "://" in path
    return path if is_elsewhere else os.path.abspath(os.path.expanduser(path))


def _pair(app: App, method: Method, name: str | None) -> tuple[str, str]:
    """Teacher and student of an app for a method, where the user names none of them."""
    if name is not None:
        if name not in app.pairs:
            raise ValueError(
                unknown_name(f"a pair of app {app.name!r}", name, app.pairs)
                if app.pairs
                else f"Expected no --pair with app {app.name!r}, received {name!r}; it names none."
            )
        return app.pairs[name]
    of_transformers = [name for name in method.objectives if OBJECTIVES[name].kind == "transformer"]
    if of_transformers and app.transformers is not None:
        return app.transformers
    return app.default_teacher, app.default_student


def _is_plain_distillation(method: Method) -> bool:
    """Whether the outputs of a teacher trained before are all that is matched."""
    is_fixed = REGIMES[method.regime].trains_teacher_before
    return is_fixed and set(method.objectives) <= {"kd"}


def _epochs_before(recipe: Recipe, overrides: dict[str, Any]) -> dict[str, int]:
    """What is trained before the distillation: of a run of fewer epochs so much the less.

    Two epochs of a recipe of 240 to try something are not 240 epochs of its teacher.
    """
    epochs = overrides.get("epochs") or recipe.epochs
    share = min(1.0, max(epochs, 0) / recipe.epochs)
    teacher_epochs = max(1, round(share * recipe.teacher_epochs))
    longest = min(epochs, overrides.get("teacher_epochs") or teacher_epochs)
    return {
        "teacher_epochs": teacher_epochs,
        "first_stage_epochs": max(1, round(share * recipe.first_stage_epochs)),
        "anchors": max(1, min(recipe.anchors, longest)),
    }


def _label_weight(method: Method, recipe: Recipe) -> float:
    return recipe.soft_target_weights[0] if _is_plain_distillation(method) else method.label_weight


def _weights(method: Method, recipe: Recipe, given: dict[str, float]) -> dict[str, float]:
    """The weight of every objective of the distillation."""
    for name in given:
        if name not in method.matched:
            raise ValueError(
                unknown_name(f"a weight of an objective of {method.name!r}", name, method.matched)
            )
    weights = {name: recipe.weights.get(name, OBJECTIVES[name].weight) for name in method.matched}
    if _is_plain_distillation(method):
        weights["kd"] = recipe.soft_target_weights[1]
    return {**weights, **given}
