"""The commands `info`, `evaluate`, `predict` and `export`, which read a run back.

This module itself imports no Keras.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keras_prokt.app import App, get_app, list_apps
from keras_prokt.app_file import is_app_file
from keras_prokt.cli.backend import choose_backend, use_backend, use_backend_of
from keras_prokt.cli.completion import RunPath, completing
from keras_prokt.cli.problems import UsageProblem, echo, problems_in_one_line, stopping
from keras_prokt.cli.shared import (
    FiniteRange,
    NewPath,
    import_option,
    json_of_run,
    json_option,
    print_json,
    print_search,
)
from keras_prokt.data.table import parse_text_columns
from keras_prokt.export import DEFAULT, FORMATS, QUANTIZATIONS, get
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
from keras_prokt.runs.stopping import Stop
from keras_prokt.settings import ROLES


@click.command()
@click.argument("run", type=RunPath())
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
        echo(results_table(record, folder.spec().changed_settings()))
        if record["status"] != "completed":
            echo(_state(folder, record))
        else:
            for lines in ("\n".join(class_summary(record)), class_tables(record)):
                if lines:
                    echo(f"{lines}\n")
    versions = " ".join(f"{name} {version}" for name, version in record["versions"].items())
    hardware = record["hardware"]
    echo(f"started {record['started']} on {hardware['cores']} cores of {hardware['processor']}")
    echo(f"keras_prokt {record['package']['version']}, {versions}")


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
        echo(f"{statuses.count(status)} of {len(statuses)} runs: {status}")
    if "completed" in statuses:
        echo("")
        echo(render(read_comparison(runs), "table"))


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
    shell_complete=completing(ROLES),
    help="student, or teacher of a run with --save-teacher.",
)


@click.command()
@click.argument("run", type=RunPath())
@model_option
@json_option
@import_option
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
    echo(format_table([f"{model} on", *names], rows))


def _json_of(found: "Evaluation") -> dict[str, Any]:
    known = {"best_constant": found.best_constant, "report": found.report}
    return {**found.metrics, **found.scores, **{k: v for k, v in known.items() if v}}


def _shown(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


@click.command()
@click.argument("run", type=RunPath(or_file=True))
@click.option(
    "--dataset",
    help="A table (.csv, .tsv, .jsonl, .parquet), a folder of images, or sentences of app tokens.",
)
@click.option(
    "--text",
    "--image",
    "text_columns",
    help="Its column of texts, of pairs FIRST,SECOND, or of paths. [default: as in the run]",
)
@click.option(
    "--out",
    type=NewPath(),
    help="The .csv or .parquet, of app tokens .conll. [default: predictions.csv]",
)
@click.option("--overwrite", is_flag=True, help="Replace that file if it exists.")
@click.option(
    "--broken-images",
    type=click.Choice(["refuse", "skip"]),
    help="What becomes of images that cannot be read. [default: as in the run]",
)
@click.option(
    "--glue", type=NewPath(), metavar="FOLDER", help="Where GLUE's files go; made if there is none."
)
@click.option("--data-dir", help="Directory of GLUE's data. [default: that of the run]")
@model_option
@import_option
def predict(
    run: str,
    model: str,
    dataset: str | None,
    text_columns: str | None,
    out: str | None,
    overwrite: bool,
    broken_images: str | None,
    glue: str | None,
    data_dir: str | None,
) -> None:
    """Classify new rows or images, or GLUE's test data, by a saved student or teacher.

    RUN is a run folder, or a student.keras or SavedModel of one alone. With --dataset, each row's
    own columns or path, the class and the probabilities, as CSV or Parquet; the same command goes
    on where it was killed. Of app tokens it is a file with each word and its tag. With --glue, the
    files that GLUE's site takes, of the test examples whose labels GLUE hides. Runs on other tasks
    fill the same folder; submission.zip in it holds all of GLUE's files that lie there, checked,
    and what is still missing is named.

    \b
      keras-prokt predict runs/text-prokt-1 --dataset new.csv --out classes.parquet
      keras-prokt predict student.keras --dataset new.jsonl --text body
      keras-prokt predict runs/images-prokt-1/saved_model --dataset new_photos
      keras-prokt predict runs/glue-mnli-prokt-1 --glue submission
    """
    with problems_in_one_line():
        if dataset is None:
            RunFolder.existing(run)
        if (dataset is None) == (glue is None):
            raise UsageProblem(
                f"Expected --dataset FILE or --glue FOLDER, received "
                f"{'none' if glue is None else 'both'}; such as `keras-prokt predict {run} "
                "--dataset new.csv`."
            )
        table_options = {"--text": text_columns, "--out": out, "--overwrite": overwrite or None}
        table_options["--broken-images"] = broken_images
        other_options = table_options if dataset is None else {"--data-dir": data_dir}
        for option, value in other_options.items():
            if value is not None:
                kind = "--glue" if dataset is None else "--dataset"
                raise UsageProblem(
                    f"Expected no {option} with {kind}, received {value!r}; leave it out."
                )
        if dataset is not None:
            settings = {"overwrite": overwrite, "model": model}
            if text_columns is not None:
                settings["text_columns"] = parse_text_columns(text_columns, dataset)
            if broken_images is not None:
                settings["broken_images"] = broken_images
            echo(_predict_rows(run, dataset, out, settings))
            return
        folder = RunFolder.existing(run)
        choose_backend(folder.spec().backend)
        app = _app_of(folder)
        if app is None or app.write_submission is None:
            of_glue = [one.name for one in list_apps() if one.write_submission is not None]
            raise UsageProblem(
                f"Expected a run of an app among {', '.join(of_glue)}, received one of "
                f"{folder.spec().app!r}; GLUE takes predictions of its own tasks alone."
            )
        if model == "teacher":
            folder.check_has_model(model)
        use_backend_of(folder.spec())
        submission = app.write_submission(run, glue, data_dir=data_dir, model=model)
    for name, rows in submission.rows.items():
        echo(f"{name}: {rows} rows")
    echo(f"zip: {submission.archive}")
    if submission.missing:
        missing = ", ".join(submission.missing)
        echo(f"missing, and GLUE's site refuses the zip without: {missing}")


def _app_of(run: RunFolder) -> App | None:
    """The app of a run; `None` of one whose file is gone, without which predictions can be made.

    Raises:
        ValueError: If the file is another one than the run was started with, before it is run.
    """
    spec = run.spec()
    if is_app_file(spec.app):
        if not Path(spec.app).is_file():
            return None
        use_backend_of(spec)
        from keras_prokt.runs.task import check_same_app

        check_same_app(spec, run.read()["data"])
    return get_app(spec.app)


def _predict_rows(run: str, dataset: str, out: str | None, settings: dict[str, Any]) -> str:
    """Predicts by what reads such data; returns what was written."""
    from keras_prokt.runs.prediction import parts_of, prepare_prediction, source_of

    source = source_of(run, settings["model"])
    if source.run is not None:
        choose_backend(source.backend)
        app = _app_of(source.run)
        if app is not None and app.predict_table is not None:
            if "broken_images" in settings:
                raise UsageProblem(
                    f"Expected no --broken-images with a run of app {app.name!r}, received "
                    f"{settings['broken_images']!r}; leave it out."
                )
            use_backend_of(source.run.spec())
            out = out or app.predictions_file
            return f"{out}: {app.predict_table(run, dataset, out, **settings)} rows"
    out = out or "predictions.csv"
    del settings["model"]
    prediction = prepare_prediction(source, dataset, out, **settings)
    with stopping(parts_of(out), Stop(), "the same command"):
        use_backend(source.backend)
        return f"{out}: {prediction.carry_out()} rows"


@click.command()
@click.argument("run", type=RunPath())
@click.option(
    "--out", type=NewPath(), default="suspects.csv", show_default=True, help="The .csv or .parquet."
)
@click.option("--overwrite", is_flag=True, help="Replace that file if it exists.")
@import_option
def suspects(run: str, out: str, overwrite: bool) -> None:
    """List the training rows whose label both models of a run contradict, the surest first.

    The run needs its teacher (--save-teacher) and its data. Each row has its own columns, or its
    path, the class that each model finds and its probability.

    \b
      keras-prokt run --app text --dataset reviews.csv --text body --label stars --save-teacher
      keras-prokt suspects runs/text-prokt-1 --out suspects.csv
    """
    with problems_in_one_line():
        folder = RunFolder.existing(run)
        for role in ROLES:
            folder.check_has_model(role)
        choose_backend(folder.spec().backend)
        folder.spec().check_without_keras()
        use_backend_of(folder.spec())
        from keras_prokt.runs import suspects as find

        found, of_all = find(run, out, overwrite=overwrite)
    echo(f"{out}: {found:,} of {of_all:,} training rows")


def _check_format(_: click.Context, __: click.Parameter, name: str) -> str:
    try:
        get(name)
    except ValueError as error:
        raise UsageProblem(str(error)) from error
    return name


def _check_quantization(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    if name is not None and name not in QUANTIZATIONS:
        raise UsageProblem(unknown_name("a quantization", name, QUANTIZATIONS))
    return name


def _export_file(file: str, model: str, format: str, settings: dict[str, Any]) -> None:
    """Exports a `.keras` file alone."""
    if model != "student":
        raise UsageProblem(
            f"Expected a run folder for its {model}, received {file!r}; give the file of that."
        )
    use_backend(get(format).backend)
    from keras_prokt.runs.exported_file import export_file_compared

    found = export_file_compared(file, format, **settings)
    if found.comparison is not None:
        echo(f"keras-prokt: {found.comparison}", err=True)
    echo(found.path)


@click.command()
@click.argument("run", type=RunPath(or_file=True))
@model_option
@click.option(
    "--format",
    default=DEFAULT,
    show_default=True,
    callback=_check_format,
    shell_complete=completing(FORMATS),
    help=f"{', '.join(FORMATS)}.",
)
@import_option
@click.option(
    "--quantize",
    callback=_check_quantization,
    shell_complete=completing(QUANTIZATIONS),
    help="float16, or int8 with ranges of training data. [default: float32]",
)
@click.option(
    "--max-loss",
    type=FiniteRange(0.0),
    default=0.01,
    show_default=True,
    help="How much of the run's metric may be lost by that.",
)
@click.option(
    "--length",
    type=click.IntRange(1, 100_000),
    help="Of texts, for forms without open lengths. [default: the longest of training]",
)
@click.option(
    "--out", type=NewPath(), metavar="PATH", help="Where to. [default: in the folder of the run]"
)
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
def export(
    run: str,
    model: str,
    format: str,
    quantize: str | None,
    max_loss: float,
    length: int | None,
    out: str | None,
    overwrite: bool,
) -> None:
    """Write the student of a run, or its teacher, for use elsewhere, into the folder of the run.

    It is opened again in its own runtime, and compared with the student on the run's validation
    data, before it appears. A SavedModel goes to a new version directory. In place of a run, a
    .keras file: what is made of it lies beside it.

    \b
      keras-prokt export runs/digits-prokt-1
      keras-prokt export runs/digits-prokt-1 --format onnx
      keras-prokt export runs/digits-prokt-1 --format litert --quantize int8
      keras-prokt export student.keras --format onnx
    """
    settings = {"path": out, "quantize": quantize, "max_loss": max_loss, "length": length}
    settings["overwrite"] = overwrite
    with problems_in_one_line():
        if Path(run).suffix == ".keras" and not Path(run).is_dir():
            _export_file(run, model, format, settings)
            return
        folder = RunFolder.existing(run)
        folder.check_has_model(model)
        spec, record = folder.spec(), folder.read()
        # The model of any backend; the one that trained it may be missing here.
        use_backend_of(spec.replacing(backend=get(format).backend or spec.backend))
        from keras_prokt.runs.finished_run import export_run_compared

        found = export_run_compared(run, model, format, **settings)
    if model == "student" and (warning := no_better_than_constant(record)):
        echo(f"keras-prokt: {warning}", err=True)
    if found.comparison is not None:
        echo(f"keras-prokt: {found.comparison}", err=True)
    echo(found.path)
