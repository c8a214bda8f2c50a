"""Every setting that a run may have, by name; imports no Keras."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keras_prokt.methods import method_settings
from keras_prokt.settings import (
    ROLES,
    ComputingSettings,
    DataSettings,
    ModelSettings,
    OptimizerSettings,
    Setting,
    TrainingSettings,
    name_of_role,
    settings_of,
)


def settings_by_group() -> dict[str, dict[str, Setting]]:
    """Every setting of a run by name, in groups for people to read."""
    own_settings = method_settings()
    optimizer_rows = {
        name_of_role(role, name): replace(row, help=row.help.format(role=role))
        for role in ROLES
        for name, row in settings_of(OptimizerSettings).items()
    }
    return {
        "Models": settings_of(ModelSettings),
        "Method": {k: row for k, row in own_settings.items() if k not in optimizer_rows},
        "Training": settings_of(TrainingSettings),
        "Optimizers": optimizer_rows,
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

    >>> from keras_prokt.runs.known_settings import title_of
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
