"""Results as tables for people. Imports no Keras."""

import json
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from keras_prokt.methods import OBJECTIVES, REGIMES, parse_method
from keras_prokt.runs.spec import RunSpec


class _Column(NamedTuple):
    """A metric on a held-out part of the data."""

    heading: str
    part: str
    metric: str

    def value(self, model: dict[str, Any]) -> float | None:
        """Of a model, `None` if it was not measured."""
        return model.get(self.part, {}).get(self.metric)


def results_table(record: dict[str, Any]) -> str:
    """The results of a run: a row a model.

    Args:
        record: As in `run.json`.

    Returns:
        A table of the metrics on validation and test data, parameters, bytes and seconds (one
        pass over the held-out data), and what the run was.
    """
    spec = record["spec"]
    setting = [f"{spec['app']}", f"method {spec['method']}", f"seed {spec['seed']}"]
    for label, key in (("λ", "proximal_weight"), ("ε", "proximal_bound"), ("T", "temperature")):
        if spec[key] is not None:
            setting.append(f"{label} {spec[key]:g}")
    head = f"{', '.join(setting)}, {spec['epochs']} epochs of batches of {spec['batch_size']}"
    if record["status"] != "completed":
        return f"{head}\nstatus: {record['status']}"
    results = record["results"]
    rows = []
    measured = _measured(results["models"].values())
    for name, model in sorted(results["models"].items(), reverse=True):
        values = [column.value(model) for column in measured]
        rows.append(
            [
                name,
                *("–" if value is None else f"{value:.4f}" for value in values),
                f"{model['parameters']:,}",
                f"{model['bytes']:,}",
                f"{sum(part['seconds'] for part in model.values() if isinstance(part, dict)):.3f}",
            ]
        )
    headings = [column.heading for column in measured]
    columns = ["model", *headings, "parameters", "bytes", "seconds"]
    teacher = spec["teacher"] if spec.get("teacher_init") is None else spec["teacher_init"]
    names = {"teacher": teacher, "student": spec["student"]}
    used = ", ".join(f"{role} {n}" for role, n in names.items() if role in results["models"])
    examples = ", ".join(f"{count:,} {part}" for part, count in record["examples"].items())
    return "\n".join(
        [
            head,
            f"{used}; student: epoch {results['best_epoch']} of {results['last_epoch']}, "
            + (
                "the last; validation was trained on"
                if spec.get("full_train")
                else "the best on validation"
            ),
            f"examples: {examples}; seconds: one pass over the held-out data",
            *_lengths(record.get("lengths")),
            "",
            format_table(columns, rows),
            "",
            f"trained in {record['training_seconds']:.1f} s",
        ]
    )


def _lengths(lengths: dict[str, float] | None) -> list[str]:
    if lengths is None:
        return []
    return [
        f"lengths: {lengths['mean']:.1f} on average, at most {lengths['longest']}; batches of "
        f"{lengths['padded_lengths']} lengths, {lengths['padding']:.1%} of positions padding"
    ]


def comparison_table(records: Sequence[dict[str, Any]]) -> str:
    """Several runs side by side: a row for those that differ in the seed alone.

    Args:
        records: As in `run.json`, of completed runs of one app.

    Returns:
        What the runs have in common, and a table of the student's metrics (of the epoch that is
        best on validation): mean over the seeds ± its standard error `s / √n`, where `s` is the
        standard deviation with `n − 1`.

    Raises:
        ValueError: If a run is not completed, the runs are of several apps, or two of a row have
            the same seed.
    """
    for record in records:
        if record["status"] != "completed":
            raise ValueError(
                f"Expected completed runs, received one with status {record['status']!r}; finish "
                "it with `keras-prokt resume`."
            )
    apps = sorted({record["spec"]["app"] for record in records})
    if len(apps) != 1:
        raise ValueError(
            f"Expected runs of one app, received {', '.join(apps) or 'none'}; compare the runs of "
            "each app by themselves."
        )
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        # Through the spec, so that a setting which a record is too old to have is the default.
        settings = RunSpec.from_json(record["spec"]).to_json()
        settings = {k: v for k, v in settings.items() if k not in ("seed", "data_dir")}
        settings["data"] = record.get("data") or None
        if settings["limit"] is not None and settings["data"]:
            # With a limit each seed draws its own.
            settings["data"] = {k: v for k, v in settings["data"].items() if k != "train data"}
        groups.setdefault(json.dumps(settings), []).append(record)
    for members in groups.values():
        _check_seeds_differ(members)
    of_groups = [json.loads(key) for key in groups]
    shared = {
        name: value
        for name, value in of_groups[0].items()
        if all(settings[name] == value for settings in of_groups)
    }
    measured = _measured(record["results"]["models"]["student"] for record in records)
    rows = []
    for settings, members in zip(of_groups, groups.values(), strict=True):
        own = {k: v for k, v in settings.items() if k not in {*shared, "method"}}
        seeds = sorted(record["spec"]["seed"] for record in members)
        rows.append(
            [
                settings["method"],
                *(_mean_and_error(members, column) for column in measured),
                ", ".join(map(str, seeds)),
                _listed(own),
            ]
        )
    headings = [column.heading for column in measured]
    columns = ["method", *headings, "seeds", "settings"]
    return f"{_listed(shared)}\n\n{format_table(columns, rows, left=True)}"


