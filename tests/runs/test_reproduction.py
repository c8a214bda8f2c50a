"""Protocols carried out: results in one file, cut, packed, and gone on with elsewhere."""

import csv
import json
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_prokt.results.archive import add_to_archive, decoded, encoded, read_archive
from keras_prokt.results.figures import FIGURES
from keras_prokt.runs.protocol import Protocol, Row
from keras_prokt.runs.reproduction import Reproduction
from keras_prokt.runs.reproduction_list import listed_runs
from keras_prokt.runs.run_list import RunList
from keras_prokt.runs.stopping import Stop, Stopped
from keras_prokt.runs.travel import pack, parse_size, unpack

needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="many runs use the default backend"
)

SMALL = Protocol(
    "small",
    "two methods on digits",
    "digits",
    (Row("kd", "kd"), Row("prokt", "prokt", {"proximal_weight": 0.5}, published={"accuracy": 9.5})),
    (3, 4),
    {"epochs": 3, "teacher_epochs": 3, "limit": 128},
    split_follows_seed=True,
    baselines=("kd",),
    keeps_history=True,
    figure="dynamics",
)
LONG = Protocol(
    "long",
    "one method, long enough to be cut",
    "digits",
    (Row("prokt", "prokt"),),
    (0,),
    {"epochs": 50},
)
NOT_SAME = ("started", "wall_seconds", "training_seconds", "package", "threads", "sha256")


def same_in(run):
    """What two runs of one spec have in common, wherever and whenever they ran."""
    run = json.loads(json.dumps({k: v for k, v in run.items() if k not in NOT_SAME}))
    for model in run["results"]["models"].values():
        for measured in model.values():
            if isinstance(measured, dict):
                measured.pop("seconds", None)
    return run


@pytest.fixture(scope="module")
def carried_out(tmp_path_factory):
    place = tmp_path_factory.mktemp("small")
    reproduction = Reproduction(SMALL, place / "out", place / "results")
    done = reproduction.carry_out(threads=1)
    return reproduction, done


