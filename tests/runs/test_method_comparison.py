"""Comparisons: which runs they carry out, which they take over, and how their rows are told apart.

Nothing is trained here; `tests/cli/test_many_runs.py` has real runs.
"""

import csv
import io
import re

import numpy as np
import pytest
from pretended_runs import Pretended, unchanged, write_run
from scipy import stats

from keras_prokt.files import digest_of_file
from keras_prokt.results.comparison_forms import FORMS, render
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.method_comparison import (
    compare,
    compare_folders,
    known_baselines,
    read_comparison,
    resume_comparison,
    shared_settings,
)
from keras_prokt.runs.run_list import RunList
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import Stop, Stopped
from keras_prokt.runs.titled_runs import titled_runs

ACCURACY = {"student": [0.70, 0.72, 0.71], "kd": [0.75, 0.74, 0.77], "prokt": [0.78, 0.79, 0.80]}


SEARCH = {
    **{"app": "digits", "method": "kd", "given": {}, "over": {}, "seeds": [0], "trials": None},
    "configurations": {},
}


def spec_of(method, **settings):
    return RunSpec.resolve("digits", method, **{"epochs": 1, "limit": 128, **settings})


def rows_of(*methods):
    return {method: spec_of(method) for method in methods}


@pytest.fixture
def pretended(monkeypatch):
    pretended = Pretended(monkeypatch)
    pretended.outcome = lambda spec: ACCURACY[spec.method][spec.seed]
    return pretended


def carry_out(rows, out, **settings):
    return compare(rows, out, stream=io.StringIO(), **{"seeds": [0, 1, 2], **settings})


def test_a_metric_that_nothing_measures_is_refused_after_the_first_run(pretended, tmp_path):
    rows = rows_of("student", "kd")
    for _ in range(2):
        with pytest.raises(ValueError, match="Expected metric among .*; received 'nonsense'"):
            carry_out(rows, tmp_path / "c", metric="nonsense")
        assert len(pretended.begun) == 1
    comparison, done = carry_out(rows, tmp_path / "c", metric="accuracy")
    assert len(done.completed) == len(pretended.begun) == 6
    assert comparison["metric"] == "accuracy"


def row_of(comparison, method):
    return next(row for row in comparison["methods"] if row["method"] == method)


@pytest.mark.slow
def test_every_row_is_carried_out_with_every_seed(pretended, tmp_path):
    rows = rows_of("student", "kd", "prokt")
    comparison, done = carry_out(rows, tmp_path / "c", baselines=["kd"])
    assert len(done.completed) == len(pretended.begun) == 9 and done.failed == {}
    assert (comparison["part"], comparison["metric"]) == ("test", "accuracy")
    assert [row["method"] for row in comparison["methods"]] == list(rows)
    for method, values in ACCURACY.items():
        row = row_of(comparison, method)
        expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
        assert (row["seeds"], row["n"]) == ([0, 1, 2], 3)
        assert row["student"]["mean"] == pytest.approx(np.mean(values))
        assert row["student"]["interval"] == pytest.approx(expected)
    for pair in comparison["comparisons"]:
        expected = stats.ttest_rel(ACCURACY[pair["method"]], ACCURACY["kd"])
        assert pair["p"] == pytest.approx(expected.pvalue)
        assert pair["interval"] == pytest.approx(tuple(expected.confidence_interval()))
    # Every method has the same seed for the same split, start and order.
    specs = {name: RunFolder(tmp_path / "c" / name).spec() for name in pretended.begun}
    assert {(spec.method, spec.seed) for spec in specs.values()} == {
        (method, seed) for method in rows for seed in range(3)
    }


def test_a_seed_alone_has_no_interval_and_no_test_and_says_so(pretended, tmp_path):
    comparison, _ = carry_out(
        rows_of("student", "kd"), tmp_path / "c", seeds=[1], baselines=["student"]
    )
    assert row_of(comparison, "kd")["student"] == {
        "mean": 0.74,
        "interval": None,
        "bootstrap": None,
    }
    [pair] = comparison["comparisons"]
    assert (pair["n"], pair["interval"], pair["p"], pair["holm"]) == (1, None, None, None)
    assert "one seed: the number of one run, without interval and test" in render(
        comparison, "table"
    )


