"""Tables of predictions: every cell and number is read again as it was written."""

import csv

import pytest

from keras_prokt.results.predictions import write_columns


@pytest.mark.parametrize("cell", ["a\rb", "\r", "a\r\n", "a\nb", 'a,"b"', "", "plain "])
def test_cells_with_any_end_of_line_stay_cells(cell, tmp_path):
    write_columns(tmp_path / "t.csv", [("line", [1, 2]), ("body", [cell, "next"])])
    text = (tmp_path / "t.csv").read_bytes().decode()
    assert text.endswith("\n2,next\n")
    with (tmp_path / "t.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["line", "body"], ["1", cell], ["2", "next"]]


def test_small_numbers_keep_their_digits(tmp_path):
    values = [0.5, 0.0, -1234.5678912, 3.2e-7, -0.0012345678]
    write_columns(tmp_path / "t.csv", [("values", values)])
    assert (tmp_path / "t.csv").read_text().split() == [
        *("values", "0.500000", "0.000000", "-1234.567891", "3.2e-07", "-0.001234568")
    ]


@pytest.mark.parametrize(
    "text", ['=HYPERLINK("http://x","y")', "+1 a", "-x", "@SUM(1)", "\t=1", "＝1"]
)
def test_spreadsheets_compute_nothing_of_a_cell_or_a_heading(text, tmp_path):
    write_columns(tmp_path / "t.csv", [(text, [text, "-1.5", "a=1", 2])])
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        cells = [row[0] for row in csv.reader(file)]
    assert cells == [f"'{text}", f"'{text}", "-1.5", "a=1", "2"]
    parquet = pytest.importorskip("pyarrow.parquet")
    write_columns(tmp_path / "t.parquet", [(text, [text, "-1.5"])])
    assert parquet.read_table(tmp_path / "t.parquet").to_pydict() == {text: [text, "-1.5"]}
