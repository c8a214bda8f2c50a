"""What mkdocs calls: pages that are made from the code, and those that stand elsewhere."""

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from docs_pages import command_line, messages, methods, reference  # noqa: E402

_FROM_ELSEWHERE = {
    "contributing.md": "CONTRIBUTING.md",
    "changes.md": "CHANGELOG.md",
    "results.md": "results/README.md",
}
"""Pages that GitHub shows at another place, by their path in the documents."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages to those of the folder `docs`."""
    pages = {
        name: _with_links(name, (ROOT / source).read_text(encoding="utf-8"), source)
        for name, source in _FROM_ELSEWHERE.items()
    }
    for module in (methods, command_line, reference, messages):
        pages |= module.pages()
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    config.nav = [_with_folder(entry, list(pages)) for entry in config.nav]
    return files


def _with_folder(entry: dict[str, str], pages: list[str]) -> dict[str, str | list]:
    """An entry of the menu; the index of a folder stands for all pages of it."""
    ((title, path),) = entry.items()
    folder, _, name = path.rpartition("/")
    if not folder or name != "index.md":
        return entry
    others = [page for page in pages if page.startswith(f"{folder}/") and page != path]
    return {title: [path, *others]}


def _with_links(name: str, text: str, source: str) -> str:
    """The text with links that lead to the same places from the page."""

    def moved(match: re.Match) -> str:
        label, target = match.groups()
        if "://" in target or target.startswith("#"):
            return match[0]
        path, hash_sign, anchor = target.partition("#")
        at = (ROOT / source).parent / path
        inside = ROOT / "docs"
        if at.resolve().is_relative_to(inside):
            return f"[{label}]({at.resolve().relative_to(inside)}{hash_sign}{anchor})"
        return label  # what is not in the documents is named, not linked

    return re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", moved, text)