@pytest.mark.slow
def test_more_seeds_and_rows_take_over_the_runs_that_are_there(pretended, tmp_path):
    out = tmp_path / "c"
    carry_out(rows_of("student", "kd"), out, seeds=[0, 1])
    before = {path: path.read_bytes() for path in out.glob("*/run.json")}
    pretended.begun.clear()
    comparison, _ = carry_out(rows_of("student", "prokt"), out, seeds=[0, 1, 2])
    assert sorted(pretended.begun) == [
        *(f"prokt-seed-{seed}" for seed in range(3)),
        "student-seed-2",
    ]
    assert {path: path.read_bytes() for path in before} == before
    # What was asked for is shown; the others stay.
    assert [row["method"] for row in comparison["methods"]] == ["student", "prokt"]
    assert row_of(comparison, "student")["n"] == 3
    whole = read_comparison(RunList.at(out))
    assert [row["method"] for row in whole["methods"]] == ["student", "kd", "prokt"]
    with unchanged(out):
        again, _ = carry_out(rows_of("student", "prokt"), out, seeds=[0, 1, 2])
    assert again == comparison


def test_the_same_row_with_other_settings_is_refused(pretended, tmp_path):
    out = tmp_path / "c"
    carry_out(rows_of("kd"), out, seeds=[0])
    with unchanged(out), pytest.raises(ValueError, match="'kd-seed-0' has other settings; name"):
        carry_out({"kd": spec_of("kd", temperature=9.0)}, out, seeds=[0, 1])


@pytest.mark.slow
def test_a_comparison_that_was_stopped_goes_on_with_its_baselines(pretended, tmp_path):
    out = tmp_path / "c"
    stop = Stop()

    def outcome(spec):
        stop.signal = 15
        return ACCURACY[spec.method][spec.seed]

    pretended.outcome = outcome
    settings = {"baselines": ["prokt"], "seeds": [0, 1]}
    with pytest.raises(Stopped):
        carry_out(rows_of("kd", "prokt"), out, stop=stop, **settings)
    # No run of the baseline is completed yet.
    partial = read_comparison(RunList.at(out))
    assert [row["method"] for row in partial["methods"]] == ["kd"]
    assert partial["comparisons"] == []
    comparison, done = resume_comparison(RunList.at(out), stream=io.StringIO())
    assert len(done.completed) == 4 and len(pretended.begun) == 4
    assert [pair["baseline"] for pair in comparison["comparisons"]] == ["prokt"]
    assert (comparison, done.failed) == (carry_out(rows_of("kd", "prokt"), out, **settings)[0], {})


@pytest.mark.slow
def test_more_seeds_without_a_baseline_keep_those_that_were_there(pretended, tmp_path):
    out = tmp_path / "c"
    carry_out(rows_of("student", "kd"), out, seeds=[0, 1], baselines=["kd"])
    comparison, _ = carry_out(rows_of("student", "kd"), out, seeds=[0, 1, 2])
    again = carry_out(rows_of("prokt", "student"), out, baselines=["student"])[0]
    assert [pair["baseline"] for pair in comparison["comparisons"]] == ["kd"]
    assert [pair["baseline"] for pair in again["comparisons"]] == ["student"]
    about = RunList.at(out).read()["about"]
    assert about == {"methods": ["student", "kd", "prokt"], "baselines": ["kd", "student"]}
    for found in (read_comparison(RunList.at(out)), resume_comparison(RunList.at(out))[0]):
        pairs = [(pair["method"], pair["baseline"]) for pair in found["comparisons"]]
        assert pairs == [("student", "kd"), ("prokt", "kd"), ("prokt", "student")]
        assert {pair["n"] for pair in found["comparisons"]} == {3}


@pytest.mark.slow
def test_the_folder_of_a_comparison_knows_its_baselines(pretended, tmp_path):
    out = tmp_path / "c"
    carry_out(rows_of("student", "kd", "prokt"), out, baselines=["kd", "student"])
    assert known_baselines([out], ["student", "prokt", "kd"]) == ["kd", "student"]
    assert known_baselines([str(out)], ["student", "kd epochs=1"]) == ["student"]
    assert known_baselines([out, out / "kd-seed-0"], ["kd"]) == []
    assert known_baselines([out / "kd-seed-0"], ["kd"]) == []
    RunList(tmp_path / "s", "search").create(SEARCH, [], measures_test=False)
    assert known_baselines([tmp_path / "s"], ["kd"]) == []


