"""Every option of the commands about single runs × bad values: taken, or refused in one line."""

import importlib

import click
import pytest
from click.testing import CliRunner
from pretended_runs import write_run

from keras_prokt.cli import main
from keras_prokt.runs import RunSpec

BAD = ["", " ", "x", "-1", "1.5", "nan", "inf", "1e400", "9" * 30, "a\x1b[2J", "=", "/"]
"""Words and numbers of which most options take few."""

# Command -> what it wants besides its options.
COMMANDS = {
    "run": [],
    "record": ["--teacher", "no.keras", "--out", "new.npz"],
    "resume": ["run"],
    "evaluate": ["run"],
    "export": ["run"],
    "predict": ["run", "--dataset", "no.csv"],
    "suspects": ["run"],
    "info": ["run"],
    "methods": [],
}
OPTIONS = [
    (command, option.opts[0])
    for command in COMMANDS
    for option in main.commands[command].params
    if isinstance(option, click.Option) and not option.is_flag
]
NUMBERS = ("INTEGER", "FLOAT", "INTEGER RANGE", "FLOAT RANGE")


class Taken(Exception):
    """All that is typed was taken; now it would be computed."""


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A folder with a run, and commands that stop before they load Keras."""

    def take(*arguments, **settings):
        raise Taken

    for name in ("single_runs", "finished_runs", "recording"):
        module = importlib.import_module(f"keras_prokt.cli.{name}")
        for function in ("use_backend_of", "use_backend"):
            if hasattr(module, function):
                monkeypatch.setattr(module, function, take)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    spec = RunSpec.resolve("digits", "student")
    write_run(tmp_path / "run", spec)
    return tmp_path


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_a_bad_value_is_refused_in_one_line_or_taken(command, option, stopped):
    before = sorted(path.name for path in stopped.iterdir())
    refused = 0
    for value in BAD:
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


def test_the_table_has_every_option_of_a_run():
    assert len(OPTIONS) > 60
