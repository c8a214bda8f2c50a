"""What a command holds its backend to."""

import logging
import os
import tempfile

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


def test_who_has_no_home_gets_no_folder_named_tilde(tmp_path, monkeypatch):
    def nobody(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for variable in ("HOME", "KERAS_HOME", "KERAS_PROKT_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("KERAS_BACKEND", "none")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("pwd.getpwuid", nobody)
    choose_backend(backends.current().name)
    assert os.environ["KERAS_HOME"] == str(tmp_path / f"keras_prokt-{os.getuid()}" / "keras")


def test_who_has_a_home_has_the_settings_of_keras_there(monkeypatch):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("KERAS_BACKEND", "none")
    choose_backend(backends.current().name)
    assert "KERAS_HOME" not in os.environ
