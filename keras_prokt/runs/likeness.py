"""A run with the settings of another one, and what differs between two; imports no Keras."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_prokt.app import get_app
from keras_prokt.app_file import absolute_app
from keras_prokt.files import digest_of_file
from keras_prokt.methods import parse_method
from keras_prokt.named_code import name_code
from keras_prokt.results.tables import shown_value
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.known_settings import all_settings
from keras_prokt.runs.resolution import absolute_path, model_name
from keras_prokt.runs.spec import RunSpec
from keras_prokt.settings import SettingError, argument

_NOT_GIVEN = (None, (), {})


def spec_like(
    run: str | Path, app: str | None = None, method: str | None = None, **given: Any
) -> RunSpec:
    """The spec of a run with other values of some settings.

    Of another app or method it has what that one has too and what is not as in the recipe.

    Args:
        run: Its folder; it need not be completed.
        app: Name of another app; `None` for that of the run.
        method: Another method; `None` for that of the run.
        **given: Settings by name; `None` for one that the run is to have no longer.

    Raises:
        ValueError: If there is no run, a file that it reads is gone, or as `RunSpec.resolve`.

    Example:

    ```python
    from keras_prokt.runs.likeness import spec_like

    spec = spec_like("runs/digits-prokt-1", seed=1)
    ```
    """
    name_code([app, given])
    spec = RunFolder.existing(run).spec()
    app, method = absolute_app(app or spec.app), method or spec.method
    if (app, method) == (spec.app, spec.method):
        like = spec.replacing(**_as_resolved(app, given))
    else:
        like = RunSpec.resolved(app, method, **{**_own_settings(spec, app, method), **given})
    for name, path in like.files().items():
        if not Path(path).is_file() and spec.files().get(name) == path:
            raise SettingError(
                f"Expected the {name} of the run in {str(run)!r}, received none at {path!r}; "
                f"restore it, or name another with {argument(name)}."
            )
    return like


def _as_resolved(app: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Values as `RunSpec.resolve` takes them up."""
    description, values = get_app(app), dict(given)
    for name, value in values.items():
        row = all_settings().get(name)
        if value is None or row is None:
            continue
        values[name] = row.checked(name, value)
        if row.is_file:
            values[name] = absolute_path(value)
    for role, known in (("teacher", description.teachers), ("student", description.students)):
        if values.get(role) is not None:
            values[role] = model_name(values[role], known)
    return values


def _own_settings(spec: RunSpec, app: str, method: str) -> dict[str, Any]:
    """Settings in which a run is not as its recipe, as far as another app and method have them."""
    known, description = parse_method(method).settings, get_app(app)
    changed = set(spec.changed_settings())
    usual = RunSpec.resolved(spec.app, spec.method, teacher=spec.teacher, student=spec.student)
    if spec.epochs != usual.epochs:
        changed.add("epochs")
    kept = {}
    for name, row in all_settings().items():
        is_of_method = name in known or name not in parse_method(spec.method).settings
        is_of_app = row.of_apps is None or getattr(description, row.of_apps)
        is_chosen = row.option_of(name).removeprefix("--") in changed or row.is_place
        value = getattr(spec, name)
        if is_chosen and is_of_method and is_of_app and value not in _NOT_GIVEN:
            kept[name] = value
    if app == spec.app:
        models = {"teacher": spec.teacher, "student": spec.student}
        kept |= {role: name for role, name in models.items() if name is not None}
    return kept


def differences(run: str | Path, spec: RunSpec) -> str:
    """What of a spec is not as in a run, in one line.

    Args:
        run: Folder of the run.
        spec: The spec of another one.

    Returns:
        App, method, and settings as they are typed without hyphens, each with the value of the
        run; and files of the same name that have other content now.
    """
    folder = RunFolder.existing(run)
    then, record = folder.spec(), folder.read()
    found = []
    for name in ("app", "method", *all_settings()):
        old, new = (getattr(one, name) for one in (then, spec))
        if old != new:
            row = all_settings().get(name)
            typed = name if row is None else row.option_of(name).removeprefix("--")
            values = ("none" if v in _NOT_GIVEN else shown_value(v) for v in (new, old))
            found.append(f"{typed} {' instead of '.join(values)}")
        elif _has_changed(spec.files().get(name), record["data"].get(name)):
            found.append(f"{name} with other content")
    return f"like {run}: {', '.join(found) or 'all settings the same'}"


def _has_changed(path: str | None, digest: str | None) -> bool:
    return path is not None and digest is not None and digest_of_file(path) != digest
