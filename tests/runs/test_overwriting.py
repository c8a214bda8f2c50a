"""A run that replaces another: the old one is deleted when the new one is there, and not before."""

import errno
import os
import signal

import keras
import pytest
from command_line import keras_prokt

from keras_prokt.callbacks import TrainingDynamics
from keras_prokt.distillers.faults import TrainingFault
from keras_prokt.options import option_names
from keras_prokt.runs import measuring, training, training_run
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import Interrupted, Stop
from keras_prokt.runs.training_run import FilesMoved, resume, run
from keras_prokt.settings import SettingError

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
SMALL = {"limit": 64, "epochs": 1}


def spec(**settings):
    return RunSpec.resolve("digits", "student", **{**SMALL, **settings})


def contents(folder):
    """Every file below a folder, with what is in it, but for a lock."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    run(spec(), folder, export=False)
    return contents(folder)


@pytest.fixture
def old(finished, tmp_path):
    """A finished run in the folder `run`, with its contents."""
    folder = tmp_path / "work" / "run"
    for name, content in finished.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def replace(old, **settings):
    return run(spec(seed=1, **settings), old, overwrite=True, export=False)


def names_beside(folder):
    return sorted(path.name for path in folder.parent.iterdir())


@pytest.mark.whole_run
def test_the_old_run_is_there_until_the_new_one_is_completed(old, finished, monkeypatch):
    seen = []
    cost_of = training_run.cost_of

    def look(*arguments):
        record = RunFolder(old).read()
        aside = old.with_name(record["replaces"])
        seen.append((record["status"], names_beside(old), contents(aside)))
        return cost_of(*arguments)

    monkeypatch.setattr(training_run, "cost_of", look)
    assert replace(old)["status"] == "completed"
    [(status, names, aside)] = seen
    assert status == "running" and names == ["run", "run.replaced-1"]
    assert aside == finished
    assert names_beside(old) == ["run"] and RunFolder(old).spec().seed == 1
    assert not (old / ".lock").exists()


def fail_with(error):
    class Failing(TrainingDynamics):
        def on_epoch_end(self, epoch, logs=None):
            raise error

    return Failing


@pytest.mark.thorough
@pytest.mark.whole_run
@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "no space left"), TrainingFault("a loss of nan"), SystemExit(3)],
    ids=lambda error: type(error).__name__,
)
def test_a_new_run_that_fails_puts_the_old_one_back_whole(old, finished, error, monkeypatch):
    monkeypatch.setattr(training_run, "TrainingDynamics", fail_with(error))
    with pytest.raises(type(error)) as failed:
        replace(old)
    assert failed.value is error
    assert contents(old) == finished and not (old / ".lock").exists()
    assert names_beside(old) == ["run"]  # nothing of the new one had been trained
    assert any(f"that was to be replaced is in '{old}' again" in n for n in error.__notes__)
    assert replace_after(monkeypatch, old)["status"] == "completed"


def replace_after(monkeypatch, old):
    monkeypatch.undo()
    return replace(old)


@pytest.mark.thorough
@pytest.mark.whole_run
def test_what_a_failed_run_has_trained_is_kept_beside(old, finished, monkeypatch):
    class FailingLate(training.Progress):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise TrainingFault("a loss of nan")

    monkeypatch.setattr(training, "Progress", FailingLate)
    with pytest.raises(TrainingFault) as failed:
        replace(old, epochs=3)
    assert contents(old) == finished
    assert names_beside(old) == ["run", "run.unfinished-1"]
    aside = RunFolder(old.with_name("run.unfinished-1"))
    record = aside.read()
    assert record["status"] == "failed" and record["failure"] == "a loss of nan"
    assert "replaces" not in record and record["spec"]["training"]["epochs"] == 3
    assert str(aside.path) in failed.value.__notes__[0]
    monkeypatch.undo()
    assert resume(aside.path)["status"] == "completed"
    assert contents(old) == finished


@pytest.mark.thorough
@pytest.mark.whole_run
def test_a_refused_new_run_leaves_the_old_one_alone(old, finished):
    with pytest.raises(ValueError, match="divides the 1 steps"):
        replace(old, steps_per_execution=2)
    assert contents(old) == finished and names_beside(old) == ["run"]


@pytest.mark.whole_run
def test_a_stopped_new_run_replaces_the_old_one_when_it_is_resumed(old, finished):
    record = run(spec(seed=1), old, overwrite=True, export=False, stop_after=0.0)
    assert record["status"] == "running" and record["replaces"] == "run.replaced-1"
    assert names_beside(old) == ["run", "run.replaced-1"]
    assert contents(old.with_name("run.replaced-1")) == finished
    assert resume(old)["status"] == "completed"
    assert names_beside(old) == ["run"]


@pytest.mark.thorough
@pytest.mark.whole_run
def test_an_interrupted_new_run_can_be_resumed_or_replaced(old, finished, monkeypatch):
    def interrupt(*arguments):
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(measuring, "evaluate", interrupt)
    with pytest.raises(Interrupted):
        run(spec(seed=1), old, overwrite=True, export=False, stop=Stop())
    assert RunFolder(old).read()["status"] == "running"
    assert contents(old.with_name("run.replaced-1")) == finished
    monkeypatch.undo()
    # Of a run that replaces one which replaces one, all that was replaced is deleted at its end.
    assert run(spec(seed=2), old, overwrite=True, export=False)["status"] == "completed"
    assert names_beside(old) == ["run"] and RunFolder(old).spec().seed == 2


@pytest.mark.whole_run
def test_files_of_the_users_own_stay_where_the_old_run_was_moved(old):
    mine = {"thesis.txt": "years of work", "plots/one.png": "a plot"}
    mine |= {"predictions/mine.csv": "a,b", "saved_model/2/saved_model.pb": "served elsewhere"}
    mine |= {"tensorboard/notes/mine.txt": "seen"}
    served = {"saved_model/1/saved_model.pb": "of the run", "tensorboard/events.out.tfevents.1": ""}
    for name, content in {**mine, **served}.items():
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        (old / name).write_text(content)
    with pytest.warns(FilesMoved, match=r"no run wrote; they are in '.*run.replaced-1' now"):
        replace(old)
    assert names_beside(old) == ["run", "run.replaced-1"]
    kept = contents(old.with_name("run.replaced-1"))
    assert kept == {name: content.encode() for name, content in mine.items()}
    assert not (old / "thesis.txt").exists()
    # What stays is no run, and stands in no one's way.
    assert replace(old)["status"] == "completed"
    assert contents(old.with_name("run.replaced-1")) == kept
    assert names_beside(old) == ["run", "run.replaced-1"]


@pytest.mark.whole_run
@pytest.mark.parametrize("out", [".", "../run", "{absolute}"])
def test_a_folder_is_not_replaced_from_inside(old, finished, out, monkeypatch):
    monkeypatch.chdir(old)
    with pytest.raises(SettingError, match="the folder in which this command runs; name another"):
        run(spec(), out.format(absolute=old), overwrite=True)
    arguments = ["run", "--method", "student", "--out", out.format(absolute=old), "--overwrite"]
    result = keras_prokt(*arguments, cwd=old)
    assert result.exit_code == 2 and "name another one with --out" in result.output
    assert contents(old) == finished and names_beside(old) == ["run"]


@pytest.mark.whole_run
def test_nor_from_a_folder_in_it(old, finished, monkeypatch):
    monkeypatch.chdir(old / "checkpoint")
    with pytest.raises(SettingError, match="the folder in which this command runs"):
        run(spec(), "..", overwrite=True)
    assert contents(old) == finished


@pytest.mark.whole_run
def test_a_path_through_the_run_itself_is_that_of_the_run(old):
    assert run(spec(seed=1), old / ".." / "run", overwrite=True, export=False)["status"]
    assert names_beside(old) == ["run"] and RunFolder(old).spec().seed == 1


@pytest.mark.whole_run
def test_a_link_is_not_replaced(old, finished):
    link = old.with_name("link")
    link.symlink_to(old)
    with pytest.raises(SettingError, match="received '.*link', a link; name another") as refused:
        run(spec(), link, overwrite=True)
    assert "--out" in refused.value.shown_as(option_names())
    assert link.is_symlink() and contents(old) == finished
    nowhere = old.with_name("nowhere")
    nowhere.symlink_to("gone")
    with pytest.raises(SettingError, match="which exists"):
        run(spec(), nowhere)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_nor_one_that_cannot_be_moved(old, finished):
    old.parent.chmod(0o555)
    try:
        with pytest.raises(SettingError, match="in a folder that cannot be written"):
            run(spec(), old, overwrite=True)
    finally:
        old.parent.chmod(0o755)
    assert contents(old) == finished


@pytest.mark.whole_run
def test_a_run_on_which_a_process_works_is_not_replaced(old, finished):
    with RunFolder(old).locked(), pytest.raises(ValueError, match="on which no other process work"):
        replace(old)
    assert contents(old) == finished and names_beside(old) == ["run"]


@pytest.mark.whole_run
def test_the_command_says_what_was_put_back(old, finished, monkeypatch):
    error = OSError(errno.ENOSPC, "no space left")
    monkeypatch.setattr(training_run, "TrainingDynamics", fail_with(error))
    arguments = ["--method=student", "--limit=64", "--epochs=1", "--out=run", "--overwrite"]
    result = keras_prokt("run", *arguments, cwd=old.parent)
    assert result.exit_code == 1, result.output
    assert contents(old) == finished
