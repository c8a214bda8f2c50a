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
from keras_prokt.files import replacing
from keras_prokt.methods import parse_method
from keras_prokt.results.evaluation import add_test
from keras_prokt.results.tables import EPOCHS, mean_and_error, search_mean
from keras_prokt.runs.folder import RunFolder, SearchFolder
from keras_prokt.runs.plan import check_before_training
from keras_prokt.runs.progress import format_seconds
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import check_teacher_init, prepare, prepare_again
from keras_prokt.runs.training_run import check_backend, resume, run

VALUES = (0.0, 0.2, 0.4, 0.6, 0.8)
"""Values of λ in the paper's Figure 3."""


def search(
    spec: RunSpec,
    out: str | Path,
    *,
    values: Sequence[float] | None = None,
    seeds: Sequence[int] | None = None,
    cache: str | Path | None = None,
    stop_after: float | None = None,
) -> dict[str, Any]:
    """Runs every λ with every seed, and chooses the λ whose students are best on validation.

    Of each run the student of the epoch that is best on validation counts; of equal means the
    first λ given. Test data is measured after the choice and for the chosen λ alone.

    Args:
        spec: The run; its λ and seed are replaced.
        out: A folder: new, or that of a search with the same spec, whose runs are taken over. A
            completed search may get more values and seeds, an unfinished one others. Each run has
            its run folder in it, `lambda-V-seed-N`; beside them are `search.json` and
            `search.png`, the paper's Figure 3.
        values: Values of λ, each in [0, 1). `None`: those of the search in `out`, or `VALUES`.
        seeds: Seeds of the runs. `None`: those of the search in `out`, or 0.
        cache: As in `keras_prokt.runs.training_run.run`.
        stop_after: Seconds after which the state is saved and the search left for
            `resume_search`.

    Returns:
        The record, as in `search.json`: `status` ("running" if the search was stopped), `spec`,
        `values`, `seeds`, `runs` (the completed ones: `value`, `seed`, `folder`, and `student`
        and `teacher` on validation), `metric`, and of a completed search `chosen`, the `test` of
        its runs, and `tested`, the λs whose test data was measured: several, if the choice
        changed with more values or seeds.

    Raises:
        ValueError: On bad input, or if the data has changed since the runs in `out`; then nothing
            has been written.

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
    check_backend(spec)
    deadline = math.inf if stop_after is None else time.monotonic() + stop_after
    folder = SearchFolder(out)
    there = folder.read() if folder.record.is_file() else {}
    values = values if values is not None else there.get("values", VALUES)
    seeds = seeds if seeds is not None else there.get("seeds", (0,))
    for name, given in (("--lambda", values), ("--seeds", seeds)):
        if not given or len(set(given)) != len(given):
            raise ValueError(
                f"Expected different values of {name}, received "
                f"{','.join(f'{value:g}' for value in given) or 'none'}; name each once."
            )
    for value in values:
        for seed in seeds:
            replace(spec, proximal_weight=value, seed=seed)  # checks the range of both
    spec = replace(spec, proximal_weight=None, seed=0)
    record = {
        "status": "running",
        "spec": spec.to_json(),
        "values": [float(value) for value in values],
        "seeds": list(seeds),
    }
    if there:
        _check_same_search(folder, there, record)
        if there["values"] == record["values"] and there["seeds"] == record["seeds"]:
            return resume_search(out, cache=cache, stop_after=stop_after)
        _check_same_data(folder, record, there)
        record |= {key: there[key] for key in ("metric", "runs", "tested") if key in there}
        folder.write(record)
        folder.figure.unlink(missing_ok=True)
    else:
        folder.check_free()
        first = replace(spec, proximal_weight=values[0], seed=seeds[0])
        app = get_app(spec.app)
        check_before_training(app, prepare(app, first), first)
        folder.create(record)
    return _carry_out(folder, record, cache, deadline)


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

    Raises:
        ValueError: If it was started with another backend, or the data has changed since.
    """
    deadline = math.inf if stop_after is None else time.monotonic() + stop_after
    folder = SearchFolder(out)
    record = folder.read()
    if record["status"] == "completed":
        return record
    check_backend(RunSpec.from_json(record["spec"]))
    _check_same_data(folder, record, record)
    return _carry_out(folder, record, cache, deadline)


def _points(record: dict[str, Any]) -> list[tuple[float, int]]:
    # Seed by seed, so that a search that is cut off has compared all values on some seeds.
    return [(value, seed) for seed in record["seeds"] for value in record["values"]]


def _check_same_search(folder: SearchFolder, there: dict[str, Any], record: dict[str, Any]) -> None:
    if RunSpec.from_json(there["spec"]) != RunSpec.from_json(record["spec"]):
        raise ValueError(
            f"Expected a new folder or that of the same search, received {str(folder.path)!r} of "
            "a search with other settings; name another one with --out."
        )
    for key, option in (("values", "--lambda"), ("seeds", "--seeds")):
        # Of an unfinished search one may be left out, such as one whose training fails.
        missing = [f"{number:g}" for number in there[key] if number not in record[key]]
        if missing and there["status"] == "completed":
            raise ValueError(
                f"Expected {option} with those of the completed search in {str(folder.path)!r}, "
                f"received it without {', '.join(missing)}; add them, or name another --out."
            )


