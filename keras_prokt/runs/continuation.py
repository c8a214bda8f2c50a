"""Whether a run can go on in this process, and what may then be different."""

import warnings
from collections.abc import Mapping
from typing import Any

from keras_prokt import backends
from keras_prokt.names import OneLineWarning
from keras_prokt.runs.determinism import is_deterministic
from keras_prokt.runs.environment import describe_environment
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.threads import threads_in_use
from keras_prokt.settings import SettingError, argument


class OtherThreads(OneLineWarning):
    """A run goes on with another number of threads than it was begun with."""


class OtherVersions(OneLineWarning):
    """A run goes on with other versions of what computes than it was begun with."""


def check_can_go_on(record: Mapping[str, Any]) -> None:
    """Refuses an unfinished run that nothing can be continued of.

    Args:
        record: As in `run.json`.

    Raises:
        ValueError: If it is of an older version, or failed before it began.
    """
    if "threads" in record:
        return
    if record["status"] == "failed":
        raise ValueError(
            f"Expected a run that has begun, received one that failed before: "
            f"{record.get('failure', 'unknown')}; start it anew."
        )
    raise ValueError(
        "Expected a run of this version of keras_prokt, received one begun with "
        f"{record['package']['version']}; resume it with that version, or start it anew."
    )


def warn_of_changes(record: Mapping[str, Any]) -> None:
    """Warns where a run goes on with what may give other bits than it was begun with.

    Args:
        record: As in `run.json`.
    """
    if record["threads"] != threads_in_use():
        warnings.warn(
            f"The run was begun with {record['threads']} threads and goes on with "
            f"{threads_in_use()}: sums are formed in another order, so that it will not be equal, "
            "bit for bit, to one that was never stopped.",
            OtherThreads,
            stacklevel=3,
        )
    if changed := _changed_versions(record):
        warnings.warn(
            f"The run was begun with {changed}: it may not be equal, bit for bit, to one that was "
            "never stopped.",
            OtherVersions,
            stacklevel=3,
        )


def _changed_versions(record: Mapping[str, Any]) -> str:
    """What computes now in another version than when a run was begun; "" if nothing does."""
    now = describe_environment()
    computes = ("keras", backends.current().name, "numpy")
    pairs = {name: (record["versions"].get(name), now["versions"].get(name)) for name in computes}
    pairs["keras_prokt"] = (record["package"]["version"], now["package"]["version"])
    return " and ".join(
        f"{name} {then} and goes on with {is_now}"
        for name, (then, is_now) in pairs.items()
        if then != is_now
    )


def with_versions(error: ValueError, then: Mapping[str, Any]) -> ValueError:
    """The error; if another version began the run, with that version, which may be the reason."""
    now = describe_environment()["package"]
    if then == now:
        return error
    old, new = (f"keras_prokt {one['version']} ({one['git']})" for one in (then, now))
    return ValueError(
        f"{error} The run was begun with {old}, and this is {new}; if that is the reason, resume "
        "it with the former."
    )


def check_backend(spec: RunSpec) -> None:
    """Refuses to carry out a run on another backend, or without the operations it is held to."""
    if backends.current().name != spec.backend:
        raise ValueError(
            f"Expected backend {spec.backend!r}, that of the run, received "
            f"{backends.current().name!r}; set KERAS_BACKEND={spec.backend}, or resolve the spec "
            "with backend=."
        )
    if spec.deterministic and not is_deterministic(spec.backend):
        raise SettingError(
            f"Expected deterministic operations of {spec.backend}, received its usual ones; call "
            f"keras_prokt.runs.determinism.use_deterministic_operations({spec.backend!r}) "
            f"before anything is computed, or use {argument('deterministic')} of the command line."
        )
