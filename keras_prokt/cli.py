"""The command line: parse, one library call, print.

Nothing here imports Keras at module level: `--help` answers at once, and `--backend` can still
choose the backend.
"""

import contextlib
import errno
import importlib
import importlib.util
import io
import os
import shlex
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from keras_prokt import __version__
from keras_prokt.app import get_app, list_apps
from keras_prokt.data.prepared_folder import SETTINGS_OF_PREPARED, check_new
from keras_prokt.data.table import parse_text_columns
from keras_prokt.files import cache_folder
from keras_prokt.methods import FIXED, OBJECTIVES, REGIMES, method_settings, parse_method
from keras_prokt.names import DataWarning, unknown_name
from keras_prokt.options import (
    GroupedCommand,
    option_names,
    parsed,
    parsed_method,
    parsed_search,
    parsed_seeds,
    with_settings,
)
from keras_prokt.results.comparison import FORMS, render
from keras_prokt.results.search import search_table
from keras_prokt.results.tables import format_table, method_card, results_table
from keras_prokt.runs.claim import claim_table, tested
from keras_prokt.runs.compilation import keep_compiled_programs
from keras_prokt.runs.determinism import use_deterministic_operations
from keras_prokt.runs.executor import Execution
from keras_prokt.runs.folder import RunFolder, resume_hint, unused_path
from keras_prokt.runs.lock import describe
from keras_prokt.runs.method_comparison import compare as carry_out_comparison
from keras_prokt.runs.method_comparison import (
    compare_folders,
    known_baselines,
    read_comparison,
    resume_comparison,
    titled_runs,
)
from keras_prokt.runs.protocol import ACCELERATOR, CPU, get_protocol, list_claims, list_protocols
from keras_prokt.runs.report import update_report
from keras_prokt.runs.reproduction import COMPUTING, Reproduction, has_accelerator, listed_runs
from keras_prokt.runs.run_list import RunList
from keras_prokt.runs.setting_search import FIGURE, FIGURE_3, go_on, read_search
from keras_prokt.runs.setting_search import search as carry_out_search
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import Interrupted, Stop, Stopped, parse_duration
from keras_prokt.runs.threads import use_threads
from keras_prokt.runs.travel import pack, parse_size, unpack
from keras_prokt.settings import BACKENDS, ROLES, SettingError, argument
from keras_prokt.tensorflow_beside import is_installed


class UsageProblem(click.ClickException):
    """Bad input: one line, exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"keras-prokt: {self.format_message()}", err=True, file=file)


class _Group(click.Group):
    """A group that suggests the nearest command, on any terminal."""

    def main(self, *arguments: Any, **settings: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # one of a test may be another
                # Not every encoding has a λ, and a run's results are not to be lost for it.
                stream.reconfigure(errors="backslashreplace")
        return super().main(*arguments, **settings)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UsageProblem(unknown_name("a command", args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)


@contextlib.contextmanager
def _problems_in_one_line() -> Iterator[None]:
    """Turns the library's `ValueError`s into one line each; a failed run exits with 1."""
    try:
        with _data_warnings_in_one_line():
            yield
    except ValueError as error:
        is_of_setting = isinstance(error, SettingError)
        message = error.shown_as(option_names()) if is_of_setting else str(error)
        notes = getattr(error, "__notes__", [])
        problem = UsageProblem(" ".join(" ".join([message, *notes]).split()))
        # A fault can only have come from a module that is loaded; loading it would load Keras.
        faults = sys.modules.get("keras_prokt.distillers.faults")
        if faults is not None and isinstance(error, faults.TrainingFault):
            problem.exit_code = 1
        raise problem from error
    except ConnectionError:
        raise  # of the network, or whoever read our output has gone, which click takes quietly
    except OSError as error:
        # Of the files that the user named: the cache, the run folder, a table.
        problem = UsageProblem(
            " ".join(
                [
                    "Expected files that can be read and written, received "
                    f"{type(error).__name__}: {error}; check the path, its permissions and the "
                    "disk (KERAS_PROKT_CACHE, --out).",
                    *getattr(error, "__notes__", []),
                ]
            )
        )
        if error.errno in (
            errno.ENOSPC,
            errno.EIO,
            errno.EDQUOT,
            errno.EROFS,
        ):  # no mistake of the user's
            problem.exit_code = 1
        raise problem from error


