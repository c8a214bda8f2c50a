"""From what a user gives and the recipe of an app to the parts of a spec; imports no Keras."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keras_prokt.app import App, Recipe
from keras_prokt.data.table import TFDS
from keras_prokt.methods import (
    OBJECTIVES,
    REGIMES,
    Method,
    known_methods,
    method_settings,
    parse_method,
)
from keras_prokt.names import is_known, known_spelling, unknown_name
from keras_prokt.runs.known_settings import all_settings
from keras_prokt.runs.optimizers import optimizer_settings
from keras_prokt.runs.stored_outputs import OF_A_TEACHER, are_the_teacher, check_given
from keras_prokt.settings import (
    PARTS,
    ComputingSettings,
    DataSettings,
    ModelSettings,
    OptimizerSettings,
    SettingError,
    TrainingSettings,
    argument,
    ends_of,
    name_of_role,
    settings_of,
)

RECIPES = ("found", "paper")
"""Settings of `prokt`: those that our own protocols have found, or the paper's form, which is
λ alone; where an app has none of the first, the second is its recipe."""

RATE_OF_ADAPTERS = 30
"""Times the learning rate of the whole teacher: adapters start at 0, and have to move further."""


class ResolvedParts:
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
        names = {"teacher": self._teacher, "student": self._student}
        values = {"models": {**self._given_of_part(ModelSettings), **names}}
        values["training"] = {**training, **self._given_of_part(TrainingSettings)}
        values["data"] = self._given_of_part(DataSettings)
        values["computing"] = self._given_of_part(ComputingSettings)
        own_settings = self._method_settings()
        chain = [self._teacher, *own_settings.get("assistants", ()), self._student]
        if "assistants" in own_settings and len(set(chain)) < len(chain):
            raise SettingError(
                f"Expected different models in the chain of {self._method.name!r}, received "
                f"{', '.join(chain)}; name others between teacher and student with "
                f"{argument('assistants')}."
            )
        return {
            "app": self._app.name,
            "method": self._method.name,
            "method_settings": own_settings,
            "optimizers": self._optimizers(given),
            **{name: PARTS[name](**part_values) for name, part_values in values.items()},
        }

    def _given_of_part(self, part: type) -> dict[str, Any]:
        return {name: self._given[name] for name in settings_of(part) if name in self._given}

    def _optimizers(self, given: dict[str, Any]) -> dict[str, OptimizerSettings]:
        recipe, method = self._app.recipe, self._method
        recipes = {"student": recipe.student_optimizer(self._student)}
        goes_on = given.get("teacher_init") and REGIMES[method.regime].trains_teacher_along
        is_stored = are_the_teacher(method, given.get("teacher_outputs"))
        if "teacher_learning_rate" in method.settings and not is_stored:
            recipes["teacher"] = recipe.teacher
            if goes_on and recipe.trained_teacher_learning_rate:
                rate = recipe.trained_teacher_learning_rate
                recipes["teacher"] = replace(recipe.teacher, learning_rate=rate)
            if given.get("teacher_lora"):
                rate = RATE_OF_ADAPTERS * recipes["teacher"].learning_rate
                recipes["teacher"] = replace(recipe.teacher, learning_rate=rate)
        names = settings_of(OptimizerSettings)
        return {
            role: optimizer_settings(
                role_recipe,
                {name: given[key] for name in names if (key := name_of_role(role, name)) in given},
            )
            for role, role_recipe in recipes.items()
        }

    def _method_settings(self) -> dict[str, Any]:
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
        left_out = {name_of_role("teacher", name) for name in settings_of(OptimizerSettings)}
        if are_the_teacher(method, given.get("teacher_outputs")):
            left_out |= {*OF_A_TEACHER}
        return {
            name: values[name]
            for name in method.settings
            if values.get(name) is not None and name not in left_out
        }


def found_recipe(app: App, method: Method, name: str | None) -> Mapping[str, Any]:
    """What the found recipe of an app sets for a method."""
    if name is not None and not is_known(name, RECIPES):
        raise SettingError(unknown_name(f"{argument('recipe')}", name, RECIPES))
    if name == "found" and not app.recipe.prokt:
        raise SettingError(
            f"Expected {argument('recipe')} 'paper' with app {app.name!r}, received 'found'; no "
            "other was found for it."
        )
    is_plain = method.regime == "prokt" and set(method.matched) <= {"kd"}
    return app.recipe.prokt if is_plain and name != "paper" else {}


def check_names(app: App, method: Method, given: Mapping[str, Any]) -> None:
    """Refuses settings that do not exist, and those that the method or the app does not have."""
    known = all_settings()
    method_rows = method_settings()
    for name, value in given.items():
        if name not in known:
            raise SettingError(unknown_name("a setting", name, known))
        if name in method_rows and name not in method.settings:
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


def check_combinations(app: App, method: Method, given: Mapping[str, Any]) -> None:
    """Refuses settings that exclude each other, and half a description of a table."""
    check_given(method, given)
    if "teacher_init" in given and "teacher_weights" in given:
        raise SettingError(
            f"Expected no {argument('teacher_weights')} with {argument('teacher_init')}, received "
            f"{given['teacher_weights']!r}; that teacher has its own."
        )
    is_trained = "teacher_init" in given or given.get("teacher_epochs") == 0
    if is_trained and REGIMES[method.regime].trains_teacher_before:
        reason = argument("teacher_init")
        if "teacher_init" not in given:
            reason = f"{argument('teacher_epochs')} 0"
        of_training = ("teacher_epochs", "teacher_trains", "teacher_lora")
        for name in (*of_training, *(name_of_role("teacher", n) for n in _optimizer_names())):
            if given.get(name, 0) != 0:
                raise SettingError(
                    f"Expected no {argument(name)} with {reason} and method "
                    f"{method.name!r}, received {given[name]!r}; that teacher is not trained."
                )
        weight = given.get("label_weight", _label_weight(method, app.recipe))
        for name in ("label_smoothing", "class_weight"):
            if given.get(name) and not any(ends_of(weight)):
                raise SettingError(
                    f"Expected no {argument(name)} with {reason}, method {method.name!r} and "
                    f"{argument('label_weight')} 0, received {given[name]!r}; nothing learns "
                    "labels there."
                )
    if app.reads_own_data:
        needed: tuple[str, ...] = ("dataset",)
        if app.reads_table and app.names_columns:
            needed = ("dataset", "text_columns", "label_column")
        missing = [name for name in needed if name not in given]
        if missing and any(name in given for name in (*needed, "validation", "test")):
            wanted = ", ".join(argument(name) for name in needed)
            raise SettingError(f"Expected {wanted}, received no {argument(missing[0])}; add it.")


def _optimizer_names() -> list[str]:
    return list(settings_of(OptimizerSettings))


def _pair(app: App, method: Method, name: str | None) -> tuple[str, str]:
    """Teacher and student of an app for a method, where the user names none of them."""
    if name is not None:
        if not is_known(name, app.pairs):
            raise SettingError(
                unknown_name(f"a pair of app {app.name!r}", name, app.pairs)
                if app.pairs
                else f"Expected no {argument('pair')} with app {app.name!r}, received {name!r}; it "
                "names none."
            )
        return app.pairs[name]
    transformer_objectives = [
        name for name in method.objectives if OBJECTIVES[name].kind == "transformer"
    ]
    if transformer_objectives and app.transformers is not None:
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


def model_name(name: str, known: Mapping[str, str]) -> str:
    """A model of the app in its own spelling, or the absolute path of a directory."""
    if name in known or not os.path.isdir(name):
        return known_spelling(name, known)
    return os.path.abspath(name)


def absolute_path(path: str) -> str:
    """The same file from any folder, so that a run can be resumed from any."""
    is_elsewhere = path.startswith(TFDS) or "://" in path
    return path if is_elsewhere else os.path.abspath(os.path.expanduser(path))
