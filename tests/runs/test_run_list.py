"""Lists of runs: made once, changed by one process at a time, known when they were changed."""

import json
import re
import shutil
import subprocess
import sys
import threading

import pytest
from pretended_runs import write_run

from keras_prokt.files import write_record
from keras_prokt.runs import run_list as module
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.lock import InUse, Lock
from keras_prokt.runs.run_list import Entry, RunList, folder_name
from keras_prokt.runs.spec import RunSpec


def entry_of(method="kd", seed=0, title=None, **settings):
    spec = RunSpec.resolve("digits", method, epochs=1, seed=seed, **settings)
    return Entry(folder_name(title or method, seed), title or method, spec)


@pytest.fixture
def runs(tmp_path):
    runs = RunList(tmp_path / "list", "comparison")
    runs.create({"methods": ["kd"]}, [entry_of(), entry_of(seed=1)], measures_test=True)
    return runs


ABOUT = {
    "comparison": {"methods": ["a chain", "crd+kd"], "baselines": ["crd+kd"]},
    "search": {
        "app": "digits",
        "method": "prokt",
        "given": {"epochs": 1},
        "over": {"proximal_weight": [0.0, 0.5], "label_weight": {"low": 0.1, "high": 1}},
        "seeds": [3, 1],
        "trials": 4,
        "configurations": {"a chain": {"proximal_weight": 0.0}},
    },
}


@pytest.mark.parametrize("kind", module.RECORDS)
def test_a_list_is_read_as_it_was_written(kind, tmp_path):
    runs = RunList(tmp_path / "new" / "list", kind)
    assert not runs.exists and RunList.at(runs.path) is None
    entries = [entry_of("ta", 3, "a chain", assistants=("cnn-medium",)), entry_of("crd+kd", 1)]
    runs.create(ABOUT[kind], entries, measures_test=False)
    found = RunList.at(runs.path)
    assert (found.kind, found.entries()) == (kind, entries)
    assert found.entry("a-chain-seed-3") == entries[0]
    record = found.read()
    assert record["about"] == ABOUT[kind] and record["measures_test"] is False


def test_the_second_of_two_processes_takes_the_list_of_the_first(runs):
    runs.create({"methods": ["other"]}, [entry_of("student")], measures_test=True)
    assert runs.read()["about"] == {"methods": ["kd"]}
    runs.add([entry_of("student"), entry_of()])
    assert [entry.name for entry in runs.entries()] == ["kd-seed-0", "kd-seed-1", "student-seed-0"]


def test_a_place_that_cannot_be_written_is_an_error_of_files(tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(OSError):
        RunList(tmp_path / "file" / "list", "comparison").create({}, [], measures_test=True)


def test_anything_else_in_the_folder_is_refused(runs, tmp_path):
    runs.check_free()
    RunList(tmp_path / "new", "search").check_free()
    with pytest.raises(ValueError, match="new folder or that of a search, received .*; name"):
        RunList(runs.path, "search").check_free()
    with pytest.raises(ValueError, match="new folder or that of a comparison, received"):
        RunList(tmp_path, "comparison").check_free()


def test_a_run_of_other_settings_under_its_name_is_refused(runs):
    before = runs.record.read_bytes()
    with pytest.raises(ValueError, match="whose run 'kd-seed-1' has other settings; name another"):
        runs.add([entry_of("student"), entry_of(seed=1, temperature=7.0)])
    assert runs.record.read_bytes() == before
    assert not (runs.path / ".lock").exists()


def test_changes_of_many_threads_are_all_kept(runs):
    threads = [
        threading.Thread(target=runs.add, args=([entry_of("student", seed)],)) for seed in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs.entries()) == 10


def test_who_changes_a_list_for_too_long_is_named(runs, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    with Lock(runs.path / ".lock", "it"), pytest.raises(InUse, match="a list in .*pid"):
        runs.add([entry_of("student")])


def test_a_change_that_fails_changes_nothing(runs):
    before = runs.record.read_bytes()
    with pytest.raises(KeyError), runs.changing() as record:
        record["about"] = {"methods": []}
        raise KeyError
    assert runs.record.read_bytes() == before
    with runs.changing():
        pass
    assert runs.record.read_bytes() == before


def damaged(runs, change):
    record = json.loads(runs.record.read_text())
    del record["sha256"]
    change(record)
    write_record(runs.record, record)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(format=1), "comparison.json of format 2 at .*, received 1; go on with"),
        (lambda r: r.update(format=99), "received 99; go on with the version"),
        (lambda r: r.pop("runs"), "a whole comparison.json at .*; restore it from a copy"),
        (lambda r: r.update(runs=[{"name": "a"}]), "a whole comparison.json"),
        (lambda r: r["runs"][0]["spec"].pop("method"), "a whole comparison.json"),
        (lambda r: r["runs"][0]["spec"].update(method="no"), "a whole comparison.json"),
        (lambda r: r["about"].update(methods="kd"), "a whole comparison.json"),
        (lambda r: r.update(kind="search"), "a whole comparison.json"),
        (lambda r: r["runs"][0].update(name="../a"), "names of folders in .*, received '../a'"),
        (lambda r: r["runs"][0].update(name=".."), "names of folders in .*, received '..'"),
        (lambda r: r["runs"][0].update(name=""), "names of folders"),
    ],
)
def test_a_list_of_another_shape_is_refused_in_one_line(change, message, runs):
    damaged(runs, change)
    with pytest.raises(ValueError, match=message) as refused:
        runs.entries()
    assert "\n" not in str(refused.value)