def _check_seeds_differ(records: Sequence[dict[str, Any]]) -> None:
    seeds = [record["spec"]["seed"] for record in records]
    for seed in set(seeds):
        if seeds.count(seed) > 1:
            raise ValueError(
                f"Expected one run for each seed, received {seeds.count(seed)} of method "
                f"{records[0]['spec']['method']!r} with seed {seed} and the same settings; they "
                "are no independent runs: leave all but one out."
            )


def _mean_and_error(records: Sequence[dict[str, Any]], column: _Column) -> str:
    values = [column.value(record["results"]["models"]["student"]) for record in records]
    if None in values:
        return "–"
    return _shown(values)


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and its standard error `s / √n`, `None` for one value.

    Example:

    >>> from keras_prokt.results.tables import mean_and_error
    >>> mean_and_error([1.0, 3.0])
    (2.0, 1.0)
    """
    if len(values) == 1:
        return values[0], None
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5


def _shown(values: Sequence[float], sign: str = "") -> str:
    mean, error = mean_and_error(values)
    return f"{mean:{sign}.4f}" if error is None else f"{mean:{sign}.4f} ± {error:.4f}"


EPOCHS = {"student": "best", "teacher": "last"}
"""Of which epoch the validation of the two models is, in a search."""

_T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""97.5 % points of Student's t distribution with 1, 2, ... degrees of freedom."""


def search_table(record: dict[str, Any]) -> str:
    """A search for λ: a row a value, the choice, and what cannot be told from it.

    Args:
        record: As in `search.json`.

    Returns:
        A table of validation: mean over the seeds ± standard error of student and teacher, and of
        the student's difference to that of the chosen λ, seed by seed. Below it the chosen λ, how
        many standard errors a 95 % interval of one difference takes (Student's t), and the test
        data of the chosen λ. Of an unfinished search what is there, without a choice.
    """
    spec, seeds = record["spec"], record["seeds"]
    head = (
        f"{spec['app']}, method {spec['method']}, teacher {spec['teacher']}, student "
        f"{spec['student']}, {spec['epochs']} epochs of batches of {spec['batch_size']}, seeds "
        f"{', '.join(map(str, seeds))}"
    )
    by_value: dict[float, list[dict[str, Any]]] = {}
    for of_run in record.get("runs", []):
        by_value.setdefault(of_run["value"], []).append(of_run)
    is_completed = record["status"] == "completed"
    lines, chosen = [head], by_value[record["chosen"]] if is_completed else []
    if not is_completed:
        count = len(record["values"]) * len(seeds)
        lines.append(f"status: running, {len(record.get('runs', []))} of {count} runs completed")
    if not by_value:
        return "\n".join(lines)
    rows = []
    for value, runs in by_value.items():
        row = [
            f"{value:g}{' *' if runs is chosen else ''}",
            _shown([of_run["student"] for of_run in runs]),
            _shown([of_run["teacher"] for of_run in runs]),
            "" if is_completed else ", ".join(str(of_run["seed"]) for of_run in runs),
        ]
        if is_completed and runs is not chosen:
            pairs = zip(runs, chosen, strict=True)
            row[-1] = _shown([this["student"] - best["student"] for this, best in pairs], "+")
        rows.append(row)
    metric = record["metric"]
    columns = ["λ", *(f"{role} {metric}, {epoch} epoch" for role, epoch in EPOCHS.items())]
    columns.append("student, to the chosen" if is_completed else "seeds")
    lines += ["", format_table(columns, rows, left=True)]
    if is_completed:
        lines += ["", *_choice(record, by_value)]
    return "\n".join(lines)


