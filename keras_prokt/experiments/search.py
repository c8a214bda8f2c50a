"""Search for λ: a run for each value and seed, chosen on validation, reported on test once."""

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from keras_prokt.app import get_app
from keras_prokt.callbacks.replacing import replacing
from keras_prokt.experiments.evaluation import add_test
from keras_prokt.experiments.plan import check_before_training
from keras_prokt.experiments.progress import format_seconds
from keras_prokt.experiments.report import mean_and_error
from keras_prokt.experiments.run import resume, run
from keras_prokt.experiments.run_folder import SearchFolder
from keras_prokt.experiments.spec import RunSpec
from keras_prokt.experiments.task import prepare


def search(
    spec: RunSpec,
    out: str | Path,
    *,
    values: Sequence[float],
    seeds: Sequence[int] = (0,),
    cache: str | Path | None = None,
    stop_after: float | None = None,
) -> dict[str, Any]:
    """Runs every λ with every seed, and chooses the λ whose students are best on validation.

    Of each run the student of the epoch that is best on validation counts. Test data is measured
    after the choice and for the chosen λ alone.

    Args:
        spec: The run; its λ and seed are replaced.
        out: A folder: new, or that of the same search, which is continued. Each run has its run
            folder in it, `lambda-V-seed-N`; beside them are `search.json` and `search.png`, the
            paper's Figure 3.
        values: Values of λ, each in [0, 1).
        seeds: Seeds of the runs.
        cache: As in `keras_prokt.experiments.run.run`.
        stop_after: Seconds after which the state is saved and the search left for
            `resume_search`.

    Returns:
        The record, as in `search.json`: `status` ("running" if the search was stopped), `spec`,
        `values`, `seeds`, and of a completed search `metric`, `runs` (`value`, `seed`, `folder`,
        and `student`, `teacher` on validation, the chosen ones' `test`) and `chosen`.

    Raises:
        ValueError: On bad input; then nothing has been written.

    Example:

    ```python
    spec = RunSpec.resolve("digits", "prokt")
    search(spec, "searches/digits", values=[0, 0.2, 0.4], seeds=[0, 1, 2])["chosen"]
    ```
    """
    folder = SearchFolder(out)
    for name, given in (("--lambda", values), ("--seeds", seeds)):
        if not given or len(set(given)) != len(given):
            raise ValueError(
                f"Expected different values of {name}, received "
                f"{','.join(f'{value:g}' for value in given) or 'none'}; name each once."
            )
    for value in values:
        for seed in seeds:
            replace(spec, proximal_weight=value, seed=seed)  # checks the range of both
    record = {
        "status": "running",
        "spec": replace(spec, proximal_weight=None, seed=seeds[0]).to_json(),
        "values": [float(value) for value in values],
        "seeds": list(seeds),
    }
    if folder.record.is_file():
        there = folder.read()
        if any(there[key] != _as_json(record[key]) for key in ("spec", "values", "seeds")):
            raise ValueError(
                f"Expected a new folder or that of the same search, received {str(out)!r} with "
                "other settings; name another one with --out."
            )
    elif folder.path.exists():
        raise ValueError(
            f"Expected a new folder, received {str(out)!r}, which exists; name another one with "
            "--out."
        )
    else:
        first = replace(spec, proximal_weight=values[0], seed=seeds[0])
        app = get_app(spec.app)
        check_before_training(app, prepare(app, first), first)
        folder.path.mkdir(parents=True)
        folder.write(record)
    return _carry_out(folder, record, cache, stop_after)


def resume_search(
    out: str | Path, *, cache: str | Path | None = None, stop_after: float | None = None
) -> dict[str, Any]:
    """Continues a search that was stopped, in the run in which it was.

    Args:
        out: Its folder.
        cache: As in `search`.
        stop_after: As in `search`.

    Returns:
        The record, as `search`.
    """
    folder = SearchFolder(out)
    return _carry_out(folder, folder.read(), cache, stop_after)


