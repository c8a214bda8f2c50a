"""Stored outputs of a teacher: files, and which row belongs to which example."""

import json
import zipfile

import numpy as np
import pytest

from keras_prokt.data.batches import Batches, Origin
from keras_prokt.data.table import load_texts
from keras_prokt.data.teacher_outputs import check_file, columns_and_form, read_teacher_outputs
from keras_prokt.outputs import OUTPUTS

NAMES = ["bad", "good"]
VALUES = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])
ALL = Origin(np.arange(3), 3)


def write(folder, name, headings=("p(bad)", "p(good)"), values=VALUES):
    """A table with a column of other things before."""
    path = folder / name
    rows = [dict(zip(headings, row, strict=True)) for row in values.tolist()]
    rows = [{"body": f"text {number}", **row} for number, row in enumerate(rows)]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow", reason="reads Parquet")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        separator = "," if path.suffix == ".csv" else "\t"
        lines = [rows[0].keys(), *(map(str, row.values()) for row in rows)]
        path.write_text("\n".join(separator.join(line) for line in lines) + "\n")
    return str(path)


HEADER = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 10), }"
HUGE = b"\x93NUMPY\x01\x00\x76\x00" + HEADER.ljust(117) + b"\n"
"""The beginning of an array of 73 TiB."""


def packed(folder, content):
    """An archive whose `logits` are some bytes."""
    path = folder / "outputs.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("logits.npy", content)
    return str(path)


def archive(folder, **arrays):
    path = folder / "outputs.npz"
    np.savez(path, **arrays)
    return str(path)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_tables_by_the_names_of_the_classes(suffix, tmp_path):
    path = write(tmp_path, f"outputs{suffix}")
    read = read_teacher_outputs(path, class_names=NAMES[::-1])
    assert (read.form, read.index) == ("probabilities", None)
    np.testing.assert_array_equal(read.values, VALUES[:, ::-1])
    logits = write(tmp_path, f"logits{suffix}", ["logit(bad)", "logit(good)"], np.log(VALUES + 1))
    read = read_teacher_outputs(logits, class_names=NAMES)
    assert read.form == "logits"
    np.testing.assert_array_equal(read.values, np.log(VALUES + 1))


def test_other_columns_are_named(tmp_path):
    path = write(tmp_path, "reviews.csv", ["neg", "pos"])
    read = read_teacher_outputs(path, "probabilities = pos, neg", NAMES)
    assert read.form == "probabilities"
    np.testing.assert_array_equal(read.values, VALUES[:, ::-1])
    assert read_teacher_outputs(path, "logits=neg,pos").form == "logits"


@pytest.mark.parametrize("form", ["logits", "probabilities"])
def test_archives(form, tmp_path):
    read = read_teacher_outputs(archive(tmp_path, **{form: VALUES.astype("float16")}))
    assert (read.form, read.index) == (form, None)
    np.testing.assert_array_equal(read.values, VALUES)
    np.testing.assert_array_equal(read.rows_of(ALL), [0, 1, 2])
    np.testing.assert_array_equal(read.rows_of(Origin(np.array([2, 0]), 3)), [2, 0])


def test_an_index_says_which_rows_there_are(tmp_path):
    read = read_teacher_outputs(archive(tmp_path, logits=VALUES, index=[7, 3, 5]))
    np.testing.assert_array_equal(read.rows_of(Origin(np.array([5, 7]), 9)), [2, 0])
    with pytest.raises(ValueError, match="received none for 2 of them.*the first at position 1"):
        read.rows_of(Origin(np.array([5, 1, 2]), 9))
    with pytest.raises(ValueError, match=r"index in \[0, 6\), .*received 7 in"):
        read.rows_of(Origin(np.array([5]), 6))