@pytest.mark.process
@pytest.mark.whole_run
@needs_tensorflow
class TestCarriedOut:
    def test_results_are_those_of_the_runs(self, carried_out):
        reproduction, done = carried_out
        assert len(done.completed) == 4 and not done.failed
        results = read_archive(reproduction.archive)
        assert len(results) == 4
        for name, run in results.items():
            folder = reproduction.runs.folder(name)
            record = folder.read()
            # Tables of each class stay in the folder of the run.
            assert run["results"].keys() == record["results"].keys() - {"reports"}
            assert all(record["results"][name] == value for name, value in run["results"].items())
            assert run["spec"]["data"]["split_seed"] == run["spec"]["training"]["seed"]
            with (folder.predictions / "test.csv").open() as file:
                rows = list(csv.DictReader(file))
            assert decoded(run["predictions"]["test"]["labels"]) == [int(r["label"]) for r in rows]
            right = np.mean([row["label"] == row["student"] for row in rows])
            assert run["results"]["models"]["student"]["test"]["accuracy"] == pytest.approx(right)
            assert len(run["validation"]) == len(run["history"]["student_loss"]) == 3
            best = run["validation"][run["results"]["best_epoch"] - 1]
            assert best == max(run["validation"])

    def test_what_is_there_is_not_repeated(self, carried_out, tmp_path):
        reproduction, _ = carried_out
        elsewhere = Reproduction(SMALL, tmp_path / "out", reproduction.archive.parent)
        done = elsewhere.carry_out()
        assert len(done.completed) == 4
        assert not (tmp_path / "out").exists()

    def test_another_backend_makes_no_other_run(self, carried_out, tmp_path):
        reproduction, _ = carried_out
        results = reproduction.archive.parent
        other = Reproduction(SMALL, tmp_path, results, settings={"backend": "jax"})
        assert len(other.archived()) == 4
        longer = Reproduction(SMALL, tmp_path, results, settings={"epochs": 5})
        assert not longer.archived()

    def test_a_table_compares_the_rows(self, carried_out):
        reproduction, _ = carried_out
        comparison = reproduction.compared()[""]
        assert [one["method"] for one in comparison["methods"]] == ["kd", "prokt"]
        assert comparison["methods"][1]["seeds"] == [3, 4]
        of_runs = {
            run["spec"]["training"]["seed"]: run["results"]["models"]["student"]["test"]["accuracy"]
            for run in reproduction.archived().values()
            if run["title"] == "prokt"
        }
        assert comparison["methods"][1]["student"]["mean"] == pytest.approx(
            (of_runs[3] + of_runs[4]) / 2
        )
        assert comparison["comparisons"][0]["baseline"] == "kd"

    def test_every_run_is_listed_with_the_number_of_the_paper_and_ours(self, carried_out):
        reproduction, _ = carried_out
        shown = listed_runs([reproduction], every=True)
        lines = [line for line in shown.splitlines() if line.startswith("prokt")]
        assert len(lines) == 2
        assert "9.50" in lines[0] and "completed" in lines[0]
        run = reproduction.archived()["prokt-seed-3"]
        ours = 100 * run["results"]["models"]["student"]["test"]["accuracy"]
        assert f"{ours:.2f}" in lines[0]
        assert "2 of 2" in listed_runs([reproduction], every=False)

    def test_the_choice_is_the_best_on_validation(self, carried_out):
        reproduction, _ = carried_out
        means = {}
        for run in reproduction.archived().values():
            value = run["results"]["models"]["student"]["validation"]["accuracy"]
            means.setdefault(run["title"], []).append(value)
        best = max(means, key=lambda title: np.mean(means[title]))
        assert reproduction.chosen() == {"": best}

    def test_a_choice_waits_for_all_runs(self, carried_out, tmp_path):
        reproduction, _ = carried_out
        more = Reproduction(SMALL, tmp_path, reproduction.archive.parent, seeds=[3, 4, 5])
        assert more.chosen() == {"": None}
        assert sum(state["state"] == "completed" for state in more.states()) == 4

    @pytest.mark.parametrize("figure", FIGURES)
    def test_pictures_are_drawn(self, carried_out, tmp_path, figure):
        reproduction, _ = carried_out
        drawn = Reproduction(replace(SMALL, figure=figure), tmp_path, reproduction.archive.parent)
        assert drawn.draw().read_bytes().startswith(b"\x89PNG")
        assert Reproduction(replace(SMALL, figure=None), tmp_path, tmp_path).draw() is None

    def test_no_path_of_the_machine_is_kept(self, carried_out):
        reproduction, _ = carried_out
        text = reproduction.archive.read_text()
        assert str(reproduction.runs.path) not in text
        assert '"/' not in text


@pytest.mark.thorough
@pytest.mark.process
def test_commands_beside_each_other_lose_no_results(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from keras_prokt.results.archive import add_to_archive\n"
        "from keras_prokt.runs.lock import waiting_for\n"
        "from keras_prokt.runs.reproduction import archive_lock\n"
        "path = Path(sys.argv[1])\n"
        "for number in range(20):\n"
        "    with waiting_for(archive_lock(path)):\n"
        "        add_to_archive(path, [{'name': f'{sys.argv[2]}-{number}'}])\n"
    )
    path = tmp_path / "small.jsonl"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in ("a", "b", "c")
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(read_archive(path)) == 60


@pytest.mark.process
@pytest.mark.whole_run
@needs_tensorflow
def test_failed_runs_are_kept_with_their_reason_and_never_chosen(tmp_path):
    rows = (
        Row("usual", "student", {"student_learning_rate": 1e-2}),
        Row("huge", "student", {"student_learning_rate": 1e6}),
    )
    settings = {"epochs": 2, "limit": 128}
    protocol = Protocol("fails", "", "digits", rows, (0,), settings, chooses=True)
    reproduction = Reproduction(protocol, tmp_path / "out", tmp_path / "results")
    done = reproduction.carry_out(threads=1)
    assert done.completed == ["usual-seed-0"] and list(done.failed) == ["huge-seed-0"]
    assert "exploded" in reproduction.failed()["huge-seed-0"]
    assert [state["state"] for state in reproduction.states()] == ["completed", "failed"]
    assert reproduction.chosen() == {"": "usual"}
    elsewhere = Reproduction(protocol, tmp_path / "other", tmp_path / "results")
    again = elsewhere.carry_out(threads=1)
    assert list(again.failed) == ["huge-seed-0"] and not (tmp_path / "other").exists()


