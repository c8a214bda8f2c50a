"""What a search goes over: settings with several values or a range; imports no Keras."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keras_prokt.app import get_app
from keras_prokt.methods import OBJECTIVES
from keras_prokt.names import unknown_name
from keras_prokt.runs.known_settings import all_settings, title_of
from keras_prokt.runs.resolution import absolute_path, model_name
from keras_prokt.runs.spec import RunSpec
from keras_prokt.settings import Setting, SettingError, argument

DEFAULT_TRIALS = 20
"""Configurations of a search over ranges."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; `search`, which knows of what, refuses empty ones."""

    low: float
    high: float


Values = Sequence[Any] | Range


def about_search(
    app: str,
    method: str,
    over: Mapping[str, Values],
    seeds: Sequence[int],
    trials: int | None,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """The search as a JSON object, which its list of runs begins with.

    Args:
        app: As in `keras_prokt.runs.search`.
        method: The same.
        over: The same.
        seeds: The same.
        trials: The same.
        given: Settings with one value.

    Raises:
        SettingError: If it means nothing.
    """
    if given.get("full_train"):
        raise SettingError(
            "Expected validation data that is not trained on, received "
            f"{argument('full_train')}; search without it, then run the choice with it."
        )
    if not over:
        raise SettingError(
            "Expected at least one setting with several values or a range, received none; such as "
            f"{argument('proximal_weight')} 0,0.3,0.6."
        )
    if given.get("seed") is not None:
        raise SettingError(
            f"Expected no {argument('seed')} of a search, received {given['seed']!r}; "
            f"{argument('seeds')} holds for all configurations."
        )
    seeds = [all_settings()["seed"].checked("seeds", seed) for seed in seeds]
    if not seeds or len(set(seeds)) < len(seeds):
        raise SettingError(f"Expected different {argument('seeds')}, received {seeds!r}.")
    written = {name: _checked(app, name, values, given) for name, values in over.items()}
    has_range = any(isinstance(values, Range) for values in over.values())
    if trials is not None and trials < 1:
        raise SettingError(f"Expected {argument('trials')} of at least 1, received {trials}.")
    if trials is not None and not has_range:
        raise SettingError(
            f"Expected no {argument('trials')} without a range, received {trials}; a grid has as "
            "many as it has."
        )
    return {
        "app": app,
        "method": method,
        "given": _json_of(app, given),
        "over": written,
        "seeds": seeds,
        "trials": (trials or DEFAULT_TRIALS) if has_range else None,
        "configurations": {},
    }


def _checked(app: str, name: str, values: Values, given: Mapping[str, Any]) -> Any:
    """The values of a setting that is searched as JSON has them: a list, or the ends of a range."""
    row, _ = row_of(name)
    if _is_given(name, given):
        raise SettingError(
            f"Expected {argument(*split_name(name))} with one value or with several, received "
            "both; leave one out."
        )
    if isinstance(values, Range):
        return _ends(name, row, values)
    checked = [row.checked(split_name(name)[0], value, split_name(name)[1]) for value in values]
    checked = [_from_anywhere(app, name, value) for value in checked]
    if not checked or len({str(value) for value in checked}) < len(checked):
        raise SettingError(
            f"Expected different values of {argument(*split_name(name))}, received {checked!r}; "
            "name each once."
        )
    return checked


def _ends(name: str, row: Setting, values: Range) -> dict[str, Any]:
    """The ends of a range by name."""
    shown = argument(*split_name(name))
    if row.kind not in (float, int):
        raise SettingError(
            f"Expected values of {shown} joined by commas, received a range; it is no number."
        )
    if row.is_logarithmic and values.low <= 0:
        raise SettingError(f"Expected a range of {shown} above 0, received {values.low}.")
    number, (setting, key) = replace(row, may_change=False), split_name(name)
    ends = {end: number.checked(setting, value, key) for end, value in vars(values).items()}
    if not ends["low"] < ends["high"]:
        raise SettingError(
            f"Expected a range LOW:HIGH with LOW below HIGH for {shown}, received "
            f"{values.low!r}:{values.high!r}; name one value, or the lower first."
        )
    return ends


def check_values(name: str, values: Sequence[Any]) -> None:
    """Refuses values that a setting cannot have.

    Raises:
        SettingError: With the first of them.
    """
    row, key = row_of(name)
    for value in values:
        row.checked(split_name(name)[0], value, key)


def grid_of(about: dict[str, Any]) -> list[dict[str, Any]]:
    """Every combination of the values, which the record then knows by their titles."""
    names = list(about["over"])
    combinations = itertools.product(*about["over"].values())
    found = [dict(zip(names, values, strict=True)) for values in combinations]
    about["configurations"] = {title_of(values): values for values in found}
    return found


def spec_of(about: Mapping[str, Any], values: Mapping[str, Any], seed: int) -> RunSpec:
    """The run of a configuration and a seed."""
    given: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in about["given"].items()
    }
    for name, value in values.items():
        setting, key = split_name(name)
        row, _ = row_of(name)
        value = round(value) if row.kind is int else value
        if setting == "weights":
            given["weights"] = {**given.get("weights", {}), key: value}
        elif setting == "objective_settings":
            objective, _, own = key.partition(".")
            others = given.get("objective_settings", {})
            own_values = {**others.get(objective, {}), own: value}
            given["objective_settings"] = {**others, objective: own_values}
        else:
            given[setting] = value
    return RunSpec.resolved(about["app"], about["method"], **{**given, "seed": seed})


