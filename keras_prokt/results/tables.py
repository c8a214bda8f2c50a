"""Results as tables for people. Imports no Keras."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from keras_prokt.app_file import app_title
from keras_prokt.methods import (
    DISTILLATION,
    OBJECTIVES,
    REGIMES,
    TEACHER_OPTIMIZER,
    Method,
    parse_method,
)
from keras_prokt.settings import Setting

_IN_HEAD = ("seed", "epochs", "batch-size", "lambda", "epsilon", "temperature")
"""Settings that stand in the first line of a run's results."""

CONSTANT = "best constant answer"
"""How the model is called that answers all examples alike, as well as can be: what another has to
beat. Its accuracy is the share of the largest class."""


class Grid(NamedTuple):
    """A table of texts."""

    columns: list[str]
    rows: list[list[str]]


class _Column(NamedTuple):
    """A metric on a held-out part of the data."""

    heading: str
    part: str
    metric: str

    def value(self, model: dict[str, Any]) -> float | None:
        """Of a model, `None` if it was not measured."""
        return model.get(self.part, {}).get(self.metric)


def results_table(record: dict[str, Any], changed: Mapping[str, Any] | None = None) -> str:
    """The results of a run: a row a model.

    Args:
        record: As in `run.json`.
        changed: Settings in which the run differs from its app's recipe, by name as they are
            shown, such as `student-learning-rate`.

    Returns:
        What the run was, and a table of the metrics on validation and test data, parameters, bytes
        and seconds (one pass over the held-out data).
    """
    if record["status"] != "completed":
        return "\n".join(run_headings(record, changed))
    scores = scores_grid(record)
    return "\n".join(
        [
            *run_headings(record, changed),
            "",
            format_table(*results_grid(record)),
            *(["", format_table(*scores)] if scores.rows else []),
            "",
            f"trained in {record['training_seconds']:.1f} s",
            *([fault] if (fault := no_better_than_constant(record)) else []),
        ]
    )


def run_headings(record: Mapping[str, Any], changed: Mapping[str, Any] | None = None) -> list[str]:
    """What a run was, a line each, and of one that is not completed its status.

    Args:
        record: As in `run.json`.
        changed: As in `results_table`.
    """
    spec = record["spec"]
    training, own_settings = spec["training"], spec["method_settings"]
    setting = [app_title(spec["app"]), f"method {spec['method']}", f"seed {training['seed']}"]
    for label, key in (("λ", "proximal_weight"), ("ε", "proximal_bound"), ("T", "temperature")):
        if own_settings.get(key) is not None:
            value = own_settings[key]
            setting.append(f"{label} {value if isinstance(value, str) else format(value, 'g')}")
    lines = [
        f"{', '.join(setting)}, {training['epochs']} epochs of batches of {training['batch_size']}"
    ]
    others = {name: value for name, value in (changed or {}).items() if name not in _IN_HEAD}
    if settings := listed(others):
        lines.append(f"not as in the recipe: {settings}")
    if record["status"] != "completed":
        why = f": {record['failure']}" if "failure" in record else ""
        # Whether a run of that status is at work or was killed, its record does not know.
        status = "not completed" if record["status"] == "running" else record["status"]
        return [*lines, f"status: {status}{why}"]
    results, models = record["results"], spec["models"]
    names = {
        "teacher": own_settings.get("teacher_init", models["teacher"]),
        "student": models["student"],
    }
    used = ", ".join(f"{role} {n}" for role, n in names.items() if role in results["models"])
    counts = record["examples"]
    parts = {part: f"{count:,} {part}" for part, count in counts.items()}
    labelled = record.get("labelled")
    if "train" in parts and labelled is not None and labelled != counts["train"]:
        parts["train"] += f", {labelled:,} of them with a label"
    is_last = spec["data"]["full_train"]
    which = "the last; validation was trained on" if is_last else "the best on validation"
    return [
        *lines,
        f"{used}; student: epoch {results['best_epoch']} of {results['last_epoch']}, {which}",
        *_stopped(results, training["epochs"]),
        f"examples: {', '.join(parts.values())}; seconds: one pass over the held-out data",
        *_lengths(record.get("lengths")),
        *_texts(record.get("texts")),
    ]