@contextlib.contextmanager
def _data_warnings_in_one_line() -> Iterator[None]:
    """Shows what the library warns of in the user's data without a place in its source."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *place: Any) -> None:
            if issubclass(category, DataWarning):
                click.echo(f"keras-prokt: warning: {message}", err=True)
            else:
                usual(message, category, *place)

        warnings.showwarning = show
        yield


@contextlib.contextmanager
def _stopping(path: Path, stop: Stop, hint: str | None = None) -> Iterator[None]:
    """Takes signals; after one the command says how to go on, and ends as signals end one."""
    try:
        with stop.listening():
            yield
    except (Stopped, KeyboardInterrupt) as stopped:
        if path.exists():
            click.echo(f"\nstopped; go on with `{hint or resume_hint(path)}`", err=True)
        if isinstance(stopped, Stopped) and stopped.signal is None:
            sys.exit(0)  # the time that was given is over
        is_ours = isinstance(stopped, (Stopped, Interrupted))
        sys.exit(128 + (stopped.signal if is_ours else signal.SIGINT))


def _backend(name: str | None) -> str:
    """The backend that is meant, if it is installed."""
    name = name or os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name not in BACKENDS:
        raise UsageProblem(f"Expected a backend among {', '.join(BACKENDS)}; received {name!r}.")
    if importlib.util.find_spec(name) is None:
        package = name if name == "tensorflow" else f"'keras-prokt[{name}]'"
        raise UsageProblem(
            f"Expected an installed backend, received {name!r}; install it with "
            f"`pip install {package}`."
        )
    return name


def _use_backend_of(spec: RunSpec, threads: int | None = None) -> None:
    """Imports Keras with the backend of a run, held to what the run says."""
    os.environ["KERAS_BACKEND"] = _backend(spec.backend)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if spec.backend != "tensorflow":
        # Keras imports it, if it is there, to save models.
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    use_threads(threads)
    with _without_native_chatter():
        if spec.deterministic:
            use_deterministic_operations(spec.backend)
        importlib.import_module("keras")
        if spec.backend == "jax":
            keep_compiled_programs(cache_folder() / "xla")


@contextlib.contextmanager
def _without_native_chatter() -> Iterator[None]:
    """Holds back what native code writes to standard error; shows it if the block fails.

    TensorFlow's libraries log a few lines about missing GPUs while they are loaded, before any
    setting can quieten them.
    """
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        standard_error = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(standard_error, held.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keras-prokt")
def main() -> None:
    """Train a big classifier and a small one together, and keep the small one.

    \b
    First steps:
      keras-prokt run                          the digits app, about a minute
      keras-prokt apps                         what else is ready
      keras-prokt run --app glue-sst2 --help   all settings of a run
      keras-prokt info runs/digits-prokt-1     read a run back
    """


@main.command()
def apps() -> None:
    """List the apps: ready tasks with data, models and recipe."""
    for app in list_apps():
        click.echo(f"{app.name}: {app.summary}")
        if app.pairs:
            click.echo(f"  pairs: {', '.join(app.pairs)}")
        for role, known, default in (
            ("teachers", app.teachers, app.default_teacher),
            ("students", app.students, app.default_student),
        ):
            click.echo(f"  {role}:")
            for name, what in known.items():
                click.echo(f"    {name}{' (default)' if name == default else ''}: {what}")
        recipe = app.recipe
        student = recipe.student_optimizer(app.default_student)
        click.echo(
            f"  recipe: {recipe.epochs} epochs ({recipe.teacher_epochs} on labels alone), "
            f"batch {recipe.batch_size}, "
            f"λ {recipe.proximal_weight:g}, T {recipe.temperature:g} of a fixed teacher, "
            f"teacher {recipe.teacher.name} {recipe.teacher.learning_rate:g}, "
            f"{app.default_student} {student.name} {student.learning_rate:g}"
        )


@main.command()
@click.argument("name", required=False)
def methods(name: str | None) -> None:
    """List objectives and regimes, or show the card of a method."""
    if name is not None:
        with _problems_in_one_line():
            click.echo(method_card(name))
        return
    click.echo("What the student matches (objectives):\n")
    rows = [
        [o, card.kind, str(card.year), card.reads, f"{card.weight:g}", card.suits]
        for o, card in OBJECTIVES.items()
    ]
    click.echo(format_table(["id", "kind", "year", "reads", "weight", "suits"], rows, left=True))
    click.echo("\nWho trains when (regimes):\n")
    rows = [[regime, row.summary] for regime, row in REGIMES.items() if regime != FIXED]
    rows.append(["(none)", REGIMES[FIXED].summary])
    click.echo(format_table(["id", "summary"], rows, left=True))
    click.echo("\nJoin them with '+': crd+kd, crd+prokt, sp+rco.")
    click.echo("`keras-prokt methods NAME` shows the card of one.")


@main.command(cls=GroupedCommand)
@with_settings()
@click.option("--out", help="The run folder. [default: runs/APP-METHOD-N]")
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
    "--threads", type=click.IntRange(1), help="Threads to compute with. [default: one a core]"
)
def run(
    out: str | None,
    export: bool,
    save_teacher: bool,
    overwrite: bool,
    stop_after: str | None,
    estimate: bool,
    threads: int | None,
    **given: Any,
) -> None:
    """Distil a student, and keep everything in a run folder.

    Settings that are not given come from the app's recipe. A run that was stopped goes on with
    `keras-prokt resume`.
    """
    with _problems_in_one_line():
        stop = Stop(_seconds(stop_after))
        spec = _spec(given)
        folder = RunFolder(out) if out else RunFolder.unused(Path("runs"), spec.app, spec.method)
        folder.check_free(overwrite)
        if save_teacher:
            spec.check_has_teacher()
        spec.check_without_keras()
        with _stopping(folder.path, stop):
            _use_backend_of(spec, threads)
            if estimate:
                from keras_prokt.runs.cost import estimate as measure
                from keras_prokt.runs.cost import estimate_table

                click.echo(estimate_table(measure(spec)))
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
    _print_results(folder, record)


def _spec(given: dict[str, Any]) -> RunSpec:
    """The spec of the options of a command."""
    app, method = given.pop("app"), given.pop("method")
    given["backend"] = _backend(given["backend"])
    return RunSpec.resolve(app, method, **parsed(given))


def _several(command: Any) -> Any:
    """Options of commands that carry out many runs."""
    options = (
        click.option(
            "--jobs",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Runs at once; they share the cores.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(1),
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


@main.command(cls=GroupedCommand)
@with_settings(as_text=True, without=("seed",))
@click.option("--seeds", default="0", show_default=True, help="Such as 0-4, or 0,1,2.")
@click.option(
    "--trials", type=click.IntRange(1), help="Configurations of a search over ranges. [default: 20]"
)
@click.option(
    "--out",
    help="The folder; that of the same search goes on, with more values and seeds too. [default: "
    "searches/APP-METHOD-N]",
)
@_several
def search(
    seeds: str,
    trials: int | None,
    out: str | None,
    jobs: int,
    threads: int | None,
    stop_after: str | None,
    retry_failed: bool,
    **given: Any,
) -> None:
    """Choose settings on validation: a run for every configuration and seed.

    A comma separates the values of an option, all combinations of which are run; a range LOW:HIGH
    of numbers is searched by Optuna. Test data is measured after the choice, for the choice alone.
    Without any, λ goes through 0, 0.2, 0.4, 0.6 and 0.8, the paper's Figure 3. Several of these
    commands may work on one folder at once.

    \b
      keras-prokt search --lambda 0,0.2,0.4 --seeds 0-2
      keras-prokt search --method kd --temperature 1,2,4 --label-weight 0,0.5
      keras-prokt search --student-learning-rate 1e-3:1e-1 --lambda 0:0.8 --trials 30 --jobs 2
    """
    with _problems_in_one_line():
        stop = Stop(_seconds(stop_after))
        app, method = given.pop("app"), given.pop("method")
        single, over = parsed_search(given)
        single["backend"] = _backend(single.get("backend"))
        has_weight = "proximal_weight" in single or "proximal_bound" in single
        if not over and not has_weight and "proximal_weight" in parse_method(method).settings:
            over["proximal_weight"] = list(FIGURE_3)
        folder = Path(out) if out else unused_path(Path("searches") / f"{app}-{method}")
        with _stopping(folder, stop):
            found, done = carry_out_search(
                app,
                method,
                over,
                folder,
                seeds=parsed_seeds(seeds),
                trials=trials,
                jobs=jobs,
                threads=threads,
                stop=stop,
                retries_failed=retry_failed,
                show=_shown,
                **single,
            )
    _print_search(folder, found)
    _end_of(done, is_search=True)


def _print_search(folder: Path, found: dict[str, Any]) -> None:
    click.echo(search_table(found))
    if found["chosen"] is not None:
        chosen = next(one for one in found["configurations"] if one["title"] == found["chosen"])
        if (folder / FIGURE).is_file():
            click.echo(f"picture: {folder / FIGURE}")
        run = folder / chosen["runs"][0]["folder"]
        click.echo(f"the student: `keras-prokt export {shlex.quote(str(run))}`")


@main.command(cls=GroupedCommand)
@click.argument("runs", nargs=-1)
@with_settings(without=("method", "seed"))
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="'METHOD [NAME=VALUE ...]'",
    help="A row: a method, and settings of its own, such as 'prokt lambda=.3 label-weight=.5'; "
    "give several.",
)
@click.option("--seeds", default="0", show_default=True, help="Such as 0-4, or 0,1,2.")
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    help="A row that the others are compared with, seed by seed; may be given for several.",
)
@click.option(
    "--format",
    "form",
    default="table",
    show_default=True,
    help="table, csv, json, markdown or latex.",
)
@click.option(
    "--out",
    help="The folder; that of a comparison goes on, with more rows and seeds. "
    "[default: comparisons/APP-N]",
)
@_several
def compare(
    runs: tuple[str, ...],
    methods: tuple[str, ...],
    seeds: str,
    baselines: tuple[str, ...],
    form: str,
    out: str | None,
    jobs: int,
    threads: int | None,
    stop_after: str | None,
    retry_failed: bool,
    **given: Any,
) -> None:
    """Compare methods over seeds: carry out what is missing, or read RUNS that are there.

    With --method, every row is carried out with every seed in --out; the same seed gives all rows
    the same split, start and order of the data. With RUNS, run folders and folders of them are
    read. Shown are means with 95 % intervals, what training cost, and the difference to each
    --baseline, seed by seed.

    \b
      keras-prokt compare --method student --method kd --method 'prokt lambda=.3' \\
        --seeds 0-4 --baseline kd --jobs 2 --out comparisons/digits
      keras-prokt compare comparisons/digits --baseline kd --format markdown
      keras-prokt compare runs/digits-kd-1 runs/digits-prokt-1
    """
    with _problems_in_one_line():
        if form not in FORMS:
            raise UsageProblem(unknown_name("a format", form, FORMS))
        if bool(runs) == bool(methods):
            raise UsageProblem(
                f"Expected either RUNS or --method, received {'both' if runs else 'none'}; such as "
                "`keras-prokt compare --method kd --method prokt --seeds 0-4`."
            )
        if runs:
            of_runs = {
                "seeds": None if seeds == "0" else seeds,
                "jobs": None if jobs == 1 else jobs,
            }
            of_runs |= {"threads": threads, "stop_after": stop_after, "retry_failed": retry_failed}
            _refuse_settings({**given, **of_runs}, out)
            titled, left_out = titled_runs(runs)
            baselines = baselines or known_baselines(runs, [title for title, _ in titled])
            for path in left_out:
                click.echo(f"keras-prokt: {path} is not completed and left out", err=True)
            click.echo(render(compare_folders(titled, baselines), form))
            return
        stop = Stop(_seconds(stop_after))
        rows = _rows(methods, given)
        app = next(iter(rows.values())).app
        folder = Path(out) if out else unused_path(Path("comparisons") / app)
        with _stopping(folder, stop):
            comparison, done = carry_out_comparison(
                rows,
                folder,
                seeds=parsed_seeds(seeds),
                baselines=[" ".join(one.split()) for one in baselines],
                jobs=jobs,
                threads=threads,
                stop=stop,
                retries_failed=retry_failed,
                show=_shown,
            )
    if comparison:
        click.echo(render(comparison, form))
    click.echo(f"runs: {folder}", err=True)
    _end_of(done)


def _rows(methods: tuple[str, ...], given: dict[str, Any]) -> dict[str, RunSpec]:
    """Heading -> spec of each row; common settings go to the methods that have them."""
    app, common = given.pop("app"), parsed(given)
    common["backend"] = _backend(common.get("backend"))
    unused = set(common) & set(method_settings())
    rows = {}
    for text in methods:
        method, own = parsed_method(text)
        own = {**own, "backend": _backend(own.get("backend", common["backend"]))}
        having = parse_method(method).settings
        suiting = {k: v for k, v in common.items() if k not in method_settings() or k in having}
        unused -= set(suiting)
        rows[" ".join(text.split())] = RunSpec.resolve(app, method, **{**suiting, **own})
    for name in sorted(unused):
        raise SettingError(
            f"Expected no {argument(name)}, received {common[name]!r}; none of "
            f"{', '.join(methods)} has it."
        )
    if len(rows) < len(methods):
        raise UsageProblem(f"Expected each --method once, received {', '.join(methods)}.")
    return rows


def _refuse_settings(given: dict[str, Any], out: str | None) -> None:
    given = {**given, "app": None if given["app"] == "digits" else given["app"], "out": out}
    for name, value in given.items():
        if value is not None and value is not False and value != ():
            raise SettingError(
                f"Expected no {argument(name)} with RUNS, received {value!r}; it belongs to "
                "--method, which carries runs out."
            )


def _shown(text: str) -> str:
    """A message of the library with options for its arguments."""
    return SettingError(text).shown_as(option_names())


def _end_of(done: Execution, *, is_search: bool = False) -> None:
    """Exits with 1 if not everything is completed, and says what to do."""
    # The table of a search names what has failed.
    unsaid = done.refused if is_search else {**done.failed, **done.refused}
    for name, reason in unsaid.items():
        click.echo(f"keras-prokt: {name}: {' '.join(reason.split())}", err=True)
    if done.failed:
        click.echo("keras-prokt: --retry-failed begins those that failed anew", err=True)
    if done.failed or done.refused:
        sys.exit(1)


@main.command(cls=GroupedCommand)
@click.argument("protocols", nargs=-1)
@click.option("--list", "lists", is_flag=True, help="Show every run: state, cost, paper and ours.")
@click.option("--claims", is_flag=True, help="Show what the results say of our claims.")
@click.option("--seeds", help="Such as 0-4. [default: the protocol's]")
@with_settings(only=("epochs", "limit", "teacher", "data_dir", "prepared", *COMPUTING))
@click.option("--out", default="reproductions", show_default=True, help="Folder of the runs.")
@click.option(
    "--results", default="results", show_default=True, help="Folder of the finished results."
)
@click.option("--state", metavar="FILE", help="Go on from FILE, and pack into it what must travel.")
@click.option("--state-size", default="60M", show_default=True, help="How large that file may be.")
@click.option(
    "--format",
    "form",
    default="table",
    show_default=True,
    help="table, csv, json, markdown or latex.",
)
@_several
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
    with _problems_in_one_line():
        if form not in FORMS:
            raise UsageProblem(unknown_name("a format", form, FORMS))
        of_work = {
            **{name: click.get_current_context().params[name] for name in _OF_WORK},
            **({} if lists else {"seeds": seeds, "protocols": protocols, **given}),
        }
        if claims or lists:
            _refuse_beside(
                "--claims" if claims else "--list", {**of_work, "lists": claims and lists}
            )
        if claims:
            for claim in list_claims():
                click.echo(f"\n{claim_table(claim, tested(claim, results))}")
            return
        size = parse_size(state_size)
        if state is None and _is_typed("state_size"):
            raise SettingError(
                f"Expected no {argument('state_size')} without --state, received {state_size!r}; "
                "nothing is packed."
            )
        stop = Stop(_seconds(stop_after))
        wanted = [get_protocol(name) for name in protocols] or list_protocols()
        if not protocols and not lists:
            here = ACCELERATOR if has_accelerator() else CPU
            wanted = [one for one in wanted if one.sized_for == here]
        settings = parsed(given)
        if not lists or "backend" in settings:
            settings["backend"] = _backend(settings.get("backend"))
        numbers = None if seeds is None else parsed_seeds(seeds)
        folder, archives = Path(out), Path(results)
        parts = [
            Reproduction(one, folder, archives, seeds=numbers, settings=settings) for one in wanted
        ]
        if lists:
            click.echo(listed_runs(parts, every=bool(protocols)))
            return
        parts = [part for part in parts if _is_possible(part, is_named=bool(protocols))]
        teachers = cache_folder() / "teachers"
        if state is not None and Path(state).is_file():
            placed = unpack(Path(state), folder, archives, teachers)
            click.echo(f"{state}: {len(placed)} runs and teachers put in place", err=True)
        failed = Execution()
        with _stopping(folder, stop, hint=_again()):
            try:
                for part in parts:
                    done = part.carry_out(
                        jobs=jobs,
                        threads=threads,
                        stop=stop,
                        retries_failed=retry_failed,
                        show=_shown,
                    )
                    of_part = f"{part.protocol.name}, "
                    failed.failed |= {of_part + k: v for k, v in done.failed.items()}
                    failed.refused |= {of_part + k: v for k, v in done.refused.items()}
                    _print_reproduced(part, form)
            finally:
                for part in parts:
                    part.draw()
                update_report(archives / "README.md", archives)
                if state is not None and folder.is_dir():
                    _pack(folder, archives, Path(state), size, teachers)
    _end_of(failed)


_OF_WORK = ("stop_after", "state", "retry_failed", "threads")
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
    click.echo(f"{state}: {packed.size:,} bytes, states of {len(packed.runs)} runs", err=True)
    for path, reason in packed.left_out.items():
        click.echo(f"keras-prokt: {path} is left out of it: {reason}", err=True)


def _is_possible(part: Reproduction, *, is_named: bool) -> bool:
    """Whether a protocol can be carried out here; one that is named is refused if not."""
    try:
        part.check()
    except ValueError as error:
        if is_named:
            raise
        shown = _shown(error.marked) if isinstance(error, SettingError) else str(error)
        click.echo(f"keras-prokt: {part.protocol.name} is left out: {shown}", err=True)
        return False
    return True


def _print_reproduced(part: Reproduction, form: str) -> None:
    """Prints the comparisons of a protocol, what was chosen, and where its picture is."""
    for group, comparison in part.compared().items():
        click.echo(f"\n{part.protocol.name}{f', {group}' if group else ''}")
        click.echo(render(comparison, form))
    if part.protocol.chooses:
        for group, title in part.chosen().items():
            click.echo(f"chosen on validation, {group}: {title or 'not all runs are there yet'}")
    if (png := part.draw()) is not None:
        click.echo(f"picture: {png}")
    click.echo(f"results: {part.archive}", err=True)


def _again() -> str:
    return shlex.join(["keras-prokt", *sys.argv[1:]])


@main.command()
@click.argument("run")
@click.option("--stop-after", metavar="9m", help="Save the state and stop after this time.")
@click.option("--jobs", type=click.IntRange(1), help="Runs at once, of several. [default: 1]")
@click.option("--threads", type=click.IntRange(1), help="Threads of each run, of several.")
@click.option("--retry-failed", is_flag=True, help="Begin runs anew that failed, of several.")
def resume(
    run: str, stop_after: str | None, jobs: int | None, threads: int | None, retry_failed: bool
) -> None:
    """Continue a run, a comparison or a search that was stopped, exactly where it was."""
    with _problems_in_one_line():
        stop = Stop(_seconds(stop_after))
        of_several = {"jobs": jobs, "threads": threads, "retries_failed": retry_failed}
        if (runs := RunList.at(run)) is not None:
            _resume_list(runs, stop, **{**of_several, "jobs": jobs or 1})
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
            spec.check_without_keras()
            with _stopping(folder.path, stop):
                _use_backend_of(spec, record.get("threads"))
                from keras_prokt.runs.training_run import resume as carry_on

                record = carry_on(folder.path, stop=stop)
    _print_results(folder, record)


def _resume_list(runs: RunList, stop: Stop, **settings: Any) -> None:
    with _stopping(runs.path, stop):
        if runs.kind == "search":
            found, done = go_on(runs, stop=stop, show=_shown, **settings)
            _print_search(runs.path, found)
        else:
            comparison, done = resume_comparison(runs, stop=stop, show=_shown, **settings)
            if comparison:
                click.echo(render(comparison, "table"))
    _end_of(done, is_search=runs.kind == "search")


@main.command(cls=GroupedCommand)
@with_settings(only=SETTINGS_OF_PREPARED)
@click.option("--out", required=True, metavar="FOLDER", help="The folder, which must be new.")
@click.option(
    "--part-size",
    default="16M",
    show_default=True,
    help="Most bytes of each file: K, M and G are thousands, millions and thousands of millions.",
)
@click.option(
    "--weights/--no-weights",
    default=True,
    help="Write the checkpoints too that the models start from.",
)
def prepare(out: str, part_size: str, weights: bool, **given: Any) -> None:
    """Write data and start weights of runs into a folder, for `run --prepared FOLDER`.

    Such runs need no TensorFlow. They take the settings given here from the folder; images can
    be learnt by all networks, texts by all models with the same word pieces.

    \b
      keras-prokt prepare --app glue-sst2 --teacher MiniLM --out prepared/sst2
      keras-prokt run --app glue-sst2 --backend jax --prepared prepared/sst2
    """
    with _problems_in_one_line():
        size = parse_size(part_size, "part_size")
        spec = _spec({"method": "prokt", "backend": None, **given})
        check_new(Path(out), size)
        spec.check_without_keras()
        _use_backend_of(spec)
        from keras_prokt.runs.preparation import prepare_folder

        folder = prepare_folder(spec, out, part_size=size, weights=weights)
    sizes = [file.stat().st_size for file in folder.path.iterdir()]
    click.echo(
        f"{out}: {folder.size / 1e6:,.2f} MB in {len(sizes)} files, the largest "
        f"{max(sizes) / 1e6:,.2f} MB"
    )
    for name, examples in folder.examples().items():
        click.echo(f"  {name}: {examples:,} examples")
    for preset in folder.record["checkpoints"]:
        click.echo(f"  weights: {preset}")
    command = shlex.join(["keras-prokt", "run", "--app", spec.app, "--prepared", out])
    click.echo(f"train with `{command}`")


def _check_role(_: click.Context, __: click.Parameter, role: str) -> str:
    if role not in ROLES:
        raise UsageProblem(unknown_name("a model of a run", role, ROLES))
    return role


_of_model = click.option(
    "--model",
    default="student",
    show_default=True,
    callback=_check_role,
    help="student, or teacher of a run with --save-teacher.",
)


@main.command()
@click.argument("run")
@_of_model
def evaluate(run: str, model: str) -> None:
    """Evaluate the saved student of a run, or its teacher."""
    with _problems_in_one_line():
        folder = RunFolder.existing(run)
        folder.check_has_model(model)
        _use_backend_of(folder.spec())
        from keras_prokt.runs.training_run import evaluate_run

        results = evaluate_run(run, model)
    rows = [
        [name, *(f"{value:.{3 if key == 'seconds' else 4}f}" for key, value in measured.items())]
        for name, measured in results.items()
    ]
    click.echo(format_table([f"{model} on", *results["validation"]], rows))


@main.command()
@click.argument("run")
@click.option("--dataset", help="A table of texts: .csv, .tsv, .jsonl or .parquet.")
@click.option("--text", "text_columns", help="Its column of texts; of pairs FIRST,SECOND.")
@click.option("--out", help="The CSV of predictions. [default: predictions.csv]")
@click.option("--overwrite", is_flag=True, help="Replace that CSV if it exists.")
@click.option("--glue", metavar="FOLDER", help="Where GLUE's files go; made if there is none.")
@click.option("--data-dir", help="Directory of GLUE's data. [default: that of the run]")
@_of_model
def predict(
    run: str,
    model: str,
    dataset: str | None,
    text_columns: str | None,
    out: str | None,
    overwrite: bool,
    glue: str | None,
    data_dir: str | None,
) -> None:
    """Classify the texts of a table, or GLUE's test data, by the saved student or teacher of a run.

    With --dataset, a CSV with the class and the probabilities of each row; --text is by default as
    in the run. With --glue, the files that GLUE's site takes, of the test examples whose labels
    GLUE hides. Runs on other tasks fill the same folder; submission.zip in it holds all of GLUE's
    files that lie there, checked, and what is still missing is named.

    \b
      keras-prokt predict runs/text-prokt-1 --dataset new.csv --out classes.csv
      keras-prokt predict runs/glue-sst2-prokt-1 --glue submission
      keras-prokt predict runs/glue-mnli-prokt-1 --glue submission
    """
    with _problems_in_one_line():
        folder = RunFolder.existing(run)
        if (dataset is None) == (glue is None):
            raise UsageProblem(
                f"Expected --dataset FILE or --glue FOLDER, received "
                f"{'none' if glue is None else 'both'}; such as `keras-prokt predict {run} "
                "--dataset new.csv`."
            )
        of_table = {"--text": text_columns, "--out": out, "--overwrite": overwrite or None}
        of_other = of_table if dataset is None else {"--data-dir": data_dir}
        for option, value in of_other.items():
            if value is not None:
                kind = "--glue" if dataset is None else "--dataset"
                raise UsageProblem(
                    f"Expected no {option} with {kind}, received {value!r}; leave it out."
                )
        app = get_app(folder.spec().app)
        if dataset is not None and app.predict_table is None:
            raise UsageProblem(
                f"Expected a run on texts with --dataset, received one of app {app.name!r}; serve "
                "its SavedModel."
            )
        if glue is not None and app.write_submission is None:
            of_glue = [one.name for one in list_apps() if one.write_submission is not None]
            raise UsageProblem(
                f"Expected a run of an app among {', '.join(of_glue)}, received one of "
                f"{app.name!r}; GLUE takes predictions of its own tasks alone."
            )
        if model == "teacher":
            folder.check_has_model(model)
        _use_backend_of(folder.spec())
        if dataset is not None:
            columns = None
            if text_columns is not None:
                columns = parse_text_columns(text_columns, dataset)
            out = "predictions.csv" if out is None else out
            count = app.predict_table(
                run, dataset, out, text_columns=columns, overwrite=overwrite, model=model
            )
            click.echo(f"{out}: {count} rows")
            return
        submission = app.write_submission(run, glue, data_dir=data_dir, model=model)
    for name, rows in submission.rows.items():
        click.echo(f"{name}: {rows} rows")
    click.echo(f"zip: {submission.archive}")
    if submission.missing:
        missing = ", ".join(submission.missing)
        click.echo(f"missing, and GLUE's site refuses the zip without: {missing}")


@main.command()
@click.argument("run")
@_of_model
def export(run: str, model: str) -> None:
    """Write the student of a run, or its teacher, as a SavedModel, in a new version directory."""
    with _problems_in_one_line():
        folder = RunFolder.existing(run)
        folder.check_has_model(model)
        # The model of any backend; the one that trained it may be missing here.
        _use_backend_of(folder.spec().replacing(backend="tensorflow"))
        from keras_prokt.runs.training_run import export_run

        path = export_run(run, model)
    click.echo(path)


@main.command()
@click.argument("run")
def info(run: str) -> None:
    """Show what a run, a comparison or a search was and what came out."""
    with _problems_in_one_line():
        if (runs := RunList.at(run)) is not None:
            _print_list(runs)
            return
        folder = RunFolder.existing(run)
        record = folder.read()
        click.echo(results_table(record, folder.spec().changed_settings()))
        if record["status"] != "completed":
            click.echo(_state(folder, record))
    versions = " ".join(f"{name} {version}" for name, version in record["versions"].items())
    hardware = record["hardware"]
    click.echo(
        f"started {record['started']} on {hardware['cores']} cores of {hardware['processor']}"
    )
    click.echo(f"keras_prokt {record['package']['version']}, {versions}")


def _print_list(runs: RunList) -> None:
    """How far a list of runs is, and what it has found."""
    if runs.kind == "search":
        found = read_search(runs)
        _print_search(runs.path, found)
        if found["unreadable"]:
            raise UsageProblem(found["unreadable"][0])
        return
    entries = runs.entries()
    statuses = [runs.status(entry) for entry in entries]
    for status in dict.fromkeys(statuses):
        click.echo(f"{statuses.count(status)} of {len(statuses)} runs: {status}")
    if "completed" in statuses:
        click.echo("")
        click.echo(render(read_comparison(runs), "table"))


def _state(folder: RunFolder, record: dict[str, Any]) -> str:
    """How far an unfinished run is, and how to go on."""
    holder, position = folder.holder(), folder.position()
    if position is None:
        where = "nothing saved yet"
    else:
        name, done = position
        of_all = f" of {record['spec']['training']['epochs']}" if not name else ""
        where = f"{name or 'distillation'}: {done}{of_all} epochs done"
    if holder is not None:
        return f"is running, {describe(holder)}; {where}"
    if record["status"] == "failed" and "threads" not in record:
        return "failed before it began"
    if "threads" not in record:
        return f"not running; {where}; resume it with keras_prokt {record['package']['version']}"
    return f"not running; {where}; go on with `{folder.resume_hint()}`"


def _seconds(duration: str | None) -> float | None:
    return None if duration is None else parse_duration(duration)


def _print_results(folder: RunFolder, record: dict[str, Any]) -> None:
    if record["status"] != "completed":
        click.echo(f"stopped; go on with `{folder.resume_hint()}`")
        return
    click.echo(results_table(record, folder.spec().changed_settings()))
    click.echo(f"run folder: {folder.path}")
    if folder.saved_model.exists():
        click.echo(f"SavedModel: {folder.saved_model}")
        if folder.teacher_saved_model.exists():
            click.echo(f"SavedModel of the teacher: {folder.teacher_saved_model}")
    elif record["export"] and not is_installed():
        command = shlex.join(["keras-prokt", "export", str(folder.path)])
        click.echo(f"SavedModel: left out without TensorFlow; write it where that is: `{command}`")


if __name__ == "__main__":
    main()
