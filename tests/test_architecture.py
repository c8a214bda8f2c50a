"""What holds for the package as a whole: what depends on what, what is exported, how it starts."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import keras_prokt

PACKAGE = Path(keras_prokt.__file__).parent
# Each layer may import those before it. `data`, `app` and `names` stand beside them all.
ORDER = ["losses", "models", "distillers", "callbacks", "export", "results", "runs", "cli"]


def imports_of(module: Path) -> set[str]:
    """Parts of this package that a module imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {n.split(".")[1] for n in names if n.startswith("keras_prokt.")}
    return found


@pytest.mark.parametrize("layer", ORDER)
def test_dependencies_point_one_way(layer):
    files = [PACKAGE / f"{layer}.py"] if layer == "cli" else list((PACKAGE / layer).glob("*.py"))
    later = set(ORDER[ORDER.index(layer) + 1 :])
    # `Distiller.export` calls the exporter when it is used.
    allowed = {("base.py", "export")}
    for file in files:
        wrong = {(file.name, part) for part in imports_of(file) & later} - allowed
        assert not wrong


def test_public_names_exist_and_are_documented():
    for name in keras_prokt.__all__:
        assert getattr(keras_prokt, name) is not None
        if name != "__version__":
            assert getattr(keras_prokt, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = keras_prokt.nothing


@pytest.mark.parametrize(
    "module",
    ["keras_prokt", "keras_prokt.cli", "keras_prokt.app", "keras_prokt_apps.text_classification"],
)
def test_light_modules_import_no_keras(module):
    code = f"import sys, {module}; print('keras' in sys.modules, 'tensorflow' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["False", "False"]


def test_the_library_needs_no_tensorflow_on_other_backends():
    pytest.importorskip("jax", reason="needs the JAX backend")
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "import numpy as np, keras, keras_prokt\n"
        "from keras_prokt.data.batches import Batches\n"
        "from keras_prokt import models, ProKTDistiller, StudentCheckpoint\n"
        "print(keras_prokt.ProximalSchedule, models.get('cnn-small'))"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={"KERAS_BACKEND": "jax", "PATH": "", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
    )
