"""The specification of a run: a frozen value with a strict JSON form.

Its settings stand in `keras_prokt.settings` and, where only some methods have them, in
`keras_prokt.methods`. This module imports no Keras.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from keras_prokt.app import TaskRequest, get_app
from keras_prokt.app_file import absolute_app, is_app_file
from keras_prokt.data.prepared_folder import settings_from
from keras_prokt.data.table import TFDS
from keras_prokt.data.teacher_outputs import check_file
from keras_prokt.methods import REGIMES, TEACHER_OPTIMIZER, method_settings, parse_method
from keras_prokt.model_file import check_model_file
from keras_prokt.named_code import name_code, read_code
from keras_prokt.names import unknown_name
from keras_prokt.runs.known_settings import all_settings
from keras_prokt.runs.optimizers import optimizer_settings
from keras_prokt.runs.resolution import (
    ResolvedParts,
    absolute_path,
    check_combinations,
    check_names,
    found_recipe,
)
from keras_prokt.runs.spec_checks import check_values, checked_method_setting, checked_part
from keras_prokt.runs.stored_outputs import are_the_teacher
from keras_prokt.settings import (
    PARTS,
    ROLES,
    ComputingSettings,
    DataSettings,
    ModelSettings,
    OptimizerSettings,
    SettingError,
    TrainingSettings,
    argument,
    settings_of,
)

_NOT_GIVEN = (None, (), {})
_STORED = ("teacher_outputs", "teacher_columns")


def without_places(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON form of a spec without where its files lie: of a directory of a model the name is
    left, since the same checkpoint lies elsewhere on another machine.

    Args:
        spec: As `RunSpec.to_json` makes it.
    """
    values = _without_tuples(spec)
    places = [name for name, row in settings_of(DataSettings).items() if row.is_place]
    values["data"] = {k: v for k, v in values["data"].items() if k not in places}
    values["models"] = {k: _name_of_place(v) for k, v in values["models"].items()}
    return values


def _name_of_place(value: Any) -> Any:
    return os.path.basename(value) if isinstance(value, str) and os.path.isabs(value) else value


