"""Apps out of files of the user's own: the one in the documents, and files that are none."""

import os
import sys

import keras
import pytest
from command_line import keras_prokt
from document_blocks import blocks_of
from pretended_runs import write_run

from keras_prokt.app import get_app
from keras_prokt.app_file import app_title
from keras_prokt.cli.finished_runs import _app_of
from keras_prokt.files import digest_of_file
from keras_prokt.runs import RunSpec
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.likeness import differences

[EXAMPLE] = [block.code for block in blocks_of("docs/own_data.md") if "APP = App(" in block.code]
APP = "from keras_prokt_apps.digits import APP as {name}\n"


@pytest.fixture(autouse=True)
def _path(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def my_app(tmp_path):
    (tmp_path / "my_app.py").write_text(EXAMPLE)
    return tmp_path / "my_app.py"


def test_the_app_of_a_file_is_run_once_as_long_as_it_stays(my_app, monkeypatch):
    monkeypatch.chdir(my_app.parent)
    app = get_app("./my_app.py")
    assert app.name == "wines" and app is get_app(str(my_app))
    my_app.write_text(EXAMPLE.replace('"wines"', '"other wines"'))
    assert get_app("my_app.py").name == "other wines"


def test_a_spec_knows_the_file_from_anywhere(my_app, monkeypatch):
    monkeypatch.chdir(my_app.parent)
    spec = RunSpec.resolve("./my_app.py", "prokt", epochs=2)
    monkeypatch.chdir("/")
    assert (spec.app, spec.teacher, spec.student) == (str(my_app), "large", "small")
    assert RunSpec.from_json(spec.to_json()).replacing(seed=1).files() == {"app": str(my_app)}
    assert RunFolder.unused(my_app.parent, spec.app, spec.method).path.name == "my_app-prokt-1"
    assert app_title(spec.app) == "my_app"


def test_a_file_imports_what_lies_beside_it(tmp_path):
    (tmp_path / "beside_my_app.py").write_text(APP.format(name="OF_DIGITS"))
    (tmp_path / "a.py").write_text("from beside_my_app import OF_DIGITS\n")
    assert get_app(str(tmp_path / "a.py")).name == "digits"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "Expected one App in '.*', received none; assign the one that is meant to APP"),
        ("APP = {}\n", "Expected one App in '.*', received none; assign"),
        (
            APP.format(name="ONE") + "from keras_prokt_apps.cifar100 import APP as TWO\n",
            "Expected one App in '.*', received ONE, TWO; assign the one that is meant to APP",
        ),
        ("x = 1\ndef f(:\n", "Expected an app in '.*', received SyntaxError in line 2: invalid"),
        ("\nimport nothing_of_that_name\n", "received ModuleNotFoundError in line 2: No module"),
        ("def f():\n    return 1 / 0\n\nf()\n", "received ZeroDivisionError in line 2: division"),
        ("\n\nfrom keras_prokt.app import App\nApp('a')\n", "received TypeError in line 4: "),
    ],
)
def test_files_that_are_no_app_are_refused_in_a_line(code, message, tmp_path):
    (tmp_path / "a.py").write_text(code)
    with pytest.raises(ValueError, match=message) as refused:
        get_app(str(tmp_path / "a.py"))
    assert "\n" not in str(refused.value)


def test_the_one_that_is_called_app_is_meant(tmp_path):
    code = APP.format(name="APP") + "from keras_prokt_apps.cifar100 import APP as OTHER\n"
    (tmp_path / "a.py").write_text(code)
    assert get_app(str(tmp_path / "a.py")).name == "digits"


def test_what_is_no_file_and_a_prepare_that_returns_nothing(my_app):
    for path in (my_app.parent / "no.py", my_app.parent):
        result = keras_prokt("run", "--app", f"{path}", cwd=my_app.parent)
        assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    assert "Expected an app among cifar100, " in result.stderr  # a folder is no file
    with pytest.raises(
        ValueError, match="Expected a file of an app, received '.*no.py' where there"
    ):
        get_app(str(my_app.parent / "no.py"))
    my_app.write_text(EXAMPLE.replace("    return Task(", "    return\n    Task("))
    result = keras_prokt("run", "--app", "my_app.py", cwd=my_app.parent)
    assert "Expected a Task of `prepare` of app '" in result.stderr
    assert "received a NoneType" in result.stderr and not (my_app.parent / "runs").exists()


@pytest.mark.process
@pytest.mark.whole_run
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
def test_the_app_in_the_documents_is_trained_resumed_evaluated_and_exported(my_app):
    folder = my_app.parent
    arguments = ["--app", "./my_app.py", "--epochs", "3", "--method", "kd"]
    result = keras_prokt("run", *arguments, "--stop-after", "0.001s", cwd=folder)
    assert result.exit_code == 0, result.output
    my_app.write_text(EXAMPLE + "# changed\n")
    refused = keras_prokt("resume", "runs/my_app-kd-1", cwd=folder)
    assert refused.exit_code == 2 and len(refused.stderr.splitlines()) == 1
    assert "Expected the app with which the run was started, received another file" in (
        refused.stderr
    )
    run = RunFolder(folder / "runs" / "my_app-kd-1")
    assert differences(run.path, run.spec()).endswith(": app with other content")
    os.rename(my_app, folder / "moved.py")
    assert "file of an app" in keras_prokt("resume", run.path, cwd=folder).stderr
    my_app.write_text(EXAMPLE)
    resumed = keras_prokt("resume", "runs/my_app-kd-1", cwd=folder)
    assert resumed.exit_code == 0, resumed.output
    assert resumed.stdout.startswith("my_app, method kd, ")
    assert run.read()["status"] == "completed"
    assert next((folder / "cache" / "teachers").glob("my_app-*"))
    for command in ("info", "evaluate", "export", "compare"):
        done = keras_prokt(command, run.path, cwd=folder)
        assert done.exit_code == 0, done.output
        assert "best constant answer" in done.stdout or command == "export"


def test_predict_runs_no_other_file_than_the_run_was_started_with_and_needs_none(my_app):
    spec = RunSpec.resolve(str(my_app), "prokt")
    write_run(my_app.parent / "run", spec, 0.5, data={"app": digest_of_file(my_app)})
    folder = RunFolder(my_app.parent / "run")
    assert _app_of(folder).name == "wines"
    my_app.write_text("raise SystemExit('was run')")
    with pytest.raises(ValueError, match="Expected the app with which the run was started, rec"):
        _app_of(folder)
    my_app.unlink()
    assert _app_of(folder) is None
