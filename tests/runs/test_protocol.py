"""Protocols: which there are, what their runs are, and the paper's numbers in them."""

from pathlib import Path

import pytest

from keras_prokt.runs.protocol import Protocol, Row, get_protocol, list_protocols, row
from keras_prokt.runs.reproduction import Reproduction
from keras_prokt_apps.protocols import chosen
from keras_prokt_apps.protocols.rows import (
    PAPERS_FORM,
    Choice,
    choice_of,
    chosen_rows,
    is_papers_form,
)

# Read in the paper, Tables 1 to 3; a number of each table's corners and some between.
PUBLISHED = [
    ("table-1", "vgg13-mobilenetv2 student", {"accuracy": 64.6}),
    ("table-1", "vgg13-mobilenetv2 prokt", {"accuracy": 68.79}),
    ("table-1", "resnet32x4-shufflenetv2 rco", {"accuracy": 76.26}),
    ("table-1", "wrn-40-2-shufflenetv1 crd+prokt", {"accuracy": 76.76}),
    ("table-2", "sst2 bert-6 student", {"accuracy": 92.6}),
    ("table-2", "mrpc bilstm prokt lambda=0.3", {"f1": 80.3, "accuracy": 71.0}),
    ("table-2", "qqp bilstm prokt lambda=0", {"f1": 59.7, "accuracy": 79.7}),
    (
        "table-2",
        "mnli bilstm rco",
        {"accuracy": 66.9, "accuracy on validation_mismatched": 67.6},
    ),
    ("table-2", "qnli bert-6 tinybert+prokt lambda=0.3", {"accuracy": 90.9}),
    ("table-3", "vgg13-mobilenetv2 fitnet", {"accuracy": 64.14}),
    ("table-3", "resnet50-vgg8 cc", {"accuracy": 70.25}),
    ("table-3", "wrn-40-2-shufflenetv1 nst", {"accuracy": 74.89}),
]


@pytest.mark.parametrize(("protocol", "name", "published"), PUBLISHED)
def test_rows_have_the_numbers_of_the_paper(protocol, name, published):
    rows = {row.name: row for row in get_protocol(protocol).rows}
    assert rows[name].published == published


def test_the_tables_are_whole():
    assert len(get_protocol("table-1").rows) == 6 * 7
    assert len(get_protocol("table-2").rows) == 5 * 12
    assert len(get_protocol("table-3").rows) == 6 * 17


@pytest.mark.slow
@pytest.mark.parametrize("protocol", list_protocols(), ids=lambda protocol: protocol.name)
def test_every_run_of_a_protocol_is_a_run_that_exists(protocol, tmp_path):
    runs = Reproduction(protocol, tmp_path / "out", tmp_path / "results")
    assert len(runs.entries) == len(protocol.rows) * len(protocol.seeds)
    specs = [str(entry.spec.to_json()) for entry in runs.entries]
    assert len(set(specs)) == len(specs), "a run is in it twice"
    assert {state["state"] for state in runs.states()} == {"waiting"}
    assert not list(tmp_path.iterdir()), "looking writes nothing"


@pytest.mark.process
@pytest.mark.whole_run
def test_every_method_has_as_many_trials_as_the_others():
    for protocol in list_protocols():
        if protocol.chooses:
            groups = [row.group for row in protocol.rows if row.group != PAPERS_FORM]
            [count] = {groups.count(group) for group in groups}
            assert count in (4, 8, 16)


