"""Options of the command line, made of the settings of a run.

Imports no Keras.
"""

import functools
import shlex
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from keras_prokt.app import get_app, list_apps
from keras_prokt.backends import BACKENDS
from keras_prokt.data.table import parse_text_columns
from keras_prokt.methods import FIXED, OBJECTIVES, REGIMES
from keras_prokt.names import unknown_name
from keras_prokt.runs.known_settings import all_settings, settings_by_group
from keras_prokt.settings import Setting, SettingError, argument

METHOD_HELP = (
    "Objectives and at most one regime joined by '+', such as prokt, kd, crd+kd, at+prokt, sp+rco; "
    "see `keras-prokt methods`."
)

DEFAULT_APP = "digits"
"""The app of a run that names none."""

RECIPE = "recipe"
"""No setting itself: it decides what is not given."""

SCRATCH = "scratch"
"""What is typed for a teacher that nobody has trained."""

_OTHERS = {
    name: f"--{name.replace('_', '-')}"
    for name in (
        *(
            "app",
            "jobs",
            "method",
            "metric",
            "out",
            "overwrite",
            "pair",
            "recipe",
            "retry_failed",
            "seeds",
        ),
        *(
            "class_order",
            "latency",
            "max_loss",
            "part_size",
            "quantize",
            "save_teacher",
            "state_size",
            "stop_after",
            "threads",
            "trials",
        ),
    )
}


def option_names() -> dict[str, str]:
    """How each argument of the library is typed here, for messages."""
    return {**{name: row.option_of(name) for name, row in all_settings().items()}, **_OTHERS}


class GroupedCommand(click.Command):
    """A command whose help shows the settings of a run in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            shown = parameter.get_help_record(ctx)
            if shown is not None:
                groups.setdefault(getattr(parameter, "group", "Options"), []).append(shown)
        for name, rows in groups.items():
            with formatter.section(name):
                formatter.write_dl(rows)


class GroupedOption(click.Option):
    """An option that belongs to a group of settings."""

    def __init__(self, *arguments: Any, group: str = "Options", **settings: Any):
        super().__init__(*arguments, **settings)
        self.group = group

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The values that are known of a setting, given the app that was typed."""
        name, row = self.name or "", all_settings().get(self.name or "")
        if row is not None and row.is_file:
            return [CompletionItem(incomplete, type="file")]
        # Of methods joined by '+' the last one is being typed.
        before, plus, last = (
            incomplete.rpartition("+") if name == "method" else ("", "", incomplete)
        )
        words = row.choices if row is not None and row.choices else _known_values(name, ctx)
        found = [CompletionItem(before + plus + word) for word in words if word.startswith(last)]
        if name in ("app", "teacher", "student", "teacher_init"):
            found.append(CompletionItem(incomplete, type="file"))  # a file of the user's own
        return found


def _known_values(name: str, ctx: click.Context) -> Iterable[str]:
    """Names of apps, methods and backends, and of the models and pairs of an app."""
    if name == "app":
        return [app.name for app in list_apps()]
    if name == "method":
        return [*OBJECTIVES, *(regime for regime in REGIMES if regime != FIXED)]
    if name == "backend":
        return BACKENDS
    if name not in ("teacher", "student", "pair"):
        return ()
    try:
        app = get_app(ctx.params.get("app") or DEFAULT_APP)
    except (ValueError, ImportError, SyntaxError):
        return ()
    return {"teacher": app.teachers, "student": app.students, "pair": app.pairs}[name]


