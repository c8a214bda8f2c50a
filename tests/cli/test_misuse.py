"""Misuse of the command line: one clear line, exit code 2, nothing left behind."""

import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from keras_prokt.cli import main

TABLE = ["--app", "text", "--dataset", "x.csv"]


def invoke(*arguments):
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--app", "digit"], "did you mean 'digits'"),
        (["--method", "protk"], "did you mean 'prokt'"),
        (["--teacher", "cnn-larg"], "did you mean 'cnn-large'"),
        (["--student", "cnn-tiny"], "Expected a student among"),
        (["--batch-size", "0"], "--batch-size of at least 1, received 0"),
        (["--epochs", "-1"], "--epochs of at least 1"),
        (["--limit", "0"], "--limit of at least 1"),
        (["--lambda", "1.0"], r"--lambda in [0, 1), received 1.0"),
        (["--epsilon", "0"], "--epsilon above 0"),
        (["--temperature", "-1"], "--temperature in [0.01, 10000], received -1.0"),
        (["--lambda", "0.3", "--epsilon", "0.1"], "either --lambda or --epsilon"),
        (["--method", "kd", "--lambda", "0.3"], "no --lambda with method 'kd'"),
        (["--method", "student", "--temperature", "2"], "no --temperature with method 'student'"),
        (["--method", "prokt", "--teacher-epochs", "3"], "no --teacher-epochs with method"),
        (["--method", "rco+prokt"], "decides how the teacher is trained"),
        (["--method", "ft+prokt"], "fits the teacher it was trained on"),
        (["--method", "student+kd"], "without a teacher there is nothing to match"),
        (["--weight", "kd"], "Expected --weight OBJECTIVE=NUMBER"),
        (["--weight", "at=1"], "a weight of an objective of 'prokt'"),
        (["--label-weight", "-1"], "--label-weight of at least 0"),
        (["--anchors", "2"], "no --anchors with method 'prokt'"),
        (["--method", "rco", "--epochs", "3", "--anchors", "4"], "--epochs of at least --anchors"),
        (["--method", "ta", "--assistant", "cnn-mdium"], "did you mean 'cnn-medium'"),
        (["--method", "pkd", "--student", "cnn-small"], "student whose hidden_states"),
        (["--method", "at", "--teacher", "transformer-large"], "teacher whose stages"),
        (["--method", "kd", "--teacher-init", "nowhere.keras"], "Expected a model file"),
        (["--method", "prokt", "--teacher-init", "nowhere.keras"], "Expected a model file"),
        (["--student-learning-rate", "0"], "--student-learning-rate above 0"),
        (["--seed", "-1"], "--seed in [0, 4294967295], received -1"),
        (["--out", ""], "Expected --out to be a path, received ''"),
        (["--backend", "tensorflw"], "Expected a backend among"),
        (["--data-dir", "/nowhere"], "no --data-dir for app 'digits'"),
        (["--dataset", "x.csv"], "no --dataset with app 'digits'"),
        (["--app", "cifar100", "--label", "y"], "no --label with app 'cifar100'"),
        (["--app", "text"], "--dataset, --text and --label with app 'text', received no --dataset"),
        (["--app", "text", "--dataset", "x.csv", "--text", "y"], "received no --label"),
        (
            [*TABLE, "--text", "a,b,c", "--label", "y"],
            "one column in --text, or FIRST,SECOND for pairs",
        ),
        ([*TABLE, "--text", "a", "--label", "a"], "different columns in --text and --label"),
        ([*TABLE, "--text", "a", "--label", "y"], "x.csv' where there is none"),
        (["--app", "glue-sst2", "--data-dir", "/nowhere", "--teacher", "x"], "Expected"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_run_refuses_in_one_line(arguments, message, elsewhere):
    result = invoke("run", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("where", ["--out", "cache"])
def test_a_place_that_cannot_be_written_is_one_line(where, elsewhere, monkeypatch):
    (elsewhere / "file").write_text("here")
    place = str(elsewhere / "file" / "below")
    arguments = ["--method", "kd", "--limit", "64", "--epochs", "1", "--teacher-epochs", "1"]
    if where == "cache":
        monkeypatch.setenv("KERAS_PROKT_CACHE", place)
    else:
        arguments += ["--out", place]
    result = invoke("run", *arguments)
    assert result.exit_code == 2, result.output
    assert "Expected files that can be read and written" in result.output.splitlines()[-1]
    assert "Traceback" not in result.output


def test_a_text_column_with_a_comma_in_its_name(elsewhere):
    (elsewhere / "x.csv").write_text('"a, b",y\n,1\n')
    result = invoke("run", *TABLE, "--text", "a, b", "--label", "y")
    assert result.exit_code == 2
    assert "a text in column 'a, b', received an empty one at" in result.output


def test_an_option_that_does_not_exist_suggests_the_nearest():
    result = invoke("run", "--lamda", "0.3")
    assert result.exit_code == 2
    assert "--lambda" in result.output


def test_an_existing_folder_is_not_overwritten(elsewhere):
    folder = elsewhere / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    result = invoke("run", "--out", str(folder))
    assert result.exit_code == 2
    assert "which exists" in result.output
    # Not even when asked: it is no run folder.
    result = invoke("run", "--out", str(folder), "--overwrite")
    assert result.exit_code == 2
    assert "without a run.json" in result.output
    assert (folder / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("command", ["resume", "evaluate", "export", "info", "predict"])
def test_commands_on_a_folder_that_is_no_run(command, elsewhere):
    result = invoke(command, str(elsewhere))
    assert result.exit_code == 2
    assert "Expected a run folder with a run.json" in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_a_damaged_run_json_is_named(elsewhere):
    (elsewhere / "run.json").write_text("{")
    result = invoke("info", str(elsewhere))
    assert result.exit_code == 2
    assert "Expected a JSON file" in result.output


def test_unknown_command_suggests_the_nearest():
    result = invoke("rnu")
    assert result.exit_code == 2
    assert "did you mean 'run'?" in result.output


def test_apps_lists_both_apps_and_their_models():
    result = invoke("apps")
    assert result.exit_code == 0
    for word in ("digits:", "glue-sst2:", "cnn-large (default)", "bilstm (default)", "bert-K"):
        assert word in result.output


@pytest.mark.process
@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_teaches_and_imports_no_keras(arguments):
    code = (
        f"import sys; sys.argv = ['keras-prokt', *{arguments!r}]\nfrom keras_prokt.cli import main"
    )
    code += "\ntry: main()\nfinally: assert 'keras' not in sys.modules"
    started = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert time.perf_counter() - started < 10  # seconds mean that Keras was imported
    assert "keras-prokt run" in result.stdout or "--lambda" in result.stdout


@pytest.mark.process
@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "nowhere"],
        ["resume", "nowhere"],
        ["evaluate", "."],
        ["predict", "nowhere"],
        ["methods", "crdd"],
    ],
)
def test_other_commands_refuse_in_one_line_without_loading_keras(arguments, elsewhere):
    program = (
        "import sys; sys.modules['keras'] = None\n"
        f"from keras_prokt.cli import main; main({arguments!r})"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, cwd=elsewhere)
    assert result.returncode == 2, result.stderr
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1
    assert "Expected" in result.stderr