def _carry_out(
    search_folder: SearchFolder,
    record: dict[str, Any],
    cache: str | Path | None,
    stop_after: float | None,
) -> dict[str, Any]:
    deadline = math.inf if stop_after is None else time.monotonic() + stop_after
    spec = RunSpec.from_json(record["spec"])
    # Seed by seed, so that a search that is cut off has compared all values on some seeds.
    points = [(value, seed) for seed in record["seeds"] for value in record["values"]]
    records: dict[tuple[float, int], dict[str, Any]] = {}
    started, trained = time.monotonic(), 0
    for number, (value, seed) in enumerate(points, start=1):
        folder = search_folder.run(value, seed)
        left = deadline - time.monotonic()
        if left <= 0:
            return record
        title = f"run {number} of {len(points)}: λ {value:g}, seed {seed}"
        if trained:
            so_far = (time.monotonic() - started) / trained * (len(points) - number + 1)
            title += f"  {format_seconds(so_far)} left"
        print(title, file=sys.stderr, flush=True)
        settings = {"cache": cache, "stop_after": None if math.isinf(left) else left}
        keras.backend.clear_session()  # as in a process of its own
        was_there = folder.record.is_file()
        if was_there:
            of_run = resume(folder.path, **settings)  # returns at once what is completed
        else:
            this = replace(spec, proximal_weight=value, seed=seed)
            of_run = run(this, folder.path, export=False, measures_test=False, **settings)
        if of_run["status"] != "completed":
            return record
        records[value, seed] = of_run
        trained += not was_there
    return _completed(search_folder, record, records)


def _completed(
    folder: SearchFolder,
    record: dict[str, Any],
    records: dict[tuple[float, int], dict[str, Any]],
) -> dict[str, Any]:
    first = next(iter(records.values()))["results"]["models"]["student"]["validation"]
    metric = next(iter(first))
    runs = [
        {
            "value": value,
            "seed": seed,
            "folder": folder.run(value, seed).path.name,
            **{
                role: of_run["results"]["models"][role]["validation"][metric]
                for role in ("student", "teacher")
            },
        }
        for (value, seed), of_run in records.items()
    ]
    record = {**record, "status": "completed", "metric": metric, "runs": runs}
    # The first of equals.
    means = {v: mean_and_error(values_of(record, "student", v))[0] for v in record["values"]}
    record["chosen"] = max(means, key=means.__getitem__)
    for of_run in runs:
        if of_run["value"] == record["chosen"]:
            measured = add_test(folder.run(of_run["value"], of_run["seed"]))
            of_run["test"] = None if measured is None else measured[metric]
    plot_search(record, folder.figure)
    folder.write(record)
    return record


def values_of(record: dict[str, Any], role: str, value: float) -> list[float]:
    """What the runs of one λ gave, in the order of the seeds.

    Args:
        record: As in `search.json`, of a completed search.
        role: "student", "teacher" or "test".
        value: The λ.
    """
    return [of_run[role] for of_run in record["runs"] if of_run["value"] == value]


def plot_search(record: dict[str, Any], png: str | Path) -> None:
    """Draws Figure 3 of the ProKT paper: validation of teacher and student by λ.

    Points are means over the seeds, bars their standard errors. The student is that of its best
    epoch, the teacher that of the last.

    Args:
        record: As in `search.json`, of a completed search.
        png: Image to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    values = sorted(record["values"])
    for role, color in (("teacher", "tab:red"), ("student", "tab:blue")):
        points = [mean_and_error(values_of(record, role, value)) for value in values]
        means, errors = zip(*points, strict=True)
        bars = None if None in errors else errors
        axes.errorbar(values, means, yerr=bars, fmt="o-", capsize=3, color=color, label=role)
    axes.axvline(record["chosen"], color="grey", linestyle=":", label="chosen")
    seeds = len(record["seeds"])
    axes.set(
        title=f"Validation by λ, {seeds} seed{'s' * (seeds > 1)}",
        xlabel="λ",
        ylabel=record["metric"],
    )
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(Path(png)) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