def test_without_a_completed_run_there_is_no_comparison(pretended, tmp_path):
    def outcome(spec):
        raise RuntimeError("no")

    pretended.outcome = outcome
    comparison, done = carry_out(rows_of("kd"), tmp_path / "c", seeds=[0])
    assert comparison == {} and done.failed == {"kd-seed-0": "RuntimeError: no"}
    assert read_comparison(RunList.at(tmp_path / "c")) == {}


def test_a_failed_run_is_left_out_of_its_row(pretended, tmp_path):
    def outcome(spec):
        if (spec.method, spec.seed) == ("kd", 1):
            raise RuntimeError("no")
        return ACCURACY[spec.method][spec.seed]

    pretended.outcome = outcome
    comparison, done = carry_out(rows_of("student", "kd"), tmp_path / "c", baselines=["student"])
    assert done.failed == {"kd-seed-1": "RuntimeError: no"}
    assert row_of(comparison, "kd")["seeds"] == [0, 2]
    [pair] = comparison["comparisons"]
    assert (pair["seeds"], pair["left_out"]["baseline"]) == ([0, 2], [1])


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ({}, {}, "at least one method and one of seeds, received 0 and 3"),
        (rows_of("kd"), {"seeds": []}, "at least one method and one of seeds, received 1 and 0"),
        (rows_of("kd"), {"seeds": [1, 1]}, r"different seeds, received \[1, 1\]"),
        (rows_of("kd"), {"seeds": [-1]}, r"seeds in \[0, 4294967295\], received -1"),
        (rows_of("kd"), {"jobs": 0}, "jobs of at least 1, received 0"),
        (rows_of("kd"), {"threads": 0}, "threads of at least 1, received 0"),
        (
            rows_of("kd"),
            {"baselines": ["dk"]},
            "a baseline among kd; received 'dk'",
        ),
        (
            {"a": spec_of("kd"), "b": spec_of("kd", temperature=spec_of("kd").temperature)},
            {},
            "different rows, received 'a' and 'b' with the same settings",
        ),
        (
            {"a b": spec_of("kd"), "a=b": spec_of("kd", temperature=9.0)},
            {},
            "different rows, received 'a b' and 'a=b' with the same folder",
        ),
        ({"kd": spec_of("kd", teacher="cnn-huge")}, {}, "Expected a teacher among"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(rows, settings, message, pretended, tmp_path):
    with pytest.raises(ValueError, match=message) as refused:
        carry_out(rows, tmp_path / "c", **settings)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == [] and pretended.begun == []


def test_a_folder_of_something_else_is_refused(pretended, tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match="new folder or that of a comparison, received"):
        carry_out(rows_of("kd"), tmp_path)
    runs = RunList(tmp_path / "list", "comparison")
    runs.create({}, [], measures_test=True)
    write_run(tmp_path / "run", spec_of("kd"))
    with pytest.raises(ValueError, match="new folder or that of a comparison, received"):
        carry_out(rows_of("kd"), tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list", "run", "thesis.txt"]


# What is compared.


def test_the_comparison_says_what_was_compared(pretended, tmp_path):
    rows = rows_of("student", "kd") | {"mine": spec_of("kd", temperature=9.0)}
    comparison, _ = carry_out(rows, tmp_path / "c", seeds=[0, 1])
    shared = comparison["settings"]
    expected = {"app": "digits", "epochs": 1, "limit": 128, "batch-size": 64}
    expected |= {"teacher": "cnn-large", "student": "cnn-small"}
    assert {name: shared.get(name) for name in expected} == expected
    assert not {"seed", "data-dir", "method", "full-train", "temperature"} & shared.keys()
    of_student, of_kd, of_mine = (row["settings"] for row in comparison["methods"])
    assert "temperature" not in of_student and of_student["method"] == "student"
    assert of_kd["temperature"] == spec_of("kd").temperature and of_kd["method"] == "kd"
    assert (of_mine["method"], of_mine["temperature"]) == ("kd", 9.0)
    assert not any(shared.keys() & own.keys() for own in (of_student, of_kd, of_mine))
    assert shared_settings([row.replacing(seed=seed) for row in rows.values() for seed in (3, 4)])
    table = render(comparison, "table").splitlines()
    assert table[0].startswith("app digits, teacher cnn-large, student cnn-small, ")
    assert table[-1] == "settings of mine: method kd, temperature 9"


def test_rows_of_other_lengths_are_compared_and_say_so(tmp_path):
    for method, epochs, limit in (("kd", 1, 128), ("student", 2, 64)):
        write_run(tmp_path / method, spec_of(method, epochs=epochs, limit=limit), accuracy=0.5)
    comparison = compare_folders(titled_runs([tmp_path])[0])
    assert "epochs" not in comparison["settings"] and "limit" not in comparison["settings"]
    table = render(comparison, "table")
    assert re.search(r"settings of kd: .*epochs 1\b.*limit 128\b", table)
    assert re.search(r"settings of student: epochs 2, limit 64$", table, re.MULTILINE)


def test_a_row_of_runs_that_differ_says_all_they_have(tmp_path):
    for seed, epochs in enumerate((1, 2, 2)):
        write_run(tmp_path / str(seed), spec_of("kd", seed=seed, epochs=epochs), accuracy=0.5)
    folders = [("kd", RunFolder(tmp_path / str(seed))) for seed in range(3)]
    assert compare_folders(folders)["methods"][0]["settings"]["epochs"] == "1 or 2"


def data_of(test, train="t"):
    return {"train data": train, "validation data": "v", "test data": test}


def test_runs_of_a_seed_measured_on_different_data_are_refused(tmp_path):
    write_run(tmp_path / "a", spec_of("kd"), accuracy=0.5, data=data_of("0"))
    write_run(tmp_path / "b", spec_of("student"), accuracy=0.5, data=data_of("1"))
    with pytest.raises(ValueError, match="seed 0 on the same test data, received .*/a' and") as no:
        compare_folders(titled_runs([tmp_path])[0])
    assert f"{str(tmp_path / 'b')!r} on different data; compare" in str(no.value)
    assert "\n" not in str(no.value)
    # Validation is reported where a run has no test data, and it is the same.
    folder = RunFolder(tmp_path / "b")
    record = folder.read()
    del record["results"]["models"]["student"]["test"]
    folder.write(record)
    assert compare_folders(titled_runs([tmp_path])[0])["part"] == "validation"


def test_other_seeds_and_old_runs_may_have_other_data(tmp_path):
    runs = {"a": (0, data_of("0")), "b": (1, data_of("1")), "c": (0, {}), "d": (1, data_of("1"))}
    for name, (seed, data) in runs.items():
        method = "kd" if name in "ab" else "student"
        write_run(tmp_path / name, spec_of(method, seed=seed), accuracy=0.5, data=data)
    folders = [("kd" if name in "ab" else "student", RunFolder(tmp_path / name)) for name in runs]
    assert [row["n"] for row in compare_folders(folders)["methods"]] == [2, 2]


def test_other_training_data_is_told(tmp_path):
    write_run(tmp_path / "a", spec_of("kd"), accuracy=0.5, data=data_of("0", "t"))
    write_run(tmp_path / "b", spec_of("student"), accuracy=0.5, data=data_of("0", "u"))
    comparison = compare_folders(titled_runs([tmp_path])[0])
    assert [row["settings"]["training-data"] for row in comparison["methods"]] == [1, 2]
    write_run(tmp_path / "c", spec_of("prokt"), accuracy=0.5, data=data_of("0", "t"))
    same = compare_folders([("a", RunFolder(tmp_path / "a")), ("c", RunFolder(tmp_path / "c"))])
    assert not any("training-data" in row["settings"] for row in same["methods"])


@pytest.mark.parametrize(
    ("second", "labels", "is_refused"),
    [
        # Other word pieces of the same texts have another digest.
        ({"student": "bert-3"}, [0, 1], False),
        ({"max_length": 32}, [0, 1], False),
        ({"student": "bert-3"}, [1, 0], True),
        ({}, [0, 1], True),
    ],
)
def test_texts_that_are_read_otherwise_are_no_other_data(second, labels, is_refused, tmp_path):
    given = {"epochs": 1, "teacher": "minilm"}
    for name, settings, own, digest in (("a", {}, [0, 1], "0"), ("b", second, labels, "1")):
        spec = RunSpec.resolve("glue-sst2", "kd", **given, **settings)
        with_predictions(tmp_path / name, spec, own, own, data=data_of(digest))
    folders = [(name, RunFolder(tmp_path / name)) for name in "ab"]
    if is_refused:
        with pytest.raises(ValueError, match="on the same test data"):
            compare_folders(folders)
    else:
        assert len(compare_folders(folders)["methods"]) == 2


def test_other_tables_are_other_data_however_they_are_read(tmp_path):
    given = {"epochs": 1, "teacher": "minilm", "text_columns": ("t",), "label_column": "l"}
    for name, student in (("a", "bilstm"), ("b", "bert-3")):
        spec = RunSpec.resolve("text", "kd", dataset="all.csv", student=student, **given)
        data = {**data_of(name), "dataset": name}
        with_predictions(tmp_path / name, spec, [0, 1], [0, 1], data=data)
    with pytest.raises(ValueError, match="on the same test data"):
        compare_folders([(name, RunFolder(tmp_path / name)) for name in "ab"])


# Reading what is there.


def test_runs_are_titled_by_their_method_and_what_differs(tmp_path):
    specs = {
        "a": spec_of("kd", seed=0),
        "b": spec_of("kd", seed=1),
        "c": spec_of("prokt", proximal_weight=0.0, seed=0),
        "d": spec_of("prokt", proximal_weight=0.3, seed=0),
        "e": spec_of("prokt", proximal_weight=0.3, student_learning_rate=0.5, seed=0),
    }
    for name, spec in specs.items():
        write_run(tmp_path / name, spec, accuracy=0.5)
    titled, left_out = titled_runs([tmp_path / name for name in specs])
    assert left_out == []
    rate = f"{specs['c'].student_learning_rate:g}"
    assert [title for title, _ in titled] == [
        "kd",
        "kd",
        f"prokt lambda=0 student-learning-rate={rate}",
        f"prokt lambda=0.3 student-learning-rate={rate}",
        "prokt lambda=0.3 student-learning-rate=0.5",
    ]
    # As a folder of runs without a list they are the same.
    assert [title for title, _ in titled_runs([tmp_path])[0]] == [title for title, _ in titled]
    comparison = compare_folders(titled, ["kd"])
    assert [row["n"] for row in comparison["methods"]] == [2, 1, 1, 1]


def test_runs_of_one_heading_and_other_settings_are_no_row(pretended, tmp_path):
    carry_out({"mine": spec_of("kd")}, tmp_path / "a", seeds=[0, 1])
    carry_out({"mine": spec_of("kd", epochs=2, teacher_epochs=1)}, tmp_path / "b", seeds=[2])
    carry_out({"mine": spec_of("prokt")}, tmp_path / "c", seeds=[0])
    titles = [title for title, _ in titled_runs([tmp_path / "a"])[0]]
    assert titles == ["mine", "mine"]
    titles = [title for title, _ in titled_runs([tmp_path / "a", tmp_path / "b"])[0]]
    assert titles == ["mine epochs=1", "mine epochs=1", "mine epochs=2"]
    titles = [title for title, _ in titled_runs([tmp_path / "a", tmp_path / "c"])[0]]
    assert len(set(titles)) == 2 and titles[2].startswith("mine method=prokt ")


def test_other_data_is_another_row(tmp_path):
    for name, digest in {"a": "0", "b": "0", "c": "1"}.items():
        seed = "abc".index(name)
        data = {"train data": name, "validation data": digest}
        write_run(tmp_path / name, spec_of("kd", seed=seed), accuracy=0.5, data=data)
    titles = [title for title, _ in titled_runs([tmp_path])[0]]
    assert titles == ["kd data=1", "kd data=1", "kd data=2"]


def test_an_unfinished_run_that_is_named_is_refused_and_one_in_a_folder_left_out(tmp_path):
    write_run(tmp_path / "f" / "done", spec_of("kd"), accuracy=0.5)
    write_run(tmp_path / "f" / "not done", spec_of("kd", seed=1))
    with pytest.raises(ValueError, match=r"status 'running'; finish it with .*'.*/not done'`"):
        titled_runs([tmp_path / "f" / "done", tmp_path / "f" / "not done"])
    titled, left_out = titled_runs([tmp_path / "f"])
    assert [title for title, _ in titled] == ["kd"]
    assert left_out == [str(tmp_path / "f" / "not done")]


def test_a_list_in_the_folder_gives_the_headings_and_their_order(pretended, tmp_path):
    rows = {"with λ": spec_of("prokt"), "labels": spec_of("student")}
    carry_out(rows, tmp_path / "c", seeds=[0, 1])
    write_run(tmp_path / "c" / "a-stray", spec_of("kd"), accuracy=0.5)
    titled, _ = titled_runs([tmp_path / "c"])
    assert [title for title, _ in titled] == ["with λ", "labels", "with λ", "labels", "kd"]
    # A stray run is no run of the comparison.
    assert [row["method"] for row in read_comparison(RunList.at(tmp_path / "c"))["methods"]] == [
        "with λ",
        "labels",
    ]


@pytest.mark.parametrize("what", ["nowhere", "empty", "file"])
def test_what_holds_no_run_is_refused(what, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("here")
    with pytest.raises(ValueError, match=r"Expected (a run folder|completed runs)"):
        titled_runs([tmp_path / what])


def test_runs_of_several_apps_are_refused(tmp_path):
    write_run(tmp_path / "a", spec_of("kd"), accuracy=0.5)
    write_run(tmp_path / "b", RunSpec.resolve("cifar100", "kd", epochs=1), accuracy=0.5)
    titled, _ = titled_runs([tmp_path])
    with pytest.raises(ValueError, match="runs of one app, received cifar100, digits; compare"):
        compare_folders(titled)


def test_a_baseline_that_no_run_has_is_refused(tmp_path):
    write_run(tmp_path / "a", spec_of("kd"), accuracy=0.5)
    with pytest.raises(ValueError, match="a baseline among kd; received 'student'"):
        compare_folders(titled_runs([tmp_path])[0], ["student"])


def test_two_runs_of_a_row_and_seed_are_refused(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / name, spec_of("kd"), accuracy=0.5)
    with pytest.raises(ValueError, match="received two of 'kd' with seed 0"):
        compare_folders(titled_runs([tmp_path])[0])
    # The same run named twice is one run.
    assert len(titled_runs([tmp_path / "a", tmp_path / "a" / ""])[0]) == 1


def test_without_test_data_in_all_of_them_validation_is_compared(pretended, tmp_path):
    write_run(tmp_path / "a", spec_of("kd"), accuracy=0.5)
    write_run(tmp_path / "b", spec_of("kd", seed=1), accuracy=0.6)
    folder = RunFolder(tmp_path / "b")
    record = folder.read()
    del record["results"]["models"]["student"]["test"]
    folder.write(record)
    comparison = compare_folders(titled_runs([tmp_path])[0])
    assert comparison["part"] == "validation"
    assert comparison["methods"][0]["student"]["mean"] == pytest.approx(0.55)


def with_predictions(path, spec, labels, classes, **changes):
    accuracy = float(np.mean(np.array(labels) == classes))
    write_run(path, spec, accuracy=accuracy, **changes)
    folder = RunFolder(path)
    folder.predictions.mkdir()
    file = folder.predictions / "test.csv"
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([["label", "student"], *zip(labels, classes, strict=True)])
    folder.write({**folder.read(), "files": {"predictions/test.csv": digest_of_file(file)}})
    return file


def test_predictions_give_the_interval_over_examples_and_are_checked(tmp_path):
    labels = [0, 1, 1, 0, 1, 0, 1, 1]
    for seed, wrong in enumerate((1, 3)):
        classes = [1 - label if n < wrong else label for n, label in enumerate(labels)]
        file = with_predictions(tmp_path / str(seed), spec_of("kd", seed=seed), labels, classes)
    titled, _ = titled_runs([tmp_path])
    [row] = compare_folders(titled)["methods"]
    low, high = row["student"]["bootstrap"]
    assert low < 0.75 < high and row["examples"] == 8
    assert row["examples_standard_error"] == pytest.approx((0.75 * 0.25 / 8) ** 0.5)
    file.write_text(file.read_text().replace("0", "1"))
    with pytest.raises(ValueError, match=r"predictions/test.csv as the run .* wrote it"):
        compare_folders(titled)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_every_form_shows_every_row(form, pretended, tmp_path):
    comparison, _ = carry_out(rows_of("student", "kd"), tmp_path / "c", baselines=["kd"])
    shown = render(comparison, form)
    for word in ("student", "kd", "0.7"):
        assert word in shown


def scored(path, method, seed, area, constant, **measured):
    """A finished run that has measured scores too."""
    write_run(path, spec_of(method).replacing(seed=seed), 0.7)
    record = RunFolder(path).read()
    results = record["results"]
    results["models"]["student"]["test"] |= measured
    results["models"]["teacher"] = results["models"]["student"]
    scores = {"auc": area, "expected_calibration_error": 1 - area}
    results["scores"] = {"student": {"test": scores}, "teacher": {"test": {"auc": 0.99}}}
    results["best_constant"] = {"test": constant}
    results["lower_is_better"] = ["expected_calibration_error", "loss"]
    RunFolder(path).write(record)
    return method, RunFolder(path)


def test_any_metric_or_score_that_all_runs_have_measured_is_compared(tmp_path):
    runs = [
        scored(tmp_path / f"{method}-{seed}", method, seed, area + seed / 100, 0.6)
        for method, area in (("student", 0.8), ("kd", 0.9))
        for seed in range(2)
    ]
    usual = compare_folders(runs)
    assert (usual["metric"], usual["best_constant"]) == ("accuracy", [0.6, 0.6])
    assert "higher is better; best constant answer 0.6000\n" in render(usual, "table")
    found = compare_folders(runs, ["student"], "auc")
    assert found["mode"] == "max" and found["best_constant"] is None
    assert row_of(found, "kd")["student"]["mean"] == pytest.approx(0.905)
    assert row_of(found, "kd")["teacher"]["mean"] == pytest.approx(0.99)
    assert found["comparisons"][0]["difference"] == pytest.approx(0.1)
    for name in ("expected_calibration_error", "loss"):
        assert compare_folders(runs, (), name)["mode"] == "min"
    with pytest.raises(
        ValueError, match="Expected metric among .*; received 'aux'; did you mean 'auc'"
    ):
        compare_folders(runs, (), "aux")
    write_run(tmp_path / "old", spec_of("prokt"), 0.7)
    old = ("prokt", RunFolder(tmp_path / "old"))
    with pytest.raises(
        ValueError, match="metric that all runs have measured, received 'auc', which"
    ):
        compare_folders([*runs, old], (), "auc")
    assert compare_folders([*runs, old])["best_constant"] is None


def test_parts_of_their_own_have_constants_of_their_own(tmp_path):
    runs = [scored(tmp_path / f"{seed}", "kd", seed, 0.8, 0.5 + seed / 10) for seed in range(2)]
    assert "best constant answer 0.5000 to 0.6000" in render(compare_folders(runs), "table")


def test_the_score_of_classes_has_no_bootstrap_that_is_meant_for_labels(tmp_path, monkeypatch):
    runs = [scored(tmp_path / f"{seed}", "kd", seed, 0.8, 0.5) for seed in range(2)]
    for _, folder in runs:
        record = folder.read()
        record["results"]["scores"]["student"]["test"]["macro_f1"] = 0.7
        folder.write(record)
    module = "keras_prokt.runs.method_comparison.kept_predictions"
    monkeypatch.setattr(module, lambda *_: ([0, 1, 2], [0, 1, 1]))
    assert row_of(compare_folders(runs), "kd")["student"]["bootstrap"] is not None
    assert row_of(compare_folders(runs, (), "macro_f1"), "kd")["student"]["bootstrap"] is None
