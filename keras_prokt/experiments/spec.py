"""The specification of a run: a frozen value with a strict JSON form.

This module imports no Keras.
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from keras_prokt.app import App, get_app
from keras_prokt.names import unknown_name


@dataclass(frozen=True)
class Method:
    """A way to train a student.

    Attributes:
        summary: One line for people.
        regime: Name of the class in `keras_prokt.distillers`.
        settings: Fields of `RunSpec` that it has beyond those of all runs.
    """

    summary: str
    regime: str
    settings: frozenset[str] = frozenset()


METHODS: dict[str, Method] = {
    "prokt": Method(
        "teacher and student trained together, the teacher held near the student (this paper)",
        "ProKTDistiller",
        frozenset(
            {
                "teacher_learning_rate",
                "proximal_weight",
                "proximal_bound",
                "temperature",
            }
        ),
    ),
    "kd": Method(
        "a teacher trained first, then fixed (Hinton et al. 2015)",
        "FrozenTeacherDistiller",
        frozenset({"teacher_learning_rate", "teacher_epochs", "temperature"}),
    ),
    "student": Method("the student alone, on the labels", "StudentOnly"),
}

_OPTION = {
    "proximal_weight": "--lambda",
    "proximal_bound": "--epsilon",
    "temperature": "--temperature",
    "teacher_epochs": "--teacher-epochs",
    "teacher_learning_rate": "--teacher-learning-rate",
}
"""Settings that only some methods have, and how they are typed."""


@dataclass(frozen=True)
class RunSpec:
    """All that decides the result of a run.

    Attributes:
        app: Name of the app.
        method: One of `METHODS`.
        student: Name of the student.
        epochs: Epochs of distillation.
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
        limit: Number of training examples to use; `None` for all.
        data_dir: Directory of the data; `None` for the app's default.
        backend: "tensorflow", "jax" or "torch".
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
    limit: int | None = None
    data_dir: str | None = None
    backend: str = "tensorflow"

    @classmethod
    def resolve(cls, app: str, method: str, **overrides: Any) -> Self:
        """A spec from an app's recipe and what the user overrides (`None`: not overridden).

        Raises:
            ValueError: On unknown names, values out of range, and options that the method does
                not have.
        """
        description: App = get_app(app)
        if method not in METHODS:
            raise ValueError(unknown_name("a method", method, METHODS))
        settings = METHODS[method].settings
        for name, option in _OPTION.items():
            if overrides.get(name) is not None and name not in settings:
                having = [m for m, other in METHODS.items() if name in other.settings]
                raise ValueError(
                    f"Expected no {option} with method {method!r}, received "
                    f"{overrides[name]!r}; it belongs to {', '.join(having)}."
                )
        if overrides.get("proximal_weight") is not None and overrides.get("proximal_bound"):
            raise ValueError(
                "Expected either --lambda or --epsilon, received both; with a bound the weight "
                "adapts itself."
            )
        recipe = description.recipe
        student = overrides.get("student") or description.default_student
        defaults = {
            "student": student,
            "student_learning_rate": recipe.student_optimizer(student).learning_rate,
            "teacher_learning_rate": recipe.teacher.learning_rate,
            "teacher": description.default_teacher,
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "seed": 0,
            "temperature": recipe.temperature,
            "teacher_epochs": recipe.teacher_epochs,
            "backend": "tensorflow",
        }
        if overrides.get("proximal_bound") is None:
            defaults["proximal_weight"] = recipe.proximal_weight
        given = {key: value for key, value in overrides.items() if value is not None}
        values = {
            key: value
            for key, value in {**defaults, **given}.items()
            if key in settings or key not in _OPTION
        }
        return cls(app=app, method=method, **values)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "limit", "teacher_epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(
                    f"Expected --{name.replace('_', '-')} of at least 1, received {value!r}."
                )
        if self.seed < 0:
            raise ValueError(f"Expected --seed of at least 0, received {self.seed!r}.")
        if self.proximal_weight is not None and not 0 <= self.proximal_weight < 1:
            raise ValueError(
                f"Expected --lambda in [0, 1), received {self.proximal_weight!r}; the paper's "
                "optimum is between 0.2 and 0.5."
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

    def of_teacher(self) -> Self:
        """The run that trains the fixed teacher of this one; the key of the teacher cache."""
        return replace(
            self,
            method="student",
            student=self.teacher,
            student_learning_rate=self.teacher_learning_rate,
            teacher_learning_rate=None,
            epochs=self.teacher_epochs,
            teacher=None,
            teacher_epochs=None,
            temperature=None,
        )

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
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"Expected a whole run spec, received one with {error}.") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ValueError: If the file cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"Expected a JSON file at {str(path)!r}, received {error}.") from error
