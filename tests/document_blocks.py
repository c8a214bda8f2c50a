"""Blocks of code in the documents: which are run, which are parsed, and which are excepted.

`python tests/document_blocks.py` counts them.
"""

import re
import shlex
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")))

_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?"
    r"^```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_EXTERNAL = ("bash", "mkdocs", "mypy", "patch", "pip", "pytest", "python", "ruff")
"""Commands that are not ours, and are tried as a new user would."""


@dataclass(frozen=True)
class Block:
    """A block of code between fences.

    Attributes:
        page: The document.
        line: Where it begins there, from 1.
        language: What stands behind the fence.
        code: Its lines.
        reason: Why it is not run, as the document says in a comment before it; else `None`.
    """

    page: str
    line: int
    language: str
    code: str
    reason: str | None


def blocks_of(page: str, text: str | None = None) -> list[Block]:
    """All blocks of a document."""
    text = (ROOT / page).read_text(encoding="utf-8") if text is None else text
    return [
        Block(page, text.count("\n", 0, m.start()) + 1, m["language"], m["code"], m["reason"])
        for m in _FENCE.finditer(text)
    ]


def commands_of(block: Block) -> list[list[str]]:
    """The words of each command of a block of shell."""
    lines = block.code.replace("\\\n", " ").splitlines()
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        while "&&" in words:
            found.append(words[: words.index("&&")])
            words = words[words.index("&&") + 1 :]
        found.append(words)
    # Settings of the environment stand before a command.
    return [words for line in found if (words := _without_environment(line))]


def _without_environment(words: list[str]) -> list[str]:
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return words


def is_external(words: list[str]) -> bool:
    """Whether a command is not ours to parse."""
    return words[0] in _EXTERNAL


def count() -> Counter:
    """How many blocks of Python are run, lines of shell parsed, and blocks excepted."""
    numbers: Counter = Counter()
    for page in PAGES:
        for block in blocks_of(page):
            if block.reason:
                numbers[f"{block.language} excepted"] += 1
            elif block.language == "python":
                numbers["python run"] += 1
            elif block.language == "bash":
                ours = [words for words in commands_of(block) if words[0] == "keras-prokt"]
                numbers["commands parsed"] += len(ours)
                numbers["commands of others"] += len(commands_of(block)) - len(ours)
            else:
                numbers[f"{block.language} shown"] += 1
    return numbers


if __name__ == "__main__":
    for kind, number in sorted(count().items()):
        sys.stdout.write(f"{number:4} {kind}\n")