@dataclass(frozen=True)
class RunSpec:
    """All that decides the result of a run.

    The settings of all parts can be read by the names under which `resolve` takes them:
    `spec.epochs` is `spec.training.epochs`; one that the method does not have is `None`.

    Attributes:
        app: Name of the app, or path of its file.
        method: Objectives and a regime, as `keras_prokt.methods.parse_method` reads them.
        models: Which models.
        training: How long, in which pieces, from which random numbers.
        optimizers: The optimizers of the models that the run trains, by "student" and "teacher".
        method_settings: Settings that not all methods have, by name; those without a value are
            left out.
        data: Which data.
        computing: What computes, and how.

    Raises:
        SettingError: On values out of range, and on those that do not go together.
    """

    app: str
    method: str
    models: ModelSettings
    training: TrainingSettings
    optimizers: Mapping[str, OptimizerSettings]
    method_settings: Mapping[str, Any] = field(default_factory=dict)
    data: DataSettings = field(default_factory=DataSettings)
    computing: ComputingSettings = field(default_factory=ComputingSettings)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            for part in PARTS:
                if name in settings_of(PARTS[part]):
                    return getattr(getattr(self, part), name)
            role, _, setting = name.partition("_")
            if role in ROLES and setting in settings_of(OptimizerSettings):
                optimizer = self.optimizers.get(role)
                return None if optimizer is None else getattr(optimizer, setting)
            if name in method_settings():
                return self.method_settings.get(name)
        raise AttributeError(f"RunSpec has no setting {name!r}")

    @classmethod
    def resolve(cls, app: str, method: str, **given: Any) -> Self:
        """A spec from an app's recipe and what the user gives (`None`: not given).

        Args:
            app: Name of the app, or path of its file, as `keras_prokt.app.get_app` takes them.
            method: As above.
            **given: Settings by name, and `pair`, a named pair of models, and `recipe`, one of
                `RECIPES`.

        Raises:
            SettingError: On unknown names, values out of range, and settings that the method or
                the app does not have.

        Example:

        >>> from keras_prokt.runs import RunSpec
        >>> spec = RunSpec.resolve("digits", "prokt", epochs=3)
        >>> spec.epochs, spec.proximal_weight, spec.student_optimizer
        (3, 0.3, 'adam')
        """
        name_code([app, given])
        return cls.resolved(app, method, **given)

    @classmethod
    def resolved(cls, app: str, method: str, **given: Any) -> Self:
        """As `resolve`, of values that a file may have said: what they name is not imported."""
        description, parsed = get_app(app), parse_method(method)
        pair, recipe = given.pop("pair", None), given.pop("recipe", None)
        given = {name: value for name, value in given.items() if value not in _NOT_GIVEN}
        found = found_recipe(description, parsed, recipe)
        check_names(description, parsed, given)
        if "prepared" in given:
            given = {**settings_from(given["prepared"], with_models=pair is None), **given}
        given = {name: all_settings()[name].checked(name, v) for name, v in given.items()}
        check_combinations(description, parsed, given)
        for name, row in all_settings().items():
            if row.is_file and name in given:
                given[name] = absolute_path(given[name])
        if description.suggest is not None:
            given = {**description.suggest(given), **given}
        parts = ResolvedParts(description, parsed, pair, given, found).parts()
        return cls(**{**parts, "app": absolute_app(app)})

    def __post_init__(self) -> None:
        method = parse_method(self.method)
        for name, part in PARTS.items():
            object.__setattr__(self, name, checked_part(part, getattr(self, name)))
        optimizers = {
            role: checked_part(OptimizerSettings, optimizer, role)
            for role, optimizer in self.optimizers.items()
        }
        object.__setattr__(self, "optimizers", optimizers)
        own_settings = {}
        for name, value in self.method_settings.items():
            if name not in method.settings or name in TEACHER_OPTIMIZER:
                raise SettingError(unknown_name("a setting of the method", name, method.settings))
            own_settings[name] = checked_method_setting(name, method.settings[name], value)
        object.__setattr__(self, "method_settings", own_settings)
        needed = ("student", "epochs", "batch_size", "student_learning_rate")
        for name in needed:
            if getattr(self, name) is None:
                raise ValueError(f"Expected a whole run spec, received one without {name}.")
        check_values(self)

    def request(self) -> TaskRequest:
        """What the run asks its app for."""
        return TaskRequest(
            teacher=self.teacher or get_app(self.app).default_teacher,
            student=self.student,
            batch_size=self.batch_size,
            seed=self.seed,
            teacher_weights=self.teacher_weights,
            student_weights=self.student_weights,
            **{name: getattr(self.data, name) for name in settings_of(DataSettings)},
        )

    def check_without_keras(self) -> None:
        """Refuses what can be refused at once: names of models, the user's files.

        Raises:
            ValueError: On the first of them that is wrong.
        """
        app = get_app(self.app)
        if app.check is not None:
            app.check(self.request())
        if self.teacher_init is not None:
            check_model_file(self.teacher_init)
        if self.teacher_outputs is not None:
            check_file(self.teacher_outputs)
        if self.assistants is not None:
            self.assistant_run().check_without_keras()

    def check_has_teacher(self) -> None:
        """Refuses to keep the teacher of a method that has none.

        Raises:
            SettingError: If it has none.
        """
        is_none = REGIMES[parse_method(self.method).regime].trains_teacher is None
        if is_none or self.teacher_is_stored:
            with_outputs = f" and {argument('teacher_outputs')}" if self.teacher_is_stored else ""
            raise SettingError(
                f"Expected no {argument('save_teacher')} with method {self.method!r}"
                f"{with_outputs}, received True; it has no teacher."
            )

    @property
    def teacher_is_stored(self) -> bool:
        """Whether stored outputs are all that teaches: then the run has no teacher of its own."""
        return are_the_teacher(parse_method(self.method), self.teacher_outputs)

    def without_stored_outputs(self) -> Self:
        """The same run for what is done with its student, which needs no file of them."""
        return self.replacing(**{k: None for k in self.method_settings if k in _STORED})

    def changed_settings(self) -> dict[str, Any]:
        """Settings that are not as the app's recipe has them for these models and epochs.

        Returns:
            How each is typed, without hyphens -> its value. Of a spec that the recipe cannot
            make, as of an app that is not installed, all settings that have a value.
        """
        try:
            recipe = RunSpec.resolved(
                self.app,
                self.method,
                epochs=self.epochs,
                teacher=self.teacher,
                student=self.student,
            )
        except ValueError:
            recipe = None
        changed = {}
        for name, row in all_settings().items():
            value = getattr(self, name)
            is_no_change = row.is_place or name in ROLES
            is_usual = value in _NOT_GIVEN or value is False or is_no_change
            if not is_usual and (recipe is None or getattr(recipe, name) != value):
                changed[row.option_of(name).removeprefix("--")] = value
        return changed

    def files(self) -> dict[str, str]:
        """The user's own files that the run reads, by the name of the setting; no folders."""
        rows = all_settings().items()
        files = {
            name: getattr(self, name) for name, row in rows if row.is_file and not row.is_place
        }
        if is_app_file(self.app):
            files = {"app": self.app, **files}
        is_file = {k: v is not None and not v.startswith(TFDS) for k, v in files.items()}
        # What is in a folder of data has the digest of the data.
        return {k: v for k, v in files.items() if is_file[k] and not os.path.isdir(v)}

    def replacing(self, **settings: Any) -> Self:
        """The same spec with other values of some settings, by name.

        Raises:
            SettingError: As `resolve`.
        """
        parts: dict[str, Any] = {}
        own = {k: v for k, v in settings.items() if k not in ("app", "method") and v is not None}
        method = parse_method(settings.get("method", self.method))
        check_names(get_app(settings.get("app", self.app)), method, own)
        for name, value in settings.items():
            role, _, setting = name.partition("_")
            if name in ("app", "method"):
                parts[name] = value
            elif part := next((p for p in PARTS if name in settings_of(PARTS[p])), None):
                parts[part] = replace(parts.get(part, getattr(self, part)), **{name: value})
            elif role in ROLES and setting in settings_of(OptimizerSettings):
                optimizers = parts.get("optimizers", self.optimizers)
                changed = replace(optimizers[role], **{setting: value})
                parts["optimizers"] = {**optimizers, role: changed}
            elif name in method_settings():
                own_settings = {**parts.get("method_settings", self.method_settings), name: value}
                own_settings = {k: v for k, v in own_settings.items() if v is not None}
                parts["method_settings"] = own_settings
            else:
                raise SettingError(unknown_name("a setting", name, all_settings()))
        return replace(self, **parts)

    def teacher_run(self) -> Self:
        """The run that trains the fixed teacher of this one; what a kept teacher follows from."""
        return replace(
            self,
            method="student",
            method_settings={},
            models=ModelSettings(
                student=self.models.teacher, student_weights=self.models.teacher_weights
            ),
            training=replace(self.training, epochs=self.teacher_epochs, patience=None),
            optimizers={"student": self.optimizers["teacher"]},
        )

    def assistant_run(self) -> Self:
        """The run that trains the last assistant of this one, the student's own teacher.

        It is the student of a fixed teacher, or of the assistants before it.
        """
        *before, assistant = self.assistants
        recipe = get_app(self.app).recipe
        settings = {
            "teacher_epochs": self.teacher_epochs,
            "temperature": self.temperature or recipe.temperature,
            "weights": {"kd": recipe.soft_target_weights[1]},
            "label_weight": recipe.soft_target_weights[0],
            "teacher_init": self.teacher_init,
            "assistants": tuple(before) or None,
            "teacher_keep": self.teacher_keep,
            "target_mode": self.target_mode,
        }
        optimizer = optimizer_settings(recipe.student_optimizer(assistant), {})
        return replace(
            self,
            method="ta" if before else "kd",
            method_settings={k: v for k, v in settings.items() if v is not None},
            models=replace(self.models, student=assistant, student_weights=None),
            training=replace(self.training, patience=None),
            optimizers={**self.optimizers, "student": optimizer},
        )

    def to_json(self) -> dict[str, Any]:
        """The spec as a JSON object."""
        return _without_tuples(asdict(self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The spec of a JSON object; every key must be known.

        Raises:
            UnknownSettings: On keys that are not known.
            ValueError: On missing keys, and as `resolve`.
        """
        read_code(values)
        _check_keys(cls, values)
        own = values.get("method_settings")
        if isinstance(own, Mapping) and (unknown := sorted(set(own) - set(method_settings()))):
            raise UnknownSettings(unknown, method_settings())
        if unnamed := [key for key in ("app", "method") if not isinstance(values.get(key), str)]:
            raise ValueError(f"Expected a whole run spec, received one without {unnamed[0]!r}.")
        parts: dict[str, Any] = dict(values)
        for name, part in PARTS.items():
            if name in parts:
                parts[name] = _part_from_json(part, parts[name])
        if not isinstance(parts.get("optimizers", {}), Mapping):
            raise ValueError("Expected a whole run spec, received one without optimizers.")
        parts["optimizers"] = {
            role: _part_from_json(OptimizerSettings, values)
            for role, values in parts.get("optimizers", {}).items()
        }
        try:
            return cls(**parts)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"Expected a whole run spec, received one with {error}.") from error


class UnknownSettings(ValueError):
    """Settings that this version does not know.

    Args:
        names: Of them.
        known: Those that may stand in their place.
    """

    def __init__(self, names: Sequence[str], known: Iterable[str]):
        super().__init__(f"Expected spec keys among {sorted(known)}, received {list(names)}.")
        self.names = tuple(names)


def _check_keys(part: type, values: Any) -> None:
    if not isinstance(values, Mapping):
        raise ValueError(f"Expected a whole run spec, received a {type(values).__name__} in it.")
    known = {f.name for f in fields(part)}
    if unknown := sorted(set(values) - known):
        raise UnknownSettings(unknown, known)


def _part_from_json(part: type, values: Any) -> Any:
    _check_keys(part, values)
    return part(**values)


def _without_tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_tuples(inner) for key, inner in value.items()}
    return [_without_tuples(one) for one in value] if isinstance(value, (tuple, list)) else value
