"""Code that a run names is imported only where the user has named it too."""

import json
import sys

import pytest
from command_line import keras_prokt
from pretended_runs import write_run

from keras_prokt import models, named_code
from keras_prokt.app import get_app
from keras_prokt.named_code import UnnamedCode, import_code
from keras_prokt.runs import RunSpec
from keras_prokt.runs.run_list import Entry, RunList
from keras_prokt.runs.training_run import run

NETWORK = """
import pathlib
import keras
pathlib.Path({witness!r}).touch()


def build(num_classes, input_shape):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(),
                             keras.layers.Dense(num_classes)])
"""
APP = "import pathlib\npathlib.Path({witness!r}).touch()\nfrom keras_prokt_apps.digits import APP\n"


@pytest.fixture(autouse=True)
def _afresh(monkeypatch, tmp_path):
    """As a process of its own, which has named nothing."""
    monkeypatch.setattr(named_code, "_named", set())
    monkeypatch.setattr(named_code, "_read", set())
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(tmp_path / "cache"))
    yield
    sys.modules.pop("strange_networks", None)


@pytest.fixture
def witness(tmp_path):
    """A file that is there once code has run."""
    path = tmp_path / "witness"
    (tmp_path / "strange_networks.py").write_text(NETWORK.format(witness=str(path)))
    (tmp_path / "strange_app.py").write_text(APP.format(witness=str(path)))
    return path


def strange_run(tmp_path, accuracy=None, **changes):
    """A run folder whose record names code, as a stranger may have written it."""
    spec = RunSpec.resolve("digits", "student").to_json()
    if "student" in changes:
        spec["models"]["student"] = changes.pop("student")
    spec |= changes
    write_run(tmp_path / "run", RunSpec.from_json(spec), accuracy)
    (tmp_path / "run" / "student.keras").write_bytes(b"x")
    (tmp_path / "table.csv").write_text("a\n1\n")
    return tmp_path / "run"


COMMANDS = {
    "resume": ["resume", "run"],
    "evaluate": ["evaluate", "run"],
    "export": ["export", "run", "--format", "keras"],
    "predict": ["predict", "run", "--dataset", "table.csv"],
    "like": ["run", "--like", "run", "--seed", "1"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("what", ["a function", "an app"])
def test_no_command_runs_what_a_run_alone_names(what, name, witness, tmp_path):
    changes = {"student": "strange_networks:build"} if what == "a function" else {}
    changes |= {} if what == "a function" else {"app": str(tmp_path / "strange_app.py")}
    strange_run(tmp_path, None if name == "resume" else 0.9, **changes)
    result = keras_prokt(*COMMANDS[name], cwd=tmp_path)
    assert result.exit_code == 2 and len(result.stderr.splitlines()) <= 2, result.output
    assert not witness.exists()
    module = "strange_networks" if what == "a function" else str(tmp_path / "strange_app.py")
    if what == "a function" and name == "predict":
        return  # refused before: digits has no such rows
    command = f"`keras-prokt {' '.join(COMMANDS[name])} --import {module}`"
    assert result.stderr.endswith(f"Where you know that code, say {command}.\n")


def test_reading_a_run_back_runs_nothing(witness, tmp_path):
    strange_run(tmp_path, 0.9, app=str(tmp_path / "strange_app.py"))
    for command in (["info"], ["compare"]):
        result = keras_prokt(*command, "run", cwd=tmp_path)
        assert result.exit_code == 0, result.output
    assert not witness.exists()


def test_what_is_named_again_is_imported(witness, tmp_path):
    strange_run(tmp_path, 0.9, student="strange_networks:build")
    # Only then is the file of the student looked at.
    command = ["evaluate", "run", "--import", "strange_networks"]
    result = keras_prokt(*command, cwd=tmp_path)
    assert result.exit_code == 2 and "Expected a model file (.keras)" in result.stderr
    assert witness.exists()
    result = keras_prokt("evaluate", "run", "--import", "no_such_module", cwd=tmp_path)
    assert "Expected a module that can be imported, received 'no_such_module'" in result.stderr


def test_a_list_of_runs_is_refused_before_a_process_starts(witness, tmp_path):
    spec = RunSpec.resolve("digits", "student").to_json()
    entry = Entry("a", "a", RunSpec.from_json(spec | {"app": str(tmp_path / "strange_app.py")}))
    runs = RunList(tmp_path / "list", "comparison")
    runs.create({}, [entry], measures_test=True)
    result = keras_prokt("resume", "list", cwd=tmp_path)
    assert result.exit_code == 2 and not witness.exists(), result.output
    assert "keras-prokt resume list --import" in result.stderr


@pytest.mark.whole_run
def test_a_run_that_this_user_began_here_is_known_as_long_as_its_code_stays(
    witness, tmp_path, monkeypatch
):
    path = tmp_path / "strange_app.py"
    spec = RunSpec.resolve(str(path), "student", epochs=1, limit=64)
    run(spec, tmp_path / "mine", stop_after=0.0)
    for name in ("_named", "_read"):  # another process
        monkeypatch.setattr(named_code, name, set())
    RunSpec.from_json(spec.to_json())
    assert get_app(str(path)).name == "digits"
    path.write_text(path.read_text() + "# changed\n")
    with pytest.raises(UnnamedCode, match=r"call keras_prokt\.runs\.import_code\('.*app\.py'\)"):
        get_app(str(path))
    kept = [*(tmp_path / "cache" / "named_code").iterdir()]
    kept[0].write_text(kept[0].read_text().replace("strange", "strangE"))
    path.write_text(APP.format(witness=str(witness)))
    with pytest.raises(UnnamedCode):
        get_app(str(path))
    import_code(str(path))
    assert get_app(str(path)).name == "digits"


def test_functions_are_found_by_their_file_without_running_it(witness, tmp_path):
    package = tmp_path / "strange_package"
    package.mkdir()
    (package / "__init__.py").write_text(f"import pathlib; pathlib.Path({str(witness)!r}).touch()")
    (package / "inner.py").write_text(NETWORK.format(witness=str(witness)))
    name = "strange_package.inner:build"
    named_code.read_code({"spec": [{"student": name}]})
    with pytest.raises(UnnamedCode):
        models.get(name)
    named_code.know_code(name)
    named_code.check_named(name)
    assert not witness.exists()
    with pytest.raises(UnnamedCode):
        named_code.read_code("strange_package.inner:other")
        named_code.check_named("strange_package.inner:other")


@pytest.mark.parametrize("name", ["", None, 3, "a b", ".."])
def test_what_is_no_module_is_refused(name):
    with pytest.raises(ValueError, match="Expected a module"):
        import_code(name)


def test_others_find_nothing_in_what_is_kept(witness, tmp_path, monkeypatch):
    """A cache that a group shares."""
    name = "strange_networks:build"
    named_code.read_code(name)
    named_code.know_code(name)
    named_code.check_named(name)
    monkeypatch.setattr("os.getuid", lambda: 12345)
    with pytest.raises(UnnamedCode):
        named_code.check_named(name)
    assert json.loads(next((tmp_path / "cache" / "named_code").iterdir()).read_text())["key"]
