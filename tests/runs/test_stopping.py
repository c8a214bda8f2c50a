"""Durations as people type them."""

import pytest

from keras_prokt.runs.stopping import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("9m", 540), ("1.5h", 5400), (" 2m ", 120)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "9", "m", "0m", "-1s", "9 minutes", "1e9h"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="Expected a duration such as 90s"):
        parse_duration(text)
