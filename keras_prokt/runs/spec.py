"""The specification of a run: a frozen value with a strict JSON form.

Its settings stand in `keras_prokt.settings` and, where only some methods have them, in
`keras_prokt.methods`. This module imports no Keras.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from keras_prokt.app import App, OptimizerRecipe, Recipe, TaskRequest, get_app
from keras_prokt.data.prepared_folder import settings_from
from keras_prokt.data.table import TFDS
from keras_prokt.methods import (
    OBJECTIVES,
    REGIMES,
    TEACHER_OPTIMIZER,
    Method,
    known_methods,
    method_settings,
    parse_method,
)
from keras_prokt.model_file import check_model_file
from keras_prokt.names import known_spelling, unknown_name
from keras_prokt.settings import (
    MOMENTUM_OPTIMIZERS,
    PARTS,
    ROLES,
    ComputingSettings,
    DataSettings,
    ModelSettings,
    OptimizerSettings,
    Setting,
    SettingError,
    TrainingSettings,
    argument,
    ends_of,
    of_role,
    settings_of,
)

_NOT_GIVEN = (None, (), {})

RECIPES = ("found", "paper")
"""Settings of `prokt`: those that our own protocols have found, or the paper's form, which is
λ alone; where an app has none of the first, the second is its recipe."""

_IN_THE_HEAD = ("teacher", "student", "data_dir", "prepared")
"""Settings that are no change of a recipe."""

_FILES = ("dataset", "validation", "test", "teacher_init")


def settings_by_group() -> dict[str, dict[str, Setting]]:
    """Every setting of a run by name, in groups for people to read."""
    of_method = method_settings()
    of_optimizers = {
        of_role(role, name): replace(row, help=row.help.format(role=role))
        for role in ROLES
        for name, row in settings_of(OptimizerSettings).items()
    }
    return {
        "Models": settings_of(ModelSettings),
        "Method": {k: row for k, row in of_method.items() if k not in of_optimizers},
        "Training": settings_of(TrainingSettings),
        "Optimizers": of_optimizers,
        "Data": settings_of(DataSettings),
        "Computing": settings_of(ComputingSettings),
    }


def all_settings() -> dict[str, Setting]:
    """Every setting of a run by name."""
    return {k: row for group in settings_by_group().values() for k, row in group.items()}


def title_of(settings: Mapping[str, Any]) -> str:
    """Settings as they are typed, without hyphens in front.

    Args:
        settings: By name; `weights at` is the weight of objective `at`.

    Example:

    >>> from keras_prokt.runs.spec import title_of
    >>> title_of({"proximal_weight": 0.3, "label_weight": 1.0})
    'lambda=0.3 label-weight=1'
    """
    shown = []
    for name, value in settings.items():
        setting, _, key = name.partition(" ")
        option = all_settings()[setting].option_of(setting).removeprefix("--")
        text = repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
        shown.append(f"{option}{f' {key}' if key else ''}={text}")
    return " ".join(shown)


_PLACES = ("data_dir", "prepared")


def without_places(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON form of a spec without where its files lie: of a directory of a model the name is
    left, since the same checkpoint lies elsewhere on another machine.

    Args:
        spec: As `RunSpec.to_json` makes it.
    """
    values = _without_tuples(spec)
    values["data"] = {k: v for k, v in values["data"].items() if k not in _PLACES}
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
        app: Name of the app.
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
            role, _, of_optimizer = name.partition("_")
            if role in ROLES and of_optimizer in settings_of(OptimizerSettings):
                optimizer = self.optimizers.get(role)
                return None if optimizer is None else getattr(optimizer, of_optimizer)
            if name in method_settings():
                return self.method_settings.get(name)
        raise AttributeError(f"RunSpec has no setting {name!r}")

    @classmethod
    def resolve(cls, app: str, method: str, **given: Any) -> Self:
        """A spec from an app's recipe and what the user gives (`None`: not given).

        Args:
            app: Name of the app.
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
        description, parsed = get_app(app), parse_method(method)
        pair, recipe = given.pop("pair", None), given.pop("recipe", None)
        given = {name: value for name, value in given.items() if value not in _NOT_GIVEN}
        found = _found_recipe(description, parsed, recipe)
        _check_names(description, parsed, given)
        if "prepared" in given:
            given = {**settings_from(given["prepared"], with_models=pair is None), **given}
        given = {name: all_settings()[name].checked(name, v) for name, v in given.items()}
        _check_together(description, parsed, given)
        for name, row in all_settings().items():
            if row.is_file and name in given:
                given[name] = absolute_path(given[name])
        return cls(**_Resolved(description, parsed, pair, given, found).parts())

    def __post_init__(self) -> None:
        method = parse_method(self.method)
        for name, part in PARTS.items():
            object.__setattr__(self, name, _checked_part(part, getattr(self, name)))
        optimizers = {
            role: _checked_part(OptimizerSettings, optimizer, role)
            for role, optimizer in self.optimizers.items()
        }
        object.__setattr__(self, "optimizers", optimizers)
        of_method = {}
        for name, value in self.method_settings.items():
            if name not in method.settings or name in TEACHER_OPTIMIZER:
                raise SettingError(unknown_name("a setting of the method", name, method.settings))
            of_method[name] = _checked_in_method(name, method.settings[name], value)
        object.__setattr__(self, "method_settings", of_method)
        needed = ("student", "epochs", "batch_size", "student_learning_rate")
        for name in needed:
            if getattr(self, name) is None:
                raise ValueError(f"Expected a whole run spec, received one without {name}.")
        _check_values(self)

    def request(self) -> TaskRequest:
        """What the run asks its app for."""
        return TaskRequest(
            teacher=self.teacher or get_app(self.app).default_teacher,
            student=self.student,
            batch_size=self.batch_size,
            seed=self.seed,
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
        if self.assistants is not None:
            self.of_assistant().check_without_keras()

    def check_has_teacher(self) -> None:
        """Refuses to keep the teacher of a method that has none.

        Raises:
            SettingError: If it has none.
        """
        if REGIMES[parse_method(self.method).regime].trains_teacher is None:
            raise SettingError(
                f"Expected no {argument('save_teacher')} with method {self.method!r}, received "
                "True; it has no teacher."
            )

    def changed_settings(self) -> dict[str, Any]:
        """Settings that are not as the app's recipe has them for these models and epochs.

        Returns:
            How each is typed, without hyphens -> its value. Of a spec that the recipe cannot
            make, as of an app that is not installed, all settings that have a value.
        """
        try:
            recipe = RunSpec.resolve(
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
            is_usual = value in _NOT_GIVEN or value is False or name in _IN_THE_HEAD
            if not is_usual and (recipe is None or getattr(recipe, name) != value):
                changed[row.option_of(name).removeprefix("--")] = value
        return changed

    def files(self) -> dict[str, str]:
        """The user's own files that the run reads, by the name of the setting."""
        files = {name: getattr(self, name) for name in _FILES}
        return {k: v for k, v in files.items() if v is not None and not v.startswith(TFDS)}

    def replacing(self, **settings: Any) -> Self:
        """The same spec with other values of some settings, by name.

        Raises:
            SettingError: As `resolve`.
        """
        parts: dict[str, Any] = {}
        own = {k: v for k, v in settings.items() if k not in ("app", "method") and v is not None}
        method = parse_method(settings.get("method", self.method))
        _check_names(get_app(settings.get("app", self.app)), method, own)
        for name, value in settings.items():
            role, _, of_optimizer = name.partition("_")
            if name in ("app", "method"):
                parts[name] = value
            elif part := next((p for p in PARTS if name in settings_of(PARTS[p])), None):
                parts[part] = replace(parts.get(part, getattr(self, part)), **{name: value})
            elif role in ROLES and of_optimizer in settings_of(OptimizerSettings):
                optimizers = parts.get("optimizers", self.optimizers)
                changed = replace(optimizers[role], **{of_optimizer: value})
                parts["optimizers"] = {**optimizers, role: changed}
            elif name in method_settings():
                of_method = {**parts.get("method_settings", self.method_settings), name: value}
                of_method = {k: v for k, v in of_method.items() if v is not None}
                parts["method_settings"] = of_method
            else:
                raise SettingError(unknown_name("a setting", name, all_settings()))
        return replace(self, **parts)

    def of_teacher(self) -> Self:
        """The run that trains the fixed teacher of this one; what a kept teacher follows from."""
        return replace(
            self,
            method="student",
            method_settings={},
            models=ModelSettings(student=self.models.teacher),
            training=replace(self.training, epochs=self.teacher_epochs),
            optimizers={"student": self.optimizers["teacher"]},
        )

    def of_assistant(self) -> Self:
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
            models=replace(self.models, student=assistant),
            optimizers={**self.optimizers, "student": optimizer},
        )

    def to_json(self) -> dict[str, Any]:
        """The spec as a JSON object."""
        return _without_tuples(asdict(self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The spec of a JSON object; every key must be known.

        Raises:
            ValueError: On unknown or missing keys, and as `resolve`.
        """
        _check_keys(cls, values)
        if unnamed := [key for key in ("app", "method") if not isinstance(values.get(key), str)]:
            raise ValueError(f"Expected a whole run spec, received one without {unnamed[0]!r}.")
        parts: dict[str, Any] = dict(values)
        for name, part in PARTS.items():
            if name in parts:
                parts[name] = _part_from_json(part, parts[name])
        if not isinstance(parts.get("optimizers", {}), Mapping):
            raise ValueError("Expected a whole run spec, received one without optimizers.")
        parts["optimizers"] = {
            role: _part_from_json(OptimizerSettings, of_role_)
            for role, of_role_ in parts.get("optimizers", {}).items()
        }
        try:
            return cls(**parts)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"Expected a whole run spec, received one with {error}.") from error


def optimizer_settings(recipe: OptimizerRecipe, given: Mapping[str, Any]) -> OptimizerSettings:
    """A recipe's optimizer with what the user gives.

    Args:
        recipe: What the app suggests.
        given: Fields of `OptimizerSettings`; those that are missing are the recipe's. Of another
            optimizer the recipe's learning rate, schedule and clipping stay, and its momentum where
            the optimizer has one.
    """
    options = dict(recipe.options)
    values = {
        "optimizer": recipe.name,
        "learning_rate": recipe.learning_rate,
        "schedule": recipe.schedule,
        "momentum": options.pop("momentum", None),
        "weight_decay": options.pop("l2", options.pop("weight_decay", None)),
    }
    if given.get("optimizer", recipe.name) != recipe.name:
        del values["weight_decay"]
        if given["optimizer"] not in MOMENTUM_OPTIMIZERS:
            del values["momentum"]
        options = {name: value for name, value in options.items() if "clip" in name}
    return OptimizerSettings(**{**values, **given}, options=options)


def optimizer_recipe(settings: OptimizerSettings) -> OptimizerRecipe:
    """What builds the optimizer of some settings."""
    decay = "l2" if settings.optimizer == "coupled_sgd" else "weight_decay"
    options = {**settings.options, "momentum": settings.momentum, decay: settings.weight_decay}
    options = {name: value for name, value in options.items() if value is not None}
    return OptimizerRecipe(settings.optimizer, settings.learning_rate, settings.schedule, options)


class _Resolved:
    """The parts of a spec, from an app's recipe and what the user gives."""

    def __init__(
        self,
        app: App,
        method: Method,
        pair: str | None,
        given: dict[str, Any],
        found: Mapping[str, Any],
    ):
        self._app, self._method = app, method
        teacher, student = _pair(app, method, pair)
        self._teacher = model_name(given.get("teacher", teacher), app.teachers)
        self._student = model_name(given.get("student", student), app.students)
        self._given = {**self._suiting(found, given), **given}

    def _suiting(self, found: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a found recipe that hold here."""
        recipe, left_out = self._app.recipe, set()
        if "proximal_bound" in given:
            left_out.add("proximal_weight")
        if recipe.student_optimizer(self._student) is not recipe.student:
            left_out.add("student_learning_rate")
        return {name: value for name, value in found.items() if name not in left_out}

    def parts(self) -> dict[str, Any]:
        given, recipe = self._given, self._app.recipe
        epochs = recipe.epochs if self._method.distils else recipe.teacher_epochs
        training = {"epochs": epochs, "batch_size": recipe.batch_size}
        values = {"models": {"teacher": self._teacher, "student": self._student}}
        values["training"] = {**training, **self._of_part(TrainingSettings)}
        values["data"] = self._of_part(DataSettings)
        values["computing"] = self._of_part(ComputingSettings)
        of_method = self._of_method()
        chain = [self._teacher, *of_method.get("assistants", ()), self._student]
        if "assistants" in of_method and len(set(chain)) < len(chain):
            raise SettingError(
                f"Expected different models in the chain of {self._method.name!r}, received "
                f"{', '.join(chain)}; name others between teacher and student with "
                f"{argument('assistants')}."
            )
        return {
            "app": self._app.name,
            "method": self._method.name,
            "method_settings": of_method,
            "optimizers": self._optimizers(given),
            **{name: PARTS[name](**of_part) for name, of_part in values.items()},
        }

    def _of_part(self, part: type) -> dict[str, Any]:
        return {name: self._given[name] for name in settings_of(part) if name in self._given}

    def _optimizers(self, given: dict[str, Any]) -> dict[str, OptimizerSettings]:
        recipe, method = self._app.recipe, self._method
        recipes = {"student": recipe.student_optimizer(self._student)}
        goes_on = given.get("teacher_init") and REGIMES[method.regime].trains_teacher_along
        if "teacher_learning_rate" in method.settings:
            recipes["teacher"] = recipe.teacher
            if goes_on and recipe.trained_teacher_learning_rate:
                rate = recipe.trained_teacher_learning_rate
                recipes["teacher"] = replace(recipe.teacher, learning_rate=rate)
        names = settings_of(OptimizerSettings)
        return {
            role: optimizer_settings(
                of_recipe,
                {name: given[key] for name in names if (key := of_role(role, name)) in given},
            )
            for role, of_recipe in recipes.items()
        }

    def _of_method(self) -> dict[str, Any]:
        given, recipe, method = self._given, self._app.recipe, self._method
        is_along = REGIMES[method.regime].trains_teacher_along
        # Eq. 5 of the paper, and deep mutual learning, have no temperature.
        defaults: dict[str, Any] = {
            "temperature": 1.0 if is_along else recipe.temperature,
            "label_weight": _label_weight(method, recipe),
            "assistants": self._app.assistants,
            **_epochs_before(recipe, given),
        }
        if "proximal_bound" not in given:
            defaults["proximal_weight"] = recipe.proximal_weight
        own = {name: given[name] for name in method.settings if name in given}
        if method.matched:
            own["weights"] = _weights(method, recipe, given.get("weights", {}))
        if "assistants" in own:
            known = self._app.students
            own["assistants"] = tuple(model_name(name, known) for name in own["assistants"])
        values = {**defaults, **own}
        of_optimizers = {of_role("teacher", name) for name in settings_of(OptimizerSettings)}
        return {
            name: values[name]
            for name in method.settings
            if values.get(name) is not None and name not in of_optimizers
        }


def _found_recipe(app: App, method: Method, name: str | None) -> Mapping[str, Any]:
    """What the found recipe of an app sets for a method."""
    if name is not None and name not in RECIPES:
        raise SettingError(unknown_name(f"{argument('recipe')}", name, RECIPES))
    if name == "found" and not app.recipe.prokt:
        raise SettingError(
            f"Expected {argument('recipe')} 'paper' with app {app.name!r}, received 'found'; no "
            "other was found for it."
        )
    is_plain = method.regime == "prokt" and set(method.matched) <= {"kd"}
    return app.recipe.prokt if is_plain and name != "paper" else {}


def _check_names(app: App, method: Method, given: Mapping[str, Any]) -> None:
    """Refuses settings that do not exist, and those that the method or the app does not have."""
    known = all_settings()
    of_methods = method_settings()
    for name, value in given.items():
        if name not in known:
            raise SettingError(unknown_name("a setting", name, known))
        if name in of_methods and name not in method.settings:
            having = [m for m in known_methods() if name in parse_method(m).settings]
            raise SettingError(
                f"Expected no {argument(name)} with method {method.name!r}, received {value!r}; "
                f"it belongs to {', '.join(having)}."
            )
        row = known[name]
        if row.of_apps is not None and value is not False and not getattr(app, row.of_apps):
            raise SettingError(
                f"Expected no {argument(name)} with app {app.name!r}, received {value!r}; "
                f"{row.advice_for_apps}."
            )


def _check_together(app: App, method: Method, given: Mapping[str, Any]) -> None:
    """Refuses settings that exclude each other, and half a description of a table."""
    if "teacher_init" in given and REGIMES[method.regime].trains_teacher_before:
        for name in ("teacher_epochs", *(of_role("teacher", n) for n in _optimizer_names())):
            if name in given:
                raise SettingError(
                    f"Expected no {argument(name)} with {argument('teacher_init')} and method "
                    f"{method.name!r}, received {given[name]!r}; that teacher is not trained."
                )
        weight = given.get("label_weight", _label_weight(method, app.recipe))
        if given.get("label_smoothing") and not any(ends_of(weight)):
            raise SettingError(
                f"Expected no {argument('label_smoothing')} with {argument('teacher_init')}, "
                f"method {method.name!r} and {argument('label_weight')} 0, received "
                f"{given['label_smoothing']!r}; nothing learns labels there."
            )
    if app.reads_table:
        needed = ("dataset", "text_columns", "label_column")
        missing = [name for name in needed if name not in given]
        if missing and any(name in given for name in (*needed, "validation", "test")):
            wanted = ", ".join(argument(name) for name in needed)
            raise SettingError(f"Expected {wanted}, received no {argument(missing[0])}; add it.")


def _optimizer_names() -> list[str]:
    return list(settings_of(OptimizerSettings))


def _checked_part(part: type, values: Any, role: str | None = None) -> Any:
    """A part of the spec with every value in its kind and range."""
    if not isinstance(values, part):
        raise ValueError(f"Expected a whole run spec, received {type(values).__name__} in it.")
    checked = {}
    for name, row in settings_of(part).items():
        value = getattr(values, name)
        if value is not None:
            checked[name] = row.checked(name if role is None else of_role(role, name), value)
    return replace(values, **checked)


def _checked_in_method(name: str, row: Setting, value: Any) -> Any:
    value = row.checked(name, value)
    if name == "weights":
        number = Setting("a weight.", float, at_least=0)
        return {key: number.checked(name, one, key) for key, one in value.items()}
    if name == "objective_settings":
        return {key: _checked_objective(name, key, of_one) for key, of_one in value.items()}
    return value


def _checked_objective(name: str, objective: str, values: Any) -> dict[str, Any]:
    if objective not in OBJECTIVES:
        raise SettingError(unknown_name("an objective", objective, OBJECTIVES))
    rows = OBJECTIVES[objective].settings
    checked = {}
    for key, value in Setting("", dict).checked(name, values, objective).items():
        if key not in rows:
            if not rows:
                raise SettingError(
                    f"Expected no {argument(name)} of {objective!r}, received {key!r}; it has none."
                )
            raise SettingError(unknown_name(f"a setting of {objective!r}", key, rows))
        checked[key] = rows[key].checked(name, value, f"{objective}.{key}")
    return checked


def _check_values(spec: RunSpec) -> None:
    """Refuses values that are in range and do not go together."""
    method = parse_method(spec.method)
    if spec.backend == "torch" and spec.steps_per_execution > 1:
        raise SettingError(
            f"Expected {argument('steps_per_execution')} 1 on PyTorch, received "
            f"{spec.steps_per_execution}; Keras knows it on TensorFlow and JAX alone."
        )
    for role in spec.optimizers:
        name, momentum = (getattr(spec, of_role(role, k)) for k in ("optimizer", "momentum"))
        if momentum is not None and name is not None and name not in MOMENTUM_OPTIMIZERS:
            raise SettingError(
                f"Expected no {argument(of_role(role, 'momentum'))} with optimizer {name!r}, "
                f"received {momentum!r}; it belongs to {', '.join(MOMENTUM_OPTIMIZERS)}."
            )
    if spec.proximal_weight is not None and spec.proximal_bound is not None:
        raise SettingError(
            f"Expected either {argument('proximal_weight')} or {argument('proximal_bound')}, "
            "received both; with a bound the weight adapts itself."
        )
    for name in ("dual_step_size", "dual_initial"):
        if getattr(spec, name) is not None and spec.proximal_bound is None:
            raise SettingError(
                f"Expected no {argument(name)} without {argument('proximal_bound')}, received "
                f"{getattr(spec, name)!r}; it belongs to the bounded form."
            )
    for objective in spec.objective_settings or {}:
        used = dict.fromkeys([*method.objectives, *method.matched])
        if objective not in used:
            raise SettingError(
                unknown_name(f"a setting of an objective of {spec.method!r}", objective, used)
            )
    if spec.teacher_keep == "best":
        other = next((n for n in ("anchors", "teacher_init") if getattr(spec, n) is not None), None)
        if other is not None:
            raise SettingError(
                f"Expected {argument('teacher_keep')} last with {argument(other)}, received 'best';"
                " no single epoch of one training teaches there."
            )
    if spec.anchors is not None and spec.epochs < spec.anchors:
        raise SettingError(
            f"Expected {argument('epochs')} of at least {argument('anchors')}, received "
            f"{spec.epochs} and {spec.anchors}; each anchor is the target for at least one epoch."
        )
    if spec.anchors is not None and (spec.teacher_epochs or 0) < spec.anchors:
        raise SettingError(
            f"Expected {argument('teacher_epochs')} of at least {argument('anchors')}, received "
            f"{spec.teacher_epochs} and {spec.anchors}; the anchors are states at the ends of "
            "epochs."
        )
    if spec.assistants == () or ("assistants" in method.settings and spec.assistants is None):
        raise SettingError(
            f"Expected at least one of {argument('assistants')} with method 'ta', received none; "
            "`keras-prokt apps` lists the models of the app."
        )
    if spec.text_columns is not None:
        _check_columns(spec.text_columns, spec.label_column)


def _check_columns(text_columns: tuple[str, ...], label_column: str | None) -> None:
    if len(text_columns) > 2 or not all(text_columns):
        raise SettingError(
            f"Expected one column in {argument('text_columns')}, or FIRST,SECOND for pairs, "
            f"received {','.join(text_columns)!r}; name one or two columns."
        )
    if len({*text_columns, label_column}) <= len(text_columns):
        raise SettingError(
            f"Expected different columns in {argument('text_columns')} and "
            f"{argument('label_column')}, received {','.join(text_columns)!r} and "
            f"{label_column!r}; name each once."
        )


def _check_keys(part: type, values: Any) -> None:
    if not isinstance(values, Mapping):
        raise ValueError(f"Expected a whole run spec, received a {type(values).__name__} in it.")
    known = {f.name for f in fields(part)}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"Expected spec keys among {sorted(known)}, received {unknown}.")


def _part_from_json(part: type, values: Any) -> Any:
    _check_keys(part, values)
    return part(**values)


def _without_tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_tuples(of_key) for key, of_key in value.items()}
    return [_without_tuples(one) for one in value] if isinstance(value, (tuple, list)) else value


def model_name(name: str, known: Mapping[str, str]) -> str:
    """A model of the app in its own spelling, or the absolute path of a directory."""
    if name in known or not os.path.isdir(name):
        return known_spelling(name, known)
    return os.path.abspath(name)


def absolute_path(path: str) -> str:
    """The same file from any folder, so that a run can be resumed from any."""
    is_elsewhere = path.startswith(TFDS) or "://" in path
    return path if is_elsewhere else os.path.abspath(os.path.expanduser(path))


def _pair(app: App, method: Method, name: str | None) -> tuple[str, str]:
    """Teacher and student of an app for a method, where the user names none of them."""
    if name is not None:
        if name not in app.pairs:
            raise SettingError(
                unknown_name(f"a pair of app {app.name!r}", name, app.pairs)
                if app.pairs
                else f"Expected no {argument('pair')} with app {app.name!r}, received {name!r}; it "
                "names none."
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


def _epochs_before(recipe: Recipe, given: Mapping[str, Any]) -> dict[str, int]:
    """What is trained before the distillation: of a run of fewer epochs so much the less.

    Two epochs of a recipe of 240 to try something are not 240 epochs of its teacher.
    """
    epochs = given.get("epochs") or recipe.epochs
    share = min(1.0, max(epochs, 0) / recipe.epochs)
    teacher_epochs = max(1, round(share * recipe.teacher_epochs))
    longest = min(epochs, given.get("teacher_epochs") or teacher_epochs)
    return {
        "teacher_epochs": teacher_epochs,
        "first_stage_epochs": max(1, round(share * recipe.first_stage_epochs)),
        "anchors": max(1, min(recipe.anchors, longest)),
    }


def _label_weight(method: Method, recipe: Recipe) -> float:
    return recipe.soft_target_weights[0] if _is_plain_distillation(method) else method.label_weight


def _weights(method: Method, recipe: Recipe, given: Mapping[str, float]) -> dict[str, float]:
    """The weight of every objective of the distillation."""
    for name in given:
        if name not in method.matched:
            raise SettingError(
                unknown_name(f"a weight of an objective of {method.name!r}", name, method.matched)
            )
    weights = {name: recipe.weights.get(name, OBJECTIVES[name].weight) for name in method.matched}
    if _is_plain_distillation(method):
        weights["kd"] = recipe.soft_target_weights[1]
    return {**weights, **given}
