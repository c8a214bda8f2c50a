"""What is printed of each class of a run, in a few lines after it and whole by `info`."""

import json

import numpy as np
import pytest
from command_line import keras_prokt
from pretended_runs import completed, record_of, write_run

from keras_prokt.outputs.reports import class_report
from keras_prokt.results.class_tables import class_summary, class_tables
from keras_prokt.runs import RunSpec
from keras_prokt.runs.folder import RunFolder


def run_record(width=3, part="test", names=None):
    """A run whose teacher errs once and whose student takes every second 0 for the last class."""
    labels = np.arange(4 * width) % width
    teacher, student = labels.copy(), labels.copy()
    teacher[0], student[:: 2 * width] = 1, width - 1
    record = completed(record_of(RunSpec.resolve("digits", "prokt")), 0.5)
    record["class_names"] = names or [f"c{number}" for number in range(width)]
    record["results"]["size_ratio"] = {"parameters": 0.0125, "bytes": 0.025}
    record["results"]["reports"] = {
        name: {part: class_report(labels, answers, np.eye(width)[answers])}
        for name, answers in (("teacher", teacher), ("student", student))
    }
    return record


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_summary_names_size_and_the_hardest_classes(part):
    assert class_summary(run_record(part=part)) == [
        "size: the student has 1.2% of the teacher's parameters and 2.5% of its bytes",
        f"lowest F1 on {part}: c0 0.6667, c2 0.8000, c1 1.0000",
        "most often taken for another: c0 for c2 (2)",
    ]
    assert class_summary(completed(record_of(RunSpec.resolve("digits", "student")), 0.5)) == []


def test_tables_of_few_classes_have_teacher_student_and_all_confusions():
    classes, confusion, calibration = class_tables(run_record()).split("\n\n")
    rows = [line.split() for line in classes.splitlines()[2:]]
    assert rows == [
        ["c0", "4", "0.8571", "0.6667", "1.0000", "0.5000"],
        ["c1", "4", "0.8889", "1.0000", "1.0000", "1.0000"],
        ["c2", "4", "1.0000", "0.8000", "0.6667", "1.0000"],
    ]
    assert [line.split() for line in confusion.splitlines()[2:]] == [
        ["c0", "2", "0", "2"],
        ["c1", "0", "4", "0"],
        ["c2", "0", "0", "4"],
    ]
    assert calibration.splitlines()[2].split() == ["1.0000", "0.8333", "12"]


def test_tables_of_many_classes_have_the_hardest():
    classes, confusions, _ = class_tables(run_record(width=30)).split("\n\n")
    lines = classes.splitlines()
    assert len(lines) == 23 and [lines[2].split()[0], lines[3].split()[0]] == ["c0", "c29"]
    assert lines[-1] == "(20 of 30 classes, those with the lowest F1; --json has all)"
    assert confusions.splitlines()[2].split() == ["c0", "c29", "2"]


def test_names_do_not_steer_a_terminal():
    table = class_tables(run_record(names=["a\x1b[2J", "b\nc", "d"]))
    assert "\x1b" not in table and "b c " in table


def test_info_prints_them_and_json_has_the_whole_record(tmp_path):
    write_run(tmp_path / "run", RunSpec.resolve("digits", "prokt"))
    folder, record = RunFolder(tmp_path / "run"), run_record()
    folder.write(record)
    # Lists of numbers stand in one line each.
    assert "[2, 0, 2]" in folder.record.read_text()
    shown = keras_prokt("info", "run", cwd=tmp_path)
    assert shown.exit_code == 0 and class_tables(record) in shown.stdout
    found = json.loads(keras_prokt("info", "run", "--json", cwd=tmp_path).stdout)
    assert found.pop("folder") == "run"
    assert found["results"]["reports"] == record["results"]["reports"]
    assert found == folder.read()
    resumed = keras_prokt("resume", "run", "--json", cwd=tmp_path)
    assert json.loads(resumed.stdout)["results"] == record["results"]
