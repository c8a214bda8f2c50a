"""A run that goes on with another version than the one with which it was begun."""

import shutil

import pytest
from pieces import StopLater

from keras_prokt.callbacks import resumable_backup
from keras_prokt.files import read_record, write_record
from keras_prokt.runs import RunSpec, resume, run
from keras_prokt.runs.continuation import OtherVersions
from keras_prokt.runs.environment import describe_environment

pytestmark = pytest.mark.whole_run


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a run that was stopped."""
    folder = tmp_path_factory.mktemp("runs") / "stopped"
    spec = RunSpec.resolve("digits", "prokt", epochs=2, limit=128)
    # Asked a second time, after the first step.
    assert run(spec, folder, export=False, stop=StopLater(2))["status"] == "running"
    return folder


def begun_with(stopped, tmp_path, **changes):
    """A copy of it whose record says that it was begun with something else."""
    folder = shutil.copytree(stopped, tmp_path / "run")
    record = read_record(folder / "run.json")
    for part, values in changes.items():
        record[part].update(values)
    write_record(folder / "run.json", record)
    return folder


def test_other_versions_of_what_computes_are_told(stopped, tmp_path):
    folder = begun_with(
        stopped, tmp_path, versions={"keras": "3.0", "python": "3.0"}, package={"version": "0.1"}
    )
    expected = r"begun with keras 3\.0 and goes on with .* and keras_prokt 0\.1 and goes on with"
    with pytest.warns(OtherVersions, match=expected):
        assert resume(folder)["status"] == "completed"


def test_nothing_is_told_of_the_same_versions(stopped, tmp_path):
    folder = begun_with(stopped, tmp_path, versions={"python": "3.0", "torch": "0.1"})
    assert resume(folder)["status"] == "completed"  # a warning would be an error


@pytest.mark.thorough
def test_a_checkpoint_from_before_a_setting_goes_on(stopped, tmp_path):
    folder = begun_with(stopped, tmp_path)
    for path in folder.glob("checkpoint/*/position.json"):
        record = read_record(path)
        del record["belongs_to"]["spec"]["training"]["label_smoothing"]
        write_record(path, record)
    assert resume(folder)["status"] == "completed"


@pytest.mark.parametrize("commit", ["abc123", None])
def test_a_checkpoint_that_does_not_fit_is_refused_with_its_version(
    commit, stopped, tmp_path, monkeypatch
):
    folder = begun_with(
        stopped,
        tmp_path,
        package=describe_environment()["package"] if commit is None else {"git": commit},
    )
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.h5")}
    assert before
    arrays = iter([{"faults": ((9,), "float32")}, {}])
    monkeypatch.setattr(resumable_backup, "_arrays_of", lambda state: next(arrays))
    begun = "" if commit is None else rf".* begun with keras_prokt \S+ \({commit}\), and this is"
    expected = f"of another architecture{begun}"
    with pytest.raises(ValueError, match=expected) as refusal:
        resume(folder)
    assert "\n" not in str(refusal.value)
    assert ("begun with" in str(refusal.value)) == (commit is not None)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.h5")} == before
