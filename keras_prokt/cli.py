"""The command line: parse, one library call, print.

Nothing here imports Keras at module level: `--help` answers at once, and `--backend` can still
choose the backend.
"""

import contextlib
import errno
import importlib.util
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from keras_prokt import __version__
from keras_prokt.app import list_apps
from keras_prokt.data.table import parse_text_columns
from keras_prokt.files import cache_folder
from keras_prokt.methods import FIXED, OBJECTIVES, REGIMES
from keras_prokt.names import DataWarning
from keras_prokt.results.tables import (
    comparison_table,
    format_table,
    method_card,
    results_table,
    search_table,
)
from keras_prokt.runs.compilation import keep_compiled_programs
from keras_prokt.runs.determinism import use_deterministic_operations
from keras_prokt.runs.folder import RunFolder, SearchFolder
from keras_prokt.runs.spec import RunSpec

BACKENDS = ("tensorflow", "jax", "torch")
METHOD_HELP = (
    "Objectives and at most one regime joined by '+', such as prokt, kd, crd+kd, at+prokt, sp+rco; "
    "see `keras-prokt methods`."
)


class UsageProblem(click.ClickException):
    """Bad input: one line, exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"keras-prokt: {self.format_message()}", err=True, file=file)


class _Group(click.Group):
    """A group that suggests the nearest command."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        from keras_prokt.names import unknown_name

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
        problem = UsageProblem(" ".join(str(error).split()))
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
            f"Expected files that can be read and written, received {type(error).__name__}: "
            f"{error}; check the path, its permissions and the disk (KERAS_PROKT_CACHE, --out)."
        )
        if error.errno in (errno.ENOSPC, errno.EIO):  # no mistake of the user's
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
def _resume_hint(folder: RunFolder | SearchFolder) -> Iterator[None]:
    """Says after Ctrl-C how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if folder.record.is_file():
            click.echo(f"\nstopped; go on with `keras-prokt resume {folder.path}`", err=True)
        raise


def _backend(name: str | None) -> str:
    """The backend that is meant, if it is installed."""
    name = name or os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name not in BACKENDS:
        raise UsageProblem(f"Expected a backend among {', '.join(BACKENDS)}; received {name!r}.")
    if importlib.util.find_spec(name) is None:
        raise UsageProblem(
            f"Expected an installed backend, received {name!r}; install it with "
            f"`pip install 'keras-prokt[{name}]'`."
        )
    return name


def _use_backend_of(spec: RunSpec) -> None:
    """Imports Keras with the backend of a run, held to what the run says."""
    os.environ["KERAS_BACKEND"] = _backend(spec.backend)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
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


_SETTINGS = (
    click.option(
        "--app", default="digits", show_default=True, help="Which app; see `keras-prokt apps`."
    ),
    click.option("--method", default="prokt", show_default=True, help=METHOD_HELP),
    click.option(
        "--teacher",
        help="The teacher: a name of the app; on text a preset or directory; on images keras:NAME, "
        "hub:PRESET or module:function.",
    ),
    click.option("--student", help="The student, as --teacher."),
    click.option("--pair", help="A named pair of the app, such as vgg13-mobilenetv2 of cifar100."),
    click.option(
        "--teacher-init",
        metavar="scratch|PATH",
        help="Start from a trained teacher (.keras). Under prokt it then trains with a smaller "
        "step.",
    ),
    click.option("--full-train", is_flag=True, help="Train on the validation examples too."),
    click.option(
        "--temperature",
        type=float,
        help="T of the soft targets.  [default: the recipe's; 1 of a teacher that trains along]",
    ),
    click.option(
        "--weight",
        "weights",
        multiple=True,
        metavar="OBJECTIVE=β",
        help="Weight of an objective, such as at=500; may be given for several.",
    ),
    click.option(
        "--label-weight", type=float, help="Weight γ of the labels in the student's loss."
    ),
    click.option("--anchors", type=int, help="Checkpoints of the teacher that rco uses."),
    click.option(
        "--assistant",
        "assistants",
        multiple=True,
        help="A model between teacher and student, of ta; the largest first if several.",
    ),
    click.option(
        "--first-stage-epochs", type=int, help="Epochs of ab's, ft's and tinybert's stage 1."
    ),
    click.option("--epochs", type=int, help="Epochs of distillation, or of method student."),
    click.option(
        "--teacher-epochs",
        type=int,
        help="Epochs of kd's teacher, trained before. [default: the recipe's, in proportion to "
        "--epochs]",
    ),
    click.option("--batch-size", type=int, help="Examples a step."),
    click.option("--student-learning-rate", type=float, help="The student's first learning rate."),
    click.option("--teacher-learning-rate", type=float, help="The teacher's first learning rate."),
    click.option("--limit", type=int, help="Use so many training examples."),
    click.option("--data-dir", help="Directory of the data. [default: $TFDS_DATA_DIR]"),
    click.option(
        "--dataset", help="Your table: .csv, .tsv, .jsonl, .parquet or tfds:NAME; app text."
    ),
    click.option("--text", "text_columns", help="Its column of texts; of pairs FIRST,SECOND."),
    click.option("--label", "label_column", help="Its column of labels."),
    click.option("--validation", help="A table to validate on. [default: a tenth of the rows]"),
    click.option("--test", help="A table to test on. [default: a tenth, unless --validation]"),
    click.option(
        "--max-length", type=int, help="Word pieces at which texts are cut. [default: 128 or less]"
    ),
    click.option(
        "--backend", help="tensorflow, jax or torch. [default: $KERAS_BACKEND or tensorflow]"
    ),
    click.option(
        "--precision",
        help="What the networks compute in: float32, bfloat16 or float16; weights and losses stay "
        "float32, and a teacher given by --teacher-init what it is. [default: float32]",
    ),
    click.option(
        "--steps-per-execution",
        type=int,
        help="Steps sent to the device at once; a divisor of an epoch's steps. [default: 1]",
    ),
    click.option(
        "--deterministic",
        is_flag=True,
        help="Operations that give the same bits every time on an accelerator too, where resuming "
        "is not exact without.",
    ),
)
"""Options of everything that trains."""


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


@main.command()
@_with_settings
@click.option("--lambda", "proximal_weight", type=float, help="λ in [0, 1) of prokt.")
@click.option("--epsilon", "proximal_bound", type=float, help="ε > 0: the bounded form of prokt.")
@click.option("--seed", type=int, help="Seed of weights, dropout and data order. [default: 0]")
@click.option("--out", help="The run folder. [default: runs/APP-METHOD-N]")
@click.option("--export/--no-export", default=True, help="Write the student as a SavedModel.")
@click.option("--overwrite", is_flag=True, help="Replace the run folder if it exists.")
@click.option("--estimate", is_flag=True, help="Say what the run would cost, and do not run it.")
@click.option(
    "--stop-after", metavar="9m", help="Save the state and stop after this time, for `resume`."
)
def run(
    out: str | None,
    export: bool,
    overwrite: bool,
    backend: str | None,
    stop_after: str | None,
    estimate: bool,
    **given: Any,
) -> None:
    """Distil a student, and keep everything in a run folder.

    Settings that are not given come from the app's recipe. A run that was stopped goes on with
    `keras-prokt resume`.
    """
    with _problems_in_one_line():
        spec = _spec(backend, given)
        folder = RunFolder(out) if out else RunFolder.unused(Path("runs"), spec.app, spec.method)
        folder.check_free(overwrite)
        if estimate:
            from keras_prokt.runs.cost import estimate as measure
            from keras_prokt.runs.cost import estimate_table

            click.echo(estimate_table(measure(spec)))
            return
        seconds = _seconds(stop_after)
        from keras_prokt.runs.training_run import run as carry_out

        with _resume_hint(folder):
            record = carry_out(
                spec, folder.path, overwrite=overwrite, export=export, stop_after=seconds
            )
    _print_results(folder, record)


@main.command()
@_with_settings
@click.option(
    "--lambda",
    "values",
    help="Values of λ in [0, 1), joined by ','. [default: those of --out, or 0,0.2,0.4,0.6,0.8]",
)
@click.option("--seeds", help="Seeds of the runs, joined by ','. [default: those of --out, or 0]")
@click.option(
    "--out",
    help="The folder; that of the same search goes on, with more values and seeds too. [default: "
    "searches/APP-METHOD-N]",
)
@click.option("--stop-after", metavar="9m", help="Save the state and stop after this time.")
def search(
    values: str | None,
    seeds: str | None,
    out: str | None,
    backend: str | None,
    stop_after: str | None,
    **given: Any,
) -> None:
    """Choose λ of prokt on validation: a run for every value and seed.

    Test data is measured after the choice, for the chosen λ alone. The folder has a run folder
    for each run, search.json, and search.png: validation of teacher and student by λ.

    \b
      keras-prokt search --lambda 0,0.2,0.4 --seeds 0,1,2
      keras-prokt search --app cifar100 --pair wrn-16-2-mobilenetv2 --limit 4500 --epochs 15
    """
    with _problems_in_one_line():
        each_value = None if values is None else _parsed_numbers("--lambda", values, float)
        each_seed = None if seeds is None else _parsed_numbers("--seeds", seeds, int)
        spec = _spec(backend, given)
        unused = SearchFolder.unused(Path("searches"), spec.app, spec.method)
        folder = SearchFolder(out) if out else unused
        seconds = _seconds(stop_after)
        from keras_prokt.runs.setting_search import search as carry_out

        with _resume_hint(folder):
            record = carry_out(
                spec, folder.path, values=each_value, seeds=each_seed, stop_after=seconds
            )
    _print_search(folder, record)


def _spec(backend: str | None, given: dict[str, Any]) -> RunSpec:
    """The spec of the options of a command; Keras is imported as it says."""
    given = dict(given)
    app, method = given.pop("app"), given.pop("method")
    if given["teacher_init"] == "scratch":
        given["teacher_init"] = None
    given["weights"] = _parsed_weights(given["weights"])
    if given["text_columns"] is not None:
        given["text_columns"] = parse_text_columns(given["text_columns"], given["dataset"])
    spec = RunSpec.resolve(app, method, backend=_backend(backend), **given)
    _use_backend_of(spec)
    return spec


def _parsed_numbers(option: str, text: str, kind: type) -> list[Any]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        example = "0,0.3,0.5" if kind is float else "0,1,2"
        raise UsageProblem(
            f"Expected {option} NUMBER,NUMBER,..., received {text!r}; for example {example}."
        ) from None


def _parsed_weights(entries: tuple[str, ...]) -> dict[str, float]:
    weights = {}
    for entry in entries:
        name, _, value = entry.partition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            raise UsageProblem(
                f"Expected --weight OBJECTIVE=NUMBER, received {entry!r}; for example at=500."
            ) from None
    return weights


@main.command()
@click.argument("run")
@click.option("--stop-after", metavar="9m", help="Save the state and stop after this time.")
def resume(run: str, stop_after: str | None) -> None:
    """Continue a run or a search that was stopped, exactly where it was."""
    with _problems_in_one_line():
        searched = SearchFolder(run)
        if searched.record.is_file():
            _use_backend_of(searched.spec())
            from keras_prokt.runs.setting_search import resume_search

            with _resume_hint(searched):
                record = resume_search(searched.path, stop_after=_seconds(stop_after))
            _print_search(searched, record)
            return
        folder = RunFolder.existing(run)
        _use_backend_of(folder.spec())
        from keras_prokt.runs.training_run import resume as carry_on

        with _resume_hint(folder):
            record = carry_on(folder.path, stop_after=_seconds(stop_after))
    _print_results(folder, record)


@main.command()
@click.argument("run")
def evaluate(run: str) -> None:
    """Evaluate the saved student of a run."""
    with _problems_in_one_line():
        folder = RunFolder.existing(run)
        _use_backend_of(folder.spec())
        from keras_prokt.results.evaluation import evaluate_run

        results = evaluate_run(run)
    rows = [
        [name, *(f"{value:.{3 if key == 'seconds' else 4}f}" for key, value in measured.items())]
        for name, measured in results.items()
    ]
    click.echo(format_table(["student on", *results["validation"]], rows))


@main.command()
@click.argument("run")
@click.option("--dataset", help="A table of texts: .csv, .tsv, .jsonl or .parquet.")
@click.option("--text", "text_columns", help="Its column of texts; of pairs FIRST,SECOND.")
@click.option("--out", help="The CSV of predictions. [default: predictions.csv]")
@click.option("--overwrite", is_flag=True, help="Replace that CSV if it exists.")
@click.option("--glue", metavar="FOLDER", help="Where GLUE's files go; made if there is none.")
@click.option("--data-dir", help="Directory of GLUE's data. [default: that of the run]")
def predict(
    run: str,
    dataset: str | None,
    text_columns: str | None,
    out: str | None,
    overwrite: bool,
    glue: str | None,
    data_dir: str | None,
) -> None:
    """Classify the texts of a table, or GLUE's test data, by the saved student of a run.

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
        _use_backend_of(folder.spec())
        if dataset is not None:
            from keras_prokt_apps.text_predictions import predict_table

            columns = None
            if text_columns is not None:
                columns = parse_text_columns(text_columns, dataset)
            out = "predictions.csv" if out is None else out
            count = predict_table(run, dataset, out, text_columns=columns, overwrite=overwrite)
            click.echo(f"{out}: {count} rows")
            return
        from keras_prokt_apps.glue.submission import write_submission

        submission = write_submission(run, glue, data_dir=data_dir)
    for name, rows in submission.rows.items():
        click.echo(f"{name}: {rows} rows")
    click.echo(f"zip: {submission.archive}")
    if submission.missing:
        missing = ", ".join(submission.missing)
        click.echo(f"missing, and GLUE's site refuses the zip without: {missing}")


