"""What a shell completes: apps, methods, networks of the typed app, and run folders."""

import runpy
import sys

import pytest
from click.shell_completion import ShellComplete
from pretended_runs import write_run

from keras_prokt.cli import main
from keras_prokt.cli.completion import RunPath
from keras_prokt.cli.shared import NewPath
from keras_prokt.runs import RunSpec


def completed(*typed):
    *arguments, incomplete = typed
    complete = ShellComplete(main, {}, "keras-prokt", "_KERAS_PROKT_COMPLETE")
    return complete.get_completions(list(arguments), incomplete)


def words(*typed):
    return [item.value for item in completed(*typed) if item.type == "plain"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["sus"], ["suspects"]),
        (["run", "--app", "glue-m"], ["glue-mnli", "glue-mrpc"]),
        (["run", "--method", "cr"], ["crd"]),
        (["run", "--method", "crd+pro"], ["crd+prokt"]),
        (["run", "--teacher", "cnn-l"], ["cnn-large"]),
        (["run", "--app", "cifar100", "--student", "mobile"], ["mobilenet-v2"]),
        (["run", "--app", "nonsense", "--student", "mobile"], []),
        (["run", "--app", "cifar100", "--pair", "vgg13-m"], ["vgg13-mobilenetv2"]),
        (["run", "--student-schedule", "c"], ["constant", "cosine"]),
        (["compare", "--backend", "j"], ["jax"]),
        (["methods", "tiny"], ["tinybert"]),
        (["evaluate", "--model", "t"], ["teacher"]),
        (["export", "--format", "k"], ["keras"]),
        (["run", "--learn"], []),
    ],
    ids=" ".join,
)
def test_known_words(typed, expected):
    assert words(*typed) == expected


def test_files_of_the_users_own():
    for typed in (["run", "--dataset", "x"], ["run", "--teacher", "./x"], ["predict", "x"]):
        assert ("x" in completed(*typed)[-1].value) and completed(*typed)[-1].type == "file"


def test_run_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = RunSpec.resolve("digits", "student")
    for name in ("runs/one", "runs/other", "mine", "other/deep/er"):
        write_run(tmp_path / name, spec)
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "search.json").touch()
    (tmp_path / "runs" / "no_run").mkdir()
    assert words("info", "") == ["mine", "runs/one", "runs/other", "search"]
    assert words("resume", "runs/o") == ["runs/one", "runs/other"]
    assert words("compare", "mine", f"{tmp_path}/runs/on") == [f"{tmp_path}/runs/one"]
    assert [item.type for item in completed("info", "nothing")] == ["dir"]


def test_the_package_is_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", "methods", "kd"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("keras_prokt", run_name="__main__")
    assert not ended.value.code and "objective kd" in capsys.readouterr().out


def test_a_tilde_that_the_shell_left_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert NewPath().convert("~/runs/1", None, None) == str(tmp_path / "runs" / "1")
    assert RunPath().convert("~/runs/1", None, None) == str(tmp_path / "runs" / "1")
    assert NewPath().convert("a~b", None, None) == "a~b"
