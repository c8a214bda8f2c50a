"""Every block of the documents does what it says."""

import click
import keras
import matplotlib
import pytest
from document_blocks import PAGES, blocks_of, commands_of, is_external

from keras_prokt.cli import main

BLOCKS = {page: blocks_of(page) for page in PAGES}
WITH_PYTHON = [
    page
    for page, blocks in BLOCKS.items()
    if any(block.language == "python" and not block.reason for block in blocks)
]
LANGUAGES = ("python", "bash", "text", "diff", "bibtex")


@pytest.mark.process
@pytest.mark.whole_run
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the documents are run on one backend"
)
@pytest.mark.parametrize("page", WITH_PYTHON)
def test_python_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    namespace = {"__name__": "__main__"}
    for block in BLOCKS[page]:
        if block.language == "python" and not block.reason:
            # Empty lines, so that an error names the line of the document.
            code = "\n" * block.line + block.code
            exec(compile(code, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_commands(page):
    for block in BLOCKS[page]:
        if block.language != "bash" or block.reason:
            continue
        for words in commands_of(block):
            if is_external(words):
                continue
            assert words[0] == "keras-prokt", f"{page}:{block.line}: {words[0]}"
            parse(words[1:])


def parse(arguments):
    """Parses a command line and carries nothing out."""
    with main.make_context("keras-prokt", list(arguments)) as context:
        name, command, rest = main.resolve_command(context, arguments)
        command.make_context(name, rest, parent=context)


@pytest.mark.parametrize(
    "arguments", [["rum"], ["run", "--epoch", "3"], ["run", "--epochs", "three"]]
)
def test_what_is_no_command_is_found(arguments):
    with pytest.raises((click.ClickException, ValueError)):
        parse(arguments)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_its_language_and_why_it_is_not_run(page):
    for block in BLOCKS[page]:
        assert block.language in LANGUAGES, f"{page}:{block.line}"
        assert block.reason is None or block.language in ("python", "bash")
    text = "\n".join(block.code for block in BLOCKS[page])
    assert "```" not in text


def test_an_exception_is_read_with_its_reason():
    text = "<!-- not run: needs a hub -->\n```python\n1 / 0\n```\n\n```bash\nls\n```\n"
    excepted, other = blocks_of("page", text)
    assert (excepted.reason, excepted.line, other.reason) == ("needs a hub", 1, None)
