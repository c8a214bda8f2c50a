"""The API reference: what each public module names in `__all__`."""

import importlib
import inspect

MODULES = {
    "keras_prokt": "The names that most programs need.",
    "keras_prokt.distillers": "Who trains when.",
    "keras_prokt.losses": "What the student matches.",
    "keras_prokt.outputs": "What a model's outputs mean.",
    "keras_prokt.callbacks": "What is given to `fit`.",
    "keras_prokt.front_ends": "How raw input becomes a model's input.",
    "keras_prokt.export": "In what form the student leaves.",
    "keras_prokt.runs": "Runs, comparisons and searches, as the command line carries them out.",
    "keras_prokt.optimizers": "Optimizers that Keras does not have.",
    "keras_prokt.methods": "The tables of methods.",
}
"""The public modules: what is not here, or has an underscore, may change without notice."""


def pages() -> dict[str, str]:
    """Markdown by path below the folder of the documents."""
    lines = [
        "# API reference",
        "",
        "Public is what is listed here: see [promises](../stability.md).",
    ]
    found = {}
    seen: set[str] = set()
    for module, summary in MODULES.items():
        path = f"reference/{module.rpartition('.')[2]}.md"
        lines += ["", f"- [`{module}`]({path.removeprefix('reference/')}): {summary}"]
        found[path] = _page(module, summary, seen)
    return {"reference/index.md": "\n".join([*lines, ""]), **found}


def _page(module: str, summary: str, seen: set[str]) -> str:
    imported = importlib.import_module(module)
    lines = [f"# `{module}`", "", summary, ""]
    elsewhere = []
    for name in imported.__all__:
        value = getattr(imported, name)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        home = f"{value.__module__}.{value.__qualname__}"
        if not home.startswith("keras_prokt."):
            continue
        if home in seen:
            elsewhere.append(f"[`{name}`][{home}]")
            continue
        seen.add(home)
        lines += [f"::: {home}", ""]
    if elsewhere:
        lines[3:3] = [f"Also here: {', '.join(elsewhere)}.", ""]
    return "\n".join(lines)