def results_grid(record: Mapping[str, Any]) -> Grid:
    """What a completed run has measured: a row a model.

    Args:
        record: As in `run.json`.
    """
    results = record["results"]
    rows = []
    measured = _measured(results["models"].values())
    for name, model in sorted(results["models"].items(), reverse=True):
        values = [column.value(model) for column in measured]
        rows.append(
            [
                name,
                *map(_number, values),
                f"{model['parameters']:,}",
                f"{model['bytes']:,}",
                f"{sum(part['seconds'] for part in model.values() if isinstance(part, dict)):.3f}",
            ]
        )
    if constants := results.get("best_constant"):
        metric = results.get("metric")
        known = [constants.get(c.part) if c.metric == metric else None for c in measured]
        rows.append([CONSTANT, *map(_number, known), "–", "–", "–"])
    headings = [column.heading for column in measured]
    return Grid(["model", *headings, "parameters", "bytes", "seconds"], rows)


def no_better_than_constant(record: Mapping[str, Any]) -> str | None:
    """A line that says so of a student that one answer to all examples equals.

    Args:
        record: As in `run.json`.

    Returns:
        The line, of test data if it was measured; `None` of a student that is better, and where
        the best constant answer is unknown, as in a run that is not completed.
    """
    results = record.get("results", {})
    student, constants = (
        results.get("models", {}).get("student", {}),
        results.get("best_constant", {}),
    )
    part = next((p for p in ("test", "validation") if p in student and p in constants), None)
    metric = results.get("metric")
    value = None if part is None else student[part].get(metric)
    if value is None:
        return None
    constant = constants[part]
    if (value < constant) if results.get("mode") == "min" else (value > constant):
        return None
    settings = record.get("spec", {}).get("method_settings", {})
    # A teacher that normalises batches gives targets of statistics that it has not got yet.
    is_inference = settings.get("target_mode", "inference") == "inference"
    mode = "--target-mode training, " if "proximal_weight" in settings and is_inference else ""
    return (
        f"warning: the student ({part} {metric} {value:.4f}) is no better than the same answer to "
        f"all examples ({constant:.4f}); try {mode}more epochs, another learning rate, or, if its "
        "classes are of unequal size, class weights"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def scores_grid(record: Mapping[str, Any]) -> Grid:
    """What the two models have beside the metrics of the app: a row a model and part.

    Args:
        record: As in `run.json`, of a completed run.
    """
    scores = record["results"].get("scores", {})
    measured = {
        f"{model} on {part}": one
        for model in ("teacher", "student")
        for part, one in scores.get(model, {}).items()
    }
    names = list(dict.fromkeys(name for one in measured.values() for name in one))
    rows = [[row, *(_number(one.get(n)) for n in names)] for row, one in measured.items()]
    return Grid(["scores of", *names], rows if names else [])


def _stopped(results: Mapping[str, Any], epochs: int) -> list[str]:
    """That a run ended before its time, and why."""
    best, last = results["best_epoch"], results["last_epoch"]
    if last >= epochs:
        return []
    waited = last - best
    return [
        f"stopped after epoch {last} of {epochs}: no better than epoch {best} for {waited} "
        f"epoch{'s' * (waited != 1)}"
    ]


def listed(settings: Mapping[str, Any]) -> str:
    """Settings in one line, without those that are not given or off.

    Args:
        settings: Value of each, by name.

    Example:

    >>> from keras_prokt.results.tables import listed
    >>> listed({"epochs": 5, "lambda": 0.0, "weight": {"kd": 0.9}, "limit": None, "export": True})
    'epochs 5, lambda 0, weight kd=0.9, export'
    """
    shown = {k: v for k, v in settings.items() if v not in (None, (), [], {}) and v is not False}
    return ", ".join(k if v is True else f"{k} {shown_value(v)}" for k, v in shown.items())


def shown_value(value: Any) -> str:
    """The value of a setting as people type it.

    Args:
        value: A number, a text, or a list or mapping of them.

    Example:

    >>> from keras_prokt.results.tables import shown_value
    >>> shown_value(4.0), shown_value(("a", "b")), shown_value({"crd": {"temperature": 0.1}})
    ('4', 'a,b', 'crd.temperature=0.1')
    """
    if isinstance(value, Mapping):
        return " ".join(f"{place}={shown_value(one)}" for place, one in _entries(value))
    if isinstance(value, (list, tuple)):
        return ",".join(map(shown_value, value))
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _entries(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """What stands in nested mappings, each with its place, such as `crd.temperature`."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _entries(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _lengths(lengths: dict[str, float] | None) -> list[str]:
    if lengths is None:
        return []
    return [
        f"lengths: {lengths['mean']:.1f} on average, at most {lengths['longest']}; batches of "
        f"{lengths['padded_lengths']} lengths, {lengths['padding']:.1%} of positions padding"
    ]


def _texts(texts: Mapping[str, Mapping[str, float]] | None) -> list[str]:
    """How much of the training texts the models do not see."""
    if not texts:
        return []
    shares = {
        role: f"{one['cut']:.1%} cut, {one['unknown']:.1%} of word pieces unknown"
        for role, one in texts.items()
    }
    if len(set(shares.values())) == 1:
        return [f"texts: {next(iter(shares.values()))}"]
    return [f"texts: {'; '.join(f'{role} {share}' for role, share in shares.items())}"]


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
    """What a method is and does, and what it may be set to, for people.

    Args:
        name: As in `keras_prokt.methods.parse_method`.

    Raises:
        ValueError: If there is no such method.
    """
    method = parse_method(name)
    lines = [method.name]
    option = DISTILLATION["objective_settings"].option_of("objective_settings")
    for objective in dict.fromkeys([*method.objectives, *method.matched]):
        card = OBJECTIVES[objective]
        lines += [
            "",
            f"objective {objective}: {card.summary}",
            f"  paper    {card.paper}",
            f"  kind     {card.kind}",
            f"  reads    {card.reads}",
            f"  weight   {card.weight:g}",
            f"  suits    {card.suits}",
        ]
        if card.first_stage:
            lines.append(f"  stage 1  {card.first_stage}, against a trained teacher")
        lines += _settings_card({f"{option} {objective}.{k}": r for k, r in card.settings.items()})
    regime = REGIMES[method.regime]
    lines += ["", f"regime {method.regime}: {regime.summary}", f"loss     {loss_of(method)}"]
    if regime.paper:
        lines.append(f"paper    {regime.paper}")
    lines += _settings_card({row.option_of(name): row for name, row in _own_settings(method)})
    return "\n".join(lines)


def loss_of(method: Method) -> str:
    """The student's loss with its default weights, such as `1 · CE + 0.8 · crd`."""
    terms = [f"{method.label_weight:g} · CE"] if method.label_weight else []
    terms += [f"{OBJECTIVES[objective].weight:g} · {objective}" for objective in method.matched]
    return " + ".join(terms)


def _own_settings(method: Method) -> Iterator[tuple[str, Setting]]:
    """What a run of a method may set beyond what all runs may."""
    for name, row in method.settings.items():
        is_of_teacher = name in TEACHER_OPTIMIZER
        yield name, replace(row, help=row.help.format(role="teacher")) if is_of_teacher else row


def _settings_card(rows: Mapping[str, Setting]) -> list[str]:
    """How settings are typed, what they do, and what values they take: a line each."""
    width = max(map(len, rows), default=0)
    lines = [f"    {typed:<{width}}  {row.help} ({values_of(row)})" for typed, row in rows.items()]
    return ["  settings", *lines] if lines else []


def values_of(row: Setting) -> str:
    """What values a setting takes."""
    if row.choices:
        return " | ".join(row.choices)
    bounds = [("≥", row.at_least), (">", row.above), ("≤", row.at_most), ("<", row.below)]
    limits = ", ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)
    kind = row.metavar or _KINDS[row.kind]
    change = " or FIRST..LAST" if row.may_change else ""
    return f"{kind}{' ' if limits else ''}{limits}{change}"


_KINDS = {float: "number", int: "whole number", str: "text", bool: "yes or no"}
_KINDS |= {tuple: "texts", dict: "NAME=VALUE"}


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
