"""What stands beside an export of a run: what the model is, how good, and how it is called.

This module imports no Keras.
"""

from collections.abc import Mapping
from typing import Any

from keras_prokt.results.class_tables import class_tables
from keras_prokt.results.tables import listed, results_table
from keras_prokt.runs.folder import RunFolder


def model_card(folder: RunFolder, role: str, title: str, snippet: str, found: str | None) -> str:
    """The card as Markdown.

    Args:
        folder: The folder of a completed run.
        role: "student" or "teacher": which of its models was exported.
        title: Of the form, such as "ONNX file".
        snippet: Python that calls it.
        found: What came out of the comparison with the model.
    """
    record, spec = folder.read(), folder.spec()
    settings = spec.changed_settings()
    versions = " ".join(f"{name} {version}" for name, version in record["versions"].items())
    parts = [
        f"# {role.capitalize()} of {spec.app} as {title}",
        "\n".join(
            [
                "| | |",
                "|---|---|",
                "| licence of the model | not stated; fill in |",
                "| licence of the data | not stated; fill in |",
                f"| network | {_cell(spec.student if role == 'student' else spec.teacher)} |",
                f"| method | {_cell(spec.method)}, teacher {_cell(spec.teacher)} |",
                f"| settings | {_cell(listed(settings)) if settings else 'the defaults'} |",
                f"| classes | {_cell(', '.join(record['class_names']) or 'not named')} |",
                f"| made with | keras_prokt {record['package']['version']}, {_cell(versions)} |",
            ]
        ),
        "## How to call it\n\nWhere this file lies, or of a SavedModel in the folder above:\n\n"
        + _fenced(snippet, "python"),
    ]
    if found is not None:
        parts.append(f"Beside the model that was trained: {found}.")
    parts.append("## Data\n\n" + _data(record))
    if "results" in record:
        parts.append("## Results\n\n" + _fenced(results_table(record, settings)))
        if sizes := _sizes(record):
            parts.append(sizes)
        if tables := class_tables(record):
            parts.append("## By class\n\n" + _fenced(tables))
    return "\n\n".join(parts) + "\n"


def _data(record: Mapping[str, Any]) -> str:
    lines = [f"- {part}: {count:,} examples" for part, count in record.get("examples", {}).items()]
    lines += [f"- SHA-256 of {name}: `{digest}`" for name, digest in record["data"].items()]
    return "\n".join(lines or ["- not recorded"])


def _sizes(record: Mapping[str, Any]) -> str:
    models = record["results"]["models"]
    rows = [
        f"| {name} | {models[name]['parameters']:,} | {models[name]['bytes']:,} |"
        for name in ("teacher", "student")
        if name in models
    ]
    return "\n".join(["| model | parameters | bytes in training |", "|---|---|---|", *rows])


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def _fenced(text: str, language: str = "text") -> str:
    """Text as it is, behind a fence that it does not hold itself."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
