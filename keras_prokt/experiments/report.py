"""Results as tables for people. Imports no Keras."""

from typing import Any

from keras_prokt.methods import OBJECTIVES, REGIMES, parse_method


def results_table(record: dict[str, Any]) -> str:
    """The results of a run: a row a model.

    Args:
        record: As in `run.json`.

    Returns:
        A table of validation and test accuracy, parameters, bytes and seconds (one pass over
        the held-out data), and what the run was.
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
    for name, model in sorted(results["models"].items(), reverse=True):
        held_out = [model.get("validation"), model.get("test")]
        seconds = sum(part["seconds"] for part in held_out if part)
        rows.append(
            [
                name,
                *(f"{part['accuracy']:.4f}" if part else "–" for part in held_out),
                f"{model['parameters']:,}",
                f"{model['bytes']:,}",
                f"{seconds:.3f}",
            ]
        )
    columns = ["model", "validation", "test", "parameters", "bytes", "seconds"]
    names = {"teacher": spec["teacher"], "student": spec["student"]}
    used = ", ".join(f"{role} {n}" for role, n in names.items() if role in results["models"])
    examples = ", ".join(f"{count:,} {part}" for part, count in record["examples"].items())
    return "\n".join(
        [
            head,
            f"{used}; student: epoch {results['best_epoch']} of {results['last_epoch']}, the best "
            "on validation",
            f"examples: {examples}; seconds: one pass over validation and test",
            "",
            format_table(columns, rows),
            "",
            f"trained in {record['training_seconds']:.1f} s",
        ]
    )


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
