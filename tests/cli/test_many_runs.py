"""Comparisons and searches of real runs: killed, side by side, stopped, gone on with, read back."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from scipy import stats

from keras_prokt.files import write_record

BACKEND = keras.backend.backend()
pytestmark = [
    pytest.mark.process,
    pytest.mark.whole_run,
    pytest.mark.skipif(BACKEND != "tensorflow", reason="many runs use the default backend"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds child processes by /proc"),
]
SMALL = ["--limit", "128", "--epochs", "3", "--batch-size", "64", "--threads", "1"]
ROWS = ["--method", "student", "--method", "kd", "--method", "prokt lambda=.5"]
COMPARISON = [*SMALL, *ROWS, "--seeds", "0-1", "--baseline", "student", "--jobs", "2"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return tmp_path_factory.mktemp("many")


def started(*arguments, workplace, cache="cache"):
    """A command that runs beside this process."""
    environment = {
        **os.environ,
        "KERAS_PROKT_CACHE": str(workplace / cache),
        "KERAS_BACKEND": BACKEND,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "keras_prokt.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=workplace,
    )


def ended(process, code=0):
    """Its output, when it has ended as it should."""
    shown, progress = process.communicate(timeout=240)
    assert process.returncode == code, progress
    return shown, progress


def carried_out(*arguments, code=0, **settings):
    return ended(started(*arguments, **settings), code)


def record(folder):
    return json.loads((folder / "run.json").read_text())


def records(folder):
    """The records of all runs in a folder that have begun, by their name."""
    found = {}
    for path in sorted(folder.glob("*/run.json")):
        with contextlib.suppress(ValueError):
            found[path.parent.name] = record(path.parent)
    return found


def statuses(folder):
    return [one["status"] for one in records(folder).values()]


def without_seconds(comparison):
    for row in comparison["methods"]:
        del row["seconds"]
    return comparison


def wait_until(condition, process, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def children_of(pid):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_training(folder):
    """Whether a run has saved a state and goes on."""
    return any(
        one["status"] == "running" and any((folder / name / "checkpoint").rglob("epoch-*"))
        for name, one in records(folder).items()
    )


@pytest.fixture(scope="module")
def whole(workplace):
    """A comparison that nothing has interrupted: its folder, and what it has printed."""
    out = workplace / "whole"
    shown, progress = carried_out(
        "compare", *COMPARISON, "--out", out, "--format", "json", workplace=workplace
    )
    return out, json.loads(shown), progress


def test_the_numbers_are_those_of_the_runs_and_of_scipy(whole):
    out, comparison, progress = whole
    accuracy = {}
    for name, one in records(out).items():
        row, _, seed = name.rpartition("-seed-")
        test = one["results"]["models"]["student"]["test"]["accuracy"]
        accuracy.setdefault(row, {})[int(seed)] = test
    rows = {"student": "student", "kd": "kd", "prokt lambda=.5": "prokt-lambda-.5"}
    assert [row["method"] for row in comparison["methods"]] == list(rows)
    assert progress.count("completed in") == 6
    for row in comparison["methods"]:
        values = list(accuracy[rows[row["method"]]].values())
        assert row["student"]["mean"] == pytest.approx(np.mean(values))
        if len(set(values)) == 1:
            assert row["student"]["interval"] is None
        else:
            expected = stats.t.interval(0.95, 1, np.mean(values), stats.sem(values))
            assert row["student"]["interval"] == pytest.approx(expected)
    for pair in comparison["comparisons"]:
        these, others = (list(accuracy[rows[pair[key]]].values()) for key in ("method", "baseline"))
        assert pair["baseline"] == "student"
        assert pair["difference"] == pytest.approx(np.mean(np.subtract(these, others)))
        if len({round(d, 6) for d in np.subtract(these, others)}) > 1:
            assert pair["p"] == pytest.approx(stats.ttest_rel(these, others).pvalue)


@pytest.mark.thorough
def test_a_run_of_a_comparison_is_the_run_by_itself(whole, workplace):
    out, _, _ = whole
    arguments = ["--method", "prokt", "--lambda", ".5", "--seed", "1", "--no-export"]
    carried_out("run", *SMALL, *arguments, "--out", "alone", workplace=workplace)
    alone, within = record(workplace / "alone"), record(out / "prokt-lambda-.5-seed-1")
    assert alone["spec"] == within["spec"] and alone["data"] == within["data"]
    assert alone["threads"] == within["threads"] == 1
    assert alone["cost"] == within["cost"]
    for file in ("predictions/test.csv", "predictions/validation.csv"):
        assert alone["files"][file] == within["files"][file]


def test_all_rows_of_a_seed_have_the_same_data_in_the_same_order(whole):
    out, _, _ = whole
    data = {name: one["data"] for name, one in records(out).items()}
    for seed in (0, 1):
        of_seed = [value for name, value in data.items() if name.endswith(f"-seed-{seed}")]
        assert len(of_seed) == 3 and all(value == of_seed[0] for value in of_seed)
    assert data["kd-seed-0"] != data["kd-seed-1"]  # each seed draws its examples


def test_a_comparison_killed_twice_is_the_one_that_nothing_interrupted(whole, workplace):
    _, expected, _ = whole
    out = workplace / "killed twice"
    command = ["compare", *COMPARISON, "--out", out]
    settings = {"workplace": workplace, "cache": "other cache"}  # its teachers are trained anew

    # Its own process alone: those of the runs save and end.
    process = started(*command, **settings)
    wait_until(lambda: "completed" in statuses(out) and is_training(out), process)
    processes = children_of(process.pid)
    process.kill()
    process.communicate()
    assert processes
    # Started again at once, while they may still be saving.
    process = started(*command, **settings)
    wait_until(lambda: statuses(out).count("completed") >= 3 and is_training(out), process)
    wait_until(lambda: not any(map(is_alive, processes)), process)
    finished = {n: one["started"] for n, one in records(out).items()}

    # The whole tree.
    for pid in [process.pid, *children_of(process.pid)]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert "completed" in statuses(out) and "running" in statuses(out)
    shown = keras_prokt("info", out, cwd=workplace).stdout
    assert f"{statuses(out).count('completed')} of 6 runs: completed" in shown

    shown, _ = carried_out("resume", out, "--jobs", "2", "--threads", "1", **settings)
    assert "Holm's p" in shown  # the baseline is remembered
    assert {name: record(out / name)["started"] for name in finished} == finished
    shown, progress = carried_out(*command, "--format", "json", **settings)
    assert without_seconds(json.loads(shown)) == without_seconds(json.loads(json.dumps(expected)))
    assert "epoch" not in progress
    assert not list(out.glob(".*"))


@pytest.mark.thorough
def test_two_commands_at_once_share_the_runs(workplace):
    out = workplace / "shared"
    command = ["compare", *SMALL, "--method", "student", "--seeds", "0-3", "--format", "json"]
    processes = [started(*command, "--out", out, workplace=workplace) for _ in range(2)]
    shown = [ended(process) for process in processes]
    completed = [line for _, text in shown for line in text.splitlines() if "completed in" in line]
    assert len(completed) == len({line.partition("  ")[0] for line in completed}) == 4
    assert statuses(out) == ["completed"] * 4
    one, other = (json.loads(text) for text, _ in shown)
    assert one == other and one["methods"][0]["seeds"] == [0, 1, 2, 3]


@pytest.mark.thorough
def test_failed_runs_are_recorded_and_begun_anew_when_asked_for(workplace):
    out = workplace / "failing"
    # Eight steps, after which a training that has gone to pieces is seen.
    arguments = ["--limit", "128", "--epochs", "2", "--batch-size", "32", "--threads", "1"]
    arguments += ["--method", "student student-learning-rate=1e6", "--method", "student"]
    arguments += ["--method", "at student=transformer-small", "--out", out]
    shown, progress = carried_out("compare", *arguments, code=1, workplace=workplace)
    faulty, unbuilt = (
        "student-student-learning-rate-1e6-seed-0",
        "at-student-transformer-small-seed-0",
    )
    found = records(out)
    assert {name: one["status"] for name, one in found.items()} == {
        faulty: "failed",
        unbuilt: "failed",
        "student-seed-0": "completed",
    }
    assert "student whose stages" in found[unbuilt]["failure"]
    assert "lower the student's learning rate" in found[faulty]["failure"]
    last = progress.splitlines()[-3:]
    assert sorted(line.split(":")[1].strip() for line in last[:2]) == sorted([faulty, unbuilt])
    assert last[2] == "keras-prokt: --retry-failed begins those that failed anew"
    assert "one seed: the number of one run, without interval and test" in shown
    # Not without being asked for.
    again, progress = carried_out("compare", *arguments, code=1, workplace=workplace)
    assert (again, records(out)) == (shown, found) and "epoch" not in progress
    assert "2 of 3 runs: failed" in keras_prokt("info", out, cwd=workplace).stdout
    assert "failed: " in keras_prokt("info", out / unbuilt, cwd=workplace).stdout
    time.sleep(1)  # what was begun in another second is told apart
    carried_out("compare", *arguments, "--retry-failed", code=1, workplace=workplace)
    retried = records(out)
    for name in (faulty, unbuilt):
        assert retried[name]["status"] == "failed"
        assert retried[name]["started"] > found[name]["started"]
    assert retried["student-seed-0"] == found["student-seed-0"]


@pytest.mark.thorough
def test_a_comparison_stops_in_time_and_on_a_signal_with_its_states_saved(workplace):
    out = workplace / "it's stopped"
    arguments = ["--limit", "512", "--epochs", "2000", "--batch-size", "16", "--jobs", "2"]
    arguments += ["--method", "student", "--method", "prokt", "--out", out]
    begun = time.monotonic()
    # Two processes that import Keras at once take half of it on a slow machine.
    _, progress = carried_out("compare", *arguments, "--stop-after", "50s", workplace=workplace)
    assert 25 < time.monotonic() - begun < 50
    hint = f"keras-prokt resume {shlex.quote(str(out))}"
    assert progress.splitlines()[-1] == f"stopped; go on with `{hint}`"
    assert statuses(out) == ["running", "running"]
    positions = states(out)
    assert len(positions) == 2

    process = started(*shlex.split(hint)[1:], "--jobs", "2", workplace=workplace)
    wait_until(lambda: states(out) != positions and len(states(out)) == 2, process)
    process.send_signal(signal.SIGTERM)
    _, progress = ended(process, code=143)
    assert progress.splitlines()[-1] == f"stopped; go on with `{hint}`"
    assert statuses(out) == ["running", "running"]
    assert not list(out.rglob(".lock")) and len(states(out)) == 2


def states(out):
    """Where the saved states of all runs are."""
    found = {}
    for path in out.glob("*/checkpoint/epoch-*"):
        found[path.parents[1].name] = max(found.get(path.parents[1].name, ""), path.name)
    return found


@pytest.mark.thorough
def test_more_seeds_take_over_the_runs_that_are_there(whole, workplace):
    out = workplace / "more seeds"
    shutil.copytree(whole[0], out)
    before = {path: path.read_bytes() for path in out.glob("*/run.json")}
    arguments = [*SMALL, "--method", "student", "--seeds", "0-2", "--format", "json"]
    shown, progress = carried_out("compare", *arguments, "--out", out, workplace=workplace)
    assert progress.count("completed in") == 1 and "2 of 3 runs are there" in progress
    assert {path: path.read_bytes() for path in before} == before
    [row] = json.loads(shown)["methods"]
    assert (row["seeds"], row["n"]) == ([0, 1, 2], 3)


# Reading what is there, in this process.


def test_runs_and_folders_of_runs_are_compared_alike(whole, workplace):
    out, expected, _ = whole
    read = ["compare", out, "--baseline", "student", "--format", "json"]
    result = keras_prokt(*read, cwd=workplace)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == expected
    # Without its list, the headings are made of what differs.
    plain = workplace / "plain"
    shutil.copytree(out, plain, ignore=shutil.ignore_patterns("comparison.json"))
    folder = json.loads(keras_prokt(*read[:1], plain, *read[2:], cwd=workplace).stdout)
    runs = sorted(path.parent for path in plain.glob("*/run.json"))
    named = json.loads(keras_prokt(*read[:1], *runs, *read[2:], cwd=workplace).stdout)
    assert folder == named
    means = {row["method"]: row["student"] for row in expected["methods"]}
    assert {row["method"]: row["student"] for row in folder["methods"]} == {
        "student": means["student"],
        "kd": means["kd"],
        "prokt": means["prokt lambda=.5"],
    }


@pytest.mark.parametrize("form", ["table", "csv", "markdown", "latex"])
def test_other_forms_and_info_of_a_comparison(form, whole, workplace):
    result = keras_prokt("compare", whole[0], "--format", form, cwd=workplace)
    assert result.exit_code == 0 and "prokt lambda=.5" in result.stdout
    shown = keras_prokt("info", whole[0], cwd=workplace)
    assert "6 of 6 runs: completed" in shown.stdout and "Holm's p" in shown.stdout


def test_an_unfinished_run_is_refused_by_name_and_left_out_of_a_folder(whole, workplace):
    out = workplace / "unfinished"
    shutil.copytree(whole[0], out)
    path = out / "kd-seed-1" / "run.json"
    one = json.loads(path.read_text())
    write_record(path, {k: v for k, v in one.items() if k != "sha256"} | {"status": "running"})
    result = keras_prokt("compare", out, "--format", "json", cwd=workplace)
    assert result.exit_code == 0
    assert f"{out / 'kd-seed-1'} is not completed and left out" in result.stderr
    seeds = {row["method"]: row["seeds"] for row in json.loads(result.stdout)["methods"]}
    assert seeds == {"student": [0, 1], "kd": [0], "prokt lambda=.5": [0, 1]}
    result = keras_prokt("compare", out / "kd-seed-0", out / "kd-seed-1", cwd=workplace)
    assert result.exit_code == 2 and result.stdout == ""
    assert "completed runs, received" in result.stderr and "'running'" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "5 of 6 runs: completed" in keras_prokt("info", out, cwd=workplace).stdout


def test_a_comparison_of_other_settings_is_refused(whole, workplace):
    out = whole[0]
    before = (out / "comparison.json").read_bytes()
    result = keras_prokt("compare", "--method", "student", "--out", out, cwd=workplace)
    assert result.exit_code == 2 and "'student-seed-0' has other settings" in result.stderr
    assert "--out" in result.stderr and len(result.stderr.splitlines()) == 1
    assert (out / "comparison.json").read_bytes() == before


# Searches.


@pytest.fixture(scope="module")
def searched(workplace):
    """A search by two processes at once, one of which was killed: its folder and its output."""
    out = workplace / "searched"
    command = ["search", *SMALL, "--lambda", "0,.5", "--seeds", "0-1", "--out", out]
    doomed, other = (started(*command, workplace=workplace) for _ in range(2))
    wait_until(lambda: "completed" in statuses(out) and is_training(out), doomed)
    done = {n: one["started"] for n, one in records(out).items()}
    doomed.kill()
    doomed.communicate()
    shown, progress = ended(other)
    return out, shown, progress, done


@pytest.mark.thorough
def test_of_two_searches_one_may_be_killed_and_nothing_is_lost_or_repeated(searched, whole):
    out, shown, _, done = searched
    found = records(out)
    assert sorted(found) == [f"lambda-{v}-seed-{s}" for v in ("0", "0.5") for s in (0, 1)]
    assert {one["status"] for one in found.values()} == {"completed"}
    assert {name: found[name]["started"] for name in done} == done
    # Each run is the one of the comparison that nothing has interrupted.
    for seed in (0, 1):
        of_search = found[f"lambda-0.5-seed-{seed}"]["results"]["models"]["student"]
        alone = record(whole[0] / f"prokt-lambda-.5-seed-{seed}")["results"]["models"]["student"]
        assert of_search["validation"]["accuracy"] == alone["validation"]["accuracy"]
        assert of_search["validation"]["loss"] == alone["validation"]["loss"]


def test_the_choice_is_the_best_on_validation_and_alone_is_tested(searched, workplace):
    out, shown, _, _ = searched
    means = {}
    for value in ("0", "0.5"):
        students = [record(out / f"lambda-{value}-seed-{s}")["results"] for s in (0, 1)]
        validation = [one["models"]["student"]["validation"]["accuracy"] for one in students]
        means[value] = round(float(np.mean(validation)), 6)
    chosen = max(means, key=means.get)  # of equal ones the first
    assert f"chosen: the highest mean on validation, lambda={chosen}" in shown
    for value in means:
        for seed in (0, 1):
            folder = out / f"lambda-{value}-seed-{seed}"
            student = record(folder)["results"]["models"]["student"]
            is_tested = (folder / "predictions" / "test.csv").exists()
            assert is_tested == ("test" in student) == (value == chosen)
    assert (out / "search.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert f"picture: {out / 'search.png'}" in shown
    assert keras_prokt("info", out, cwd=workplace).stdout == shown


def test_a_search_that_is_done_is_only_shown(searched, workplace):
    out, shown, _, _ = searched
    before = {path: path.read_bytes() for path in out.glob("*/run.json")}
    again = keras_prokt("resume", out, cwd=workplace)
    assert again.exit_code == 0 and again.stdout == shown and "epoch" not in again.stderr
    assert {path: path.read_bytes() for path in before} == before
    result = keras_prokt("search", "--lambda", "0,.5", "--out", out, cwd=workplace)
    assert result.exit_code == 2 and "that of the same search" in result.stderr
    result = keras_prokt("compare", "--method", "kd", "--out", out, cwd=workplace)
    assert result.exit_code == 2 and "that of a comparison" in result.stderr


def test_runs_of_a_search_are_compared_on_validation(searched, workplace):
    result = keras_prokt("compare", searched[0], "--format", "json", cwd=workplace)
    comparison = json.loads(result.stdout)
    assert comparison["part"] == "validation"
    assert [row["method"] for row in comparison["methods"]] == ["lambda=0", "lambda=0.5"]