def test_probabilities_become_clipped_logarithms():
    logits = OUTPUTS["classes"].outputs_of_means(VALUES)
    np.testing.assert_allclose(logits[1], [0, np.log(1e-7)], atol=1e-12)
    yes = OUTPUTS["labels"].outputs_of_means(VALUES[:, :1])
    expected = [np.log(1 / 3), np.log(1 - 1e-7) - np.log(1e-7), 0]
    np.testing.assert_allclose(yes[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("kind, received", [("classes", "sums to 1.1"), ("labels", "1.2")])
def test_what_is_no_probability_is_refused_with_its_row(kind, received):
    bad = VALUES.copy()
    bad[2] = [0.5, 0.6] if kind == "classes" else [0.5, 1.2]
    with pytest.raises(ValueError, match=f"Expected probabilities .*{received}.* in row 2; .*logi"):
        OUTPUTS[kind].outputs_of_means(bad)


NOT_FINITE = VALUES.copy()
NOT_FINITE[1, 0] = np.nan
OBJECTS = np.array([["a", "b"]], dtype=object)
BAD = {
    "nothing there": (lambda f: str(f / "no.npz"), "that is there, received .* no file"),
    "suffix": (lambda f: str(f / "outputs.pt"), r"suffix among .npz, .csv.*'.*outputs.pt'; numpy"),
    "no archive": (lambda f: write(f, "x.csv").replace("x.csv", "y.npz"), "no file"),
    "names": (lambda f: archive(f, scores=VALUES), "'logits' or 'probabilities', received scores"),
    "both": (
        lambda f: archive(f, logits=VALUES, probabilities=VALUES),
        "one array .* received log",
    ),
    "shape": (lambda f: archive(f, logits=VALUES[:, 0]), r"shape \(rows, classes\).*\(3,\)"),
    "empty": (lambda f: archive(f, logits=VALUES[:0]), r"\(rows, classes\).*\(0, 2\)"),
    "booleans": (lambda f: archive(f, logits=VALUES > 0.5), "that are numbers .*received bool of"),
    "not finite, probabilities": (
        lambda f: archive(f, probabilities=NOT_FINITE),
        "Expected finite probabilities .*; correct what the teacher gave",
    ),
    "pickle": (
        lambda f: archive(f, logits=OBJECTS),
        "Expected numbers in teacher_outputs, .*write",
    ),
    "no array": (lambda f: packed(f, b"no array"), "teacher_outputs, .*what is no array"),
    "a claim": (lambda f: packed(f, HUGE + bytes(80)), "Expected numbers in teacher_outputs"),
    "not finite": (
        lambda f: archive(f, logits=NOT_FINITE),
        "Expected finite logits .* in row 1 of",
    ),
    "index": (lambda f: archive(f, logits=VALUES, index=[0, 1]), "index of 3 integers .*int64"),
    "words": (
        lambda f: write(f, "t.csv", values=np.array([["a", "b"]])),
        r"Expected numbers in the columns p\(bad\), p\(good\) .*line 2; fill them in",
    ),
    "columns": (
        lambda f: write(f, "t.csv", ["neg", "pos"]),
        r"columns logit\(bad\), logit\(good\) or p\(bad\), p\(good\) .*teacher_columns probabil",
    ),
}


@pytest.mark.parametrize("names", [[0, 1], [b"0", b"1"], ["0", "1"]])
def test_names_of_classes_are_compared_as_text(names, tmp_path):
    path = archive(tmp_path, logits=VALUES, class_names=np.array(names))
    np.testing.assert_array_equal(read_teacher_outputs(path, class_names=["0", "1"]).values, VALUES)
    with pytest.raises(ValueError, match=r"of the classes \['1', '0'\], received \['0', '1'\] in"):
        read_teacher_outputs(path, class_names=["1", "0"])


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_refused(name, tmp_path):
    make, message = BAD[name]
    with pytest.raises(ValueError, match=message) as error:
        read_teacher_outputs(make(tmp_path), class_names=NAMES)
    assert "\n" not in str(error.value)


def test_a_damaged_archive_is_refused_at_once(tmp_path):
    (tmp_path / "outputs.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"that numpy.savez has written, received .*outputs.npz"):
        check_file(str(tmp_path / "outputs.npz"))


def test_rows_that_are_too_few_or_there_twice(tmp_path):
    read = read_teacher_outputs(archive(tmp_path, logits=VALUES))
    with pytest.raises(ValueError, match="each of the 4 rows .* as it was given, received 3 in"):
        read.rows_of(Origin(np.arange(3), 4))
    read = read_teacher_outputs(archive(tmp_path, logits=VALUES, index=[0, 1, 1]))
    with pytest.raises(ValueError, match="each position once in its index"):
        read.rows_of(ALL)


@pytest.mark.parametrize("text", ["a,b", "scores=a,b", "logits=", "logits=a,,b", "logits=a,a"])
def test_columns_that_mean_nothing(text):
    with pytest.raises(
        ValueError, match="Expected teacher_columns logits=A,B,... or probabilities"
    ):
        columns_and_form(text)


def test_positions_are_those_before_a_table_is_divided(tmp_path):
    rows = [f"text {number},{number % 2}" for number in range(40)]
    rows[3] = ",\n" + rows[3]  # an empty row is none
    (tmp_path / "reviews.csv").write_text("\n".join(["body,stars", *rows]) + "\n")
    data = load_texts(str(tmp_path / "reviews.csv"), text_columns=["body"], label_column="stars")
    assert data.count == 40 and len(data.positions) < 40
    assert data.parts["train"].texts[0] == [f"text {position}" for position in data.positions]


def test_batches_know_where_their_examples_come_from():
    x = np.arange(10, dtype="float32")[:, None]
    targets = np.hstack([x, -x])
    whole = Batches(
        x[2:8], np.arange(6), batch_size=2, shuffle=True, origin=Origin(np.arange(2, 8), 10)
    )
    part = whole.with_targets(targets[2:8]).limited(4).with_index()
    assert part.origin.count == 10
    for inputs, labels in part.epoch(1):
        assert set(inputs) == {"teacher", "student", "index", "target"}
        np.testing.assert_array_equal(inputs["target"][:, 0], inputs["student"][:, 0])
        np.testing.assert_array_equal(part.origin.positions[inputs["index"]], labels + 2)
    assert part.digest("student") == whole.limited(4).digest()
