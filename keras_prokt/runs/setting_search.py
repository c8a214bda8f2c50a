"""Search over settings: chosen on validation, test data for the choice alone.

Grids need nothing; ranges are searched by Optuna, which only proposes: what it knows is read from
the run folders at every start. This module imports no Keras.
"""

import math
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from keras_prokt.app_file import absolute_app
from keras_prokt.arguments import (
    check_mapping,
    check_text,
    checked_integer,
    checked_number,
    checked_path,
)
from keras_prokt.named_code import name_code
from keras_prokt.results.search import choose, plot_search
from keras_prokt.runs.executor import (
    Execution,
    check_execution,
    check_jobs,
    checked_seeds,
    execute,
)
from keras_prokt.runs.known_settings import title_of
from keras_prokt.runs.method_comparison import shared_settings
from keras_prokt.runs.proposals import check_optuna, propose
from keras_prokt.runs.records import measured
from keras_prokt.runs.run_list import Entry, RunList, folder_name
from keras_prokt.runs.search_space import (
    Values,
    about_search,
    check_values,
    first_of,
    grid_of,
    row_of,
    scale_of,
    spec_of,
)
from keras_prokt.runs.stopping import Stop
from keras_prokt.runs.student_latency import measure_latency
from keras_prokt.settings import SettingError, argument

FIGURE_3 = (0.0, 0.2, 0.4, 0.6, 0.8)
"""Values of λ in the paper's Figure 3."""

FIGURE = "search.png"


def search(
    app: str,
    method: str,
    over: Mapping[str, Values],
    out: str | Path,
    *,
    seeds: Sequence[int] = (0,),
    trials: int | None = None,
    latency: float | None = None,
    jobs: int = 1,
    threads: int | None = None,
    stop: Stop | None = None,
    retries_failed: bool = False,
    stream: TextIO | None = None,
    show: Callable[[str], str] | None = None,
    **given: Any,
) -> tuple[dict[str, Any], Execution]:
    """Runs configurations of a method with every seed, and chooses the best on validation.

    Of each run the student of the epoch that is best on validation counts; of equal means the
    first configuration. A configuration with a failed run is not chosen, and its other seeds are
    left out. Test data is measured after the choice and for the chosen configuration alone.

    Args:
        app: Name of the app.
        method: As in `keras_prokt.methods.parse_method`.
        over: Setting -> its values, or a `Range`. `"weights kd"` is the weight of an objective,
            `"objective_settings crd.num_negatives"` a setting of one. Lists alone make a grid;
            with a range, Optuna's TPE proposes `trials` configurations.
        out: A folder: new, or that of a search of the same settings, whose runs are taken over; it
            may get more seeds and values. Each run has its run folder in it; beside them is
            `search.png`.
        seeds: Seeds of the runs.
        trials: Configurations of a search over ranges; `None` for 20.
        latency: Seconds that a student may take for one example: the median of a forward on one
            thread of this machine, measured before anything is trained. Candidates that take longer
            are left out; `over` has `student`. What was measured stays with the search.
        jobs: Processes at once; with `threads` as in `keras_prokt.runs.executor.execute`. Several
            processes, on this machine or on others, may work on one folder.
        threads: Threads of each.
        stop: When to stop.
        retries_failed: Whether runs that failed before are begun anew.
        stream: Where progress is shown.
        show: What people read of a reason, as in `keras_prokt.runs.executor.execute`.
        **given: Other settings with one value, as `RunSpec.resolve` takes them.

    Returns:
        What was found, as `read_search`, and what became of the runs.

    Raises:
        ValueError: On bad input; then nothing has been written.
        Stopped: If it was time to stop.

    Example:

    ```python
    from keras_prokt.runs import Range, search

    over = {"proximal_weight": [0, 0.3, 0.6], "student_learning_rate": Range(1e-3, 1e-1)}
    found, _ = search("digits", "prokt", over, "searches/digits", seeds=[0, 1], trials=20)
    found["chosen"]
    ```
    """
    check_text("app", app)
    check_text("method", method)
    check_mapping("over", over, "such as {'proximal_weight': [0, 0.3]}")
    out, seeds = checked_path("out", out), checked_seeds(seeds)
    if trials is not None:
        checked_integer("trials", trials)
    if latency is not None:
        checked_number("latency", latency)
    check_execution(stop, stream, show, retries_failed)
    check_jobs(jobs, threads)
    app = absolute_app(app)
    name_code([app, over, given])
    about = about_search(app, method, over, seeds, trials, given)
    runs = RunList(out, "search")
    runs.check_free()
    if latency is not None:
        about |= _within(about, latency, runs, stream or sys.stderr)
    is_grid = about["trials"] is None
    configurations = grid_of(about) if is_grid else []
    if not is_grid:
        check_optuna()
        first = {name: first_of(values) for name, values in about["over"].items()}
        spec_of(about, first, seeds[0]).check_without_keras()
    for values in configurations:
        spec_of(about, values, seeds[0]).check_without_keras()
    entries = [_entry(about, values, seed) for seed in seeds for values in configurations]
    if not runs.exists:
        runs.create(about, entries, measures_test=False)
    _extend(runs, about)
    runs.add(entries)
    return go_on(
        runs,
        jobs=jobs,
        threads=threads,
        stop=stop,
        retries_failed=retries_failed,
        stream=stream,
        show=show,
    )