@pytest.mark.slow
def test_waiting_runs_take_new_places_and_another_backend(tmp_path):
    reproduction = listed(tmp_path, {("", 1, 0): 10})
    moved = Reproduction(SMALL, tmp_path / "out", tmp_path, settings={"backend": "torch"})
    moved._put_on_list(moved.entries)
    backends = [entry.spec.backend for entry in reproduction.runs.entries()]
    # The run that is begun goes on with what it was begun with.
    assert backends == ["tensorflow", "torch", "torch", "torch"]
    longer = Reproduction(SMALL, tmp_path / "out", tmp_path, settings={"epochs": 9})
    with pytest.raises(ValueError, match="other settings"):
        longer._put_on_list(longer.entries)


def test_fewer_epochs_shorten_the_teacher_too(tmp_path):
    shorter = Reproduction(SMALL, tmp_path, tmp_path, settings={"epochs": 1})
    assert {entry.spec.teacher_epochs for entry in shorter.entries} == {1, None}


@pytest.mark.thorough
@pytest.mark.process
@pytest.mark.whole_run
@needs_tensorflow
def test_a_protocol_cut_and_continued_elsewhere_gives_the_same_numbers(tmp_path):
    whole = Reproduction(LONG, tmp_path / "whole", tmp_path / "whole-results")
    whole.carry_out(threads=1)
    first = Reproduction(LONG, tmp_path / "first", tmp_path / "first-results")

    class InTraining(Stop):
        def is_due(self):
            return "epoch" in first.states()[0]["state"]

    with pytest.raises(Stopped):
        first.carry_out(threads=1, stop=InTraining())
    state, teachers = tmp_path / "state.tar", tmp_path / "teachers"

    def put_in(name):
        return unpack(state, tmp_path / name, tmp_path / f"{name}-results", teachers)

    packed = pack(tmp_path / "first", tmp_path / "first-results", state, 60_000_000, teachers)
    assert packed.runs and not packed.left_out
    assert packed.size == state.stat().st_size < 60_000_000
    assert put_in("second") == ["prokt-seed-0"]
    second = Reproduction(LONG, tmp_path / "second", tmp_path / "second-results")
    assert second.states() == first.states()
    second.carry_out(threads=1)
    one, other = (read_archive(r.archive)["prokt-seed-0"] for r in (whole, second))
    assert same_in(one) == same_in(other)
    # What is further stays: the old state does no harm to the finished run.
    assert put_in("second") == []
    assert read_archive(second.archive)["prokt-seed-0"] == other
    # And the result goes to where the run was cut.
    packed = pack(tmp_path / "second", tmp_path / "second-results", state, 60_000_000, teachers)
    assert packed.runs == []
    assert put_in("first") == []
    assert read_archive(first.archive)["prokt-seed-0"] == other
    assert first.missing() == []


def pretended(name="a", *, epochs=3, rate=0.1):
    """A line of an archive."""
    return {
        "name": name,
        "title": name,
        "examples": {"train": 100},
        "spec": {"training": {"epochs": epochs, "seed": 0}, "rate": rate},
    }


