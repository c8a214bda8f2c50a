"""The commands `search` and `compare`; imports no Keras."""

import re
from pathlib import Path
from typing import Any

import click

from keras_prokt.app_file import app_title
from keras_prokt.cli.backend import installed_backend
from keras_prokt.cli.completion import RunPath
from keras_prokt.cli.problems import UsageProblem, echo, problems_in_one_line, stopping
from keras_prokt.cli.shared import (
    NewPath,
    as_typed,
    exit_with_status,
    form_option,
    options_of_many_runs,
    print_search,
    seconds,
)
from keras_prokt.methods import method_settings, parse_method
from keras_prokt.options import (
    GroupedCommand,
    parsed,
    parsed_method,
    parsed_search,
    parsed_seeds,
    with_settings,
)
from keras_prokt.results.comparison_forms import render
from keras_prokt.runs.folder import unused_path
from keras_prokt.runs.method_comparison import (
    FIGURE,
    compare_folders,
    known_baselines,
)
from keras_prokt.runs.method_comparison import compare as carry_out_comparison
from keras_prokt.runs.setting_search import FIGURE_3
from keras_prokt.runs.setting_search import search as carry_out_search
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import Stop
from keras_prokt.runs.titled_runs import titled_runs
from keras_prokt.settings import SettingError, argument


@click.command(cls=GroupedCommand)
@with_settings(as_text=True, without=("seed",))
@click.option("--seeds", default="0", show_default=True, help="Such as 0-4, or 0,1,2.")
@click.option(
    "--trials", type=click.IntRange(1), help="Configurations of a search over ranges. [default: 20]"
)
@click.option(
    "--latency",
    metavar="5ms",
    help="With several --student: those that take longer for one example, measured here on one "
    "thread before anything is trained, are left out.",
)
@click.option(
    "--out",
    type=NewPath(),
    help="The folder; that of the same search goes on, with more values and seeds too. [default: "
    "searches/APP-METHOD-N]",
)
@options_of_many_runs
def search(
    seeds: str,
    trials: int | None,
    latency: str | None,
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
      keras-prokt search --app cifar100 --student resnet8x4,wrn-16-2,vgg8 --latency 5ms --lambda 0.3
    """
    with problems_in_one_line():
        stop = Stop(seconds(stop_after))
        app, method = given.pop("app"), given.pop("method")
        single, over = parsed_search(given)
        single["backend"] = installed_backend(single.get("backend"))
        has_weight = "proximal_weight" in single or "proximal_bound" in single
        if not over and not has_weight and "proximal_weight" in parse_method(method).settings:
            over["proximal_weight"] = list(FIGURE_3)
        folder = Path(out) if out else unused_path(Path("searches") / f"{app_title(app)}-{method}")
        with stopping(folder, stop):
            found, done = carry_out_search(
                app,
                method,
                over,
                folder,
                seeds=parsed_seeds(seeds),
                trials=trials,
                latency=None if latency is None else _latency(latency),
                jobs=jobs,
                threads=threads,
                stop=stop,
                retries_failed=retry_failed,
                show=as_typed,
                **single,
            )
    print_search(folder, found)
    exit_with_status(done, is_search=True)


@click.command(cls=GroupedCommand)
@click.argument("runs", nargs=-1, type=RunPath())
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
    "--metric",
    help="What is compared, such as macro_f1, balanced_accuracy, auc, expected_calibration_error, "
    "loss. [default: that which chose the best epochs]",
)
@form_option
@click.option(
    "--out",
    type=NewPath(),
    help="The folder; that of a comparison goes on, with more rows and seeds. "
    "[default: comparisons/APP-N]",
)
@options_of_many_runs
def compare(
    runs: tuple[str, ...],
    methods: tuple[str, ...],
    seeds: str,
    baselines: tuple[str, ...],
    metric: str | None,
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
      keras-prokt compare comparisons/digits --metric balanced_accuracy
      keras-prokt compare runs/digits-kd-1 runs/digits-prokt-1
    """
    with problems_in_one_line():
        if bool(runs) == bool(methods):
            raise UsageProblem(
                f"Expected either RUNS or --method, received {'both' if runs else 'none'}; such as "
                "`keras-prokt compare --method kd --method prokt --seeds 0-4`."
            )
        if runs:
            options = {
                "seeds": None if seeds == "0" else seeds,
                "jobs": None if jobs == 1 else jobs,
            }
            options |= {"threads": threads, "stop_after": stop_after, "retry_failed": retry_failed}
            _refuse_settings_of_new_runs({**given, **options}, out)
            _print_comparison_of(runs, baselines, form, metric)
            return
        stop = Stop(seconds(stop_after))
        rows = comparison_rows(methods, given)
        app = next(iter(rows.values())).app
        folder = Path(out) if out else unused_path(Path("comparisons") / app_title(app))
        with stopping(folder, stop):
            comparison, done = carry_out_comparison(
                rows,
                folder,
                seeds=parsed_seeds(seeds),
                baselines=[" ".join(one.split()) for one in baselines],
                metric=metric,
                jobs=jobs,
                threads=threads,
                stop=stop,
                retries_failed=retry_failed,
                show=as_typed,
            )
    if comparison:
        echo(render(comparison, form))
        echo(f"picture: {folder / FIGURE}", err=True)
    echo(f"runs: {folder}", err=True)
    exit_with_status(done)


def _latency(text: str) -> float:
    """Seconds of a latency as people type it."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(us|ms|s)", text.strip(), re.ASCII)
    if match is None:
        raise UsageProblem(
            f"Expected --latency such as 5ms, 800us or 0.1s, received {text!r}; give a number and "
            "a unit."
        )
    return float(match[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[match[2]]


def _print_comparison_of(
    runs: tuple[str, ...], baselines: tuple[str, ...], form: str, metric: str | None
) -> None:
    """Compares runs that are there."""
    titled, left_out = titled_runs(runs)
    baselines = baselines or known_baselines(runs, [title for title, _ in titled])
    for path in left_out:
        echo(f"keras-prokt: {path} is not completed and left out", err=True)
    echo(render(compare_folders(titled, baselines, metric), form))


def comparison_rows(methods: tuple[str, ...], given: dict[str, Any]) -> dict[str, RunSpec]:
    """Heading -> spec of each row; common settings go to the methods that have them."""
    app, common = given.pop("app"), parsed(given)
    common["backend"] = installed_backend(common.get("backend"))
    unused = set(common) & set(method_settings())
    rows = {}
    for text in methods:
        method, own = parsed_method(text)
        own = {**own, "backend": installed_backend(own.get("backend", common["backend"]))}
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


def _refuse_settings_of_new_runs(given: dict[str, Any], out: str | None) -> None:
    given = {**given, "app": None if given["app"] == "digits" else given["app"], "out": out}
    for name, value in given.items():
        if value is not None and value is not False and value != ():
            raise SettingError(
                f"Expected no {argument(name)} with RUNS, received {value!r}; it belongs to "
                "--method, which carries runs out."
            )
