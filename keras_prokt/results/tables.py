"""Results as tables for people. Imports no Keras."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from keras_prokt.methods import OBJECTIVES, REGIMES, parse_method


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
    training, of_method = spec["training"], spec["method_settings"]
    setting = [f"{spec['app']}", f"method {spec['method']}", f"seed {training['seed']}"]
    for label, key in (("λ", "proximal_weight"), ("ε", "proximal_bound"), ("T", "temperature")):
        if of_method.get(key) is not None:
            value = of_method[key]
            setting.append(f"{label} {value if isinstance(value, str) else format(value, 'g')}")
    head = (
        f"{', '.join(setting)}, {training['epochs']} epochs of batches of {training['batch_size']}"
    )
    if record["status"] != "completed":
        why = f": {record['failure']}" if "failure" in record else ""
        return f"{head}\nstatus: {record['status']}{why}"
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
    models = spec["models"]
    names = {
        "teacher": of_method.get("teacher_init", models["teacher"]),
        "student": models["student"],
    }
    used = ", ".join(f"{role} {n}" for role, n in names.items() if role in results["models"])
    examples = ", ".join(f"{count:,} {part}" for part, count in record["examples"].items())
    return "\n".join(
        [
            head,
            f"{used}; student: epoch {results['best_epoch']} of {results['last_epoch']}, "
            + (
                "the last; validation was trained on"
                if spec["data"]["full_train"]
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
