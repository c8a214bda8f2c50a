"""The commands `info`, `evaluate`, `predict` and `export`, which read a run back.

This module itself imports no Keras.
"""

from typing import TYPE_CHECKING, Any

import click

from keras_prokt.app import App, get_app, list_apps
from keras_prokt.cli.backend import choose_backend, use_backend_of
from keras_prokt.cli.problems import UsageProblem, problems_in_one_line
from keras_prokt.cli.shared import json_of_run, json_option, print_json, print_search
from keras_prokt.data.table import parse_text_columns
from keras_prokt.export import DEFAULT, FORMATS, get
from keras_prokt.names import unknown_name
from keras_prokt.results.class_tables import class_summary, class_tables
from keras_prokt.results.comparison_forms import render
from keras_prokt.results.tables import (
    CONSTANT,
    format_table,
    no_better_than_constant,
    results_table,
)
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.lock import describe
from keras_prokt.runs.method_comparison import read_comparison
from keras_prokt.runs.run_list import RunList
from keras_prokt.runs.setting_search import read_search
from keras_prokt.settings import ROLES


@click.command()
@click.argument("run")
@json_option
def info(run: str, as_json: bool) -> None:
    """Show what a run, a comparison or a search was and what came out."""
    with problems_in_one_line():
        if (runs := RunList.at(run)) is not None:
            print_json(_json_of_list(runs)) if as_json else _print_list(runs)
            return
        folder = RunFolder.existing(run)
        record = folder.read()
        if as_json:
            print_json(json_of_run(folder, record))
            return
        click.echo(results_table(record, folder.spec().changed_settings()))
        if record["status"] != "completed":
            click.echo(_state(folder, record))
        else:
            for lines in ("\n".join(class_summary(record)), class_tables(record)):
                if lines:
                    click.echo(f"{lines}\n")
    versions = " ".join(f"{name} {version}" for name, version in record["versions"].items())
    hardware = record["hardware"]
    click.echo(
        f"started {record['started']} on {hardware['cores']} cores of {hardware['processor']}"
    )
    click.echo(f"keras_prokt {record['package']['version']}, {versions}")


def _json_of_list(runs: RunList) -> dict[str, Any]:
    """What a list of runs has found, and how far each is."""
    if runs.kind == "search":
        return {"folder": str(runs.path), **read_search(runs)}
    statuses = {entry.name: runs.status(entry) for entry in runs.entries()}
    found = read_comparison(runs) if "completed" in statuses.values() else {}
    return {"folder": str(runs.path), "statuses": statuses, **found}


def _print_list(runs: RunList) -> None:
    """How far a list of runs is, and what it has found."""
    if runs.kind == "search":
        found = read_search(runs)
        print_search(runs.path, found)
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


def _check_role(_: click.Context, __: click.Parameter, role: str) -> str:
    if role not in ROLES:
        raise UsageProblem(unknown_name("a model of a run", role, ROLES))
    return role


if TYPE_CHECKING:
    from keras_prokt.results.evaluation import Evaluation

model_option = click.option(
    "--model",
    default="student",
    show_default=True,
    callback=_check_role,
    help="student, or teacher of a run with --save-teacher.",
)


@click.command()
@click.argument("run")
@model_option
@json_option
def evaluate(run: str, model: str, as_json: bool) -> None:
    """Evaluate the saved student of a run, or its teacher."""
    with problems_in_one_line():
        folder = RunFolder.existing(run)
        folder.check_has_model(model)
        use_backend_of(folder.spec())
        from keras_prokt.runs.finished_run import evaluations_of

        found = evaluations_of(run, model)
    if as_json:
        print_json({part: _json_of(one) for part, one in found.items()})
        return
    parts = {
        part: {CONSTANT: one.best_constant, **one.metrics, **one.scores}
        for part, one in found.items()
    }
    main, *others = found["validation"].metrics
    names = [main, CONSTANT, *others, *found["validation"].scores]
    rows = [
        [part, *(_shown(values.get(name), 3 if name == "seconds" else 4) for name in names)]
        for part, values in parts.items()
    ]
    click.echo(format_table([f"{model} on", *names], rows))