def test_what_was_chosen_becomes_the_rows_that_are_compared():
    kd = {"temperature": 4.0, "label_weight": 0.5}
    found = {"proximal_weight": 0.3, "label_weight": 0.5}
    papers_form = {"proximal_weight": 0.3, "label_weight": 0.0}
    rows = chosen_rows(Choice({"epochs": 12}, kd, found, papers_form), 1.0)
    of_title = {row.title: (row.method, dict(row.settings)) for row in rows}
    assert of_title == {
        "prokt, found recipe": ("prokt", found),
        "kd": ("kd", kd),
        "labels": ("student", {"epochs": 12}),
        "kd, best teacher epoch": ("kd", {**kd, "teacher_keep": "best"}),
        "prokt, paper's form": ("prokt", papers_form),
        "prokt lambda=0": ("prokt", {"proximal_weight": 0.0, "label_weight": 0.0}),
        "rco": ("rco", kd),
    }
    same = chosen_rows(Choice({}, kd, papers_form, papers_form), 1.0)
    assert PAPERS_FORM not in {row.title for row in same}, "no run is in it twice"
    assert chosen_rows(None, 1.0) == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trials", "typed"), [("digits-choice", chosen.DIGITS), ("texts-tuning", chosen.TEXTS)]
)
def test_what_is_typed_is_what_the_trials_chose(trials, typed, tmp_path):
    results = Path(__file__).parents[2] / "results"
    assert choice_of(Reproduction(get_protocol(trials), tmp_path, results)) == typed


def test_trials_choose_the_best_row_of_each_method(tmp_path, monkeypatch):
    trials = Reproduction(get_protocol("texts-tuning"), tmp_path / "out", tmp_path / "results")
    values = {name: 0.5 for name in trials.rows}

    def archived():
        return {
            name: {
                "results": {
                    "metric": "accuracy",
                    "models": {"student": {"validation": {"accuracy": value}}},
                }
            }
            for name, value in values.items()
        }

    monkeypatch.setattr(trials, "archived", archived)
    rows = trials.protocol.rows
    names = {row.name: name for name, row in trials.rows.items()}
    best = {row.group: row for row in rows}  # the last of each, that no default chooses
    for number, each in enumerate(best.values()):
        values[names[each.name]] = 0.6 + 0.01 * number
    choice = choice_of(trials)
    expected = (best["student"], best["kd"], best["prokt"], best[PAPERS_FORM])
    assert choice == Choice(*(each.settings for each in expected))
    values.pop(names[rows[0].name])
    assert choice_of(trials) is None, "a run is missing"


def test_the_papers_form_has_no_labels_in_the_loss_of_the_student():
    of_name = {row.name: is_papers_form(row) for row in get_protocol("texts-tuning").rows}
    assert [name for name, is_one in of_name.items() if is_one] == [
        "prokt lambda=0.3 label-weight=0",
        "prokt, paper's form lambda=0",
        "prokt, paper's form lambda=0.6",
    ]


def test_tuning_measures_no_test_data_and_takes_no_seed_that_is_reported():
    protocols = {protocol.name: protocol for protocol in list_protocols()}
    reported = [
        protocols[name] for name in ("digits-long", "digits-wrong-labels") if name in protocols
    ]
    for protocol in protocols.values():
        if protocol.chooses:
            assert not protocol.measures_test
            assert not any(set(protocol.seeds) & set(other.seeds) for other in reported)


@pytest.mark.slow
def test_a_fixed_teacher_is_trained_for_as_many_epochs_as_the_student(tmp_path):
    for name in ("digits-first-look", "digits-tuning", "texts-tuning"):
        for entry in Reproduction(get_protocol(name), tmp_path, tmp_path).entries:
            if entry.spec.method == "kd":
                assert entry.spec.teacher_epochs == entry.spec.epochs


@pytest.mark.slow
def test_the_split_of_the_digits_follows_the_seed(tmp_path):
    for entry in Reproduction(get_protocol("digits-tuning"), tmp_path, tmp_path).entries:
        assert entry.spec.split_seed == entry.spec.seed


def test_an_unknown_protocol_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'table-1'"):
        get_protocol("table1")


def test_a_protocol_has_each_row_once():
    same = (row("kd", 1.0, temperature=2.0), row("kd", 1.0, temperature=2.0))
    with pytest.raises(ValueError, match="Expected seeds and rows of different names"):
        Protocol("twice", "", "digits", same, (0,))
    with pytest.raises(ValueError, match="a figure"):
        Protocol("drawn", "", "digits", (Row("a", "kd"),), (0,), figure="dynamic")
