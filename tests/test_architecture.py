"""What holds for the package as a whole: what depends on what, what is exported, how it starts."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import keras_prokt
import keras_prokt_apps
from keras_prokt.backends import BACKENDS

PACKAGE = Path(keras_prokt.__file__).parent
APPS = Path(keras_prokt_apps.__file__).parent
# Each layer may import those before it. `data`, `app`, `files`, ... stand beside them all.
ORDER = [
    "backends",
    "outputs",
    "losses",
    "models",
    "front_ends",
    "distillers",
    "callbacks",
    "export",
]
ORDER += ["results", "recorders", "runs", "options", "cli"]
# What all may import; each has all that it imports itself.
BESIDE = {
    "arguments": set(),
    "names": {"arguments"},
    "typing": set(),
    "keras_internals": set(),
    "layer_calls": set(),
    "files": set(),
    "pictures": {"files"},
    "settings": {"arguments", "names", "backends"},
    "methods": {"names", "settings"},
    "named_code": {"app_file", "files"},
    "app": {"named_code", "names", "settings", "optimizers", "data", "front_ends", "app_file"},
    "app_file": set(),
}
FRAMEWORKS = {*BACKENDS, "tensorflow_datasets", "tensorflow_text"}
# What computes, and the graphs that are served.
MAY_IMPORT_A_FRAMEWORK = ("keras_prokt.backends.", "keras_prokt.export.", "keras_prokt.front_ends.")
# Teachers of other frameworks.
MAY_IMPORT_A_FRAMEWORK += ("keras_prokt.recorders.",)
# Modules of the package and the apps by name, but for those that are run by `python -m`.
MODULES = {
    ".".join([top, *path.relative_to(folder).with_suffix("").parts]).removesuffix(".__init__"): path
    for top, folder in (("keras_prokt", PACKAGE), ("keras_prokt_apps", APPS))
    for path in sorted(folder.rglob("*.py"))
    if path.name != "__main__.py"
}


def modules_imported_by(module: Path) -> set[str]:
    """Full names, at any depth; of `from keras_prokt import models` that of `models` too."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "keras_prokt":
                found |= {f"keras_prokt.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def imports_of(module: Path) -> set[str]:
    """Parts of this package that a module imports."""
    names = modules_imported_by(module)
    return {n.split(".")[1] for n in names if n.startswith("keras_prokt.")}


@pytest.mark.parametrize("layer", ORDER)
def test_dependencies_point_one_way(layer):
    alone = PACKAGE / f"{layer}.py"
    files = [alone] if alone.is_file() else list((PACKAGE / layer).rglob("*.py"))
    assert files
    later = set(ORDER[ORDER.index(layer) + 1 :])
    # `Distiller.export` calls the exporter when it is used.
    allowed = {("pair.py", "export")}
    for file in files:
        wrong = {(file.name, part) for part in imports_of(file) & later} - allowed
        assert not wrong


@pytest.mark.parametrize("module", BESIDE)
def test_what_all_may_import_imports_little(module):
    alone = PACKAGE / f"{module}.py"
    files = [alone] if alone.is_file() else list((PACKAGE / module).glob("*.py"))
    assert files
    for file in files:
        assert imports_of(file) <= BESIDE[module] | {module}


def asks_which_backend_it_is(statement: ast.AST) -> bool:
    """Whether code reads the backend's name of Keras, of the environment, or compares it."""
    if isinstance(statement, ast.Attribute):
        return ast.unparse(statement) == "keras.backend.backend"
    if isinstance(statement, ast.Call):
        return bool(re.search(r"(getenv|environ\.get)\('KERAS_BACKEND'", ast.unparse(statement)))
    if isinstance(statement, ast.Subscript) and isinstance(statement.ctx, ast.Load):
        return ast.unparse(statement) == "os.environ['KERAS_BACKEND']"
    if isinstance(statement, ast.Compare):
        parts = [statement.left, *statement.comparators]
        values = [part.value for part in parts if isinstance(part, ast.Constant)]
        return any(isinstance(value, str) and value in BACKENDS for value in values)
    return False


def test_backends_alone_ask_which_backend_it_is():
    asking = {
        name
        for name, path in MODULES.items()
        if any(asks_which_backend_it_is(node) for node in ast.walk(ast.parse(path.read_text())))
    }
    assert asking == {"keras_prokt.backends"}


def test_few_import_a_framework():
    importing = {
        name
        for name, path in MODULES.items()
        if {module.split(".")[0] for module in modules_imported_by(path)} & FRAMEWORKS
        and not name.startswith(MAY_IMPORT_A_FRAMEWORK)
    }
    assert importing == {
        # Files that TensorFlow alone reads, and normal forms of texts, on any backend.
        "keras_prokt.data.text",
        "keras_prokt.data.tfds_files",
        # The first label of a PyTorch data loader of the user's.
        "keras_prokt.distillers.data_checks",
    }


def test_messages_of_the_library_name_arguments_and_not_options():
    for name, path in MODULES.items():
        if name.startswith(("keras_prokt.cli", "keras_prokt.options")):
            continue
        for statement in ast.walk(ast.parse(path.read_text())):
            if isinstance(statement, ast.Raise):
                texts = [n.value for n in ast.walk(statement) if isinstance(n, ast.Constant)]
                options = [t for t in texts if isinstance(t, str) and re.search(r"\B--[a-z]", t)]
                assert not options, f"{name}:{statement.lineno}"


def test_public_names_exist_and_are_documented():
    for name in keras_prokt.__all__:
        assert getattr(keras_prokt, name) is not None
        if name != "__version__":
            assert getattr(keras_prokt, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = keras_prokt.nothing


def says_that_it_is_light(path: Path) -> bool:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return "imports no keras" in " ".join(docstring.lower().split())


@pytest.mark.process
def test_light_modules_import_no_keras():
    light = {"keras_prokt", "keras_prokt.cli", "keras_prokt.app", "keras_prokt.runs"}
    light |= {"keras_prokt.names", "keras_prokt.runs.lock", "keras_prokt_apps.text_classification"}
    light |= {name for name, path in MODULES.items() if says_that_it_is_light(path)}
    assert light >= {"keras_prokt.runs.spec", "keras_prokt.options", "keras_prokt.settings"}
    assert light >= {"keras_prokt.front_ends", "keras_prokt.front_ends.images"}
    code = (
        "import importlib, json, sys\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)\n"
        "    assert not heavy, f'{name} imports {heavy}'\n"
    )
    command = [sys.executable, "-c", code, json.dumps(sorted(light))]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.process
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
