"""Run folders: made whole, by one process, and never in place of another unasked."""

import os

import pytest

from keras_prokt.files import digest_of_file, write_record
from keras_prokt.options import option_names
from keras_prokt.runs.folder import RunFolder, resume_hint, unused_path
from keras_prokt.runs.lock import InUse
from keras_prokt.runs.records import FORMAT
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import check_same_data, prepare
from keras_prokt.settings import SettingError


def spec(method="prokt", **settings):
    return RunSpec.resolve("digits", method, **settings)


def record(**settings):
    return {
        "status": "running",
        "started": "2026-01-01T00:00:00+00:00",
        "spec": spec(**settings).to_json(),
        "data": {},
        "class_names": ["0", "1"],
        "export": False,
        "package": {"version": "0", "git": None},
        "versions": {},
        "hardware": {"machine": "", "processor": "", "cores": 1, "accelerators": []},
    }


def made(folder, *, overwrite=False, **settings):
    """A folder with a run that is no longer worked on."""
    with folder.created(record(**settings), overwrite=overwrite):
        pass
    return folder


def test_of_two_that_want_one_folder_the_second_is_refused(tmp_path, monkeypatch):
    first, second = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "one")
    made(first)
    (tmp_path / "one" / "work").write_text("of hours")
    # The second looked before the first was there.
    check_free, looked = RunFolder.check_free, []

    def check(folder, overwrite=False):
        if looked:
            check_free(folder, overwrite)
        looked.append(1)

    monkeypatch.setattr(RunFolder, "check_free", check)
    monkeypatch.setattr(type(second.path), "exists", lambda path: False)
    with (
        pytest.raises(ValueError, match="Expected a new folder, received .*one', which exists"),
        second.created(record(seed=9)),
    ):
        pytest.fail("was made")
    assert first.read() == record() and (tmp_path / "one" / "work").read_text() == "of hours"
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_run_is_replaced_where_that_was_asked_for(tmp_path):
    folder = made(RunFolder(tmp_path / "one"))
    folder.student.write_text("old")
    with (
        pytest.raises(SettingError, match="which exists; .* out, or add overwrite") as refused,
        folder.created(record()),
    ):
        pytest.fail("was made")
    assert "or add --overwrite" in refused.value.shown_as(option_names())
    made(folder, seed=3, overwrite=True)
    assert folder.spec().seed == 3 and not folder.student.exists()
    assert folder.front_end.read_text() == "null\n"


def test_while_a_run_is_made_its_folder_is_locked(tmp_path):
    folder = RunFolder(tmp_path / "one")
    with folder.created(record()) as kept:
        assert kept == folder.read() == record()
        assert folder.holder()["pid"] == os.getpid()
        with pytest.raises(InUse, match="Expected a run in .*one' on which no other process"):
            made(folder, overwrite=True)
        with pytest.raises(InUse), RunFolder(tmp_path / "one").locked():
            pass
    assert folder.holder() is None
    assert {path.name for path in folder.path.iterdir()} == {"run.json", "front_end.json"}


def test_another_file_of_the_trained_teacher_is_refused(tmp_path):
    file = tmp_path / "teacher.keras"
    file.write_text("one")
    given = spec(teacher_init=str(file), limit=64)
    task = prepare(given)
    started_with = {"teacher_init": digest_of_file(str(file))}
    check_same_data(given, task, started_with)
    check_same_data(spec(), task, {})  # of an older version, or without
    file.write_text("other")
    with pytest.raises(ValueError, match="Expected the teacher_init with which the run was start"):
        check_same_data(given, task, started_with)


def test_files_of_a_completed_run_are_those_it_wrote(tmp_path):
    folder = made(RunFolder(tmp_path / "one"))
    folder.student.write_text("student")
    folder.predictions.mkdir()
    (folder.predictions / "test.csv").write_text("label\n")
    completed = {**record(), "files": folder.digests()}
    assert set(completed["files"]) == {"student.keras", "front_end.json", "predictions/test.csv"}
    folder.check_file(folder.student, completed)
    folder.check_file(folder.student, record())  # of an older version
    folder.student.write_text("other")
    with pytest.raises(ValueError, match=r"student.keras as the run .* received another; restore"):
        folder.check_file(folder.student, completed)
    folder.student.unlink()
    with pytest.raises(ValueError, match="received none"):
        folder.check_file(folder.student, completed)


def test_the_first_free_name(tmp_path):
    assert RunFolder.unused(tmp_path, "digits", "kd").path == tmp_path / "digits-kd-1"
    (tmp_path / "digits-kd-1").mkdir()
    (tmp_path / "digits-kd-2").symlink_to("nowhere")
    assert unused_path(tmp_path / "digits-kd") == tmp_path / "digits-kd-3"


@pytest.mark.parametrize(
    ("path", "shown"),
    [("runs/a", "runs/a"), ("my runs/it's", """'my runs/it'"'"'s'"""), ("-a", "./-a")],
)
def test_a_shell_takes_the_hint(path, shown):
    assert resume_hint(path) == f"keras-prokt resume {shown}"


def test_what_is_no_run_folder(tmp_path):
    with pytest.raises(ValueError, match="Expected a run folder with a run.json"):
        RunFolder.existing(tmp_path)
    write_record(tmp_path / "run.json", {"format": FORMAT, "status": "running"})
    with pytest.raises(ValueError, match="Expected a whole run.json"):
        RunFolder.existing(tmp_path).read()


def test_how_far_a_run_is(tmp_path):
    folder = made(RunFolder(tmp_path / "one"))
    assert folder.position() is None
    for name, place in (
        ("teacher", "teacher/epoch-000002-batch-000001"),
        ("assistant-cnn-medium", "assistant-cnn-medium/epoch-000001-batch-000000"),
        ("first_stage", "first_stage/epoch-000004-batch-000000"),
        ("", "epoch-000003-batch-000002"),
    ):
        (folder.checkpoint / place).mkdir(parents=True)
        assert folder.position() == (name, int(place.split("-batch")[0][-1]))


@pytest.mark.parametrize("name", ["student.keras", "saved_model", "checkpoint/epoch", "run.json"])
def test_links_out_of_a_run_folder_are_refused(name, tmp_path):
    folder = made(RunFolder(tmp_path / "run"))
    (tmp_path / "run.json").write_bytes(folder.record.read_bytes())
    path = folder.path / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(tmp_path if name != "run.json" else tmp_path / name)
    message = f"Expected files of its own in the run folder .*, received {name}, a link out of it"
    with pytest.raises(ValueError, match=message):
        RunFolder.existing(folder.path)


def test_a_link_to_a_run_and_links_within_it_are_none_out_of_it(tmp_path):
    folder = made(RunFolder(tmp_path / "run"))
    (folder.path / "student.keras").symlink_to(folder.record)
    (folder.path / "notes").symlink_to(tmp_path)  # the user's own
    (tmp_path / "latest").symlink_to(folder.path)
    assert RunFolder.existing(tmp_path / "latest").read()["status"] == "running"


def test_thousands_of_new_folders_are_not_made(tmp_path):
    with pytest.raises(SettingError, match="of which at most 32 levels are new, received 1999"):
        RunFolder(tmp_path.joinpath(*["a"] * 2000)).check_free()
    RunFolder(tmp_path / "a" / "b" / "c").check_free()


def test_a_model_is_the_student_or_the_teacher(tmp_path):
    folder = RunFolder(tmp_path)
    for find in (folder.model_of, folder.front_end_of, folder.export_of):
        assert find("student") != find("teacher")
        with pytest.raises(ValueError, match="model of a run.*'teachr'.*did you mean 'teacher'"):
            find("teachr")
