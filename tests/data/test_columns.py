"""Values of examples as columns of a table, and back."""

import numpy as np
import pytest

from keras_prokt.data.columns import columns_of, values_in


@pytest.mark.parametrize(
    ("values", "headings"),
    [
        (np.array([3, 0, 7]), ["label"]),
        (np.array([[3], [0], [7]]), ["label"]),
        (np.array([[1, 0], [0, 0], [1, 1]]), ["label[0]", "label[1]"]),
        (np.arange(36.0).reshape(3, 12) / 8, [f"label[{i}]" for i in range(12)]),
    ],
)
def test_what_is_written_is_read(values, headings):
    columns = columns_of("label", values)
    assert [heading for heading, _ in columns] == headings
    per_example = zip(*(values for _, values in columns), strict=True)
    rows = [dict(zip(headings, map(str, row), strict=True)) for row in per_example]
    other = [{**row, "student[0]": "9", "label[": "9"} for row in rows]
    found = values_in(other, "label")
    assert found == (values.ravel() if len(headings) == 1 else values).tolist()
    assert type(np.ravel(found)[0].item()) is type(values.item(0))


def test_no_rows_have_no_values():
    assert values_in([], "label") == []
