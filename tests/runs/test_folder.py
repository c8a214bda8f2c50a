"""Run folders: made whole, by one process, and never in place of another unasked."""

import pytest

from keras_prokt.files import digest_of_file
from keras_prokt.runs.folder import RunFolder, SearchFolder
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import check_teacher_init


def spec(**settings):
    return RunSpec.resolve("digits", "prokt", **settings)


@pytest.mark.parametrize("kind", [RunFolder, SearchFolder])
def test_of_two_that_want_one_folder_the_second_is_refused(kind, tmp_path, monkeypatch):
    first, second = kind(tmp_path / "one"), kind(tmp_path / "one")
    record = {"status": "running", "spec": spec().to_json()}
    first.create(record)
    (tmp_path / "one" / "work").write_text("of hours")
    # The second looked before the first was there.
    monkeypatch.setattr(kind, "check_free", lambda *arguments: None)
    if kind is RunFolder:
        monkeypatch.setattr(type(second.path), "exists", lambda path: False)
    with pytest.raises(ValueError, match="Expected a new folder, received .*one', which exists"):
        second.create({**record, "status": "other"})
    assert first.read() == record and (tmp_path / "one" / "work").read_text() == "of hours"
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_run_is_replaced_where_that_was_asked_for(tmp_path):
    folder = RunFolder(tmp_path / "one")
    folder.create({"status": "completed", "spec": spec().to_json()})
    folder.student.write_text("old")
    with pytest.raises(ValueError, match="which exists; .*or add --overwrite"):
        folder.create({"status": "running", "spec": spec().to_json()})
    folder.create({"status": "running", "spec": spec(seed=3).to_json()}, overwrite=True)
    assert folder.spec().seed == 3 and not folder.student.exists()
    assert folder.front_end.read_text() == "null\n"


def test_another_file_of_the_trained_teacher_is_refused(tmp_path):
    file = tmp_path / "teacher.keras"
    file.write_text("one")
    record = {"teacher_init": digest_of_file(str(file))}
    check_teacher_init(record, spec(teacher_init=str(file)))
    check_teacher_init({}, spec())  # of an older version, or without
    file.write_text("other")
    with pytest.raises(ValueError, match="Expected the teacher with which the run was started"):
        check_teacher_init(record, spec(teacher_init=str(file)))