def test_a_list_that_was_changed_or_cut_is_refused(runs):
    text = runs.record.read_text()
    runs.record.write_text(text.replace('"temperature": ', '"temperature": 1', 1))
    with pytest.raises(ValueError, match="as it was written, received one that was changed"):
        runs.read()
    runs.record.write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match="Expected a JSON file"):
        runs.read()


def test_the_status_is_that_of_the_run_folder(runs):
    one, other = runs.entries()
    assert runs.status(one) == "waiting"
    runs.folder(one.name).path.mkdir()
    assert runs.status(one) == "waiting"  # all that a killed process may have left of it
    runs.folder(one.name).path.rmdir()
    write_run(runs.folder(one.name).path, one.spec)
    write_run(runs.folder(other.name).path, other.spec, accuracy=0.5)
    assert [runs.status(entry) for entry in (one, other)] == ["running", "completed"]


def test_a_folder_of_a_runs_name_that_is_not_the_run_is_refused(runs):
    one, other = runs.entries()
    folder = runs.folder(one.name).path
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="'kd-seed-0' .* received a folder without a run.json"):
        runs.status(one)
    shutil.rmtree(folder)
    write_run(folder, other.spec, accuracy=0.5)
    with pytest.raises(ValueError, match="'kd-seed-0' .* received one with other settings; remove"):
        runs.status(one)


def test_what_killed_processes_left_is_tidied_and_what_living_ones_hold_stays(runs):
    locks = runs.path / ".locks"
    locks.mkdir()
    (locks / "kd-seed-0").write_text("of a process that was killed")
    (runs.path / ".writing-comparison.json").write_text("{")
    with runs.locked("kd-seed-1"):
        runs.tidy()
        assert [path.name for path in locks.iterdir()] == ["kd-seed-1"]
        with pytest.raises(InUse, match="a run 'kd-seed-1'"), runs.locked("kd-seed-1"):
            pass
    runs.tidy()
    assert [path.name for path in runs.path.iterdir()] == ["comparison.json"]


def test_names_of_folders_tell_runs_apart_and_suit_every_file_system():
    assert folder_name("student", 12) == "student-seed-12"
    assert folder_name("at weight kd=0.5", 0) == "at-weight-kd-0.5-seed-0"
    assert folder_name("rate=1e-05", 0) != folder_name("rate=1e05", 0)
    long = "student-learning-rate=0.001 " * 10
    titles = [
        "λ=0",
        "0",
        "μ",
        "λ",
        "a/b",
        "a:b",
        "../..",
        ".",
        "-",
        "0.",
        long + "x=1",
        long + "x=2",
    ]
    names = [folder_name(title, 0) for title in titles]
    assert len({name.lower() for name in names}) == len(titles)
    for name in names:
        assert re.fullmatch(r"[\w+][\w.+-]*", name, re.ASCII) and len(name) < 150


@pytest.mark.process
def test_lists_are_read_without_keras(runs):
    program = (
        "import sys; sys.modules['keras'] = None\n"
        "from keras_prokt.runs.run_list import RunList\n"
        f"runs = RunList.at({str(runs.path)!r})\n"
        "print(*(runs.status(entry) for entry in runs.entries()))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "waiting waiting\n", result.stderr


@pytest.mark.parametrize("kind", ["run", "comparison", "search"])
@pytest.mark.parametrize("place", ["top", "spec"])
def test_what_a_newer_version_wrote_is_one_line_that_says_so(kind, place, tmp_path):
    spec = RunSpec.resolve("digits", "student")
    if kind == "run":
        write_run(tmp_path / "run", spec)
        (tmp_path / "run" / "run.json").rename(tmp_path / "run.json")
    else:
        search = {"app": "digits", "method": "student", "given": {}, "over": {}, "seeds": [0]}
        about = {} if kind == "comparison" else {**search, "trials": None, "configurations": {}}
        runs = [Entry("a", "a", spec)]
        RunList(tmp_path / "list", kind).create(about, runs, measures_test=True)
        (tmp_path / "list" / f"{kind}.json").rename(tmp_path / f"{kind}.json")
    path = tmp_path / f"{kind}.json"
    record = json.loads(path.read_text())
    del record["sha256"]
    own_spec = record["spec"] if kind == "run" else record["runs"][0]["spec"]
    (record if place == "top" else own_spec["training"])["novelty"] = 1
    write_record(path, record)
    message = f"Expected a {kind}.json whose .* knows at .*, received 'novelty'; read it with the v"
    with pytest.raises(ValueError, match=message):
        RunFolder(tmp_path).read() if kind == "run" else RunList(tmp_path, kind).read()
