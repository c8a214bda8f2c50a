"""A copy of the repository to which a diff was applied: what a contributor's change is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parents[1]
PATCHES = ROOT / "tests" / "patches"

APPLIES_A_DIFF = [
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("patch") is None, reason="needs the program `patch`"),
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="one backend is enough for a diff"
    ),
]
"""Marks of tests that make such a copy."""


def patched_copy(diff: str, folder: Path) -> dict[str, str]:
    """Copies package, apps and tests, and applies a diff to them.

    Args:
        diff: Text of a unified diff, with `a/` and `b/` before the names of files.
        folder: Where to.

    Returns:
        The environment in which a process imports the copy.
    """
    ignore = shutil.ignore_patterns("*.pyc")
    for name in ("keras_prokt", "apps", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "keras_prokt_apps").symlink_to("apps")
    subprocess.run(["patch", "-p1", "-s"], input=diff, text=True, cwd=folder, check=True)
    return {**os.environ, "PYTHONPATH": str(folder), "KERAS_PROKT_CACHE": str(folder / "cache")}


def files_of(diff: str) -> list[str]:
    """The files that a diff adds or changes."""
    return [line.split("b/", 1)[1] for line in diff.splitlines() if line.startswith("+++ ")]


def passed_tests(environment: dict[str, str], folder: Path, *arguments: str) -> int:
    """Runs tests of a copy; the number of those that passed, with none that failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:]
    return int(re.search(r"(\d+) passed", result.stdout).group(1))
