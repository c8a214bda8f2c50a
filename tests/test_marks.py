"""No test that takes its time goes without its mark."""

import os
import subprocess
import sys

import pytest
from marks import leave_out_thorough, thorough

from keras_prokt.runs.training import Run


def test_a_mark_that_is_not_registered_is_refused():
    with pytest.raises(pytest.fail.Exception, match="'whole_runs' not found in `markers`"):
        _ = pytest.mark.whole_runs


def test_a_process_needs_its_mark():
    with pytest.raises(pytest.fail.Exception, match="^Expected the mark 'process': "):
        subprocess.run([sys.executable, "-c", ""])
    with pytest.raises(pytest.fail.Exception, match="^Expected the mark 'process': "):
        subprocess.run(f"{sys.executable} -c 'pass'", shell=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_a_fork_needs_the_mark_of_processes():
    with pytest.raises(pytest.fail.Exception, match="^Expected the mark 'process': "):
        if os.fork() == 0:
            os._exit(0)


@pytest.mark.process
def test_a_process_with_its_mark():
    assert subprocess.run([sys.executable, "-c", ""]).returncode == 0


def test_the_process_that_tests_share_needs_the_mark(request):
    with pytest.raises(pytest.fail.Exception, match="^Expected the mark 'process': "):
        request.getfixturevalue("server")


def test_the_training_of_a_run_needs_its_mark():
    with pytest.raises(pytest.fail.Exception, match="^Expected the mark 'whole_run': "):
        Run.fit(None)


@pytest.mark.whole_run
def test_the_training_of_a_run_with_its_mark():
    with pytest.raises(TypeError, match="missing .* required positional"):
        Run.fit(None)


class Asked:
    """A configuration of pytest that was asked for some tests."""

    def __init__(self, *args, thorough=False):
        self.args, self._thorough = args, thorough
        self.hook, self.left_out = self, []

    def getoption(self, name):
        assert name == "thorough"
        return self._thorough

    def pytest_deselected(self, items):
        self.left_out += items


@pytest.mark.parametrize("row", [1, *thorough(2)])
@pytest.mark.parametrize(
    ("asked", "left_out"),
    [
        (Asked("tests"), True),
        (Asked("tests", thorough=True), False),
        (Asked("tests/test_marks.py::test_one"), False),
    ],
)
def test_what_is_thorough_waits_until_it_is_asked_for(row, asked, left_out, request):
    items = [request.node]
    leave_out_thorough(asked, items)
    assert (request.node in asked.left_out) == (items == []) == (left_out and row == 2)


def test_real_data_are_not_found_without_their_mark():
    assert not {"TFDS_DATA_DIR", "MINILM_DIR"} & set(os.environ)