class TestArchive:
    def test_a_run_with_fewer_resources_replaces_none(self, tmp_path):
        path = tmp_path / "results" / "small.jsonl"

        def add(*runs):
            return add_to_archive(path, runs, lambda run: run["spec"]["training"]["epochs"] == 10)

        assert add(pretended(), pretended("b")) == ["a", "b"]
        assert add(pretended(epochs=2)) == []
        assert add(pretended()) == []
        assert read_archive(path)["a"]["spec"]["training"]["epochs"] == 3
        assert add(pretended(epochs=20)) == ["a"]
        assert list(read_archive(path)) == ["a", "b"]

    def test_the_run_of_the_protocol_replaces_all_others_and_stays(self, tmp_path):
        path = tmp_path / "small.jsonl"

        def add(run):
            return add_to_archive(path, [run], lambda run: run["spec"]["training"]["epochs"] == 10)

        assert add(pretended(epochs=20)) == ["a"]
        assert add(pretended(epochs=10)) == ["a"]
        assert add(pretended(epochs=30)) == []
        assert add(pretended(epochs=10, rate=0.2)) == []
        assert read_archive(path)["a"]["spec"]["rate"] == 0.1

    def test_a_failed_run_gives_way_to_a_finished_one_alone(self, tmp_path):
        path = tmp_path / "small.jsonl"
        failed = {"name": "a", "spec": {}, "failure": "the loss is not finite"}
        assert add_to_archive(path, [failed]) == ["a"]
        assert add_to_archive(path, [failed]) == []
        assert add_to_archive(path, [pretended()]) == ["a"]
        assert add_to_archive(path, [failed]) == []

    def test_a_number_that_was_typed_in_is_refused(self, tmp_path):
        path = tmp_path / "small.jsonl"
        add_to_archive(path, [pretended()])
        path.write_text(path.read_text().replace('"train": 100', '"train": 101'))
        with pytest.raises(ValueError, match="line 1.*changed since"):
            read_archive(path)

    @pytest.mark.parametrize("line", ["{", "[]", '{"title": "a"}'])
    def test_a_line_that_is_no_run_is_refused(self, tmp_path, line):
        path = tmp_path / "small.jsonl"
        path.write_text(line + "\n")
        with pytest.raises(ValueError, match=r"Expected .* line"):
            read_archive(path)

    def test_a_run_twice_is_refused(self, tmp_path):
        path = tmp_path / "small.jsonl"
        add_to_archive(path, [pretended()])
        path.write_text(2 * path.read_text())
        with pytest.raises(ValueError, match="each run once"):
            read_archive(path)

    @pytest.mark.parametrize("classes", [[], [0, 1, 9], [255, 256, 65535]])
    def test_classes_are_kept_as_they_are(self, classes):
        assert decoded(encoded(classes)) == classes


def listed(tmp_path, states):
    """Pretended runs that were begun: (training, epoch, step) -> bytes of the state."""
    reproduction = Reproduction(SMALL, tmp_path / "out", tmp_path / "results")
    reproduction.runs.create({}, reproduction.entries, measures_test=True)
    for (place, size), entry in zip(states.items(), reproduction.entries, strict=False):
        begin(reproduction.runs, entry, place, size)
    return reproduction


def begin(runs, entry, place, size):
    training, epoch, step = place
    folder = runs.folder(entry.name)
    state = folder.checkpoint / training / f"epoch-{epoch:06d}-batch-{step:09d}" / "state.bin"
    state.parent.mkdir(parents=True)
    state.write_bytes(bytes(size))
    folder.write(
        {
            "status": "running",
            "started": "2026-01-01",
            "spec": entry.spec.to_json(),
            "data": {},
            "class_names": [],
            "export": False,
            "package": {"version": "0", "git": None},
            "versions": {},
            "hardware": {"machine": "", "processor": "", "cores": 1, "accelerators": []},
        }
    )


class Place:
    """Folders of a machine, and the file that travels."""

    def __init__(self, folder, state):
        self.out, self.results, self.teachers = (
            folder / name for name in ("out", "results", "teachers")
        )
        self.state = state

    def pack(self, limit=10**6):
        return pack(self.out, self.results, self.state, limit, self.teachers)

    def unpack(self):
        return unpack(self.state, self.out, self.results, self.teachers)


@pytest.fixture
def here(tmp_path):
    return Place(tmp_path, tmp_path / "state.tar")


@pytest.fixture
def there(tmp_path):
    return Place(tmp_path / "there", tmp_path / "state.tar")


