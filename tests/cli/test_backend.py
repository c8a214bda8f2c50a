"""What a command holds its backend to."""

import logging

import pytest

from keras_prokt import backends
from keras_prokt.cli.backend import choose_backend, use_backend_of
from keras_prokt.runs import RunSpec


@pytest.fixture
def logger():
    logger = logging.getLogger("tensorflow")
    level = logger.level
    yield logger
    logger.setLevel(level)


def test_warnings_of_tensorflow_about_its_own_code_do_not_reach_users(logger):
    logger.setLevel(logging.WARNING)
    use_backend_of(RunSpec.resolve("digits", "prokt", backend=backends.current().name))
    assert not logger.isEnabledFor(logging.WARNING) and logger.isEnabledFor(logging.ERROR)


def test_a_backend_is_chosen_before_keras_is_imported(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "none")
    choose_backend(backends.current().name)
    assert backends.configured() == backends.current().name
