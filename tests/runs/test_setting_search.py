"""Searches: what they run, what they choose on validation, and test data for the choice alone.

Nothing is trained here; `tests/cli/test_many_runs.py` has real runs.
"""

import importlib.util
import io
import itertools
import statistics

import pytest
from pretended_runs import Pretended, unchanged

from keras_prokt.results.search import search_table
from keras_prokt.runs import finished_run
from keras_prokt.runs import setting_search as module
from keras_prokt.runs.run_list import RunList
from keras_prokt.runs.search_space import Range
from keras_prokt.runs.setting_search import go_on, read_search, search
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import Stop, Stopped
from keras_prokt.runs.student_latency import measure_latency
from keras_prokt.runs.worker import record_failure
from keras_prokt.settings import SettingError, argument

needs_optuna = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None, reason="needs Optuna (extra `search`)"
)
OVER = {"proximal_weight": [0.0, 0.6]}
SMALL = {"epochs": 1, "limit": 128}


@pytest.fixture
def pretended(monkeypatch):
    pretended = Pretended(monkeypatch)
    # λ = 0.6 is better with seed 0, λ = 0 in the mean of both.
    table = {(0.0, 0): 0.60, (0.6, 0): 0.65, (0.0, 1): 0.80, (0.6, 1): 0.70}
    pretended.outcome = lambda spec: table.get((spec.proximal_weight, spec.seed), 0.1)
    return pretended


def carry_out(out, over=OVER, method="prokt", **settings):
    stream = io.StringIO()
    found, done = search("digits", method, over, out, stream=stream, **{**SMALL, **settings})
    return found, done, stream.getvalue()


def record(out, name):
    return RunList(out, "search").folder(name).read()


def is_tested(out):
    """Names of the runs whose students were measured on test data."""
    return [
        path.parent.name
        for path in sorted(out.glob("*/run.json"))
        if (found := record(out, path.parent.name))["status"] == "completed"
        and "test" in found["results"]["models"]["student"]
    ]


