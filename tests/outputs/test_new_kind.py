"""A kind of output is a file and a row: the patch is all that one needs."""

import pytest
from patched_copy import APPLIES_A_DIFF, PATCHES, files_of, passed_tests, patched_copy

pytestmark = APPLIES_A_DIFF


@pytest.mark.thorough
def test_a_file_and_a_row_add_a_kind_of_output(tmp_path):
    diff = (PATCHES / "counts.diff").read_text()
    assert files_of(diff) == [
        "keras_prokt/outputs/__init__.py",
        "keras_prokt/outputs/counts.py",
        "tests/outputs/test_counts.py",
    ]
    environment = patched_copy(diff, tmp_path)
    assert passed_tests(environment, tmp_path, "tests/outputs/test_counts.py") >= 15
