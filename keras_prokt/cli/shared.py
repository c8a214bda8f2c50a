"""What several commands have in common; imports no Keras."""

import json
import math
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from keras_prokt.arguments import checked_path
from keras_prokt.cli.backend import IMPORTS, choose_backend, installed_backend
from keras_prokt.cli.problems import UsageProblem, echo
from keras_prokt.export import DEFAULT, FORMATS
from keras_prokt.named_code import name_modules
from keras_prokt.names import unknown_name
from keras_prokt.options import RECIPE, SCRATCH, option_names, parsed
from keras_prokt.results.class_tables import class_summary, class_tables
from keras_prokt.results.comparison_forms import FORMS
from keras_prokt.results.search import search_table
from keras_prokt.results.tables import results_table
from keras_prokt.runs.executor import Execution
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.likeness import differences, spec_like
from keras_prokt.runs.setting_search import FIGURE
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import parse_duration
from keras_prokt.settings import SettingError

_TYPED = ParameterSource.COMMANDLINE


def spec_of_options(given: dict[str, Any], like: str | None = None) -> RunSpec:
    """The spec of the options of a command.

    Args:
        given: The options.
        like: Folder of a run whose settings hold where none were typed.
    """
    app, method = given.pop("app"), given.pop("method")
    if like is not None:
        return _spec_like(like, given, app=app, method=method)
    given["backend"] = installed_backend(given["backend"])
    choose_backend(given["backend"])
    return RunSpec.resolve(app, method, **parsed(given))


def _spec_like(like: str, given: dict[str, Any], **names: str) -> RunSpec:
    """The spec of a run with what was typed, and a line that says what differs."""
    for name in ("pair", RECIPE):
        if given.pop(name) is not None:
            raise UsageProblem(
                f"Expected no --{name} with --like, received one; type the settings themselves."
            )
    context = click.get_current_context()
    typed = {k: v for k, v in names.items() if context.get_parameter_source(k) is _TYPED}
    values = parsed(given)
    if given["teacher_init"] == SCRATCH:
        values["teacher_init"] = None
    spec = spec_like(like, **typed, **values)
    installed_backend(spec.backend)
    echo(f"keras-prokt: {differences(like, spec)}", err=True)
    return spec


class NewPath(click.ParamType):
    """A path that is written to, as it was typed; `--out=~/runs` is in the home folder too, which
    shells leave to the program."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            checked_path("PATH" if param is None else param.opts[0], value)
        except ValueError as error:
            raise UsageProblem(str(error)) from error
        return os.path.expanduser(value)


MOST_AT_ONCE = 1024
"""Processes, or threads, that a command starts."""


class FiniteRange(click.FloatRange):
    """A range of numbers that holds neither NaN, which compares with nothing, nor infinity."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


def options_of_many_runs(command: Any) -> Any:
    """Options of commands that carry out many runs."""
    options = (
        click.option(
            "--jobs",
            type=click.IntRange(1, MOST_AT_ONCE),
            default=1,
            show_default=True,
            help="Runs at once; they share the cores.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(1, MOST_AT_ONCE),
            help="Threads of each run. [default: the cores, shared by --jobs]",
        ),
        click.option(
            "--stop-after", metavar="50m", help="Save all states and stop before this time is over."
        ),
        click.option("--retry-failed", is_flag=True, help="Begin runs anew that failed before."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _checked_form(_: click.Context, __: click.Parameter, form: str) -> str:
    if form not in FORMS:
        raise UsageProblem(unknown_name("a format", form, FORMS))
    return form


form_option = click.option(
    "--format",
    "form",
    default="table",
    show_default=True,
    callback=_checked_form,
    help="table, csv, json, markdown or latex.",
)
"""How a comparison is shown."""


def seconds(duration: str | None) -> float | None:
    return None if duration is None else parse_duration(duration)


def as_typed(text: str) -> str:
    """A message of the library with options for its arguments."""
    return SettingError(text).shown_as(option_names())


def exit_with_status(done: Execution, *, is_search: bool = False) -> None:
    """Exits with 1 if not everything is completed, and says what to do."""
    # The table of a search names what has failed.
    unsaid = done.refused if is_search else {**done.failed, **done.refused}
    for name, reason in unsaid.items():
        echo(f"keras-prokt: {name}: {' '.join(reason.split())}", err=True)
    if done.failed:
        echo("keras-prokt: --retry-failed begins those that failed anew", err=True)
    if done.failed or done.refused:
        sys.exit(1)


def print_search(folder: Path, found: dict[str, Any]) -> None:
    echo(search_table(found))
    if found["chosen"] is not None:
        chosen = next(one for one in found["configurations"] if one["title"] == found["chosen"])
        if (folder / FIGURE).is_file():
            echo(f"picture: {folder / FIGURE}")
        run = folder / chosen["runs"][0]["folder"]
        echo(f"the student: `keras-prokt export {shlex.quote(str(run))}`")


def _note_imports(ctx: click.Context, _: click.Parameter, modules: tuple[str, ...]) -> None:
    name_modules(modules)
    ctx.meta[IMPORTS] = modules  # imported when the backend is chosen


import_option = click.option(
    "--import",
    metavar="MODULE",
    multiple=True,
    expose_value=False,
    callback=_note_imports,
    help="Import a module, or ./my_app.py, that the run or its model names. Needed for runs that "
    "were begun elsewhere.",
)
"""Names code that a run names; without it, what a file says is not imported."""


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print all that is known as JSON, on standard output."
)


def print_json(values: Mapping[str, Any]) -> None:
    """Prints values as JSON, which has no NaN and no infinity: null in their place."""
    text = json.dumps(_finite(values), indent=2, ensure_ascii=False, default=str, allow_nan=False)
    echo(text)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_of_run(folder: RunFolder, record: Mapping[str, Any]) -> dict[str, Any]:
    """A run's record and where it is."""
    return {"folder": str(folder.path), **record}


def print_results(folder: RunFolder, record: dict[str, Any], *, as_json: bool = False) -> None:
    """What came out of a run, or how to go on with it."""
    if as_json:
        print_json(json_of_run(folder, record))
        return
    if record["status"] != "completed":
        echo(f"stopped; go on with `{folder.resume_hint()}`")
        return
    echo(results_table(record, folder.spec().changed_settings()))
    if summary := class_summary(record):
        echo("\n".join(summary))
    if class_tables(record):
        echo(f"each class: `{shlex.join(['keras-prokt', 'info', str(folder.path)])}`")
    echo(f"run folder: {folder.path}")
    for name, card in FORMATS.items():
        for role, of_whom in (("student", ""), ("teacher", " of the teacher")):
            if (path := folder.export_of(role, name)).exists():
                echo(f"{card.title}{of_whom}: {path}")
    usual = FORMATS[DEFAULT]
    is_written = folder.export_of("student").exists()
    if record["export"] and not is_written and (missing := usual.missing()):
        command = shlex.join(["keras-prokt", "export", str(folder.path)])
        echo(
            f"{usual.title}: left out without {', '.join(missing)}; write it where that is: "
            f"`{command}`"
        )
