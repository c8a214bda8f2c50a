"""Pages that are made from the code, and what is quoted from it."""

import importlib
import re
from pathlib import Path

import pytest

from keras_prokt.cli import main
from keras_prokt.methods import FIXED, OBJECTIVES, REGIMES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def pages_of(module):
    return importlib.import_module(f"docs_pages.{module}").pages()


def test_each_method_has_a_page_with_its_paper_and_its_options():
    pages = pages_of("methods")
    for name, card in OBJECTIVES.items():
        page = pages[f"methods/{name}.md"]
        assert card.paper.url in page and card.paper.bibtex() in page
        assert all(f"`--set {name}.{key}`" in page for key in card.settings)
        assert f"({name}.md)" in pages["methods/index.md"]
    for name, regime in REGIMES.items():
        page = pages[f"methods/{'fixed-teacher' if name == FIXED else name}.md"]
        assert regime.paper is None or regime.paper.bibtex() in page
        assert all(f"`{row.option_of(key)}`" in page for key, row in regime.settings.items())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_documented_module_of_an_objective_has_its_formula(name):
    module, _, class_name = OBJECTIVES[name].home.partition(":")
    assert f"::: keras_prokt.losses.{module}" in pages_of("methods")[f"methods/{name}.md"]
    source = (ROOT / "keras_prokt" / "losses" / f"{module}.py").read_text()
    formulas = re.findall(r"`[^`]*(?:Σ|‖|−|mean|MSE|KL|/)[^`]*`", source)
    assert formulas, f"no formula in {module}"


def test_the_command_line_has_all_commands():
    page = pages_of("command_line")["command_line.md"]
    for name, command in main.commands.items():
        assert f"\n## {name}\n" in page
        for parameter in command.params:
            assert all(option in page for option in parameter.opts if option.startswith("--"))


def test_all_public_names_are_in_the_reference():
    import keras_prokt

    pages = "\n".join(pages_of("reference").values())
    for name in keras_prokt.__all__:
        assert name.startswith("__") or re.search(rf"^::: keras_prokt\S+\.{name}$", pages, re.M)


def test_quoted_messages_are_messages():
    from docs_pages.messages import messages

    known = [" ".join(text.split()) for texts in messages().values() for text in texts]
    assert len(known) > 300
    quoted = re.findall(r"^\| `([^`]+)` \|", (DOCS / "troubleshooting.md").read_text(), re.M)
    assert len(quoted) > 20
    for quote in quoted:
        assert any(quote in text for text in known), quote


def test_the_menu_names_every_page():
    menu = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    for path in DOCS.glob("*.md"):
        assert f": {path.name}\n" in menu, path.name


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 110


def test_links_lead_to_files():
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")):
        text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text):
            if "://" in target:
                continue
            made = path.parent == DOCS and target.split("/")[0] in (
                "changes.md",
                "command_line.md",
                "contributing.md",
                "messages.md",
                "methods",
                "reference",
                "results.md",
            )
            assert made or (path.parent / target).exists(), f"{path.name}: {target}"
