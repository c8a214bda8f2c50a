"""What a result was obtained on: versions and hardware."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras_prokt

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
            "accelerators": _accelerators(),
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


def _accelerators() -> list[str]:
    """Name and model of each, as far as the backend tells."""
    import keras

    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        count = torch.cuda.device_count()
        return [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(count)]
    if backend == "jax":
        import jax

        devices = [device for device in jax.devices() if device.platform != "cpu"]
        return [f"{device.platform}:{device.id} {device.device_kind}" for device in devices]
    import tensorflow as tf

    found = []
    for device in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(device)
        found.append(
            f"{device.name.removeprefix('/physical_device:').lower()} "
            f"{details.get('device_name', 'unknown')}"
        )
    return found
