"""Answers in an archive; `tests/runs/test_reproduction.py` tests the rest of it on runs."""

import pytest

from keras_prokt.results.archive import decoded, encoded


@pytest.mark.parametrize("answers", [[[0, 1, 1], [1, 0, 0]], [[1], [0]], [[300, 0], [0, 1]]])
def test_rows_of_labels_are_kept_as_they_are(answers):
    assert decoded(encoded(answers)) == answers


@pytest.mark.parametrize("answers", [[[0.5], [1.0]], [0.5], [70_000], [-1]])
def test_other_than_small_whole_numbers_are_not_kept(answers):
    assert encoded(answers) is None