@pytest.mark.slow
def test_every_value_and_seed_is_run_and_the_best_mean_is_chosen(pretended, tmp_path):
    found, done, _ = carry_out(tmp_path / "s", seeds=[0, 1])
    names = [f"lambda-{value}-seed-{seed}" for seed, value in itertools.product("01", ("0", "0.6"))]
    assert sorted(done.completed) == sorted(pretended.begun) == sorted(names)
    assert found["chosen"] == "lambda=0"
    assert [one["title"] for one in found["configurations"]] == ["lambda=0", "lambda=0.6"]
    students = [run["student"] for run in found["configurations"][0]["runs"]]
    assert statistics.mean(students) == pytest.approx(0.70)
    assert (found["seeds"], found["settings"]) == ([0, 1], {"proximal_weight": "linear"})
    assert (tmp_path / "s" / "search.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert read_search(RunList.at(tmp_path / "s")) == found
    with unchanged(tmp_path / "s" / "lambda-0-seed-0"):
        assert carry_out(tmp_path / "s", seeds=[0, 1])[0] == found
    assert len(pretended.begun) == 4


@pytest.mark.slow
def test_test_data_is_measured_after_the_choice_for_the_choice_alone(pretended, tmp_path):
    out = tmp_path / "s"

    def outcome(spec):
        assert is_tested(out) == []
        return 0.5 + 0.1 * (spec.proximal_weight > 0)

    pretended.outcome = outcome
    found, _, _ = carry_out(out, seeds=[0, 1])
    assert found["chosen"] == "lambda=0.6"
    assert pretended.tested == is_tested(out) == ["lambda-0.6-seed-0", "lambda-0.6-seed-1"]
    tests = {one["title"]: [r["test"] for r in one["runs"]] for one in found["configurations"]}
    assert tests == {"lambda=0": [None, None], "lambda=0.6": [0.3, 0.3]}
    # Once: a repetition measures nothing.
    carry_out(out, seeds=[0, 1])
    assert len(pretended.tested) == 2


def test_of_equal_means_the_first_is_chosen(pretended, tmp_path):
    pretended.outcome = lambda spec: 0.5
    over = {"proximal_weight": [0.4, 0.0, 0.2]}
    assert carry_out(tmp_path / "s", over)[0]["chosen"] == "lambda=0.4"


@pytest.mark.slow
def test_more_values_and_seeds_extend_the_same_folder(pretended, tmp_path):
    out = tmp_path / "s"
    first, _, _ = carry_out(out)
    assert first["chosen"] == "lambda=0.6" and is_tested(out) == ["lambda-0.6-seed-0"]
    before = record(out, "lambda-0-seed-0")
    found, _, _ = carry_out(out, {"proximal_weight": [0.3]}, seeds=[1])
    # Old values get the new seed, and new values the old seed.
    assert len(pretended.begun) == 6 and found["seeds"] == [0, 1]
    assert [one["title"] for one in found["configurations"]] == [
        "lambda=0",
        "lambda=0.6",
        "lambda=0.3",
    ]
    assert all(one["is_whole"] for one in found["configurations"])
    assert found["chosen"] == "lambda=0"
    assert record(out, "lambda-0-seed-0")["started"] == before["started"]
    # The first choice had been measured, and that is told.
    assert is_tested(out) == ["lambda-0-seed-0", "lambda-0-seed-1", "lambda-0.6-seed-0"]
    assert "test data was also measured for lambda=0.6, chosen before" in search_table(found)


def test_another_search_in_the_folder_is_refused(pretended, tmp_path):
    out = tmp_path / "s"
    carry_out(out)
    others = [
        {"over": {"student_learning_rate": [0.1, 0.2]}},
        {"over": {**OVER, "student_learning_rate": [0.1]}},
        {"epochs": 2},
        {"temperature": 2.0},
        {"method": "at+prokt"},
    ]
    for other in others:
        with unchanged(out), pytest.raises(ValueError, match="that of the same search, received"):
            carry_out(out, **other)
    with pytest.raises(ValueError, match="new folder or that of a search, received"):
        carry_out(tmp_path)


@pytest.mark.slow
def test_several_settings_weights_and_settings_of_objectives_make_a_grid(pretended, tmp_path):
    pretended.outcome = lambda spec: 0.5
    over = {
        "weights kd": [0.5, 1.0],
        "objective_settings crd.num_negatives": [8, 16],
        "student": ["cnn-small", "cnn-medium"],
    }
    given = {"weights": {"crd": 0.25}, "objective_settings": {"crd": {"dimensions": 4}}}
    found, done, _ = carry_out(tmp_path / "s", over, "crd+kd", **given)
    assert len(done.completed) == len(found["configurations"]) == 8
    assert found["settings"] == {
        "weights kd": "log",
        "objective_settings crd.num_negatives": "linear",
        "student": "names",
    }
    specs = [RunList.at(tmp_path / "s").folder(name).spec() for name in done.completed]
    assert {
        (s.weights["kd"], s.objective_settings["crd"]["num_negatives"], s.student) for s in specs
    } == set(itertools.product([0.5, 1.0], [8, 16], ["cnn-small", "cnn-medium"]))
    for spec in specs:
        assert spec.weights["crd"] == 0.25 and spec.objective_settings["crd"]["dimensions"] == 4
    assert found["chosen"] == "weight kd=0.5 set crd.num_negatives=8 student=cnn-small"
    assert (tmp_path / "s" / "search.png").is_file()


def test_a_run_of_a_search_is_the_run_by_itself(pretended, tmp_path):
    carry_out(tmp_path / "s", seeds=[1])
    spec = RunList.at(tmp_path / "s").folder("lambda-0.6-seed-1").spec()
    assert spec == RunSpec.resolve("digits", "prokt", **SMALL, proximal_weight=0.6, seed=1)


@pytest.mark.slow
def test_a_failed_configuration_is_not_chosen_and_its_other_seeds_are_left_out(pretended, tmp_path):
    def outcome(spec):
        if (spec.proximal_weight, spec.seed) == (0.6, 0):
            raise RuntimeError("it burst")
        return spec.proximal_weight

    pretended.outcome = outcome
    out = tmp_path / "s"
    found, done, shown = carry_out(out, seeds=[0, 1])
    assert done.failed == {"lambda-0.6-seed-0": "RuntimeError: it burst"}
    assert found["chosen"] == "lambda=0" and "lambda-0.6-seed-1" not in pretended.begun
    assert "failed: lambda=0.6: RuntimeError: it burst" in search_table(found)
    assert found["configurations"][1]["is_whole"] is False
    # Begun anew, both of its seeds are run, by two processes too.
    pretended.outcome = lambda spec: spec.proximal_weight
    found, done, _ = carry_out(out, seeds=[0, 1], retries_failed=True, jobs=2)
    assert done.failed == {} and found["chosen"] == "lambda=0.6"


def test_seeds_that_failed_side_by_side_are_all_begun_anew(pretended, tmp_path):
    def outcome(spec):
        raise RuntimeError("no")

    pretended.outcome = outcome
    out = tmp_path / "s"
    over = {"proximal_weight": [0.6]}
    carry_out(out, over, seeds=[0])
    carry_out(out, over, seeds=[0, 1])
    runs = RunList.at(out)
    record_failure(runs, runs.entry("lambda-0.6-seed-1"), "as in another process")
    pretended.outcome = lambda spec: 0.5
    found, done, _ = carry_out(out, over, seeds=[0, 1], retries_failed=True, jobs=2)
    assert len(done.completed) == 2 and found["chosen"] == "lambda=0.6"


def test_without_a_whole_configuration_nothing_is_chosen_or_measured(pretended, tmp_path):
    def outcome(spec):
        raise RuntimeError("no")

    pretended.outcome = outcome
    found, done, _ = carry_out(tmp_path / "s")
    assert found["chosen"] is None and len(done.failed) == 2 and pretended.tested == []
    assert not (tmp_path / "s" / "search.png").exists()
    assert "chosen" not in search_table(found)


@pytest.mark.slow
def test_a_search_in_pieces_is_the_search_in_one(pretended, tmp_path):
    whole, _, _ = carry_out(tmp_path / "whole", seeds=[0, 1])
    pretended.begun.clear()
    outcome = pretended.outcome
    stop = Stop()

    def until_stopped(spec):
        stop.signal = 15
        return outcome(spec)

    pretended.outcome = until_stopped
    with pytest.raises(Stopped):
        carry_out(tmp_path / "pieces", seeds=[0, 1], stop=stop)
    assert len(pretended.begun) == 1 and pretended.tested[2:] == []
    partial = read_search(RunList.at(tmp_path / "pieces"))
    assert "unfinished: 0 of 2 configurations are completed" in search_table(partial)
    found, _ = go_on(RunList.at(tmp_path / "pieces"), stream=io.StringIO())
    assert found == whole and len(pretended.begun) == 4


def test_a_choice_that_another_process_measures_is_waited_for(pretended, tmp_path, monkeypatch):
    tries = []

    def busy_at_first(folder):
        tries.append(folder.path.name)
        if len(tries) == 1:
            with folder.locked(), folder.locked():
                pass
        pretended._add_test(folder)

    monkeypatch.setattr(finished_run, "add_test", busy_at_first)
    found, done, _ = carry_out(tmp_path / "s")
    assert len(tries) == 2 and done.refused == {} and found["chosen"] == "lambda=0.6"
    assert is_tested(tmp_path / "s") == ["lambda-0.6-seed-0"]


@pytest.mark.parametrize(
    ("over", "settings", "message"),
    [
        ({}, {}, "at least one setting with several values or a range, received none"),
        ({"proximal_weight": []}, {}, r"different values of proximal_weight, received \[\]"),
        ({"proximal_weight": [0, 0.0]}, {}, "different values of proximal_weight, received"),
        ({"proximal_weight": [0.3, 1.0]}, {}, r"proximal_weight in \[0, 1\), received 1.0"),
        ({"proximal_weight": ["a"]}, {}, "a number for proximal_weight, or two of them"),
        (
            {"proximal_wight": [0.3]},
            {},
            "a setting that can be searched, received 'proximal_wi",
        ),
        ({"seed": [1, 2]}, {}, "a setting that can be searched, received 'seed'"),
        ({"deterministic": [True, False]}, {}, "one value of deterministic, received several"),
        ({"data_dir": ["a", "b"]}, {}, "one value of data_dir, received several"),
        ({"weights at": [1.0]}, {}, "a weight of an objective of 'prokt' among kd"),
        ({"objective_settings crd.no": [1]}, {}, "a setting of an objective among"),
        ({"objective_settings none.a": [1]}, {}, "a setting of an objective among"),
        ({"teacher": ["cnn-large", "cnn-huge"]}, {}, "Expected a teacher among"),
        (OVER, {"seeds": []}, r"different seeds, received \[\]"),
        (OVER, {"seeds": [1, 1]}, r"different seeds, received \[1, 1\]"),
        (OVER, {"seeds": [-1]}, r"seeds in \[0, 4294967295\], received -1"),
        (OVER, {"seeds": [2**32]}, r"seeds in \[0, 4294967295\], received 4294967296"),
        (OVER, {"seed": 3}, "no seed of a search, received 3; seeds holds for all"),
        (OVER, {"proximal_weight": 0.3}, "proximal_weight with one value or with several, receiv"),
        (
            {"weights kd": [0.5, 1]},
            {"weights": {"kd": 2.0}, "method": "kd"},
            "weights kd with one value or with several, received both",
        ),
        (
            {"objective_settings crd.num_negatives": [8, 16]},
            {"objective_settings": {"crd": {"num_negatives": 4}}, "method": "crd"},
            "objective_settings crd.num_negatives with one value or with several",
        ),
        ({"proximal_weight": Range(0.8, 0.0)}, {}, "LOW below HIGH for proximal_weight, received"),
        (
            {"label_weight": Range(0.5, 0.5)},
            {},
            "LOW below HIGH for label_weight, received 0.5:0.5",
        ),
        ({"batch_size": Range(3, 2)}, {}, "LOW below HIGH for batch_size, received 3:2; name one"),
        ({"label_weight": Range(float("nan"), 0.5)}, {}, "label_weight .*, received nan"),
        ({"student_momentum": Range(0, float("inf"))}, {}, "student_momentum in .*, received inf"),
        ({"proximal_weight": Range("0.6..0", 0.7)}, {}, "a number for proximal_weight, received '"),
        (OVER, {"trials": 3}, "no trials without a range, received 3"),
        (OVER, {"jobs": 0}, "jobs of at least 1, received 0"),
        (OVER, {"method": "kd"}, "no proximal_weight with method 'kd'"),
        (OVER, {"full_train": True}, "validation data that is not trained on"),
        ({"proximal_weight": Range(0.5, 1.5)}, {}, r"proximal_weight in \[0, 1\), received 1.5"),
        ({"student_learning_rate": Range(0, 1)}, {}, "student_learning_rate above 0, received 0"),
        ({"student_weight_decay": Range(0, 1)}, {}, "a range of student_weight_decay above 0"),
        ({"student": Range(0, 1)}, {}, "values of student joined by commas, received a range"),
        ({"epochs": Range(1.5, 3)}, {"epochs": None}, "a whole number for epochs, received 1.5"),
        (
            {"proximal_weight": Range(0, 0.5)},
            {"trials": 0},
            "trials to be a whole number of at least 1",
        ),
    ],
)
def test_what_is_refused_leaves_nothing_behind(over, settings, message, pretended, tmp_path):
    with pytest.raises(ValueError, match=message) as refused:
        carry_out(tmp_path / "s", over, **settings)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == [] and pretended.begun == []


def test_values_that_change_while_a_run_trains_are_values_as_others(pretended, tmp_path):
    pretended.outcome = lambda spec: 0.8 if isinstance(spec.proximal_weight, str) else 0.5
    over = {"proximal_weight": [0.3, "0.6..0", "0.6 .. 0.0"]}
    found, done, _ = carry_out(tmp_path / "s", over)
    names = ["lambda-0.3-seed-0", "lambda-0.6..0-seed-0", "lambda-0.6..0.0-seed-0"]
    assert sorted(done.completed) == names
    assert found["settings"] == {"proximal_weight": "names"}
    assert found["chosen"] == "lambda=0.6..0" and is_tested(tmp_path / "s") == names[1:2]
    specs = [RunList.at(tmp_path / "s").folder(name).spec() for name in names]
    assert [spec.proximal_weight for spec in specs] == [0.3, "0.6..0", "0.6..0.0"]
    assert (tmp_path / "s" / "search.png").is_file()
    assert "lambda=0.6..0 " in search_table(found)


def test_a_search_reads_the_same_files_from_any_folder(pretended, tmp_path, monkeypatch):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for name in ("data", "teacher", "small", "large"):
        (here / name).mkdir(parents=True)
    (here / "mine.csv").write_text("text,label\n" + "one,a\ntwo,b\n" * 20)
    elsewhere.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(RunSpec, "check_without_keras", lambda spec: None)
    given = {"data_dir": "data", "dataset": "mine.csv", "teacher": "teacher"}
    given |= {"text_columns": ("text",), "label_column": "label", "teacher_init": "t.keras"}
    stop = Stop()

    def until_stopped(spec):
        stop.signal = 15
        return 0.5

    pretended.outcome = until_stopped
    over = {"student": ["small", "large"]}
    with pytest.raises(Stopped):
        search("text", "kd", over, here / "s", stop=stop, stream=io.StringIO(), **given)
    assert len(pretended.begun) == 1
    monkeypatch.chdir(elsewhere)
    runs = RunList.at(here / "s")
    go_on(runs, stream=io.StringIO())
    runs.add([module._entry(runs.read()["about"], {"student": str(here / "small")}, 1)])
    specs = [entry.spec for entry in runs.entries()]
    assert [spec.student for spec in specs] == [str(here / n) for n in ("small", "large", "small")]
    for spec in specs:
        assert spec.data_dir == str(here / "data") and spec.dataset == str(here / "mine.csv")
        assert (spec.teacher, spec.teacher_init) == (str(here / "teacher"), str(here / "t.keras"))


DAMAGES = {
    "half a record": lambda folder: folder.record.write_text("{"),
    "another record": lambda folder: folder.record.write_text(
        folder.record.read_text().replace("0.6", "0.7")
    ),
    "no record": lambda folder: (folder.path / "notes.txt").write_text(
        folder.record.unlink() or "mine"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_damaged_run_is_named_and_the_others_are_shown(kind, seed, pretended, tmp_path):
    out, name = tmp_path / "s", f"lambda-0.6-seed-{seed}"
    carry_out(out, seeds=[seed])
    runs = RunList.at(out)
    DAMAGES[kind](runs.folder(name))
    found = read_search(runs)
    first, second = found["configurations"]
    assert first["is_whole"] and not second["is_whole"]
    # What the damaged one has found may be the best.
    assert found["chosen"] is None and found["unreadable"] == second["failures"]
    [failure] = second["failures"]
    assert failure.startswith(f"{name} cannot be read: Expected ")
    assert name in search_table(found)
    # It goes on with more seeds; those of the damaged configuration are left out.
    pretended.begun.clear()
    found, done, _ = carry_out(out, seeds=[0, 1])
    assert set(done.refused) == {name} and pretended.begun == [f"lambda-0-seed-{1 - seed}"]
    assert found["chosen"] is None


def test_reasons_are_shown_as_the_caller_names_arguments(pretended, tmp_path):
    pretended.fails_early = True

    def outcome(spec):
        if spec.proximal_weight == 0.6:
            raise SettingError(f"Expected {argument('batch_size')} of at most 3.")
        return 0.5

    pretended.outcome = outcome
    _, done, _ = carry_out(
        tmp_path / "s", show=lambda text: SettingError(text).shown_as({"batch_size": "-b"})
    )
    assert done.failed == {"lambda-0.6-seed-0": "Expected -b of at most 3."}


def test_without_optuna_ranges_are_refused_and_lists_work(pretended, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"install it with `pip install 'keras-prokt\[search\]'`"):
        carry_out(tmp_path / "s", {"proximal_weight": Range(0, 0.5)})
    assert list(tmp_path.iterdir()) == []
    carry_out(tmp_path / "s")


@needs_optuna
def test_a_search_over_ranges_is_another_than_one_over_lists(pretended, tmp_path):
    out = tmp_path / "s"
    carry_out(out)
    with unchanged(out), pytest.raises(ValueError, match="that of the same search, received"):
        carry_out(out, {"proximal_weight": Range(0.0, 0.5)})


@needs_optuna
class TestRanges:
    """Ranges, in which Optuna proposes."""

    OVER = {"student_learning_rate": Range(1e-4, 1.0), "label_weight": Range(0.0, 0.5)}

    @pytest.fixture
    def pretended(self, monkeypatch):
        pretended = Pretended(monkeypatch)
        # Best at a learning rate of 0.01 and a label weight of 0.4.
        pretended.outcome = lambda spec: (
            1 / (1 + abs(spec.label_weight - 0.4) + abs(spec.student_learning_rate - 0.01))
        )
        return pretended

    @pytest.mark.slow
    def test_two_ranges_are_searched_and_the_best_trial_chosen(self, pretended, tmp_path):
        found, done, _ = carry_out(tmp_path / "s", self.OVER, trials=25)
        assert len(done.completed) == len(found["configurations"]) == 25
        values = [one["values"] for one in found["configurations"]]
        assert all(1e-4 <= one["student_learning_rate"] <= 1.0 for one in values)
        assert all(0.0 <= one["label_weight"] <= 0.5 for one in values)
        # A learning rate is drawn by its logarithm: half of a plain range lies above 0.5.
        assert sum(one["student_learning_rate"] > 0.1 for one in values) < 13
        scores = {one["title"]: one["runs"][0]["student"] for one in found["configurations"]}
        assert found["chosen"] == max(scores, key=scores.get)
        assert found["settings"] == {"student_learning_rate": "log", "label_weight": "linear"}
        # It learns: the second half is better than the first.
        halves = [list(scores.values())[:12], list(scores.values())[12:]]
        assert statistics.mean(halves[1]) > statistics.mean(halves[0])

    @pytest.mark.slow
    def test_a_search_that_is_cut_off_has_the_trials_of_one_that_is_not(self, pretended, tmp_path):
        whole, _, _ = carry_out(tmp_path / "whole", self.OVER, trials=6, seeds=[0, 1])
        out, stop, outcome = tmp_path / "pieces", Stop(), pretended.outcome

        def until_stopped(spec):
            if len(pretended.begun) == 12 + 5:
                stop.signal = 15
            return outcome(spec)

        pretended.outcome = until_stopped
        with pytest.raises(Stopped):
            carry_out(out, self.OVER, trials=6, seeds=[0, 1], stop=stop)
        assert read_search(RunList.at(out))["chosen"] is not None
        found, _, _ = carry_out(out, self.OVER, trials=6, seeds=[0, 1])
        assert found == whole and len(pretended.begun) == 24

    @pytest.mark.slow
    def test_more_trials_and_seeds_extend_it(self, pretended, tmp_path):
        out = tmp_path / "s"
        first, _, _ = carry_out(out, self.OVER, trials=2)
        found, _, _ = carry_out(out, self.OVER, trials=4, seeds=[0, 1])
        assert found["trials"] == 4 and len(pretended.begun) == 8
        titles = [one["title"] for one in found["configurations"]]
        assert titles[:2] == [one["title"] for one in first["configurations"]]
        # Fewer are no refusal, and no loss.
        assert carry_out(out, self.OVER, trials=1)[0]["trials"] == 4

    @pytest.mark.slow
    def test_a_narrower_range_keeps_the_trials_that_lie_outside(self, pretended, tmp_path):
        out = tmp_path / "s"
        carry_out(out, self.OVER, trials=4)
        narrow = {**self.OVER, "label_weight": Range(0.39, 0.41)}
        found, _, _ = carry_out(out, narrow, trials=8)
        values = [one["values"]["label_weight"] for one in found["configurations"]]
        assert len(values) == 8 and all(0.39 <= value <= 0.41 for value in values[4:])

    @pytest.mark.slow
    def test_whole_numbers_and_lists_beside_a_range(self, pretended, tmp_path):
        pretended.outcome = lambda spec: 1 / spec.batch_size
        over = {"batch_size": Range(2, 4), "student": ["cnn-small", "cnn-medium"]}
        # There are six, whatever is asked for.
        found, done, _ = carry_out(tmp_path / "s", over, "student", trials=9)
        values = {tuple(one["values"].values()) for one in found["configurations"]}
        assert values <= set(itertools.product([2, 3, 4], ["cnn-small", "cnn-medium"]))
        assert len(values) == len(found["configurations"]) > 3
        assert all(isinstance(one["values"]["batch_size"], int) for one in found["configurations"])
        assert found["chosen"].startswith("batch-size=2 ")

    @pytest.mark.slow
    def test_failed_trials_count_and_are_not_proposed_again(self, pretended, tmp_path):
        def outcome(spec):
            if spec.student_learning_rate > 0.05:
                raise RuntimeError("it burst")
            return 0.5

        pretended.outcome = outcome
        found, done, _ = carry_out(tmp_path / "s", self.OVER, trials=10)
        failed = [one for one in found["configurations"] if one["failures"]]
        assert len(failed) == len(done.failed) > 0
        assert len(failed) + len(done.completed) == 10 == len(set(pretended.begun))

    @pytest.mark.slow
    def test_a_damaged_trial_counts_as_failed(self, pretended, tmp_path):
        out = tmp_path / "s"
        carry_out(out, self.OVER, trials=3)
        RunList.at(out).folder(pretended.begun[1]).record.write_text("{")
        found, done, _ = carry_out(out, self.OVER, trials=5)
        assert set(done.refused) == {pretended.begun[1]} and len(pretended.begun) == 5
        assert [bool(one["failures"]) for one in found["configurations"]].count(True) == 1

    @pytest.mark.slow
    def test_values_that_change_beside_a_range(self, pretended, tmp_path):
        pretended.outcome = lambda spec: 0.5
        over = {"label_weight": Range(0.0, 0.5), "proximal_weight": [0.3, "0.6..0"]}
        found, done, _ = carry_out(tmp_path / "s", over, trials=4)
        assert len(done.completed) == 4
        values = {one["values"]["proximal_weight"] for one in found["configurations"]}
        assert values <= {0.3, "0.6..0"}

    @pytest.mark.slow
    def test_processes_side_by_side_get_different_trials(self, pretended, tmp_path):
        found, done, _ = carry_out(tmp_path / "s", self.OVER, trials=6, jobs=3)
        assert len(done.completed) == 6 == len({one["title"] for one in found["configurations"]})


@pytest.mark.slow
def test_students_that_are_too_slow_are_left_out_and_none_is_measured_twice(
    pretended, tmp_path, monkeypatch
):
    seconds = {"cnn-small": 0.001, "cnn-medium": 0.004, "cnn-large": 0.02}
    measured = []

    def pretend(spec):
        measured.append(spec.student)
        return {"student": seconds[spec.student], "teacher": 0.03}

    monkeypatch.setattr(module, "measure_latency", pretend)
    out, over = tmp_path / "s", {"student": ["cnn-small", "cnn-large"]}
    found, _, printed = carry_out(out, over, latency=0.005)
    assert measured == ["cnn-small", "cnn-large"] and "cnn-large: 20 ms an example" in printed
    assert [one["values"]["student"] for one in found["configurations"]] == ["cnn-small"]
    assert (found["latency"], found["teacher_latency"]) == (0.005, 0.03)
    table = search_table(found)
    assert "left out: student cnn-large, 20 ms an example, above the 5 ms" in table
    assert table.splitlines()[3].split()[-2:] == ["latency,", "ms"]
    more = {"student": ["cnn-small", "cnn-large", "cnn-medium"]}
    found, _, _ = carry_out(out, more, latency=0.005)
    assert measured == ["cnn-small", "cnn-large", "cnn-medium"]
    assert found["latencies"] == seconds and len(found["configurations"]) == 2
    with pytest.raises(ValueError, match="that of the same search"):
        carry_out(out, over, latency=0.006)


@pytest.mark.parametrize(
    ("over", "latency", "message"),
    [
        (OVER, 0.005, "Expected several values of student and no ranges"),
        (
            {"student": ["cnn-small", "cnn-large"]},
            1e-9,
            "Expected a student within latency 1e-06",
        ),
        ({"student": ["cnn-small", "cnn-large"]}, 0.0, "above 0"),
    ],
)
def test_a_budget_that_means_nothing_is_refused(over, latency, message, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "measure_latency", lambda spec: {"student": 0.001})
    with pytest.raises(ValueError) as refused:
        carry_out(tmp_path / "s", over, latency=latency)
    assert message in str(refused.value) and not (tmp_path / "s").exists()


@pytest.mark.process
def test_the_models_of_a_run_are_timed_before_they_are_trained():
    found = measure_latency(RunSpec.resolve("digits", "prokt"))
    assert found.keys() == {"student", "teacher"} and min(found.values()) > 0
