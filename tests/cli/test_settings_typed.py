"""What is typed for a run becomes what the library takes, or one line that names the option."""

import pytest
from click.testing import CliRunner

from keras_prokt.cli import main
from keras_prokt.methods import OBJECTIVES
from keras_prokt.options import option_names, parsed
from keras_prokt.runs.known_settings import all_settings, settings_by_group
from keras_prokt.settings import SettingError


def test_help_shows_every_setting_once_in_its_group():
    shown = CliRunner().invoke(main, ["run", "--help"]).output
    for group, rows in settings_by_group().items():
        section = shown.split(f"\n{group}:\n")[1].split("\n\n")[0]
        for name, row in rows.items():
            assert f"  {row.option_of(name)} " in f"{section} ", name
    lines = [line.split()[0] for line in shown.splitlines() if line.startswith("  --")]
    assert len(set(lines)) == len(lines) > len(all_settings())


def test_what_is_not_typed_is_not_given():
    assert parsed({"epochs": None, "weights": (), "assistants": (), "seed": 0}) == {"seed": 0}
    assert parsed({"teacher_init": "scratch", "deterministic": True}) == {"deterministic": True}


def test_weights_and_settings_of_objectives():
    typed = {
        "weights": ("at=500", " kd = .5"),
        "objective_settings": ("crd.num_negatives=4096", "crd.momentum=0.9", "pkd.strategy=last"),
    }
    assert parsed(typed) == {
        "weights": {"at": 500.0, "kd": 0.5},
        "objective_settings": {
            "crd": {"num_negatives": 4096, "momentum": 0.9},
            "pkd": {"strategy": "last"},
        },
    }


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"weights": ["at"]}, "Expected --weight OBJECTIVE=NUMBER, received 'at'; for example"),
        ({"weights": ["at=much"]}, "Expected --weight OBJECTIVE=NUMBER, received 'at=much'"),
        ({"objective_settings": ["crd=3"]}, "Expected --set OBJECTIVE.NAME=VALUE, received 'crd=3"),
        ({"objective_settings": ["crd.momentum"]}, "--set OBJECTIVE.NAME=VALUE, received"),
        ({"objective_settings": ["crdd.momentum=0"]}, "an objective among"),
        ({"objective_settings": ["crd.momentu=0"]}, "did you mean 'momentum'?"),
        ({"objective_settings": ["kd.temperature=2"]}, "no settings of 'kd', received 'temperatu"),
        ({"objective_settings": ["crd.momentum=1"]}, "--set crd.momentum in [0, 1), received 1.0"),
        (
            {"objective_settings": ["crd.dimensions=2.5"]},
            "a whole number for --set crd.dimensions, received '2.5'",
        ),
        ({"objective_settings": ["pkd.strategy=first"]}, "--set pkd.strategy among last, skip"),
    ],
    ids=str,
)
def test_entries_that_mean_nothing(typed, message):
    with pytest.raises(SettingError) as refused:
        parsed(typed)
    assert message in refused.value.shown_as(option_names())


def test_every_setting_of_an_objective_can_be_typed():
    for objective, card in OBJECTIVES.items():
        for name, row in card.settings.items():
            text = row.choices[0] if row.choices else "1" if row.kind is int else "0.5"
            typed = {"objective_settings": [f"{objective}.{name}={text}"]}
            value = parsed(typed)["objective_settings"][objective][name]
            assert str(value) == text


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"weights": ["kd=1", "kd=2"]}, "--weight kd once"),
        (
            {"objective_settings": ["crd.momentum=.1", "crd.momentum=.2"]},
            "--set crd.momentum once",
        ),
    ],
)
def test_what_is_given_twice_is_refused(given, key):
    with pytest.raises(SettingError) as refusal:
        parsed(given)
    assert f"Expected {key}" in refusal.value.shown_as(option_names())


def test_a_row_begins_from_scratch_where_it_says_so():
    from keras_prokt.cli.many_runs import comparison_rows

    given = {"app": "digits", "teacher_init": "t.keras"}
    rows = comparison_rows(("prokt", "prokt teacher-init=scratch lambda=0"), given)
    [common, own] = rows.values()
    assert common.teacher_init.endswith("t.keras") and own.teacher_init is None
