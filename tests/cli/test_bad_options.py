"""Every option of every command × bad values: taken, or refused in one line."""

import importlib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from pretended_runs import write_run

from keras_prokt import cli
from keras_prokt.cli import main
from keras_prokt.runs import RunSpec
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.protocol import list_protocols
from keras_prokt.runs.reproduction import Reproduction
from keras_prokt.runs.run_list import RunList

BAD = ["", " ", "x", "-1", "1.5", "nan", "inf", "1e400", "9" * 30, "a\x1b[2J", "=", "/"]
"""Words and numbers of which most options take few."""

# What options with a form of their own take no more than a part of.
FORMS = ["0,1", "1:0", "0:inf", "nowhere/x.csv", "folder"]

# Command -> what it wants besides its options.
COMMANDS = {
    "run": [],
    "record": ["--teacher", "no.keras", "--out", "new.npz"],
    "resume": ["run"],
    "evaluate": ["run"],
    "export": ["run"],
    "predict": ["run", "--dataset", "table.csv"],
    "suspects": ["run"],
    "info": ["run"],
    "methods": [],
    "apps": [],
    "search": ["--lambda", "0,0.1"],
    "compare": ["--method", "student"],
    "prepare": ["--out", "new"],
    "reproduce": ["example"],
    "report": ["run"],
    "benchmark": ["run"],
    "serve-check": ["run"],
}
OPTIONS = [
    (command, option.opts[0])
    for command in COMMANDS
    for option in main.commands[command].params
    if isinstance(option, click.Option) and not option.is_flag
]
NUMBERS = ("INTEGER", "FLOAT", "INTEGER RANGE", "FLOAT RANGE")
SETTINGS = {option for command, option in OPTIONS if command == "run"}
FEW = dict.fromkeys(("record", "compare", "prepare", "reproduce"), ["=", "nan"])
FEW["search"] = ["", "x", "nan", "a\x1b[2J", "0,1", "1:0", "0:inf"]
"""What is tried of settings of a run where they go through the code of `run`."""


class Taken(Exception):
    """All that is typed was taken; now it would be computed."""


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A folder with a run, and commands that stop before they load Keras."""

    def take(*arguments, **settings):
        raise Taken

    for path in Path(cli.__file__).parent.glob("[!_]*.py"):
        module = importlib.import_module(f"keras_prokt.cli.{path.stem}")
        for function in ("use_backend_of", "use_backend", "check_served"):
            if hasattr(module, function) and path.stem != "backend":
                monkeypatch.setattr(module, function, take)
    monkeypatch.setattr(RunList, "create", take)
    monkeypatch.setattr(Reproduction, "carry_out", take)
    monkeypatch.setattr(Reproduction, "draw", lambda self: None)
    monkeypatch.setattr("keras_prokt.cli.reproduction.update_report", lambda *paths: None)
    monkeypatch.setattr(RunFolder, "check_has_model", lambda self, role: None)
    example = next(one for one in list_protocols() if one.name == "figure-2-digits")
    monkeypatch.setattr("keras_prokt.cli.reproduction.get_protocol", lambda name: example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    spec = RunSpec.resolve("digits", "student")
    write_run(tmp_path / "run", spec)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_a_bad_value_is_refused_in_one_line_or_taken(command, option, stopped):
    before = sorted(path.name for path in stopped.iterdir())
    refused = 0
    values = BAD if command == "run" else [*BAD, *FORMS]
    for value in FEW.get(command, values) if option in SETTINGS - {"--out"} else values:
        arguments = [command, *COMMANDS[command], f"{option}={value}"]
        result = CliRunner(env={"COLUMNS": "1000"}).invoke(main, arguments)
        if isinstance(result.exception, Taken) or result.exit_code == 0:
            continue
        assert isinstance(result.exception, SystemExit), (arguments, result.exception)
        refused += 1
        said = [line for line in result.stderr.splitlines() if line]
        # Click shows how the command is typed in front of what is wrong with a number.
        said = [line for line in said if not line.startswith(("Usage:", "Try "))]
        assert result.exit_code == 2 and len(said) == 1 and len(said[0]) < 1500, (arguments, said)
        assert said[0].startswith(("keras-prokt: Expected", "Error: ")), (arguments, said)
        assert "\x1b" not in said[0]
    kind = next(one for one in main.commands[command].params if option in one.opts).type.name
    assert refused or kind.upper() not in NUMBERS
    assert sorted(path.name for path in stopped.iterdir()) == before


def test_the_table_has_every_option():
    assert set(COMMANDS) == set(main.commands)
    assert len(OPTIONS) > 250


@pytest.mark.parametrize("value", ["nan", "inf", "1e400"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["serve-check", "run", "--tolerance"],
        ["export", "run", "--max-loss"],
        ["benchmark", "run", "--seconds"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_bound_that_is_no_number_is_refused(arguments, value, stopped):
    """With NaN every comparison would hold."""
    *command, option = arguments
    result = CliRunner().invoke(main, [*command, f"{option}={value}"])
    assert result.exit_code == 2 and f"Invalid value for '{option}'" in result.stderr, result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["search", "--lambda", "0,0.1"],
        ["compare", "--method", "student"],
        ["export", "run"],
        ["report", "run"],
        ["suspects", "run"],
        ["predict", "run", "--dataset", "table.csv"],
        ["prepare"],
        ["reproduce", "example"],
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize("value", ["", "a\0b"], ids=["empty", "null"])
def test_a_place_that_is_no_path_is_refused(arguments, value, stopped):
    result = CliRunner().invoke(main, [*arguments, f"--out={value}"])
    assert result.exit_code == 2, result.output
    assert f"Expected --out to be a path, received {value!r}" in result.stderr
