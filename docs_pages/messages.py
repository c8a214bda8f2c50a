"""Every message of the package, read from its source: what people search for by its words."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FOLDERS = ("keras_prokt", "apps")
_ERRORS = ("ValueError", "TypeError", "SettingError", "TrainingFault", "ImportError", "UnnamedCode")


def messages() -> dict[str, list[str]]:
    """Messages by the file that raises them; `…` stands for what only the case can tell."""
    found: dict[str, list[str]] = {}
    for folder in _FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            texts = [
                text
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Raise) and (text := _message_of(node))
            ]
            if texts:
                found[str(path.relative_to(ROOT))] = list(dict.fromkeys(texts))
    return found


def _message_of(node: ast.Raise) -> str | None:
    call = node.exc
    if not (isinstance(call, ast.Call) and call.args and isinstance(call.func, ast.Name)):
        return None
    return _text_of(call.args[0]) if call.func.id in _ERRORS else None


def _text_of(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [one.value if isinstance(one, ast.Constant) else "…" for one in node.values]
        return "".join(str(part) for part in parts)
    return None


def pages() -> dict[str, str]:
    """Markdown by path below the folder of the documents."""
    lines = [
        "# All messages",
        "",
        "Every message says what was expected, what was received and what to do. Here is each one "
        "with the file that raises it; `…` stands for what only the case can tell. What is behind "
        "the commonest: [troubleshooting](troubleshooting.md).",
    ]
    for path, texts in messages().items():
        lines += ["", f"## `{path}`", ""]
        lines += [f"- {_escaped(text)}" for text in texts]
    return {"messages.md": "\n".join([*lines, ""])}


def _escaped(text: str) -> str:
    one_line = " ".join(text.split())
    for sign in "\\`*_[]<>|{}#":
        one_line = one_line.replace(
            sign, f"\\{sign}" if sign not in "<>" else f"&{'lg'[sign == '>']}t;"
        )
    return one_line