def row_of(name: str) -> tuple[Setting, str | None]:
    """What is known of a setting that is searched, and its key: that of an objective's own.

    Raises:
        SettingError: If it cannot be searched.
    """
    setting, key = split_name(name)
    row = all_settings().get(setting)
    if row is None or setting == "seed":
        raise SettingError(f"Expected a setting that can be searched, received {name!r}.")
    if setting == "weights" and key is not None:
        return Setting("", float, at_least=0, is_logarithmic=True), key
    if setting == "objective_settings" and key is not None:
        objective, _, own = key.partition(".")
        rows = OBJECTIVES[objective].settings if objective in OBJECTIVES else {}
        if own not in rows:
            known = [
                f"{one}.{setting_name}"
                for one, card in OBJECTIVES.items()
                for setting_name in card.settings
            ]
            raise SettingError(unknown_name("a setting of an objective", key, known))
        return rows[own], key
    if not row.is_listed or row.kind in (dict, tuple, bool):
        raise SettingError(f"Expected one value of {argument(setting)}, received several.")
    return row, None


def scale_of(name: str, values: Any) -> str:
    """How a picture shows a setting: "linear", "log" or "names"."""
    row, _ = row_of(name)
    if row.kind not in (float, int):
        return "names"
    numbers = [values["low"]] if isinstance(values, Mapping) else values
    if any(isinstance(value, str) for value in numbers):  # such as 0.6..0
        return "names"
    return "log" if row.is_logarithmic and min(numbers) > 0 else "linear"


def first_of(values: Any) -> Any:
    """One of the values that a setting has in a search."""
    return values["low"] if isinstance(values, Mapping) else values[0]


def _json_of(app: str, given: Mapping[str, Any]) -> dict[str, Any]:
    values = {k: _from_anywhere(app, k, v) for k, v in given.items() if v not in (None, (), {})}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _from_anywhere(app: str, name: str, value: Any) -> Any:
    """A value that means the same in any folder from which the search goes on."""
    if isinstance(value, tuple):
        return tuple(_from_anywhere(app, name, one) for one in value)
    row, description = all_settings().get(name), get_app(app)
    if not isinstance(value, str) or row is None:
        return value
    if name == "teacher":
        return model_name(value, description.teachers)
    if name in ("student", "assistants"):
        return model_name(value, description.students)
    return absolute_path(value) if row.is_file else value


def _is_given(name: str, given: Mapping[str, Any]) -> bool:
    """Whether a setting that is searched has one value too."""
    setting, key = split_name(name)
    value = given.get(setting)
    for part in [] if key is None else key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value is not None


def split_name(name: str) -> tuple[str, str | None]:
    """The setting, and its key if there is one: of `"weights kd"` these two."""
    setting, _, key = name.partition(" ")
    return setting, key or None
