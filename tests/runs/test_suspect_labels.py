"""Training rows whose label both models of a run contradict: which ones, and whose columns."""

import csv

import numpy as np
import pytest
from command_line import keras_prokt
from sklearn.datasets import load_digits

from keras_prokt.runs import RunSpec, prediction_rows, suspect_labels
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.task import prepare


@pytest.mark.whole_run
def test_wrong_labels_of_digits_are_found_by_position(tmp_path):
    settings = ["--label-noise", "0.3", "--student", "cnn-medium", "--epochs", "8"]
    ran = keras_prokt(
        *("run", "--app", "digits", *settings, "--save-teacher", "--no-export", "--out", "run"),
        cwd=tmp_path,
    )
    assert ran.exit_code == 0, ran.output
    result = keras_prokt("suspects", "run", cwd=tmp_path)
    assert result.exit_code == 0, result.output
    with (tmp_path / "suspects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert result.stdout == f"suspects.csv: {len(rows):,} of 1,200 training rows\n"
    train = prepare(RunFolder(tmp_path / "run").spec()).train
    given = dict(zip(train.origin.positions.tolist(), train.labels.tolist(), strict=True))
    margins = [float(row["margin"]) for row in rows]
    assert margins == sorted(margins) and max(margins) < 0
    for row in rows:
        assert given[int(row["position"])] == int(row["training_label"])
        assert row["training_label"] not in (row["student_class"], row["teacher_class"])
    right = load_digits().target
    wrong = {position for position, label in given.items() if label != right[position]}
    found = {int(row["position"]) for row in rows}
    # Better than a third, which any rows would have.
    assert len(found & wrong) / len(found) > 0.7 and len(found & wrong) / len(wrong) > 0.7
    again = keras_prokt("suspects", "run", cwd=tmp_path)
    assert again.exit_code == 2 and "Expected a new file for the predictions" in again.stderr


def test_a_run_without_its_teacher_is_refused(tmp_path):
    from pretended_runs import write_run

    write_run(tmp_path / "run", RunSpec.resolve("digits", "prokt"), 0.5)
    RunFolder(tmp_path / "run").student.touch()
    result = keras_prokt("suspects", "run", cwd=tmp_path)
    assert result.exit_code == 2 and "repeat it with --save-teacher" in result.stderr


@pytest.mark.parametrize("kind", ["classes", "one label", "labels"])
def test_one_class_an_example_is_needed(kind):
    logits = np.array([[0.0, 1.0]]) if kind != "one label" else np.array([[1.0]])
    if kind == "labels":
        with pytest.raises(ValueError, match="Expected a run whose examples have one class each"):
            suspect_labels._probabilities("labels", logits)
        return
    output = "classes" if kind == "classes" else "labels"
    yes = 1 / (1 + np.exp(-1))
    found = suspect_labels._probabilities(output, logits)
    np.testing.assert_allclose(found, [[1 - yes, yes]])


def test_rows_of_the_data_as_it_was_given(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("id,body,stars\n7,a,1\n\n8,b,0\n9,c,1\n")
    columns = {"text_columns": ("body",), "label_column": "stars"}
    spec = RunSpec.resolve("text", "student", dataset=str(table), teacher="x", **columns)
    origin = suspect_labels._origin(spec, np.array([2, 0]))
    assert origin.columns([], as_texts=True)[:2] == [("line", [5, 2]), ("id", ["9", "7"])]
    images = tmp_path / "images"
    for name in ("b/2.png", "a/1.png", "b/1.png"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(b"")
    spec = RunSpec.resolve("images", "prokt", dataset=str(images), image_size="8")
    origin = suspect_labels._origin(spec, np.array([1, 0]))
    assert origin == prediction_rows.Origin(("path", ["b/1.png", "a/1.png"]))
    positions = suspect_labels._origin(RunSpec.resolve("digits", "prokt"), np.array([3]))
    assert positions == prediction_rows.Origin(("position", [3]))