def _check_same_data(folder: SearchFolder, record: dict[str, Any], there: dict[str, Any]) -> None:
    """Refuses to compare runs on different data, before anything more is trained.

    Args:
        folder: The folder.
        record: What is to be run.
        there: What the folder's record says.
    """
    points = dict.fromkeys(_points(there) + _points(record))
    runs = {p: f for p in points if (f := folder.run(*p)).record.is_file()}
    records = {point: run_folder.read() for point, run_folder in runs.items()}
    for (value, seed), of_run in records.items():
        spec = replace(RunSpec.from_json(record["spec"]), proximal_weight=value, seed=seed)
        if runs[value, seed].spec() != spec:
            raise ValueError(
                f"Expected the run of the search in {str(runs[value, seed].path)!r}, received one "
                "with other settings; remove that folder."
            )
        for (_, other_seed), other in records.items():
            # With a limit each seed draws its own training examples.
            own = set() if seed == other_seed else {"train data"}
            same_data = all(
                of_run["data"].get(name) == digest
                for name, digest in other["data"].items()
                if name not in own
            )
            if not same_data or of_run.get("teacher_init") != other.get("teacher_init"):
                raise ValueError(
                    f"Expected runs on the same data from the same teacher in "
                    f"{str(folder.path)!r}, received others in {runs[value, seed].path.name!r}; "
                    "start a new search."
                )
    if len(records) < len(points) and records:
        point, of_run = next(iter(records.items()))
        prepare_again(runs[point])
        check_teacher_init(of_run, runs[point].spec())


def _carry_out(
    folder: SearchFolder, record: dict[str, Any], cache: str | Path | None, deadline: float
) -> dict[str, Any]:
    spec, points = RunSpec.from_json(record["spec"]), _points(record)
    done = {(run["value"], run["seed"]): run for run in record.get("runs", [])}
    record = {**record, "runs": [done[point] for point in points if point in done]}
    started, trained = time.monotonic(), 0
    for number, (value, seed) in enumerate(points, start=1):
        if (value, seed) in done:
            continue
        left = deadline - time.monotonic()
        if left <= 0:
            return record
        title = f"run {number} of {len(points)}: λ {value:g}, seed {seed}"
        if trained:
            so_far = (time.monotonic() - started) / trained * (len(points) - len(done))
            title += f"  {format_seconds(so_far)} left"
        print(title, file=sys.stderr, flush=True)
        this = replace(spec, proximal_weight=value, seed=seed)
        run_folder = folder.run(value, seed)
        of_run = _run_or_resume(this, run_folder, cache, None if math.isinf(left) else left)
        if of_run["status"] != "completed":
            return record
        trained += 1
        models = of_run["results"]["models"]
        metric = next(iter(models["student"]["validation"]))
        of_roles = {role: models[role]["validation"][metric] for role in ("student", "teacher")}
        name = run_folder.path.name
        done[value, seed] = {"value": value, "seed": seed, "folder": name, **of_roles}
        of_points = [done[point] for point in points if point in done]
        record = {**record, "metric": metric, "runs": of_points}
        folder.write(record)
    return _completed(folder, record)


def _run_or_resume(
    spec: RunSpec, folder: RunFolder, cache: str | Path | None, stop_after: float | None
) -> dict[str, Any]:
    _start_afresh()
    settings = {"cache": cache, "stop_after": stop_after}
    if folder.record.is_file():
        return resume(folder.path, **settings)
    return run(spec, folder.path, export=False, measures_test=False, **settings)


def _start_afresh() -> None:
    """Forgets Keras's global state as in a process of its own; what the user has set stays."""
    policy, distribution = keras.config.dtype_policy(), keras.distribution.distribution()
    keras.backend.clear_session()
    keras.config.set_dtype_policy(policy)
    keras.distribution.set_distribution(distribution)


def _completed(folder: SearchFolder, record: dict[str, Any]) -> dict[str, Any]:
    means = {v: search_mean(values_of(record, "student", v)) for v in record["values"]}
    chosen = max(means, key=means.__getitem__)  # the first of equals
    runs = [{**of_run} for of_run in record["runs"]]
    for of_run in runs:
        if of_run["value"] != chosen:
            of_run.pop("test", None)
        elif "test" not in of_run:
            measured = add_test(folder.run(of_run["value"], of_run["seed"]))
            of_run["test"] = None if measured is None else measured[record["metric"]]
    tested = set(record.get("tested", []))
    tested |= {of_run["value"] for of_run in runs if of_run.get("test") is not None}
    record = {
        **record,
        "status": "completed",
        "runs": runs,
        "chosen": chosen,
        "tested": sorted(tested),
    }
    plot_search(record, folder.figure)
    folder.write(record)
    return record


def values_of(record: dict[str, Any], role: str, value: float) -> list[float]:
    """What the runs of one λ gave, in the order of the seeds.

    Args:
        record: As in `search.json`, of a completed search.
        role: "student" or "teacher".
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