def _json_of(found: "Evaluation") -> dict[str, Any]:
    known = {"best_constant": found.best_constant, "report": found.report}
    return {**found.metrics, **found.scores, **{k: v for k, v in known.items() if v}}


def _shown(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


@click.command()
@click.argument("run")
@click.option("--dataset", help="A table of texts, or sentences of app tokens.")
@click.option("--text", "text_columns", help="Its column of texts; of pairs FIRST,SECOND.")
@click.option("--out", help="The file of predictions. [default: predictions.csv or .conll]")
@click.option("--overwrite", is_flag=True, help="Replace that file if it exists.")
@click.option("--glue", metavar="FOLDER", help="Where GLUE's files go; made if there is none.")
@click.option("--data-dir", help="Directory of GLUE's data. [default: that of the run]")
@model_option
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
    in the run. Of app tokens it is a file with each word and its tag. With --glue, the files that
    GLUE's site takes, of the test examples whose labels GLUE hides. Runs on other tasks fill the
    same folder; submission.zip in it holds all of GLUE's files that lie there, checked, and what is
    still missing is named.

    \b
      keras-prokt predict runs/text-prokt-1 --dataset new.csv --out classes.csv
      keras-prokt predict runs/glue-sst2-prokt-1 --glue submission
      keras-prokt predict runs/glue-mnli-prokt-1 --glue submission
    """
    with problems_in_one_line():
        folder = RunFolder.existing(run)
        if (dataset is None) == (glue is None):
            raise UsageProblem(
                f"Expected --dataset FILE or --glue FOLDER, received "
                f"{'none' if glue is None else 'both'}; such as `keras-prokt predict {run} "
                "--dataset new.csv`."
            )
        table_options = {"--text": text_columns, "--out": out, "--overwrite": overwrite or None}
        other_options = table_options if dataset is None else {"--data-dir": data_dir}
        for option, value in other_options.items():
            if value is not None:
                kind = "--glue" if dataset is None else "--dataset"
                raise UsageProblem(
                    f"Expected no {option} with {kind}, received {value!r}; leave it out."
                )
        choose_backend(folder.spec().backend)
        app = get_app(folder.spec().app)
        _check_predicts(app, dataset, glue)
        if model == "teacher":
            folder.check_has_model(model)
        use_backend_of(folder.spec())
        if dataset is not None:
            columns = None
            if text_columns is not None:
                columns = parse_text_columns(text_columns, dataset)
            out = app.predictions_file if out is None else out
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


def _check_predicts(app: App, dataset: str | None, glue: str | None) -> None:
    """Refuses what the app of a run cannot predict."""
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


def _check_format(_: click.Context, __: click.Parameter, name: str) -> str:
    try:
        get(name)
    except ValueError as error:
        raise UsageProblem(str(error)) from error
    return name


@click.command()
@click.argument("run")
@model_option
@click.option(
    "--format",
    default=DEFAULT,
    show_default=True,
    callback=_check_format,
    help=f"{', '.join(FORMATS)}.",
)
def export(run: str, model: str, format: str) -> None:
    """Write the student of a run, or its teacher, for use elsewhere, into the folder of the run.

    A SavedModel goes to a new version directory; a file is replaced.
    """
    with problems_in_one_line():
        folder = RunFolder.existing(run)
        folder.check_has_model(model)
        spec, record = folder.spec(), folder.read()
        # The model of any backend; the one that trained it may be missing here.
        use_backend_of(spec.replacing(backend=get(format).backend or spec.backend))
        from keras_prokt.runs.finished_run import export_run

        path = export_run(run, model, format)
    if model == "student" and (warning := no_better_than_constant(record)):
        click.echo(f"keras-prokt: {warning}", err=True)
    click.echo(path)
