"""What a run records of where it was obtained."""

import keras_prokt
from keras_prokt.runs.environment import describe_environment


def test_an_installed_package_knows_its_commit(tmp_path, monkeypatch):
    package = tmp_path / "keras_prokt"
    package.mkdir()
    monkeypatch.setattr(keras_prokt, "__file__", str(package / "__init__.py"))
    assert describe_environment()["package"]["git"] is None
    (package / "commit.txt").write_text("abc123-dirty\n")
    described = describe_environment()["package"]
    assert described == {"version": keras_prokt.__version__, "git": "abc123-dirty"}
