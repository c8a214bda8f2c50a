"""Settings of all tests."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Small networks for a few steps: on JAX most of the time is compiling.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # With a worker a core, several threads of each would only wait for one another. Operations
    # still run beside each other, so that a missing dependency can show.
    for threads in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(threads, "1")

import keras
import pytest
from marks import Guard, count_slow_as_whole_runs, leave_out_thorough, skip_without_data
from served import Server
from small_glue import write_bert

LONGEST = (
    "test_methods_of_digits",
    "test_tokens",
    "test_damage",
    "test_glue_submission",
    "test_text",
    "test_glue_pairs",
    "test_many_runs",
    "test_trained_part",
    "test_saved_teacher",
    "test_objectives",
    "test_without_tensorflow",
    "test_stopping",
)
"""Files that take the longest; begun first, so that no worker is left with one at the end."""


def pytest_addoption(parser):
    parser.addoption(
        "--thorough",
        action="store_true",
        help="run tests marked thorough too; a test that is named is always run",
    )


def pytest_configure(config):
    config.pluginmanager.register(Guard(), "guard")
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # it would begin with files of many tests


def pytest_collection_modifyitems(config, items):
    leave_out_thorough(config, items)
    count_slow_as_whole_runs(items)
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def pytest_collection_finish(session):
    """Graphs are many objects, and what was imported stays: to collect them seldom saves time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_runtest_setup(item):
    skip_without_data(item)


@pytest.fixture(autouse=True)
def real_data_for_its_tests_alone(request, monkeypatch):
    """Other tests find no real data, so that none needs it unsaid."""
    if request.node.get_closest_marker("real_data") is None:
        for name in ("MINILM_DIR", "TFDS_DATA_DIR"):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def seeded():
    """The same random numbers in every test, whatever ran before."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def _server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(_server, request):
    """Serves SavedModels in another process."""
    # Only the first test that asks starts it.
    request.config.pluginmanager.get_plugin("guard").check("process", "asks a process")
    return _server


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    """A directory with a small BERT that reads the words of `small_glue`."""
    folder = str(tmp_path_factory.mktemp("bert"))
    write_bert(folder)
    return folder