@main.command()
@click.argument("run")
def export(run: str) -> None:
    """Write the student of a run as a SavedModel, in a new version directory."""
    with _problems_in_one_line():
        folder = RunFolder.existing(run)
        _use_backend_of(folder.spec())
        from keras_prokt.runs.training_run import export_run

        path = export_run(run)
    click.echo(path)


@main.command()
@click.argument("run")
def info(run: str) -> None:
    """Show what a run or a search was and what came out."""
    with _problems_in_one_line():
        searched = SearchFolder(run)
        if searched.record.is_file():
            click.echo(search_table(searched.read()))
            return
        folder = RunFolder.existing(run)
        record = folder.read()
    click.echo(results_table(record))
    versions = " ".join(f"{name} {version}" for name, version in record["versions"].items())
    hardware = record["hardware"]
    click.echo(
        f"started {record['started']} on {hardware['cores']} cores of {hardware['processor']}"
    )
    click.echo(f"keras_prokt {record['package']['version']}, {versions}")


@main.command()
@click.argument("runs", nargs=-1, required=True)
def compare(runs: tuple[str, ...]) -> None:
    """Compare runs: one row for those that differ in the seed alone, mean ± standard error."""
    with _problems_in_one_line():
        records = [RunFolder.existing(run).read() for run in runs]
        table = comparison_table(records)
    click.echo(table)


def _seconds(duration: str | None) -> float | None:
    if duration is None:
        return None
    from keras_prokt.runs.stopping import parse_duration

    return parse_duration(duration)


def _print_results(folder: RunFolder, record: dict[str, Any]) -> None:
    if record["status"] != "completed":
        click.echo(f"stopped; go on with `keras-prokt resume {folder.path}`")
        return
    click.echo(results_table(record))
    click.echo(f"run folder: {folder.path}")
    if folder.saved_model.exists():
        click.echo(f"SavedModel: {folder.saved_model}")


def _print_search(folder: SearchFolder, record: dict[str, Any]) -> None:
    if record["status"] != "completed":
        click.echo(f"stopped; go on with `keras-prokt resume {folder.path}`")
        return
    click.echo(search_table(record))
    best = folder.run(record["chosen"], record["seeds"][0]).path
    click.echo(f"picture: {folder.figure}")
    click.echo(f"the student: `keras-prokt export {best}`")


if __name__ == "__main__":
    main()
