"""Tables for people: the results of a run, the card of a method."""

import re

import pytest

from keras_prokt.methods import OBJECTIVES, known_methods, parse_method
from keras_prokt.results.tables import format_table, listed, method_card, results_table
from keras_prokt.runs.spec import RunSpec


def record(method="prokt", **settings):
    measured = {"accuracy": 0.5, "loss": 1.0, "seconds": 0.25}
    model = {"parameters": 1234567, "bytes": 4938268, "validation": measured, "test": measured}
    teacher = {**model, "validation": {"accuracy": 0.75, "loss": 1.0, "seconds": 0.5}}
    return {
        "status": "completed",
        "spec": RunSpec.resolve("digits", method, **settings).to_json(),
        "examples": {"train": 1437, "validation": 180},
        "training_seconds": 12.345,
        "results": {
            "best_epoch": 3,
            "last_epoch": 40,
            "models": {"student": model, "teacher": teacher},
        },
    }


def test_what_the_run_was_stands_above_its_results():
    [head, models, data, _, columns, _, *rows] = results_table(record(seed=3)).splitlines()
    assert head == "digits, method prokt, seed 3, λ 0.3, T 1, 40 epochs of batches of 64"
    assert models == (
        "teacher cnn-large, student cnn-small; student: epoch 3 of 40, the best on validation"
    )
    assert data.startswith("examples: 1,437 train, 180 validation; seconds:")
    assert columns.split() == ["model", "validation", "test", "parameters", "bytes", "seconds"]
    assert rows[-1] == "trained in 12.3 s"


def test_of_each_model_a_row():
    rows = results_table(record()).splitlines()[6:8]
    assert [row.split() for row in rows] == [
        ["teacher", "0.7500", "0.5000", "1,234,567", "4,938,268", "0.750"],
        ["student", "0.5000", "0.5000", "1,234,567", "4,938,268", "0.500"],
    ]


@pytest.mark.parametrize(
    ("method", "settings", "shown"),
    [
        ("prokt", {"proximal_weight": 0.0}, "λ 0, T 1,"),
        ("prokt", {"proximal_bound": 0.5, "temperature": 4.0}, "ε 0.5, T 4,"),
        ("student", {}, "seed 0, 40 epochs"),
    ],
)
def test_settings_of_the_method_are_shown_of_zero_too(method, settings, shown):
    assert shown in results_table(record(method, **settings)).splitlines()[0]


def test_what_is_not_as_in_the_recipe_stands_in_one_line():
    changed = {
        "student-optimizer": "lamb",
        "student-learning-rate": 0.001,
        "weight": {"kd": 2.0},
        "set": {"crd": {"num_negatives": 128, "temperature": 0.1}},
        "deterministic": True,
        "text": ["first", "second"],
        # These stand in the first line, and those are off.
        **{"seed": 3, "epochs": 5, "batch-size": 32, "lambda": 0.5, "epsilon": 1.0},
        **{"temperature": 2.0, "limit": None, "full-train": False},
    }
    expected = (
        "not as in the recipe: student-optimizer lamb, student-learning-rate 0.001, weight kd=2, "
        "set crd.num_negatives=128 crd.temperature=0.1, deterministic, text first,second"
    )
    plain, table = (results_table(record(), given).splitlines() for given in (None, changed))
    assert table == [plain[0], expected, *plain[1:]]
    assert results_table(record(), {"epochs": 3}).splitlines() == plain
    running = results_table({**record(), "status": "running"}, changed)
    assert running.splitlines()[1:] == [expected, "status: not completed"]


def test_numbers_that_differ_are_shown_apart():
    assert listed({"a": 0.12345678, "b": 0.12345679}) == "a 0.12345678, b 0.12345679"
    assert listed({"a": 1.0, "b": 0.0, "c": 1e-5}) == "a 1, b 0, c 1e-05"
    assert listed({}) == ""


def test_a_teacher_from_a_file_is_named_by_it():
    table = results_table(record(teacher_init="/mine/teacher.keras"))
    assert "teacher /mine/teacher.keras, student cnn-small" in table


def test_a_student_of_the_last_epoch_is_said_to_be_one():
    of_all_data = record()
    of_all_data["spec"]["data"]["full_train"] = True
    assert "epoch 3 of 40, the last; validation was trained on" in results_table(of_all_data)


def test_lengths_of_texts():
    lengths = {"mean": 12.34, "longest": 66, "padded_lengths": 5, "padding": 0.051}
    table = results_table({**record(), "lengths": lengths})
    assert "lengths: 12.3 on average, at most 66; batches of 5 lengths, 5.1% of positions" in table
    assert "lengths" not in results_table({**record(), "lengths": None})


def test_runs_without_results_say_why():
    failed = {**record(), "status": "failed", "failure": "a loss of nan"}
    assert results_table(failed).splitlines()[1:] == ["status: failed: a loss of nan"]
    running = {key: value for key, value in record().items() if key != "results"}
    table = results_table({**running, "status": "running"})
    assert table.splitlines()[1:] == ["status: not completed"]


@pytest.mark.parametrize("method", known_methods())
def test_every_method_has_a_card(method):
    lines = method_card(method).splitlines()
    assert lines[0] == method
    [regime] = [number for number, line in enumerate(lines) if line.startswith("regime ")]
    assert lines[regime + 1].startswith("loss     ")


@pytest.mark.parametrize("method", ["crd+prokt", *known_methods()])
def test_a_card_lists_every_setting_with_its_values_and_help(method):
    parsed, card = parse_method(method), method_card(method).splitlines()
    expected = {row.option_of(name): row for name, row in parsed.settings.items()}
    for objective in parsed.objectives:
        rows = OBJECTIVES[objective].settings
        expected |= {f"--set {objective}.{name}": row for name, row in rows.items()}
    shown = dict(re.split(r" {2,}", line.strip(), maxsplit=1) for line in card if "    --" in line)
    assert shown.keys() == expected.keys()
    for typed, row in expected.items():
        assert shown[typed].startswith(row.help.format(role="teacher"))
        for choice in row.choices:
            assert choice in shown[typed].rpartition("(")[2]


def test_a_card_says_what_values_a_setting_takes():
    card = method_card("crd+prokt")
    assert "--set crd.num_negatives  Negative examples of each one. (whole number ≥ 1)" in card
    assert re.search(r"--lambda .*\(number ≥ 0, < 1 or FIRST\.\.LAST\)$", card, re.MULTILINE)
    assert re.search(r"--target-mode .*\(inference \| training\)$", card, re.MULTILINE)
    assert re.search(r"--set crd\.momentum .*\(number ≥ 0, < 1\)$", card, re.MULTILINE)


def test_the_card_of_a_method():
    card = method_card("crd+prokt")
    assert "objective crd: embedded features" in card and "ICLR 2020, arXiv 1910.10699" in card
    assert "\nloss     1 · kd + 0.8 · crd\n" in card
    assert "stage 1  a paraphraser of the teacher's features" in method_card("ft")
    with pytest.raises(ValueError, match="did you mean 'crd'"):
        method_card("crdd")


def test_columns_are_as_wide_as_their_longest_cell():
    rows = [["a", "1"], ["long name", "123"]]
    assert format_table(["model", "n"], rows) == (
        "model        n\n---------  ---\na            1\nlong name  123"
    )
    assert format_table(["model", "n"], rows, left=True).splitlines()[2] == "a          1"