def go_on(runs: RunList, **settings: Any) -> tuple[dict[str, Any], Execution]:
    """Carries out what is missing of a search, and chooses; arguments as `execute`.

    Args:
        runs: The list of the search.
        **settings: As in `keras_prokt.runs.executor.execute`.
    """
    about = runs.read()["about"]
    done = execute(
        runs,
        propose=None if about["trials"] is None else lambda: _proposed(runs),
        drops=lambda name, pending: _is_of_failed(runs, name, pending),
        **settings,
    )
    found = read_search(runs)
    if found["chosen"] is None:
        return found, done
    chosen = next(one for one in found["configurations"] if one["title"] == found["chosen"])
    untested = [run["folder"] for run in chosen["runs"] if run["test"] is None]
    settings.pop("retries_failed", None)
    done.refused |= execute(runs, names=untested, adds_test=True, **settings).refused
    with runs.changing():  # two processes are not to write the picture at once
        found = read_search(runs)
        plot_search(found, runs.path / FIGURE)
    return found, done


def read_search(runs: RunList) -> dict[str, Any]:
    """What a search has found so far.

    Args:
        runs: Its list.

    Returns:
        `app`, `method`, `settings` (name -> "linear", "log" or "names"), `seeds`, `trials`,
        `latency`, `latencies` (student -> seconds, also of those that were left out) and
        `teacher_latency` where there is a budget, else `None` and empty, `metric`, `mode` ("max" or
        "min": which of its values are better), `shared` (settings that all runs have in common),
        `configurations` (`title`, `values`, `is_whole`, `failures`: why runs failed or cannot be
        read, and `runs`: `seed`, `folder`, `student` and `teacher` on validation, `test` of the
        student or `None`), and `chosen`: the title of the best whole configuration, or `None`; and
        `unreadable`: why runs cannot be read, with any of which nothing is chosen.
    """
    record = runs.read()
    about = _checked_about(runs, record)
    found: dict[str, dict[str, Any]] = {}
    unreadable: list[str] = []
    metric, mode = "accuracy", "max"
    for values in record["runs"]:
        entry = Entry.from_json(values)
        one = found.setdefault(
            entry.title,
            {
                "title": entry.title,
                "values": about["configurations"].get(entry.title, {}),
                "runs": [],
                "failures": [],
            },
        )
        try:
            status = runs.status(entry)
            if status == "failed":
                one["failures"].append(runs.folder(entry.name).read().get("failure", "unknown"))
            elif status == "completed":
                results = runs.folder(entry.name).read()["results"]
                metric, mode = results.get("metric", metric), results.get("mode", mode)
                one["runs"].append(_found(runs, entry, results, metric))
        except ValueError as error:  # one damaged run does not hide the others
            one["failures"].append(f"{entry.name} cannot be read: {error}")
            unreadable.append(one["failures"][-1])
    for one in found.values():
        seeds_done = {run["seed"] for run in one["runs"]}
        one["is_whole"] = not one["failures"] and set(about["seeds"]) <= seeds_done
        one["runs"].sort(key=lambda run: run["seed"])
    configurations = list(found.values())
    return {
        "app": about["app"],
        "method": about["method"],
        "settings": {name: scale_of(name, values) for name, values in about["over"].items()},
        "seeds": about["seeds"],
        "trials": about["trials"],
        "latency": about.get("latency"),
        "latencies": about.get("latencies", {}),
        "teacher_latency": about.get("teacher_latency"),
        "metric": metric,
        "mode": mode,
        "shared": _shared(record["runs"]),
        "configurations": configurations,
        "unreadable": unreadable,
        # What a damaged run has found may be the best.
        "chosen": None if unreadable else choose(configurations, mode),
    }


