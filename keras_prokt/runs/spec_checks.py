"""What is refused of the values of a spec; imports no Keras."""

from dataclasses import replace
from typing import Any

from keras_prokt.backends import BACKENDS
from keras_prokt.methods import OBJECTIVES, REGIMES, parse_method
from keras_prokt.names import unknown_name
from keras_prokt.runs.class_weights import parsed_class_weights
from keras_prokt.runs.stored_outputs import check_stored_outputs
from keras_prokt.runs.trained_part import check_trained_part
from keras_prokt.settings import (
    MOMENTUM_OPTIMIZERS,
    Setting,
    SettingError,
    argument,
    ends_of,
    name_of_role,
    settings_of,
)


def checked_part(part: type, values: Any, role: str | None = None) -> Any:
    """A part of the spec with every value in its kind and range."""
    if not isinstance(values, part):
        raise ValueError(f"Expected a whole run spec, received {type(values).__name__} in it.")
    checked = {}
    for name, row in settings_of(part).items():
        value = getattr(values, name)
        if value is not None:
            checked[name] = row.checked(name if role is None else name_of_role(role, name), value)
    return replace(values, **checked)


def checked_method_setting(name: str, row: Setting, value: Any) -> Any:
    value = row.checked(name, value)
    if name == "weights":
        number = Setting("a weight.", float, at_least=0)
        return {key: number.checked(name, one, key) for key, one in value.items()}
    if name == "objective_settings":
        return {
            key: _checked_objective(name, key, objective_values)
            for key, objective_values in value.items()
        }
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


def check_values(spec: Any) -> None:
    """Refuses values that are in range and do not go together."""
    method = parse_method(spec.method)
    if not BACKENDS[spec.backend].several_steps and spec.steps_per_execution > 1:
        raise SettingError(
            f"Expected {argument('steps_per_execution')} 1 on "
            f"{BACKENDS[spec.backend].title}, received {spec.steps_per_execution}; Keras knows it "
            f"on {' and '.join(card.title for card in BACKENDS.values() if card.several_steps)} "
            "alone."
        )
    for role in spec.optimizers:
        name, momentum = (getattr(spec, name_of_role(role, k)) for k in ("optimizer", "momentum"))
        if momentum is not None and name is not None and name not in MOMENTUM_OPTIMIZERS:
            raise SettingError(
                f"Expected no {argument(name_of_role(role, 'momentum'))} with optimizer {name!r}, "
                f"received {momentum!r}; it belongs to {', '.join(MOMENTUM_OPTIMIZERS)}."
            )
    for objective in spec.objective_settings or {}:
        used = dict.fromkeys([*method.objectives, *method.matched])
        if objective not in used:
            raise SettingError(
                unknown_name(f"a setting of an objective of {spec.method!r}", objective, used)
            )
    if spec.weights and not any(spec.weights.values()) and not any(ends_of(spec.label_weight or 0)):
        raise SettingError(
            f"Expected {argument('weights')} or {argument('label_weight')} above 0, received 0 of "
            f"{', '.join(spec.weights)} and of the labels, which trains nothing; weigh one of them."
        )
    if spec.teacher_keep == "best":
        other = next((n for n in ("anchors", "teacher_init") if getattr(spec, n) is not None), None)
        reason = None if other is None else argument(other)
        if spec.teacher_epochs == 0:
            reason = f"{argument('teacher_epochs')} 0"
        if reason is not None:
            raise SettingError(
                f"Expected {argument('teacher_keep')} last with {reason}, received 'best'; no "
                "single epoch of one training teaches there."
            )
    check_stored_outputs(spec, method)
    check_trained_part(spec)
    if (check := REGIMES[method.regime].check) is not None:
        check(spec)
    if spec.patience is not None and spec.full_train:
        raise SettingError(
            f"Expected no {argument('patience')} with {argument('full_train')}, received "
            f"{spec.patience}; validation is trained on there, and chooses nothing."
        )
    if spec.class_weight is not None:
        parsed_class_weights(spec.class_weight)
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
