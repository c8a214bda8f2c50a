"""The commands `run` and `resume`; imports no Keras itself."""

from pathlib import Path
from typing import Any

import click

from keras_prokt.cli.backend import choose_backend, use_backend_of
from keras_prokt.cli.completion import RunPath
from keras_prokt.cli.problems import echo, problems_in_one_line, stopping
from keras_prokt.cli.shared import (
    MOST_AT_ONCE,
    NewPath,
    as_typed,
    exit_with_status,
    import_option,
    json_option,
    print_json,
    print_results,
    print_search,
    seconds,
    spec_of_options,
)
from keras_prokt.options import GroupedCommand, with_settings
from keras_prokt.results.comparison_forms import render
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.method_comparison import resume_comparison
from keras_prokt.runs.run_list import RunList
from keras_prokt.runs.setting_search import go_on
from keras_prokt.runs.stopping import Stop
from keras_prokt.settings import SettingError, argument


@click.command(cls=GroupedCommand)
@with_settings()
@click.option(
    "--like", metavar="RUN", type=RunPath(), help="Take what is not typed from that run's settings."
)
@click.option("--out", type=NewPath(), help="The run folder. [default: runs/APP-METHOD-N]")
@click.option("--export/--no-export", default=True, help="Write the student as a SavedModel.")
@click.option(
    "--save-teacher",
    is_flag=True,
    help="Keep the teacher too: as a SavedModel as well, unless --no-export.",
)
@click.option("--overwrite", is_flag=True, help="Replace the run folder if it exists.")
@click.option("--estimate", is_flag=True, help="Say what the run would cost, and do not run it.")
@click.option(
    "--stop-after", metavar="9m", help="Save the state and stop after this time, for `resume`."
)
@click.option(
    "--threads",
    type=click.IntRange(1, MOST_AT_ONCE),
    help="Threads to compute with. [default: one a core]",
)
@json_option
@import_option
def run(
    like: str | None,
    out: str | None,
    export: bool,
    save_teacher: bool,
    overwrite: bool,
    stop_after: str | None,
    estimate: bool,
    threads: int | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Distil a student, and keep everything in a run folder.

    Settings that are not given come from the app's recipe, or from another run (--like). A run
    that was stopped goes on with `keras-prokt resume`.
    """
    with problems_in_one_line():
        stop = Stop(seconds(stop_after))
        spec = spec_of_options(given, like)
        folder = RunFolder(out) if out else RunFolder.unused(Path("runs"), spec.app, spec.method)
        folder.check_free(overwrite)
        if save_teacher:
            spec.check_has_teacher()
        spec.check_without_keras()
        with stopping(folder.path, stop):
            use_backend_of(spec, threads)
            if estimate:
                from keras_prokt.runs.cost import estimate as measure
                from keras_prokt.runs.cost import estimate_table

                found = measure(spec)
                print_json(found) if as_json else echo(estimate_table(found))
                return
            from keras_prokt.runs.training_run import run as carry_out

            record = carry_out(
                spec,
                folder.path,
                overwrite=overwrite,
                export=export,
                save_teacher=save_teacher,
                stop=stop,
            )
    print_results(folder, record, as_json=as_json)


@click.command()
@click.argument("run", type=RunPath())
@click.option("--stop-after", metavar="9m", help="Save the state and stop after this time.")
@click.option(
    "--jobs", type=click.IntRange(1, MOST_AT_ONCE), help="Runs at once, of several. [default: 1]"
)
@click.option(
    "--threads", type=click.IntRange(1, MOST_AT_ONCE), help="Threads of each run, of several."
)
@click.option("--retry-failed", is_flag=True, help="Begin runs anew that failed, of several.")
@json_option
@import_option
def resume(
    run: str,
    stop_after: str | None,
    jobs: int | None,
    threads: int | None,
    retry_failed: bool,
    as_json: bool,
) -> None:
    """Continue a run, a comparison or a search that was stopped, exactly where it was."""
    with problems_in_one_line():
        stop = Stop(seconds(stop_after))
        of_several = {"jobs": jobs, "threads": threads, "retries_failed": retry_failed}
        if (runs := RunList.at(run)) is not None:
            _resume_list(runs, stop, as_json, **{**of_several, "jobs": jobs or 1})
            return
        for name, value in of_several.items():
            if value:
                raise SettingError(
                    f"Expected no {argument(name.replace('retries', 'retry'))} with a single run, "
                    f"received {value!r}; it goes on as it was begun."
                )
        folder = RunFolder.existing(run)
        record, spec = folder.read(), folder.spec()
        folder.tidy(record)
        if record["status"] != "completed":
            choose_backend(spec.backend)
            spec.check_without_keras()
            with stopping(folder.path, stop):
                use_backend_of(spec, record.get("threads"))
                from keras_prokt.runs.training_run import resume as carry_on

                record = carry_on(folder.path, stop=stop)
    print_results(folder, record, as_json=as_json)


def _resume_list(runs: RunList, stop: Stop, as_json: bool, **settings: Any) -> None:
    with stopping(runs.path, stop):
        if runs.kind == "search":
            found, done = go_on(runs, stop=stop, show=as_typed, **settings)
            print_json(found) if as_json else print_search(runs.path, found)
        else:
            comparison, done = resume_comparison(runs, stop=stop, show=as_typed, **settings)
            if comparison:
                echo(render(comparison, "json" if as_json else "table"))
    exit_with_status(done, is_search=runs.kind == "search")