def _choice(record: dict[str, Any], by_value: dict[float, list[dict[str, Any]]]) -> list[str]:
    """What was chosen, how sure that is, and its test data."""
    metric, seeds, chosen = record["metric"], record["seeds"], by_value[record["chosen"]]
    means = [search_mean([of_run["student"] for of_run in runs]) for runs in by_value.values()]
    is_tie = means.count(max(means)) > 1
    lines = [
        f"* chosen: the highest mean on validation, λ = {record['chosen']:g}"
        + (", the first of equals" if is_tie else "")
    ]
    if len(seeds) == 1:
        lines.append("  one seed has no spread; give --seeds 0,1,2 for the same folder")
    else:
        lines.append(
            f"  ± is one standard error over {len(seeds)} seeds; a 95 % interval of one difference "
            f"is {_t_95(len(seeds) - 1):.1f} of them to both sides"
        )
    if len(means) > 1:
        lines.append(f"  the best of {len(means)} is favoured by chance")
    tests = [of_run["test"] for of_run in chosen if of_run["test"] is not None]
    if tests:
        lines.append(f"  test {metric}, of the chosen λ: {_shown(tests)}")
    before = [f"{value:g}" for value in record.get("tested", []) if value != record["chosen"]]
    if before:
        lines.append(f"  test data was also measured for λ = {', '.join(before)}, chosen before")
    return lines


def search_mean(values: Sequence[float]) -> float:
    """The mean by which a search chooses; rounding errors make no difference."""
    return round(statistics.mean(values), 6)


def _t_95(degrees: int) -> float:
    return _T_95[degrees - 1] if degrees <= len(_T_95) else _T_95[-1]  # on the safe side


def _listed(settings: dict[str, Any]) -> str:
    """Settings in one line, without those that are not there or off."""
    there = {k: v for k, v in settings.items() if v is not None and v is not False}
    return ", ".join(f"{name} {_short(value)}" for name, value in there.items())


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={_short(of_key)}" for key, of_key in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _measured(models: Iterable[dict[str, Any]]) -> list[_Column]:
    """What models were measured on; of validation and test, where none was, the accuracy."""
    metrics = {"validation": ["accuracy"], "test": ["accuracy"]}
    for model in models:
        for part, measured in model.items():
            if isinstance(measured, dict):
                metrics[part] = [name for name in measured if name not in ("loss", "seconds")]
    metrics["test"] = metrics.pop("test")  # the last one
    return [
        _Column(part if names == ["accuracy"] else f"{part} {name}", part, name)
        for part, names in metrics.items()
        for name in names
    ]


def method_card(name: str) -> str:
    """What a method is, does and costs in settings, for people.

    Args:
        name: As in `keras_prokt.methods.parse_method`.

    Raises:
        ValueError: If there is no such method.
    """
    method = parse_method(name)
    lines = [method.name]
    for objective in dict.fromkeys([*method.objectives, *method.matched]):
        card = OBJECTIVES[objective]
        lines += [
            "",
            f"objective {objective}: {card.summary}",
            f"  paper    {card.paper} ({card.year})",
            f"  kind     {card.kind}",
            f"  reads    {card.reads}",
            f"  weight   {card.weight:g}",
            f"  suits    {card.suits}",
        ]
        if card.first_stage:
            lines.append(f"  stage 1  {card.first_stage}, against a trained teacher")
    regime = REGIMES[method.regime]
    terms = [f"{method.label_weight:g} · CE"] if method.label_weight else []
    terms += [f"{OBJECTIVES[objective].weight:g} · {objective}" for objective in method.matched]
    lines += ["", f"regime {method.regime}: {regime.summary}", f"loss     {' + '.join(terms)}"]
    return "\n".join(lines)


def format_table(columns: list[str], rows: list[list[str]], *, left: bool = False) -> str:
    """A plain-text table: first column left-aligned, the others right- or, if asked, left."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    lines = []
    for row in [columns, *rows]:
        cells = [row[0].ljust(widths[0])]
        for cell, width in zip(row[1:], widths[1:], strict=True):
            cells.append(cell.ljust(width) if left else cell.rjust(width))
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