def _shared(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings that all runs of a list have in common, but for what its head says anyway."""
    specs = [Entry.from_json(values).spec for values in runs]
    shared = shared_settings(specs) if specs else {}
    return {name: value for name, value in shared.items() if name not in ("app", "method")}


def _found(runs: RunList, entry: Entry, results: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """What a completed run adds to its configuration."""
    models = results["models"]
    return {
        "seed": entry.spec.seed,
        "folder": entry.name,
        "student": measured({"results": results}, runs.path / entry.name, "validation", metric),
        "teacher": models.get("teacher", {}).get("validation", {}).get(metric),
        "test": models["student"].get("test", {}).get(metric),
    }


def _within(
    about: Mapping[str, Any], latency: float, runs: RunList, stream: TextIO
) -> dict[str, Any]:
    """What changes of a search whose students have to be quick, with what was measured.

    What the search in the folder has measured is not measured again.

    Raises:
        SettingError: If it is no search over students, or none is quick enough.
    """
    if not isinstance(about["over"].get("student"), list) or about["trials"] is not None:
        raise SettingError(
            f"Expected several values of {argument('student')} and no ranges with "
            f"{argument('latency')}, received {', '.join(about['over'])}; name the candidates."
        )
    if not 0 < latency < math.inf:
        raise SettingError(f"Expected {argument('latency')} above 0, received {latency}.")
    there = runs.read()["about"] if runs.exists else {}
    latencies = dict(there.get("latencies", {}))
    of_teacher = there.get("teacher_latency")
    others = {k: first_of(v) for k, v in about["over"].items() if k != "student"}
    for student in about["over"]["student"]:
        if student not in latencies:
            spec = spec_of(about, {**others, "student": student}, about["seeds"][0])
            spec.check_without_keras()
            measured = measure_latency(spec)
            latencies[student] = measured["student"]
            of_teacher = of_teacher or measured.get("teacher")
            print(f"{student}: {1e3 * measured['student']:.3g} ms an example", file=stream)
    quick = [one for one in about["over"]["student"] if latencies[one] <= latency]
    if not quick:
        found = ", ".join(f"{one} {1e3 * s:.3g} ms" for one, s in latencies.items())
        raise SettingError(
            f"Expected a student within {argument('latency')} {1e3 * latency:g} ms, received "
            f"{found}; name smaller ones."
        )
    return {
        "over": {**about["over"], "student": quick},
        "latency": latency,
        "latencies": latencies,
        "teacher_latency": of_teacher,
    }


def _checked_about(runs: RunList, record: Mapping[str, Any]) -> dict[str, Any]:
    """What a search is by its record.

    Raises:
        ValueError: If it cannot be what a search wrote.
    """
    about = record["about"]
    try:
        for name, values in about["over"].items():
            check_values(name, values if isinstance(values, list) else [*values.values()])
        titles = {values["title"] for values in record["runs"]} | about["configurations"].keys()
        for title in titles:
            values = about["configurations"].get(title, {})
            if values.keys() != about["over"].keys() or title_of(values) != title:
                raise ValueError(f"Expected a configuration {title!r}, received {values!r:.200}")
            for name, value in values.items():
                check_values(name, [value])
        for values in list(about["configurations"].values())[:1]:
            spec_of(about, values, 0)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"Expected a whole {runs.record.name} at {str(runs.record)!r}, received one that "
            f"cannot be read ({error}); restore it from a copy, or start anew."
        ) from error
    return about


def _entry(about: Mapping[str, Any], values: Mapping[str, Any], seed: int) -> Entry:
    title = title_of(values)
    return Entry(folder_name(title, seed), title, spec_of(about, values, seed))


def _extend(runs: RunList, about: Mapping[str, Any]) -> None:
    """Adds values, seeds and trials to a search that is there, and refuses another search."""
    with runs.changing() as record:
        there = _checked_about(runs, record)
        own, other = (
            (one["app"], one["method"], one["given"], list(one["over"]), one.get("latency"))
            for one in (about, there)
        )
        are_ranges = [isinstance(values, Mapping) for values in about["over"].values()]
        if own != other or are_ranges != [isinstance(v, Mapping) for v in there["over"].values()]:
            raise SettingError(
                f"Expected a new folder or that of the same search, received {str(runs.path)!r} of "
                f"a search with other settings; name another one with {argument('out')}."
            )
        for name, values in about["over"].items():
            if isinstance(values, Mapping):
                there["over"][name] = values
            else:
                known = there["over"][name]
                there["over"][name] = [*known, *(v for v in values if v not in known)]
        if "latencies" in about:
            there["latencies"] = {**about["latencies"], **there["latencies"]}
            there["teacher_latency"] = there["teacher_latency"] or about["teacher_latency"]
        there["seeds"] = [*there["seeds"], *(s for s in about["seeds"] if s not in there["seeds"])]
        there["configurations"] |= about["configurations"]
        if about["trials"] is not None:
            there["trials"] = max(there["trials"], about["trials"])
        entries = {values["name"] for values in record["runs"]}
        # Configurations that were there get the new seeds, and new ones the old seeds.
        for seed in there["seeds"]:
            for values in there["configurations"].values():
                entry = _entry(there, values, seed)
                if entry.name not in entries:
                    entries.add(entry.name)
                    record["runs"].append(entry.to_json())


def _is_of_failed(runs: RunList, name: str, pending: Collection[str]) -> bool:
    """Whether another run of the same configuration has failed, and is not begun anew."""
    entries = runs.entries()
    title = next(entry.title for entry in entries if entry.name == name)
    others = [entry for entry in entries if entry.title == title and entry.name != name]
    return any(_has_failed(runs, entry) for entry in others if entry.name not in pending)


def _has_failed(runs: RunList, entry: Entry) -> bool:
    try:
        return runs.status(entry) == "failed"
    except ValueError:  # as `read_search`
        return True


def _proposed(runs: RunList) -> list[Entry]:
    """The runs of the list, with a new configuration if trials are left."""
    with runs.changing() as record:
        about = record["about"]
        found = read_search(runs)
        if len(found["configurations"]) < about["trials"]:
            rows = {name: row_of(name)[0] for name in about["over"]}
            values = propose(about, found["configurations"], rows)
            if values is not None:
                about["configurations"][title_of(values)] = values
                entries = [_entry(about, values, seed) for seed in about["seeds"]]
                record["runs"] += [entry.to_json() for entry in entries]
            else:
                about["trials"] = len(found["configurations"])  # there are no others
        return [Entry.from_json(values) for values in record["runs"]]
