"""The commands `report` and `benchmark`; this module itself imports no Keras."""

import importlib.util
import webbrowser
from pathlib import Path

import click

from keras_prokt import backends
from keras_prokt.cli.backend import use_backend
from keras_prokt.cli.completion import RunPath
from keras_prokt.cli.problems import UsageProblem, echo, problems_in_one_line
from keras_prokt.cli.shared import FiniteRange, NewPath, json_option, print_json
from keras_prokt.results.page import check_free
from keras_prokt.results.speed import latency_grid, size_grid, speed_notes
from keras_prokt.results.tables import format_table
from keras_prokt.runs.folder import BENCHMARK_FIGURE, RunFolder
from keras_prokt.runs.page import DEFAULT_EXAMPLES
from keras_prokt.runs.page import report as write_report
from keras_prokt.runs.run_list import RunList


@click.command()
@click.argument("runs", nargs=-1, required=True, type=RunPath())
@click.option("--out", type=NewPath(), default="report.html", show_default=True, help="The file.")
@click.option("--overwrite", is_flag=True, help="Replace that file whatever it is.")
@click.option(
    "--examples",
    type=click.IntRange(0, 200),
    default=DEFAULT_EXAMPLES,
    show_default=True,
    help="Examples of each run on which teacher and student differ most; 0 reads no data.",
)
@click.option("--open", "opens", is_flag=True, help="Show it in the browser.")
def report(runs: tuple[str, ...], out: str, overwrite: bool, examples: int, opens: bool) -> None:
    """Write one HTML page about runs, comparisons and searches, to be sent to others.

    It has tables, curves, what is taken for what, calibration, the examples on which teacher and
    student differ most, and specs, versions and digests. The file needs no other one and asks for
    nothing from elsewhere; an older report is replaced.

    \b
      keras-prokt report runs/digits-prokt-1 --open
      keras-prokt report comparisons/digits-1 searches/digits-prokt-1 --out digits.html
    """
    with problems_in_one_line():
        check_free(Path(out), overwrite=overwrite)
        backend = _backend_of(runs)
        use_backend(backend)
        path = write_report(runs, out, examples=examples, overwrite=overwrite)
    echo(path)
    if opens and not webbrowser.open(path.resolve().as_uri()):
        echo(f"keras-prokt: no browser was found; open {path} yourself", err=True)


def _backend_of(paths: tuple[str, ...]) -> str:
    """The backend of the first run that is named, if it is installed: any reads all models."""
    names = []
    for path in paths:
        runs = RunList.at(path)
        specs = (
            [RunFolder.existing(path).spec()]
            if runs is None
            else [entry.spec for entry in runs.entries()]
        )
        names += [spec.backend for spec in specs]
    installed = [name for name in names if importlib.util.find_spec(name) is not None]
    return installed[0] if installed else backends.configured()


@click.command()
@click.argument("models", nargs=-1, required=True, type=RunPath(or_file=True))
@click.option(
    "--seconds",
    type=FiniteRange(0, 3600, min_open=True),
    default=1.0,
    show_default=True,
    help="For how long calls are measured, of each batch size and number of threads.",
)
@json_option
def benchmark(models: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Measure what a run's student, its teacher and its exports cost to use.

    MODELS is one run folder, or model files (.keras) of any kind. Parameters, multiply-adds, bytes,
    memory, latency at batch sizes 1, 8 and 32 on one thread and on all, and how good each is, in
    its own runtime; of a run also a picture of that, and `report` shows it from then on.

    \b
      keras-prokt benchmark runs/digits-prokt-1
      keras-prokt benchmark big.keras small.keras --json
    """
    with problems_in_one_line():
        files = [path for path in models if Path(path).suffix in (".keras", ".h5")]
        if files and len(files) < len(models) or len(models) > 1 and not files:
            raise UsageProblem(
                f"Expected one run folder, or model files (.keras), received {', '.join(models)}; "
                "measure each run by itself."
            )
        if not files:
            RunFolder.existing(models[0]).check_has_model("student")
        use_backend("tensorflow")
        from keras_prokt.runs import speed

        if files:
            found = speed.benchmark_models(models, seconds=seconds)
        else:
            found = speed.benchmark(models[0], seconds=seconds)
    if as_json:
        print_json(found)
        return
    echo(f"{format_table(*size_grid(found))}\n\n{format_table(*latency_grid(found))}\n")
    for note in speed_notes(found):
        echo(note)
    if not files and found["metric"] is not None:
        echo(f"picture: {Path(models[0]) / BENCHMARK_FIGURE}")
