"""What a result was obtained on: versions and hardware."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras_prokt
from keras_prokt import backends

PACKAGES = ("keras", "keras-hub", "tensorflow", "tensorflow-datasets", "jax", "torch", "numpy")


def describe_environment() -> dict[str, Any]:
    """Versions, hardware and source of the package, for `run.json`."""
    return {
        "package": {"version": keras_prokt.__version__, "git": _git_commit()},
        "versions": {"python": platform.python_version(), **_versions()},
        "hardware": {
            "machine": platform.machine(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "accelerators": backends.current().accelerators(),
        },
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """The commit of a checkout, or the one that an installed package was built from."""
    package = Path(keras_prokt.__file__).resolve().parent
    if (package.parent / ".git").exists():
        command = ["git", "-C", str(package.parent), "describe", "--always", "--dirty"]
        try:
            result = subprocess.run(
                [*command, "--abbrev=12"], capture_output=True, text=True, check=False
            )
        except OSError:
            return None  # there is no git
        return result.stdout.strip() or None
    packaged = package / "commit.txt"
    return packaged.read_text().strip() if packaged.is_file() else None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
