"""What a search over ranges tries next: Optuna proposes, and remembers nothing.

All that it knows is read from the run folders each time. This module imports no Keras.
"""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from typing import Any

from keras_prokt.runs.known_settings import title_of
from keras_prokt.settings import Setting

_ATTEMPTS = 20
_FAR_APART = 10_000


def check_optuna() -> None:
    """Refuses an environment without Optuna.

    Raises:
        ValueError: With how to install it.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ValueError(
            "Expected Optuna for a search over ranges, received an environment without it; install "
            "it with `pip install 'keras-prokt[search]'`, or list values."
        )


def propose(
    about: Mapping[str, Any],
    configurations: Sequence[Mapping[str, Any]],
    rows: Mapping[str, Setting],
) -> dict[str, Any] | None:
    """What Optuna proposes after all that the run folders say.

    Args:
        about: What the list of runs says of the search.
        configurations: Those that there are, as `read_search` gives them.
        rows: The row of each setting that is searched, by its name.

    Returns:
        Values by setting; `None` if Optuna knows nothing new.
    """
    for attempt in range(_ATTEMPTS):
        number = len(configurations) + _FAR_APART * attempt
        values = _asked(about, configurations, rows, number)
        if title_of(values) not in about["configurations"]:
            return values
    return None


def _asked(
    about: Mapping[str, Any],
    configurations: Sequence[Mapping[str, Any]],
    rows: Mapping[str, Setting],
    seed: int,
) -> dict[str, Any]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _distribution(rows[name], v) for name, v in about["over"].items()}
    states = optuna.trial.TrialState
    # Another number for each proposal: a new study draws the same numbers again.
    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for one in configurations:
        if not all(_is_among(value, about["over"][name]) for name, value in one["values"].items()):
            continue  # of a range that is narrower now
        students = [run["student"] for run in one["runs"]]
        state = states.FAIL if one["failures"] else states.RUNNING
        state = states.COMPLETE if one["is_whole"] else state
        value = sum(students) / len(students) if one["is_whole"] else None
        study.add_trial(
            optuna.trial.create_trial(
                state=state, value=value, params=one["values"], distributions=distributions
            )
        )
    asked = study.ask(distributions).params
    return {name: _legible(value, about["over"][name]) for name, value in asked.items()}


def _is_among(value: Any, values: Any) -> bool:
    if isinstance(values, Mapping):
        return values["low"] <= value <= values["high"]
    return value in values


def _legible(value: Any, values: Any) -> Any:
    """A number of four digits: more would only make names long."""
    if not isinstance(value, float) or not isinstance(values, Mapping):
        return value
    return min(max(float(f"{value:.4g}"), values["low"]), values["high"])


def _distribution(row: Setting, values: Any) -> Any:
    from optuna import distributions

    if not isinstance(values, Mapping):
        return distributions.CategoricalDistribution(values)
    if row.kind is int:
        low, high = math.ceil(values["low"]), math.floor(values["high"])
        return distributions.IntDistribution(low, high, log=row.is_logarithmic)
    return distributions.FloatDistribution(values["low"], values["high"], log=row.is_logarithmic)
