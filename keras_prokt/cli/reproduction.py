"""The command `reproduce`; imports no Keras."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from keras_prokt.cli.backend import installed_backend
from keras_prokt.cli.problems import echo, problems_in_one_line, stopping
from keras_prokt.cli.shared import (
    NewPath,
    as_typed,
    exit_with_status,
    form_option,
    options_of_many_runs,
    seconds,
)
from keras_prokt.files import cache_folder, check_is_file
from keras_prokt.options import GroupedCommand, parsed, parsed_seeds, with_settings
from keras_prokt.results.comparison_forms import render
from keras_prokt.runs.claim import claim_table, tested
from keras_prokt.runs.executor import Execution
from keras_prokt.runs.markdown_report import update_report
from keras_prokt.runs.protocol import (
    ACCELERATOR,
    CPU,
    Protocol,
    get_protocol,
    list_claims,
    list_protocols,
)
from keras_prokt.runs.reproduction import COMPUTING, Reproduction, has_accelerator
from keras_prokt.runs.reproduction_list import listed_runs
from keras_prokt.runs.stopping import Stop
from keras_prokt.runs.travel import pack, parse_size, unpack
from keras_prokt.settings import SettingError, argument


@click.command(cls=GroupedCommand)
@click.argument("protocols", nargs=-1)
@click.option("--list", "lists", is_flag=True, help="Show every run: state, cost, paper and ours.")
@click.option("--claims", is_flag=True, help="Show what the results say of our claims.")
@click.option("--seeds", help="Such as 0-4. [default: the protocol's]")
@with_settings(only=("epochs", "limit", "teacher", "data_dir", "prepared", *COMPUTING))
@click.option(
    "--out", type=NewPath(), default="reproductions", show_default=True, help="Folder of the runs."
)
@click.option(
    "--results",
    type=NewPath(),
    default="results",
    show_default=True,
    help="Folder of the finished results.",
)
@click.option(
    "--state",
    type=NewPath(),
    metavar="FILE",
    help="Go on from FILE, and pack into it what must travel.",
)
@click.option("--state-size", default="60M", show_default=True, help="How large that file may be.")
@form_option
@options_of_many_runs
def reproduce(
    protocols: tuple[str, ...],
    lists: bool,
    claims: bool,
    seeds: str | None,
    out: str,
    results: str,
    state: str | None,
    state_size: str,
    form: str,
    jobs: int,
    threads: int | None,
    stop_after: str | None,
    retry_failed: bool,
    **given: Any,
) -> None:
    """Carry out what is missing of PROTOCOLS: the paper's tables and figures, and our own claims.

    Finished runs are added to RESULTS/PROTOCOL.jsonl, where one with more examples and epochs is
    never replaced by one with fewer. Without PROTOCOLS, all that are sized for what is here, the
    most valuable first. The settings below take the place of the protocol's, to try it in small or
    to name where your data and checkpoints lie.

    \b
      keras-prokt reproduce --list
      keras-prokt reproduce --claims
      keras-prokt reproduce digits-tuning --jobs 2 --stop-after 50m
      keras-prokt reproduce table-1 --epochs 2 --limit 2048 --results /tmp/try
      keras-prokt reproduce table-1 --backend jax --stop-after 9m --state state.tar
    """
    with problems_in_one_line():
        of_work = {
            **{name: click.get_current_context().params[name] for name in _OPTIONS_OF_WORK},
            **({} if lists else {"seeds": seeds, "protocols": protocols, **given}),
        }
        if claims or lists:
            _refuse_beside(
                "--claims" if claims else "--list", {**of_work, "lists": claims and lists}
            )
        if claims:
            for claim in list_claims():
                echo(f"\n{claim_table(claim, tested(claim, results))}")
            return
        size = parse_size(state_size)
        if state is None and _is_typed("state_size"):
            raise SettingError(
                f"Expected no {argument('state_size')} without --state, received {state_size!r}; "
                "nothing is packed."
            )
        if state is not None:
            check_is_file(Path(state))
        stop = Stop(seconds(stop_after))
        settings = parsed(given)
        if not lists or "backend" in settings:
            settings["backend"] = installed_backend(settings.get("backend"))
        numbers = None if seeds is None else parsed_seeds(seeds)
        folder, archives = Path(out), Path(results)
        parts = [
            Reproduction(one, folder, archives, seeds=numbers, settings=settings)
            for one in _wanted_protocols(protocols, with_all=lists)
        ]
        if lists:
            echo(listed_runs(parts, every=bool(protocols)))
            return
        parts = [part for part in parts if _is_possible(part, is_named=bool(protocols))]
        teachers = cache_folder() / "teachers"
        if state is not None and Path(state).is_file():
            placed = unpack(Path(state), folder, archives, teachers)
            echo(f"{state}: {len(placed)} runs and teachers put in place", err=True)
        work = {"jobs": jobs, "threads": threads, "stop": stop, "retries_failed": retry_failed}
        with stopping(folder, stop, hint=_this_command()):
            try:
                done = _carry_out(parts, form, **work)
            finally:
                for part in parts:
                    part.draw()
                update_report(archives / "README.md", archives)
                if state is not None and folder.is_dir():
                    _pack(folder, archives, Path(state), size, teachers)
    exit_with_status(done)


def _wanted_protocols(names: tuple[str, ...], *, with_all: bool) -> list[Protocol]:
    """The protocols of those names; without any, those sized for what is here, or all."""
    if names:
        return [get_protocol(name) for name in names]
    size = ACCELERATOR if has_accelerator() else CPU
    return [one for one in list_protocols() if with_all or one.sized_for == size]


def _carry_out(parts: list[Reproduction], form: str, **work: Any) -> Execution:
    """Carries out protocols, one after another; returns what is not completed of them all."""
    whole = Execution()
    for part in parts:
        done = part.carry_out(show=as_typed, **work)
        whole.failed |= {f"{part.protocol.name}, {k}": v for k, v in done.failed.items()}
        whole.refused |= {f"{part.protocol.name}, {k}": v for k, v in done.refused.items()}
        _print_reproduced(part, form)
    return whole


_OPTIONS_OF_WORK = ("stop_after", "state", "retry_failed", "threads")
"""Options of `reproduce` that mean nothing where runs are only looked at."""


def _refuse_beside(option: str, given: dict[str, Any]) -> None:
    for name, value in given.items():
        if value not in (None, False, ()):
            shown = "--list" if name == "lists" else argument(name)
            raise SettingError(
                f"Expected no {shown} beside {option}, received {value!r}; nothing is carried out "
                "there."
            )


def _is_typed(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def _pack(out: Path, results: Path, state: Path, size: int, teachers: Path) -> None:
    packed = pack(out, results, state, size, teachers)
    echo(f"{state}: {packed.size:,} bytes, states of {len(packed.runs)} runs", err=True)
    for path, reason in packed.left_out.items():
        echo(f"keras-prokt: {path} is left out of it: {reason}", err=True)


def _is_possible(part: Reproduction, *, is_named: bool) -> bool:
    """Whether a protocol can be carried out here; one that is named is refused if not."""
    try:
        part.check()
    except ValueError as error:
        if is_named:
            raise
        shown = as_typed(error.marked) if isinstance(error, SettingError) else str(error)
        echo(f"keras-prokt: {part.protocol.name} is left out: {shown}", err=True)
        return False
    return True


def _print_reproduced(part: Reproduction, form: str) -> None:
    """Prints the comparisons of a protocol, what was chosen, and where its picture is."""
    for group, comparison in part.compared().items():
        echo(f"\n{part.protocol.name}{f', {group}' if group else ''}")
        echo(render(comparison, form))
    if part.protocol.chooses:
        for group, title in part.chosen().items():
            echo(f"chosen on validation, {group}: {title or 'not all runs are there yet'}")
    if (png := part.draw()) is not None:
        echo(f"picture: {png}")
    echo(f"results: {part.archive}", err=True)


def _this_command() -> str:
    return shlex.join(["keras-prokt", *sys.argv[1:]])
