"""Tables of predictions: every cell and number is read again as it was written."""

import csv

import pytest

from keras_prokt.results.predictions import write_columns


@pytest.mark.parametrize("cell", ["a\rb", "\r", "a\r\n", "a\nb", 'a,"b"', "", "=1+1", "plain "])
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
