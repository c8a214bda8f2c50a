"""JSON on standard output: what other programs read."""

import json

import pytest

from keras_prokt.cli.shared import print_json


def test_what_json_has_no_number_for_is_null(capsys):
    print_json({"loss": float("nan"), "each": [1.5, {"x": float("-inf")}], "place": ("a", 2)})
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found == {"loss": None, "each": [1.5, {"x": None}], "place": ["a", 2]}
