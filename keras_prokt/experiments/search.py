"""Search for λ: a run for each value and seed, chosen on validation, reported on test once."""

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
from keras_prokt.experiments.report import EPOCHS, mean_and_error
from keras_prokt.experiments.run import check_backend, resume, run
from keras_prokt.experiments.run_folder import RunFolder, SearchFolder
from keras_prokt.experiments.spec import RunSpec
from keras_prokt.experiments.task import prepare
from keras_prokt.methods import parse_method


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

    Of each run the student of the epoch that is best on validation counts; of equal means the
    first λ given. Test data is measured after the choice and for the chosen λ alone.

    Args:
        spec: The run; its λ and seed are replaced.
        out: A folder: new, or that of a search with the same spec, whose runs are taken over and
            which may have other values and seeds, such as more seeds. Each run has its run
            folder in it, `lambda-V-seed-N`; beside them are `search.json` and `search.png`, the
            paper's Figure 3.
        values: Values of λ, each in [0, 1).
        seeds: Seeds of the runs.
        cache: As in `keras_prokt.experiments.run.run`.
        stop_after: Seconds after which the state is saved and the search left for
            `resume_search`.

    Returns:
        The record, as in `search.json`: `status` ("running" if the search was stopped), `spec`,
        `values`, `seeds`, `runs` (the completed ones: `value`, `seed`, `folder`, and `student`
        and `teacher` on validation), `metric`, and of a completed search `chosen` and the `test`
        of its runs.

    Raises:
        ValueError: On bad input; then nothing has been written. If the runs of one seed have not
            the same data.

    Example:

    ```python
    spec = RunSpec.resolve("digits", "prokt")
    search(spec, "searches/digits", values=[0, 0.2, 0.4], seeds=[0, 1, 2])["chosen"]
    ```
    """
    if "proximal_weight" not in parse_method(spec.method).settings:
        raise ValueError(
            f"Expected a method with λ to search, received {spec.method!r}; use prokt, or "
            "objectives joined with it such as crd+prokt."
        )
    if spec.full_train:
        raise ValueError(
            "Expected validation data that is not trained on, received --full-train; search "
            "without it, then run the chosen λ with it."
        )
    for name, given in (("--lambda", values), ("--seeds", seeds)):
        if not given or len(set(given)) != len(given):
            raise ValueError(
                f"Expected different values of {name}, received "
                f"{','.join(f'{value:g}' for value in given) or 'none'}; name each once."
            )
    for value in values:
        for seed in seeds:
            replace(spec, proximal_weight=value, seed=seed)  # checks the range of both
    spec, folder = replace(spec, proximal_weight=None, seed=0), SearchFolder(out)
    record = {
        "status": "running",
        "spec": spec.to_json(),
        "values": [float(value) for value in values],
        "seeds": list(seeds),
    }
    if folder.record.is_file():
        there = folder.read()
        if RunSpec.from_json(there["spec"]) != spec:
            raise ValueError(
                f"Expected a new folder or that of the same search, received {str(out)!r} of a "
                "search with other settings; name another one with --out."
            )
        if there["values"] == record["values"] and there["seeds"] == record["seeds"]:
            return resume_search(out, cache=cache, stop_after=stop_after)
        folder.write(record)
    elif folder.path.exists():
        raise ValueError(
            f"Expected a new folder, received {str(out)!r}, which exists; name another one with "
            "--out."
        )
    else:
        first = replace(spec, proximal_weight=values[0], seed=seeds[0])
        app = get_app(spec.app)
        check_before_training(app, prepare(app, first), first)
        folder.create(record)
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
        The record, as `search`; of a completed search, the record that is there.
    """
    folder = SearchFolder(out)
    record = folder.read()
    if record["status"] == "completed":
        return record
    return _carry_out(folder, record, cache, stop_after)


def _carry_out(
    folder: SearchFolder,
    record: dict[str, Any],
    cache: str | Path | None,
    stop_after: float | None,
) -> dict[str, Any]:
    deadline = math.inf if stop_after is None else time.monotonic() + stop_after
    spec = RunSpec.from_json(record["spec"])
    check_backend(spec)
    # Seed by seed, so that a search that is cut off has compared all values on some seeds.
    points = [(value, seed) for seed in record["seeds"] for value in record["values"]]
    runs: list[dict[str, Any]] = []
    of_seed: dict[int, dict[str, Any]] = {}
    started, trained = time.monotonic(), 0
    for number, (value, seed) in enumerate(points, start=1):
        left = deadline - time.monotonic()
        if left <= 0:
            return record
        title = f"run {number} of {len(points)}: λ {value:g}, seed {seed}"
        if trained:
            so_far = (time.monotonic() - started) / trained * (len(points) - number + 1)
            title += f"  {format_seconds(so_far)} left"
        print(title, file=sys.stderr, flush=True)
        run_folder = folder.run(value, seed)
        trained += not run_folder.record.is_file()
        this = replace(spec, proximal_weight=value, seed=seed)
        of_run = _run_or_resume(this, run_folder, cache, None if math.isinf(left) else left)
        if of_run["status"] != "completed":
            return record
        _check_same_data(of_run, of_seed.setdefault(seed, of_run), run_folder)
        models = of_run["results"]["models"]
        metric = next(iter(models["student"]["validation"]))
        of_roles = {role: models[role]["validation"][metric] for role in ("student", "teacher")}
        runs.append({"value": value, "seed": seed, "folder": run_folder.path.name, **of_roles})
        record = {**record, "metric": metric, "runs": list(runs)}
        folder.write(record)
    return _completed(folder, record)


def _run_or_resume(
    spec: RunSpec, folder: RunFolder, cache: str | Path | None, stop_after: float | None
) -> dict[str, Any]:
    _start_afresh()
    if not folder.record.is_file():
        settings = {"cache": cache, "stop_after": stop_after}
        return run(spec, folder.path, export=False, measures_test=False, **settings)
    if folder.spec() != spec:
        raise ValueError(
            f"Expected the run of the search in {str(folder.path)!r}, received one with other "
            "settings; remove that folder."
        )
    return resume(folder.path, cache=cache, stop_after=stop_after)


def _start_afresh() -> None:
    """Forgets Keras's global state as in a process of its own; what the user has set stays."""
    policy, distribution = keras.config.dtype_policy(), keras.distribution.distribution()
    keras.backend.clear_session()
    keras.config.set_dtype_policy(policy)
    keras.distribution.set_distribution(distribution)


def _check_same_data(record: dict[str, Any], first: dict[str, Any], folder: RunFolder) -> None:
    for name in ("data", "teacher_init"):
        if record[name] != first[name]:
            raise ValueError(
                f"Expected runs of one seed with the same {name.replace('_', ' ')}, received "
                f"another one in {str(folder.path)!r}; restore it and remove that folder."
            )


def _completed(folder: SearchFolder, record: dict[str, Any]) -> dict[str, Any]:
    means = {v: mean_and_error(values_of(record, "student", v))[0] for v in record["values"]}
    record = {**record, "status": "completed", "chosen": max(means, key=means.__getitem__)}
    for of_run in record["runs"]:
        if of_run["value"] == record["chosen"]:
            measured = add_test(folder.run(of_run["value"], of_run["seed"]))
            of_run["test"] = None if measured is None else measured[record["metric"]]
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
        label = f"{role}, {EPOCHS[role]} epoch"
        axes.errorbar(values, means, yerr=bars, fmt="o-", capsize=3, color=color, label=label)
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
