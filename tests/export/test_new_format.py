"""A form of export is a file and a row: the patch is all that one needs."""

from patched_copy import APPLIES_A_DIFF, PATCHES, files_of, passed_tests, patched_copy

pytestmark = APPLIES_A_DIFF


def test_a_file_and_a_row_add_a_form_of_export(tmp_path):
    diff = (PATCHES / "new_format.diff").read_text()
    assert files_of(diff) == [
        "keras_prokt/export/__init__.py",
        "keras_prokt/export/weights.py",
        "tests/export/test_weights.py",
    ]
    environment = patched_copy(diff, tmp_path)
    # The contract tests know it unasked.
    tests = (
        "tests/export/test_weights.py",
        "tests/export/test_contract.py",
        "-k",
        "npz or weights",
    )
    assert passed_tests(environment, tmp_path, *tests) == 2 + 10
