"""What `run.json` holds: its shape, its version, and how older ones are read.

This module imports no Keras.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_prokt import __version__
from keras_prokt.app import OptimizerRecipe, get_app
from keras_prokt.files import read_json, without_checksum
from keras_prokt.methods import parse_method
from keras_prokt.named_code import read_code
from keras_prokt.names import is_showable, showable
from keras_prokt.runs.optimizers import optimizer_settings
from keras_prokt.runs.spec import RunSpec, UnknownSettings
from keras_prokt.settings import PARTS, OptimizerSettings, settings_of

FORMAT = 2
"""Version of the records: 1 is that of keras_prokt 0.1.0, without checksums."""

STATUSES = ("running", "completed", "failed")


class UnknownKey(ValueError):
    """A key that no record of this version has, as a newer one may.

    Args:
        key: The key.
        place: Where it stands.
    """

    def __init__(self, key: str, place: str):
        super().__init__(f"Expected no {key!r:.60} in {place}")
        self.key = key


class AnyText:
    """The shape of texts that are not shown as they are; others hold no control characters."""


_LARGEST = 2**63 - 1
_NUMBER = (int, float)
_METRICS = {"seconds": _NUMBER, "*": _NUMBER}
_MODEL = {"parameters": int, "bytes": int, "*": _METRICS}
_LENGTHS = {"mean": _NUMBER, "longest": int, "padded_lengths": int, "padding": _NUMBER}
_REPORT = {
    "classes": {"examples": [int], "precision": [_NUMBER], "recall": [_NUMBER], "f1": [_NUMBER]},
    "confusion?": [[int]],
    "calibration": {"examples": [int], "confidence": [_NUMBER], "accuracy": [_NUMBER]},
}
_SHAPE = {
    "status": STATUSES,
    "started": str,
    "spec": dict,
    "data": {"*": str},
    "teacher_init?": (str, type(None)),
    "output?": str,
    "class_names": [AnyText],
    "export": bool,
    "measures_test?": bool,
    "keeps_checkpoint?": bool,
    "save_teacher?": bool,
    "threads?": int,
    "package": {"version": str, "git": (str, type(None))},
    "versions": {"*": str},
    "hardware": {"machine": str, "processor": str, "cores": int, "accelerators": [str]},
    "replaces?": AnyText,
    "failure?": AnyText,
    "wall_seconds?": _NUMBER,
    "training_seconds?": _NUMBER,
    "examples?": {"*": int},
    "labelled?": int,
    "lengths?": (_LENGTHS, type(None)),
    "texts?": {"*": {"cut": _NUMBER, "unknown": _NUMBER}},
    "cost?": {"forwards": {"*": int}, "flops": {"*": (int, type(None))}},
    "files?": {"*": str},
    "results?": {
        "best_epoch": int,
        "last_epoch": int,
        "teacher_best_epoch?": int,
        "metric?": str,
        "mode?": ("max", "min"),
        "lower_is_better?": [str],
        "best_constant?": {"*": _NUMBER},
        "scores?": {"*": {"*": {"*": _NUMBER}}},
        "size_ratio?": {"parameters": _NUMBER, "bytes": _NUMBER},
        "reports?": {"*": {"*": _REPORT}},
        "models": {"student": _MODEL, "*": _MODEL},
    },
}
"""A key with `?` may be missing; `*` is any other key; a tuple holds what a value may be."""

_OF_COMPLETED = ("training_seconds", "examples", "results")


def read_run_record(path: Path) -> dict[str, Any]:
    """The record of a run, of this version or an older one, in the form of this version.

    Args:
        path: The `run.json`.

    Returns:
        The record; `spec` is a `RunSpec`'s JSON form of this version.

    Raises:
        ValueError: If the file was changed, is not whole, or of a newer version.
    """
    record = read_json(path)
    version = record.get("format")
    if version == FORMAT:
        record = without_checksum(path, record)
    elif version != 1:
        raise ValueError(
            f"Expected {path.name} of format {FORMAT} or older at {str(path)!r}, received "
            f"{version!r}; read it with the version of keras_prokt that wrote it"
            f"{_version_of(record)}."
        )
    del record["format"]
    read_code(record.get("spec"))
    try:
        if version == 1:
            record = _of_first_format(record)
        check_shape(record, _SHAPE, path.name)
        if record["status"] == "completed":
            for key in _OF_COMPLETED:
                check_shape(record, {key: object, "*": object}, path.name)
        _check_reports(record.get("results", {}).get("reports", {}), record["class_names"])
        record["spec"] = RunSpec.from_json(record["spec"]).to_json()
        if "failure" in record:
            record["failure"] = showable(record["failure"])
    except UnknownSettings as error:
        raise ValueError(
            f"Expected a {path.name} whose settings keras_prokt {__version__} knows at "
            f"{str(path)!r}, received {', '.join(map(repr, error.names)):.200}; read it with the "
            f"version that wrote it{_version_of(record)}."
        ) from None
    except UnknownKey as error:
        raise of_newer_version(path, error.key, _version_of(record)) from None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"Expected a whole {path.name} at {str(path)!r}, received one that cannot be read "
            f"({type(error).__name__}: {error}); restore it from a copy, or start a new run."
        ) from error
    return record


def of_newer_version(path: Path, name: str, version: str = "") -> ValueError:
    """What is said of a record with a key or a setting that this version does not know.

    Args:
        path: The record.
        name: The key or the setting.
        version: What wrote it, if that is known.
    """
    return ValueError(
        f"Expected a {path.name} whose entries keras_prokt {__version__} knows at {str(path)!r}, "
        f"received {name!r:.60}; read it with the version that wrote it{version}."
    )


def _version_of(record: Mapping[str, Any]) -> str:
    package = record.get("package")
    if not isinstance(package, Mapping):
        return ""
    said = [package.get("version"), package.get("git")]
    said = [showable(one) for one in said if isinstance(one, str)]
    return f", {' of commit '.join(said)}" if said else ""


def measured(record: Mapping[str, Any], path: Path, part: str, metric: str) -> float:
    """How good the student of a completed run is.

    Args:
        record: The run's record.
        path: Its folder, for messages.
        part: Of the data.
        metric: What is measured, a metric or a score.

    Raises:
        ValueError: If the record does not say.
    """
    value = values_of(record, "student", part).get(metric)
    if value is None:
        raise ValueError(
            f"Expected a run whose {metric!r} on {part} data is known, received {str(path)!r}; "
            "restore its run.json from a copy, or repeat the run."
        )
    return value


def values_of(record: Mapping[str, Any], model: str, part: str) -> dict[str, float]:
    """All that a completed run has measured of a model on a part of the data, by name.

    Args:
        record: The run's record.
        model: Such as "student".
        part: Of the data, such as "test".
    """
    results = record["results"]
    metrics = results["models"].get(model, {}).get(part, {})
    return {**metrics, **results.get("scores", {}).get(model, {}).get(part, {})}


def check_shape(value: Any, shape: Any, place: str) -> None:
    """Refuses a JSON value of another shape.

    Args:
        value: The value.
        shape: A type; a tuple of shapes or of texts, one of which it has to be; a list of one
            shape, for lists of it; a mapping of keys to shapes.
        place: Where the value stands, for messages.

    Raises:
        ValueError: If it has another.
    """
    if isinstance(shape, Mapping):
        _check_mapping(value, shape, place)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise ValueError(f"Expected a list at {place}, received {type(value).__name__}")
        for number, one in enumerate(value):
            check_shape(one, shape[0], f"{place}[{number}]")
    elif shape is AnyText:
        if not isinstance(value, str):
            raise ValueError(f"Expected a text at {place}, received {type(value).__name__}")
    elif isinstance(shape, tuple):
        if not any(_has(value, one, place) for one in shape):
            raise ValueError(f"Expected another value at {place}, received {value!r:.60}")
    elif (
        not isinstance(value, shape)
        or (isinstance(value, bool) and shape is int)
        or (shape is int and abs(value) > _LARGEST)
        or (shape is str and not is_showable(value))
    ):
        raise ValueError(f"Expected {shape.__name__} at {place}, received {value!r:.60}")


def _has(value: Any, shape: Any, place: str) -> bool:
    if isinstance(shape, str):
        return value == shape
    try:
        check_shape(value, shape, place)
    except ValueError:
        return False
    return True


def _check_reports(reports: Mapping[str, Any], class_names: Sequence[str]) -> None:
    """Refuses reports on the classes whose lists are not as long as one another."""
    counts = set()
    for role, parts in reports.items():
        for part, report in parts.items():
            lengths = {len(values) for values in report["classes"].values()}
            if confusion := report.get("confusion"):
                lengths |= {len(confusion), *map(len, confusion)}
            bins = {len(values) for values in report["calibration"].values()}
            if len(lengths) > 1 or len(bins) > 1:
                raise ValueError(f"Expected lists of one length in the report of {role} on {part}")
            counts |= lengths
    if len(counts) > 1 or (class_names and max(counts, default=0) > len(class_names)):
        raise ValueError(
            f"Expected reports on {len(class_names)} classes, received some on {sorted(counts)}"
        )


def _check_mapping(value: Any, shape: Mapping[str, Any], place: str) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"Expected an object at {place}, received {type(value).__name__}")
    named = {key.removesuffix("?") for key in shape}
    for key, inner_shape in shape.items():
        name = key.removesuffix("?")
        if key != "*" and name in value:
            check_shape(value[name], inner_shape, f"{place}: {name}")
        elif key == name != "*":
            raise ValueError(f"Expected {name!r} in {place}, received none")
    others = [key for key in value if key not in named]
    if others and "*" not in shape:
        raise UnknownKey(others[0], place)
    for key in others:
        check_shape(key, str, f"a key of {place}")
        check_shape(value[key], shape["*"], f"{place}: {key!r:.60}")


def _of_first_format(record: dict[str, Any]) -> dict[str, Any]:
    """A record of keras_prokt 0.1.0 in the form of this version."""
    flat = dict(record["spec"])
    method = parse_method(flat["method"])
    optimizers = dict(record.pop("optimizers", {}))
    recipe = get_app(flat["app"]).recipe
    recipes = {"student": recipe.student_optimizer(flat["student"]), "teacher": recipe.teacher}
    spec: dict[str, Any] = {"app": flat.pop("app"), "method": flat.pop("method")}
    for name, part in PARTS.items():
        spec[name] = {key: flat.pop(key) for key in settings_of(part) if key in flat}
    spec["optimizers"] = {}
    for role, role_recipe in recipes.items():
        rate = flat.pop(f"{role}_learning_rate", None)
        if rate is None:
            continue
        if role in optimizers:
            role_recipe = OptimizerRecipe(**optimizers[role])
        settings = optimizer_settings(role_recipe, {"learning_rate": rate})
        names = [*settings_of(OptimizerSettings), "options"]
        spec["optimizers"][role] = {key: getattr(settings, key) for key in names}
    known = method.settings
    spec["method_settings"] = {
        key: flat.pop(key) for key in list(flat) if key in known and flat[key] is not None
    }
    if unknown := [key for key, value in flat.items() if value is not None]:
        raise ValueError(f"Expected a spec of keras_prokt 0.1.0, received one with {unknown}")
    # The first runs did not record everything.
    missing = {"data": {}, "class_names": [], "export": False}
    return {**missing, **record, "spec": RunSpec.from_json(spec).to_json()}
