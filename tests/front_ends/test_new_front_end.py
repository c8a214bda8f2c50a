"""A front end is a file and a row: the patch is all that one needs."""

from patched_copy import APPLIES_A_DIFF, PATCHES, files_of, passed_tests, patched_copy

pytestmark = APPLIES_A_DIFF


def test_a_file_and_a_row_add_a_raw_input(tmp_path):
    diff = (PATCHES / "new_front_end.diff").read_text()
    assert files_of(diff) == [
        "keras_prokt/front_ends/__init__.py",
        "keras_prokt/front_ends/audio.py",
        "tests/front_ends/test_audio.py",
        "tests/front_ends/test_front_ends.py",  # an instance of it for the contract tests
    ]
    environment = patched_copy(diff, tmp_path)
    tests = ("tests/front_ends/test_audio.py", "tests/front_ends/test_front_ends.py", "-k", "audio")
    assert passed_tests(environment, tmp_path, *tests) == 6