def with_settings(
    *, as_text: bool = False, without: Iterable[str] = (), only: Container[str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options of all settings of a run to a command.

    Args:
        as_text: Whether numbers arrive as they were typed, since they may be lists and ranges.
        without: Names of settings that the command has of its own.
        only: Names of the only settings that it takes; `None` for all.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = [
            (
                "app",
                "Models",
                Setting("Which app, see `keras-prokt apps`; or a file of yours, ./my_app.py."),
                DEFAULT_APP,
            ),
            ("method", "Method", Setting(METHOD_HELP), "prokt"),
        ]
        pair = Setting("A named pair of the app, such as vgg13-mobilenetv2 of cifar100.")
        recipe = Setting(
            "found (by our own protocols, where one was) or paper: what prokt has for λ, γ, T and "
            "the rest. [default: found, if there is one]"
        )
        rows = [("pair", "Models", pair, None), (RECIPE, "Method", recipe, None)]
        rows += [
            (name, group, row, None)
            for group, settings in settings_by_group().items()
            for name, row in settings.items()
            if name not in without
        ]
        for name, group, row, default in reversed([*own, *rows]):
            if name not in without and (only is None or name in only):
                command = _option(name, row, group, default, as_text)(command)
        return command

    return decorate


def _option(name: str, row: Setting, group: str, default: Any, as_text: bool) -> Any:
    settings: dict[str, Any] = {"help": row.help, "metavar": row.metavar, "group": group}
    if row.kind is bool:
        settings |= {"is_flag": True, "default": None}
    elif row.is_repeated:
        settings |= {"multiple": True}
    elif row.kind in (float, int) and not as_text and not row.may_change:
        settings |= {"type": row.kind}
    if default is not None:
        settings |= {"default": default, "show_default": True}
    return click.option(row.option_of(name), name, cls=GroupedOption, **settings)


def parsed(given: Mapping[str, Any]) -> dict[str, Any]:
    """What `RunSpec.resolve` takes of what was typed.

    Raises:
        SettingError: If an entry is not of the form that its option has.
    """
    values = {name: value for name, value in given.items() if value not in (None, ())}
    if values.get("teacher_init") == SCRATCH:
        del values["teacher_init"]
    for name, value in values.items():
        row = all_settings().get(name)
        if row is not None and row.may_change and isinstance(value, str):
            values[name] = row.parsed(name, value)
    if "weights" in values:
        values["weights"] = _weights(values["weights"])
    if "objective_settings" in values:
        values["objective_settings"] = _objective_settings(values["objective_settings"])
    if isinstance(values.get("text_columns"), str):
        values["text_columns"] = parse_text_columns(values["text_columns"], values.get("dataset"))
    return values


def _weights(entries: Iterable[str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for entry in entries:
        name, _, value = entry.partition("=")
        _check_once("weights", name.strip(), weights)
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            raise SettingError(
                f"Expected {argument('weights')} OBJECTIVE=NUMBER, received {entry!r}; for example "
                "at=500."
            ) from None
    return weights


def _check_once(setting: str, key: str, existing: Container[str]) -> None:
    if key in existing:
        raise SettingError(f"Expected {argument(setting, key)} once, received it again; leave one.")


def _objective_settings(entries: Iterable[str]) -> dict[str, dict[str, Any]]:
    settings: dict[str, dict[str, Any]] = {}
    for entry in entries:
        place, equals, text = entry.partition("=")
        objective, dot, name = place.strip().partition(".")
        if not (equals and dot):
            raise SettingError(
                f"Expected {argument('objective_settings')} OBJECTIVE.NAME=VALUE, received "
                f"{entry!r}; for example crd.num_negatives=4096."
            )
        if objective not in OBJECTIVES:
            raise SettingError(unknown_name("an objective", objective, OBJECTIVES))
        rows = OBJECTIVES[objective].settings
        if name not in rows:
            raise SettingError(
                unknown_name(f"a setting of {objective!r}", name, rows)
                if rows
                else f"Expected no settings of {objective!r}, received {name!r}; it has none."
            )
        place = f"{objective}.{name}"
        _check_once(
            "objective_settings", place, {f"{objective}.{n}" for n in settings.get(objective, {})}
        )
        settings.setdefault(objective, {})[name] = rows[name].parsed(
            "objective_settings", text.strip(), place
        )
    return settings


@functools.cache
def typed_names() -> dict[str, str]:
    """Settings by how they are typed without the two hyphens, such as `lambda`."""
    names = {row.option_of(name).removeprefix("--"): name for name, row in all_settings().items()}
    return {**names, RECIPE: RECIPE}


def parsed_method(text: str) -> tuple[str, dict[str, Any]]:
    """A method with settings of its own, as `compare` takes it.

    Args:
        text: A method, and settings without the two hyphens: `"prokt lambda=0 label-weight=.5"`;
            a value with spaces in quotes, as a shell takes it.

    Returns:
        The method, and its settings as `RunSpec.resolve` takes them.

    Raises:
        SettingError: On unknown settings, one given twice, and values that mean nothing.

    Example:

    >>> from keras_prokt.options import parsed_method
    >>> parsed_method("prokt lambda=.5 weight=kd=2")
    ('prokt', {'proximal_weight': 0.5, 'weights': {'kd': 2.0}})
    """
    try:
        method, *entries = shlex.split(text)
    except ValueError:
        raise SettingError(
            f"Expected {argument('method')} 'METHOD NAME=VALUE ...', received {text!r}; name a "
            "method, and close quotes."
        ) from None
    given: dict[str, Any] = {}
    for entry in entries:
        typed, equals, value = entry.partition("=")
        name = typed_names().get(typed.removeprefix("--"))
        if name is None:
            raise SettingError(
                unknown_name(f"a setting of method {method!r}", typed, typed_names())
            )
        if not equals:
            raise SettingError(
                f"Expected NAME=VALUE after method {method!r}, received {entry!r}; such as "
                "lambda=0.3."
            )
        if name == RECIPE:
            given[name] = value
            continue
        if name == "seed":
            raise SettingError(
                f"Expected no seed in {text!r}; {argument('seeds')} holds for all rows."
            )
        row = all_settings()[name]
        if row.is_repeated:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise SettingError(f"Expected {typed} once, received {text!r}; leave one out.")
        else:
            given[name] = value if row.is_one_text else row.parsed(name, value)
    own = parsed(given)
    if given.get("teacher_init") == SCRATCH:
        own["teacher_init"] = None  # not even a common one
    return method, own


def parsed_seeds(text: str) -> list[int]:
    """Seeds as people type them: `0-4`, or `0,1,7`.

    Raises:
        SettingError: On anything else, and on seeds given twice.

    Example:

    >>> from keras_prokt.options import parsed_seeds
    >>> parsed_seeds("0-2,7")
    [0, 1, 2, 7]
    """
    seeds: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        is_whole = low.isdecimal() and (not dash or high.isdecimal())
        if not is_whole or (dash and int(high) - int(low) not in range(10_000)):
            raise SettingError(
                f"Expected {argument('seeds')} such as 0-4 or 0,1,2, received {text!r}; give whole "
                "numbers from 0."
            )
        seeds += range(int(low), int(high or low) + 1)
    if len(set(seeds)) < len(seeds):
        raise SettingError(f"Expected different {argument('seeds')}, received {text!r}.")
    return seeds


def parsed_search(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was typed for a search: settings with one value, and those to be searched.

    A comma separates values and a colon the ends of a range: `0,0.2,0.4`, `1e-3:1e-1`.

    Args:
        given: Options as texts.

    Returns:
        Settings as `RunSpec.resolve` takes them, and what `search` takes as `over`.

    Raises:
        SettingError: On values that mean nothing.

    Example:

    >>> from keras_prokt.options import parsed_search
    >>> parsed_search({"proximal_weight": "0,0.3", "epochs": "5"})
    ({'epochs': 5}, {'proximal_weight': [0.0, 0.3]})
    """
    single: dict[str, Any] = {}
    over: dict[str, Any] = {}
    for name, value in given.items():
        row = all_settings().get(name)
        if value in (None, ()):
            continue
        if row is None or row.kind is bool or row.is_one_text:
            single[name] = value
        elif row.kind is dict:
            for entry in value:
                place, equals, text = entry.partition("=")
                if equals and _is_several(row, text, is_number=True):
                    key = place.strip()
                    _check_once(name, key, [k.partition(" ")[2] for k in over])
                    own = _row_of(name, key)
                    over[f"{name} {key}"] = _several_values(own, name, key, text)
                else:
                    single.setdefault(name, []).append(entry)
        elif row.kind is tuple:
            single[name] = tuple(value)
        elif row.is_listed and _is_several(row, value, is_number=row.kind in (float, int)):
            over[name] = _several_values(row, name, None, value)
        else:
            single[name] = row.parsed(name, value)
    return parsed(single), over


def _row_of(name: str, key: str) -> Setting:
    if name == "weights":
        return Setting("", float, at_least=0)
    objective, _, own = key.partition(".")
    if objective not in OBJECTIVES:
        raise SettingError(unknown_name("an objective", objective, OBJECTIVES))
    rows = OBJECTIVES[objective].settings
    if own not in rows:
        raise SettingError(unknown_name(f"a setting of {objective!r}", own, rows or ["none"]))
    return rows[own]


def _is_several(row: Setting, text: str, *, is_number: bool) -> bool:
    return "," in text or (is_number and ":" in text)


def _several_values(row: Setting, name: str, key: str | None, text: str) -> Any:
    from keras_prokt.runs.search_space import Range

    if "," not in text and row.kind in (float, int):
        low, _, high = text.partition(":")
        return Range(row.parsed(name, low.strip(), key), row.parsed(name, high.strip(), key))
    return [row.parsed(name, part.strip(), key) for part in text.split(",")]
