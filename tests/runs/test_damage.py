"""Files with one other bit, cut, emptied or gone: the same result or a refusal, never another."""

import json
import random
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from marks import thorough
from runs import damage
from small_glue import write_bert

from keras_prokt.callbacks import ResumableBackup
from keras_prokt.data import text
from keras_prokt.data.digits import load_digits
from keras_prokt.files import digest_of_file, is_kept, read_record
from keras_prokt.runs import training
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.stopping import Stopped

pytestmark = [
    pytest.mark.process,
    pytest.mark.whole_run,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow",
        reason="whole runs are tested on the default backend",
    ),
]
SETTINGS = ["--limit", "64", "--epochs", "3", "--batch-size", "32", "--teacher", "cnn-medium"]


@pytest.fixture(scope="module")
def tally():
    """All that was damaged in this module; printed with `pytest -s`."""
    tally = damage.Tally()
    yield tally
    print(f"\n{tally.table()}")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return tmp_path_factory.mktemp("damage")


def carried_out(workplace, name, *arguments):
    """The folder of a completed command."""
    folder = workplace / name
    result = keras_prokt(*arguments, "--out", folder, cwd=workplace)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A completed run, and beside it the cache with its teacher alone."""
    command = ["run", "--method", "kd", *SETTINGS, "--save-teacher"]
    return carried_out(tmp_path_factory.mktemp("kd"), "kd", *command)


def stopped(workplace, name, *arguments, epoch):
    """The folder of a run whose process ended after an epoch of the distillation."""
    on_epoch_end = training.TimedBackup.on_epoch_end

    def end(self, number, logs=None):
        on_epoch_end(self, number, logs)
        if number == epoch and self.belongs_to["training"] == "":
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.TimedBackup, "on_epoch_end", end)
        return carried_out(workplace, name, *arguments)


@pytest.fixture(scope="module")
def unfinished(workplace):
    """A run with two checkpoints, and an epoch to go; and what it comes to.

    Both models train, after a first stage: it has all the files that a run can have.
    """
    method = ["run", "--method", "ab+prokt", *SETTINGS, "--no-export"]
    folder = stopped(workplace, "unfinished", *method, epoch=1)
    assert RunFolder(folder).read()["status"] == "running"
    whole = carried_out(workplace, "whole", *method)
    return folder, damage.outcome_of(whole)


@pytest.fixture
def cache(workplace):
    return workplace / "cache"


def files_of(folder):
    names = ("run.json", "front_end.json", "history.csv", "student.keras", "predictions/*.csv")
    names += ("teacher.keras", "teacher_front_end.json", "dynamics.png")
    return [path for name in names for path in sorted(folder.glob(name))]


def test_of_a_finished_run(finished, workplace, cache, tmp_path, tally):
    folder = damage.copy_of(finished, tmp_path / "damaged")
    other = carried_out(workplace, "other", "run", "--method", "student", *SETTINGS, "--no-export")
    commands = {
        "info": ("info", folder),
        "compare": ("compare", folder, other, "--format", "json"),
        "evaluate": ("evaluate", folder),
        "resume": ("resume", folder),
        "export": ("export", folder),
        "evaluate teacher": ("evaluate", folder, "--model", "teacher"),
        "export teacher": ("export", folder, "--model", "teacher"),
    }
    whole = {
        name: damage.without_times(damage.command(*c, cache=cache).stdout)
        for name, c in commands.items()
        if not name.startswith("export")
    }
    exports = {"export": "saved_model", "export teacher": "teacher_saved_model"}
    served = {command: damage.served(folder / name / "1") for command, name in exports.items()}
    read_by = {
        "run.json": [*commands],
        "student.keras": ["evaluate", "export"],
        "teacher.keras": ["evaluate teacher", "export teacher"],
        "teacher_front_end.json": ["export teacher"],
    }
    for path in files_of(folder):
        content, name = path.read_bytes(), str(path.relative_to(folder))
        for what, damaged in damage.damages(content, name, flips=6, cuts=2):
            damage.put(path, damaged)
            for command in read_by.get(name, ["info", "compare"]):
                for export in exports.values():
                    shutil.rmtree(folder / export, ignore_errors=True)
                result = damage.command(*commands[command], cache=cache)

                def is_same(command=command, result=result):
                    if command in exports:
                        exported = damage.served(folder / exports[command] / "1")
                        return np.array_equal(served[command], exported)
                    return damage.without_times(result.stdout) == whole[command]

                tally.add_result(name, command, what, result, is_same)
        damage.put(path, content)
    tally.check()


@pytest.mark.thorough
def test_of_what_is_served(finished, cache, tmp_path, tally):
    place = damage.copy_of(finished, tmp_path / "damaged") / "saved_model" / "1"
    command = ("serve-check", place)
    whole = damage.command(*command, cache=cache)
    assert whole.exit_code == 0, whole.output
    for path in filter(Path.is_file, sorted(place.rglob("*"))):
        content, name = path.read_bytes(), f"saved_model/1/{path.relative_to(place)}"
        for what, damaged in damage.damages(content, name, flips=1, cuts=0):  # a process each
            damage.put(path, damaged)
            result = damage.command(*command, cache=cache)
            is_same = damage.without_times(result.stdout) == damage.without_times(whole.stdout)
            tally.add_result(name, "serve-check", what, result, lambda is_same=is_same: is_same)
        damage.put(path, content)
    tally.check()


def is_older(path):
    """Whether a file is of a checkpoint before the last one of its training."""
    checkpoint = next((one for one in path.parents if one.name.startswith("epoch-")), None)
    return checkpoint is not None and checkpoint != max(checkpoint.parent.glob("epoch-*"))


@pytest.mark.thorough
def test_of_an_unfinished_run(unfinished, cache, tmp_path, tally):
    folder, whole = unfinished
    original = folder
    files = [*files_of(folder), *sorted((folder / "checkpoint").rglob("*"))]
    files += sorted((folder / "first_stage").glob("*.csv"))
    if damage.MANY == 1:
        # Of checkpoints before the last one, which nothing takes up, one file stands for all.
        files = [path for path in files if path.name == "position.json" or not is_older(path)]
    for path in filter(Path.is_file, files):
        name = str(path.relative_to(original))
        flips, cuts = (12, 4) if name == "run.json" else (1, 1)
        damaged_files = damage.damages(path.read_bytes(), f"{original.name} {name}", flips, cuts)
        for number, (what, damaged) in enumerate(damaged_files):
            # Going on takes seconds; that no state is taken up with any damage is seen below.
            if name != "run.json" and damage.MANY == 1 and number != (0, 2, 3)[len(name) % 3]:
                continue
            folder = damage.copy_of(original, tmp_path / "damaged")
            damage.put(folder / name, damaged)
            result = damage.command("resume", folder, cache=cache)

            def is_same(folder=folder):
                return damage.outcome_of(folder) == whole

            tally.add_result(name, "resume", what, result, is_same)
    tally.check()


def test_a_damaged_checkpoint_is_never_taken_up(unfinished, tmp_path, tally):
    original, _ = unfinished
    for folder in [original / "checkpoint", *sorted((original / "checkpoint").glob("*/"))]:
        newest = sorted(folder.glob("epoch-*"))[-1:]
        for path in [path for one in newest for path in one.rglob("*") if path.is_file()]:
            copy = damage.copy_of(folder, tmp_path / "damaged")
            belongs_to = read_record(newest[0] / "position.json")["belongs_to"]
            backup = ResumableBackup(copy, belongs_to=belongs_to)
            position, place = backup.position(), copy / path.relative_to(folder)
            content, name = path.read_bytes(), f"{folder.name}/{path.relative_to(newest[0])}"
            for what, damaged in damage.damages(content, f"{original.name} {name}", 20, 4):
                damage.put(place, damaged)
                try:
                    found = backup.position()
                except ValueError as error:
                    kind = damage.REFUSED if "\n" not in str(error) else damage.TRACEBACK
                else:
                    kind = damage.SAME if found < position else damage.WRONG
                    # A space in place of another is no damage.
                    if found == position and name.endswith("position.json"):
                        kind = damage.SAME
                tally.add(name, "position", what, kind)
            damage.put(place, content)
    tally.check()


def kept_teacher(finished):
    """The folder of its teacher after the last epoch, which taught."""
    folders = (finished.parent / "cache" / "teachers").glob("digits-*/")
    [folder] = [one for one in folders if not (one / "best.json").exists()]
    return folder


@pytest.mark.thorough
def test_of_a_kept_teacher(finished, tmp_path, tally):
    whole = damage.outcome_of(finished)
    folder = kept_teacher(finished)
    key = read_record(folder / "contents.json")["key"]
    for place, path in enumerate(sorted(folder.iterdir())):
        # A run takes seconds.
        run_with = (0, 2) if damage.MANY > 1 else ((0, 2)[place % 2],)
        for number, (what, damaged) in enumerate(
            damage.damages(path.read_bytes(), path.name, flips=20, cuts=4)
        ):
            copy = damage.copy_of(folder, tmp_path / "cache" / "teachers")
            damage.put(copy / path.name, damaged)
            if number in run_with:
                out = tmp_path / f"{path.name}-{number}"
                again = ("run", "--method", "kd", *SETTINGS, "--no-export", "--out", out)
                result = damage.command(*again, cache=tmp_path / "cache")
                tally.add_result(
                    f"teachers/{path.name}",
                    "run",
                    what,
                    result,
                    lambda out=out: damage.outcome_of(out) == whole,
                )
            elif is_kept(copy, key):
                # Only a space in place of another.
                is_same = read_record(copy / "contents.json") == read_record(folder / path.name)
                kind = damage.SAME if is_same else damage.WRONG
                tally.add(f"teachers/{path.name}", "is_kept", what, kind)
            else:
                assert not copy.exists()  # made anew
                tally.add(f"teachers/{path.name}", "is_kept", what, damage.REFUSED)
    tally.check()


@pytest.mark.thorough
def test_of_a_kept_teacher_of_another_architecture(finished, tmp_path):
    """Put in its place with checksums that fit: what is loaded says no, and it is made anew."""
    folder = kept_teacher(finished)
    copy = damage.copy_of(folder, tmp_path / "cache" / "teachers")
    shutil.copy(finished / "student.keras", copy / "model.keras")
    contents = read_record(copy / "contents.json")
    contents["files"]["model.keras"] = digest_of_file(copy / "model.keras")
    damage.put(copy / "contents.json", damage.sealed(contents))
    again = ("run", "--method", "kd", *SETTINGS, "--no-export", "--out", tmp_path / "again")
    result = damage.command(*again, cache=tmp_path / "cache")
    whole = damage.outcome_of(finished)
    assert result.exit_code == 0, result.output
    assert damage.outcome_of(tmp_path / "again") == whole


@pytest.fixture(scope="module")
def lists(workplace):
    """A completed comparison and a completed search, with how each is carried out."""
    few = SETTINGS[:2] + ["--epochs", "1", *SETTINGS[4:]]
    of_both = {
        "comparison": ["compare", "--method", "student", "--method", "kd", *few],
        "search": ["search", "--lambda", "0,0.4", *few],
    }
    return {name: (carried_out(workplace, name, *c), c) for name, c in of_both.items()}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["comparison", "search"])
def test_of_lists(lists, kind, cache, tmp_path, tally):
    original, again = lists[kind]
    folder = damage.copy_of(original, tmp_path / "damaged")
    commands = {
        "info": ("info", folder),
        "resume": ("resume", folder),
        again[0]: (*again, "--out", folder),
        "compare": ("compare", folder),
    }
    whole = {
        name: damage.without_times(damage.command(*c, cache=cache).stdout)
        for name, c in commands.items()
    }
    [run] = sorted(folder.glob("*-seed-0"))[:1]
    for path in (folder / f"{kind}.json", run / "run.json", run / "predictions" / "validation.csv"):
        content, name = path.read_bytes(), f"{kind}: {path.name}"
        for what, damaged in damage.damages(content, name, flips=6, cuts=2):
            for command, arguments in commands.items():
                damage.put(path, damaged)
                if damaged is None and path.name.startswith(kind) and command != "info":
                    continue  # the list is gone; its runs are a folder of runs
                result = damage.command(*arguments, cache=cache)
                is_same = damage.without_times(result.stdout) == whole[command]
                tally.add_result(name, command, what, result, lambda is_same=is_same: is_same)
        damage.put(path, content)
    tally.check()


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["run", *thorough("comparison", "search")])
def test_of_records_with_fitting_checksums(finished, lists, kind, cache, tmp_path, tally):
    original = finished if kind == "run" else lists[kind][0]
    folder = damage.copy_of(original, tmp_path / "damaged")
    record = json.loads((folder / f"{kind}.json").read_text())
    commands = [("info", folder), ("resume", folder), ("compare", folder)]
    if kind == "run":
        commands += [("evaluate", folder), ("export", folder)]
    # A run that waits would be carried out.
    protected = {"without runs.0", "without runs.1"}
    for what, changed in damage.attacks(record, random.Random(kind), 40 * damage.MANY):
        if what in protected or " at runs." in what or "without runs." in what:
            continue
        for command in commands:
            damage.put(folder / f"{kind}.json", damage.sealed(changed))
            result = damage.command(*command, cache=cache)
            # What is no fault of the form is the attacker's word.
            tally.add_result(f"{kind}.json, sealed", command[0], what, result, lambda: True)
    tally.check()


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("training", "seed", 7),
        ("training", "epochs", 2),
        ("training", "epochs", 4),
        ("training", "batch_size", 16),
    ],
)
def test_a_record_edited_with_a_fitting_checksum_goes_on_with_no_state(
    unfinished, part, name, value, cache, tmp_path
):
    original, _ = unfinished
    folder = damage.copy_of(original, tmp_path)
    record = json.loads((folder / "run.json").read_text())
    was = record["spec"][part][name]
    record["spec"][part][name] = value
    damage.put(folder / "run.json", damage.sealed(record))
    result = damage.command("resume", folder, cache=cache)
    assert damage.class_of(result, lambda: False) == damage.REFUSED, result.output
    difference = f"{part}.{name} was {was}, is {value}"
    # With --limit, another seed has other data.
    assert ("train data" if name == "seed" else difference) in result.stderr


def test_a_run_does_not_go_on_with_other_data(unfinished, cache, tmp_path, monkeypatch):
    from keras_prokt.data import digits

    original, _ = unfinished
    folder = damage.copy_of(original, tmp_path)
    splits = load_digits()
    splits["train"].images[:, 2, 2, 0] += 1
    monkeypatch.setattr(digits, "load_digits", lambda *arguments, **settings: splits)
    result = damage.command("resume", folder, cache=cache)
    assert damage.class_of(result, lambda: False) == damage.REFUSED, result.output
    assert "Expected the train data with which the run was started" in result.stderr


# Texts: how they are read, and word pieces that are kept.


@pytest.fixture(scope="module")
def of_texts(workplace):
    """A completed run on texts, a table to predict, and what is predicted; texts are kept."""
    write_bert(str(workplace / "bert"), ["an", "film", "good", "bad", *map(str, range(60))])
    rows = [f"{'good' if row % 2 else 'bad'} film {row},{row % 2}" for row in range(60)]
    (workplace / "table.csv").write_text("\n".join(["body,label", *rows]) + "\n")
    settings = ["--app", "text", "--method", "student", "--student", "bert-1", "--epochs", "1"]
    settings += ["--teacher", workplace / "bert", "--dataset", workplace / "table.csv"]
    settings += ["--text", "body", "--label", "label"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "WORTH_KEEPING", 10)
        folder = carried_out(workplace, "texts", "run", *settings)
        yield folder, settings


@pytest.mark.thorough
def test_of_how_texts_are_read(of_texts, workplace, cache, tmp_path, tally):
    original, _ = of_texts
    folder = damage.copy_of(original, tmp_path / "damaged")
    table, out = workplace / "table.csv", tmp_path / "predictions.csv"
    commands = {
        "predict": ("predict", folder, "--dataset", table, "--out", out, "--overwrite"),
        "export": ("export", folder),
    }
    assert damage.command(*commands["predict"], cache=cache).exit_code == 0
    whole = out.read_bytes()
    for path in files_of(folder):
        if path.suffix == ".csv" and damage.MANY == 1:
            continue  # what nothing reads here
        content, name = path.read_bytes(), f"texts: {path.relative_to(folder)}"
        for what, damaged in damage.damages(content, name, flips=6, cuts=2):
            for command, arguments in commands.items():
                if command == "export" and path.suffix in (".csv", ".png"):
                    continue
                out.unlink(missing_ok=True)
                damage.put(path, damaged)
                result = damage.command(*arguments, cache=cache)

                def is_same(command=command):
                    return command == "predict" and out.read_bytes() == whole

                tally.add_result(name, command, what, result, is_same)
        damage.put(path, content)
    tally.check()


@pytest.mark.thorough
def test_of_how_an_unfinished_run_reads_texts(of_texts, cache, tmp_path, tally):
    original, _ = of_texts
    folder = damage.copy_of(original, tmp_path / "damaged")
    record = json.loads((folder / "run.json").read_text())
    del record["results"], record["files"], record["training_seconds"]
    damage.put(folder / "run.json", damage.sealed({**record, "status": "running"}))
    path, name = folder / "front_end.json", "unfinished texts: front_end.json"
    content = path.read_bytes()
    for what, damaged in damage.damages(content, name, flips=20, cuts=4):
        damage.put(path, damaged)
        result = damage.command("export", folder, cache=cache)
        # Gone, it is made from the data again.
        tally.add_result(name, "export", what, result, lambda damaged=damaged: damaged is None)
    result = damage.command("resume", folder, cache=cache)
    assert result.exit_code == 0, result.output
    assert path.read_bytes() == content


@pytest.mark.thorough
def test_of_kept_texts(of_texts, cache, tmp_path, tally):
    original, settings = of_texts
    whole = damage.outcome_of(original)
    kept = sorted(
        path for path in cache.rglob("*") if path.is_file() and "teachers" not in path.parts
    )
    assert kept
    for path in kept:
        name = f"cache: {path.parent.parent.name}/{path.suffix}"
        for number, (what, damaged) in enumerate(
            damage.damages(path.read_bytes(), name, flips=1, cuts=1)
        ):
            if damage.MANY == 1 and number != 2:
                continue
            copy = damage.copy_of(cache, tmp_path / "copy")
            damage.put(copy / path.relative_to(cache), damaged)
            out = tmp_path / f"{path.parent.name}-{path.name}-{number}"
            result = damage.command("run", *settings, "--no-export", "--out", out, cache=copy)
            tally.add_result(
                name, "run", what, result, lambda out=out: damage.outcome_of(out) == whole
            )
    tally.check()