class TestTravel:
    def test_states_that_do_not_fit_are_left_out_and_said(self, tmp_path, here):
        listed(tmp_path, {("", 1, 0): 60_000, ("", 2, 0): 90_000, ("", 3, 0): 10_000})
        packed = here.pack(120_000)
        assert packed.size <= 120_000
        # The furthest first; that of epoch 2 does not fit beside it, that of epoch 1 does.
        names = [[path.rsplit("/")[-1] for path in p] for p in (packed.runs, packed.left_out)]
        assert names == [["kd-seed-4", "kd-seed-3"], ["prokt-seed-3"]]
        assert list(packed.left_out.values()) == ["it does not fit"]

    def test_lists_that_do_not_fit_are_refused_and_the_old_file_stays(self, tmp_path, here):
        listed(tmp_path, {})
        here.state.write_bytes(b"old")
        with pytest.raises(ValueError, match=r"Expected state_size of at least [0-9,]+ bytes"):
            here.pack(1_000)
        assert here.state.read_bytes() == b"old"

    @pytest.mark.parametrize(
        ("further", "behind"),
        [
            (("", 1, 0), ("teacher", 9, 0)),
            (("first_stage", 2, 0), ("teacher", 4, 0)),
            (("", 3, 600), ("", 3, 100)),
            (("", 10, 0), ("", 9, 500)),
        ],
    )
    def test_a_run_gives_way_to_one_that_is_further(self, tmp_path, here, there, further, behind):
        entry = listed(tmp_path, {behind: 10}).entries[0]
        here.pack()
        there.unpack()
        folder = RunList.existing(there.out / "small").folder(entry.name)
        shutil.rmtree(folder.path)
        begin(RunList.existing(there.out / "small"), entry, further, 20)
        assert there.unpack() == []
        assert folder.position()[1] == further[1]
        there.pack()
        assert here.unpack() == [entry.name]
        states = [*here.out.rglob("state.bin")]
        assert [state.stat().st_size for state in states] == [20]

    def test_all_lists_travel_whatever_is_carried_out(self, tmp_path, here, there):
        listed(tmp_path, {})
        there.pack()
        here.pack()
        Reproduction(LONG, there.out, there.results).runs.create({}, [], measures_test=True)
        there.unpack()
        there.pack()
        other = Place(tmp_path / "other", here.state)
        other.unpack()
        assert sorted(path.name for path in other.out.iterdir()) == ["long", "small"]

    def test_a_damaged_run_stays_at_home(self, tmp_path, here, there):
        entry = listed(tmp_path, {("", 1, 0): 10}).entries[0]
        (here.out / "small" / entry.name / "run.json").write_text("{")
        assert here.pack().runs == []
        assert there.unpack() == []

    def test_a_run_that_another_process_works_on_is_left_out(self, tmp_path, here):
        reproduction = listed(tmp_path, {("", 1, 0): 10})
        with reproduction.runs.folder(reproduction.entries[0].name).locked():
            assert list(here.pack().left_out.values()) == ["another process works on it"]

    def test_results_travel(self, tmp_path, here, there):
        listed(tmp_path, {})
        add_to_archive(here.results / "small.jsonl", [pretended()])
        here.pack()
        add_to_archive(there.results / "small.jsonl", [pretended("b")])
        there.unpack()
        assert list(read_archive(there.results / "small.jsonl")) == ["a", "b"]

    def test_teachers_of_the_app_travel(self, tmp_path, here, there):
        listed(tmp_path, {})
        for name in ("digits-1", "cifar100-1"):
            (here.teachers / name).mkdir(parents=True)
            (here.teachers / name / "model.keras").write_bytes(b"weights")
        here.pack()
        assert there.unpack() == ["digits-1"]
        assert (there.teachers / "digits-1" / "model.keras").read_bytes() == b"weights"
        assert len(RunList.existing(there.out / "small").entries()) == 4

    @pytest.mark.parametrize("name", ["../escaped", "lists/../../escaped", "other/a/b"])
    def test_a_file_that_would_write_elsewhere_is_refused(self, tmp_path, name):
        with tarfile.open(tmp_path / "state.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo(name))
        with pytest.raises(ValueError, match="Expected a state"):
            Place(tmp_path / "in", tmp_path / "state.tar").unpack()
        assert not (tmp_path / "escaped").exists()

    def test_what_is_no_state_is_refused(self, here):
        here.state.write_text("no tar")
        with pytest.raises(ValueError, match="Expected a state"):
            here.unpack()

    @pytest.mark.parametrize(("text", "size"), [("60M", 60 * 10**6), ("2k", 2000), ("500", 500)])
    def test_sizes_as_people_type_them(self, text, size):
        assert parse_size(text) == size

    @pytest.mark.parametrize("text", ["", "0", "-1M", "much", "1T", "nan", "inf"])
    def test_what_is_no_size_is_refused(self, text):
        with pytest.raises(ValueError, match="Expected state_size"):
            parse_size(text)
