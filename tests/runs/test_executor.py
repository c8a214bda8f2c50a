"""The executor: what is missing is carried out once, and a fault of one run is not the others'.

Its processes are pretended here; `tests/cli/test_many_runs.py` has real ones, and kills them.
"""

import errno
import io
import json
import os
import queue
import re
import signal
import subprocess
import sys
import time
import urllib.error

import pytest
from pretended_runs import Pretended, unchanged, write_run

from keras_prokt.distillers.faults import TrainingFault
from keras_prokt.runs import executor as module
from keras_prokt.runs import worker
from keras_prokt.runs.executor import MAX_DEATHS, RUNS_OF_A_PROCESS, execute
from keras_prokt.runs.run_list import Entry, RunList, folder_name
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import Stop, Stopped
from keras_prokt.settings import SettingError, argument


def entry_of(method="student", seed=0, **settings):
    spec = RunSpec.resolve("digits", method, epochs=1, seed=seed, **settings)
    return Entry(folder_name(method, seed), method, spec)


def list_of(path, entries):
    runs = RunList(path, "comparison")
    runs.create({}, entries, measures_test=True)
    return runs


@pytest.fixture
def pretended(monkeypatch):
    return Pretended(monkeypatch)


@pytest.fixture
def runs(tmp_path):
    return list_of(tmp_path / "list", [entry_of(seed=seed) for seed in range(3)])


NAMES = ["student-seed-0", "student-seed-1", "student-seed-2"]


def carry_out(runs, **settings):
    stream = io.StringIO()
    return execute(runs, stream=stream, **settings), stream.getvalue()


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_run_is_carried_out_once(jobs, pretended, runs):
    done, shown = carry_out(runs, jobs=jobs)
    assert sorted(done.completed) == sorted(pretended.begun) == NAMES
    assert (done.failed, done.refused) == ({}, {})
    assert "run 2 of 3: student, seed 1  completed in 0 s" in shown
    assert len(pretended.threads) == min(jobs, 3)
    with unchanged(runs.path):
        done, shown = carry_out(runs, jobs=jobs)
    assert sorted(done.completed) == NAMES and shown == ""
    assert len(pretended.begun) == 3 and len(pretended.threads) == min(jobs, 3)


def test_only_the_runs_that_are_asked_for(pretended, runs):
    done, _ = carry_out(runs, names=NAMES[1:2])
    assert done.completed == pretended.begun == NAMES[1:2]


def test_what_is_there_is_not_repeated_and_what_is_unfinished_goes_on(pretended, runs):
    entries = runs.entries()
    write_run(runs.folder(NAMES[0]).path, entries[0].spec, accuracy=0.7)
    write_run(runs.folder(NAMES[1]).path, entries[1].spec)
    done, shown = carry_out(runs)
    assert shown.startswith("1 of 3 runs are there\n")
    assert (pretended.begun, pretended.resumed) == (NAMES[2:], NAMES[1:2])
    assert sorted(done.completed) == NAMES


FAULTS = {
    "training": (TrainingFault("The student's loss became NaN."), "The student's loss became NaN."),
    "refused": (ValueError("Expected a student whose stages."), "Expected a student whose stages."),
    "memory": (MemoryError("no more"), "MemoryError: no more"),
    "backend": (RuntimeError("no kernel"), "RuntimeError: no kernel"),
}


@pytest.mark.parametrize(
    ("kind", "is_early"),
    [(kind, is_early) for kind in FAULTS for is_early in (False, True) if kind != "refused"]
    + [("refused", True)],
)
def test_a_failed_run_is_recorded_and_the_others_go_on(kind, is_early, pretended, runs):
    fault, reason = FAULTS[kind]
    pretended.fails_early = is_early

    def outcome(spec):
        if spec.seed == 1:
            raise fault
        return 0.5

    pretended.outcome = outcome
    done, shown = carry_out(runs)
    assert done.failed == {NAMES[1]: reason}
    assert sorted(done.completed) == [NAMES[0], NAMES[2]] and done.refused == {}
    assert f"run 2 of 3: student, seed 1  failed: {reason}" in shown
    record = runs.folder(NAMES[1]).read()
    assert (record["status"], record["failure"]) == ("failed", reason)
    # It is not begun anew unless it is asked for; then it is begun anew, not gone on with.
    with unchanged(runs.path):
        done, _ = carry_out(runs)
    assert done.failed == {NAMES[1]: reason} and len(pretended.begun) == 3
    pretended.outcome = lambda spec: 0.6
    done, _ = carry_out(runs, retries_failed=True)
    assert sorted(done.completed) == NAMES and done.failed == {}
    assert pretended.begun[3:] == [NAMES[1]] and pretended.resumed == []


def test_a_run_that_fails_again_is_recorded_again(pretended, runs):
    def outcome(spec):
        raise RuntimeError(f"try {len(pretended.begun)}")

    pretended.outcome = outcome
    carry_out(runs, names=NAMES[:1])
    done, _ = carry_out(runs, names=NAMES[:1], retries_failed=True)
    assert done.failed == {NAMES[0]: "RuntimeError: try 2"}


def test_files_of_the_user_in_a_failed_run_are_not_deleted(pretended, runs):
    worker.record_failure(runs, runs.entries()[0], "it is broken")
    notes = runs.folder(NAMES[0]).path / "notes.txt"
    notes.write_text("mine")
    done, _ = carry_out(runs, retries_failed=True)
    assert "a folder without a run.json; remove it" in done.refused[NAMES[0]]
    assert notes.read_text() == "mine" and sorted(done.completed) == NAMES[1:]


def test_a_run_that_cannot_go_on_is_refused_and_stays_as_it_was(pretended, runs):
    write_run(runs.folder(NAMES[0]).path, runs.entries()[0].spec)

    def outcome(spec):
        if spec.seed == 0:
            raise ValueError("Expected the data with which the run was begun.")
        return 0.5

    pretended.outcome = outcome
    done, shown = carry_out(runs)
    assert done.refused == {NAMES[0]: "Expected the data with which the run was begun."}
    assert "cannot go on: Expected the data" in shown
    assert runs.folder(NAMES[0]).read()["status"] == "running"
    assert sorted(done.completed) == NAMES[1:]


def test_damaged_runs_are_refused_and_the_others_go_on(pretended, runs):
    for name, file in zip(NAMES, ("run.json", "notes.txt"), strict=False):
        runs.folder(name).path.mkdir()
        (runs.folder(name).path / file).write_text("{")
    done, _ = carry_out(runs)
    assert set(done.refused) == set(NAMES[:2]) and done.completed == NAMES[2:]


def test_a_run_keeps_the_threads_with_which_it_was_begun(pretended, runs):
    write_run(runs.folder(NAMES[1]).path, runs.entries()[1].spec, threads=7)
    carry_out(runs, threads=2)
    assert pretended.threads == [2, 7, 2]
    assert [runs.folder(name).read()["threads"] for name in NAMES] == [2, 7, 2]


def test_the_cores_are_shared_by_the_processes(pretended, runs, monkeypatch):
    monkeypatch.setattr(module, "available_cores", lambda: 8)
    carry_out(runs, jobs=3)
    assert pretended.threads == [2, 2, 2]
    assert runs.folder(NAMES[0]).read()["threads"] == 2


def test_more_processes_than_cores_have_a_thread_each(pretended, runs, monkeypatch):
    monkeypatch.setattr(module, "available_cores", lambda: 2)
    carry_out(runs, jobs=3)
    assert pretended.threads == [1, 1, 1]


def test_runs_of_other_backends_have_processes_of_their_own(pretended, tmp_path):
    backends = ["tensorflow", "jax", "tensorflow"]
    entries = [entry_of(seed=seed, backend=backend) for seed, backend in enumerate(backends)]
    assert module.worker_settings(entries[1], 3) == ("jax", 3, False)
    runs = list_of(tmp_path / "list", entries)
    done, _ = carry_out(runs)
    assert sorted(done.completed) == NAMES and len(pretended.threads) == 3


@pytest.mark.slow
def test_a_process_makes_place_after_many_runs(pretended, tmp_path):
    count = RUNS_OF_A_PROCESS + 1
    runs = list_of(tmp_path / "list", [entry_of(seed=seed) for seed in range(count)])
    done, _ = carry_out(runs)
    assert len(done.completed) == count and len(pretended.threads) == 2


def test_a_process_that_is_killed_is_replaced(pretended, runs):
    deaths = [NAMES[1]]

    def ends(process, name):
        if name not in deaths:
            return False
        deaths.remove(name)
        write_run(runs.folder(name).path, runs.entry(name).spec)
        process.end(-9)
        return True

    pretended.ends = ends
    done, shown = carry_out(runs)
    assert "its process ended by signal 9; going on with another" in shown
    assert sorted(done.completed) == NAMES and pretended.resumed == [NAMES[1]]


@pytest.mark.parametrize(
    ("code", "words"), [(-9, "by signal 9; was the memory full"), (1, "with code 1: these words")]
)
def test_a_run_whose_processes_are_killed_again_and_again_has_failed(code, words, pretended, runs):
    def ends(process, name):
        if name != NAMES[0]:
            return False
        process.end(code)
        return True

    pretended.ends = ends
    done, _ = carry_out(runs)
    assert list(done.failed) == [NAMES[0]] and words in done.failed[NAMES[0]]
    assert f"its process ended {MAX_DEATHS} times" in done.failed[NAMES[0]]
    assert runs.folder(NAMES[0]).read()["failure"] == done.failed[NAMES[0]]
    assert sorted(done.completed) == NAMES[1:]


def test_a_process_that_cannot_start_is_no_fault_of_a_run(pretended, runs):
    saved = []

    def ends(process, name):
        if name == NAMES[0]:
            process.stop = lambda: (saved.append(name), process.end())
            return True  # as if it were training
        process.is_ready = False
        process.end(1)
        return True

    pretended.ends = ends
    message = (
        "Expected a process that can carry out runs, received one that ended with code 1: these "
        "words; see that Keras can be imported with backend 'tensorflow', and start again."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        carry_out(runs, jobs=2)
    assert saved == NAMES[:1] and not any(runs.folder(name).path.exists() for name in NAMES)


@pytest.mark.parametrize("kills", [1, 2])
def test_a_process_that_is_killed_while_it_starts_is_replaced_once(kills, pretended, runs):
    deaths = [NAMES[0]] * kills

    def ends(process, name):
        if not deaths:
            process.answer({"event": "ready"})
            return False
        process.is_ready = False
        deaths.pop()
        process.end(-9)
        return True

    pretended.ends = ends
    if kills == MAX_DEATHS:
        with pytest.raises(ValueError, match="can carry out runs, .* ended by signal 9; see that"):
            carry_out(runs)
    else:
        done, shown = carry_out(runs)
        assert sorted(done.completed) == NAMES and "signal 9; going on with another" in shown
    assert not any(runs.status(entry) == "failed" for entry in runs.entries())


@pytest.mark.process
def test_a_real_process_without_its_backend_says_why(runs, monkeypatch):
    monkeypatch.setattr(module, "worker_settings", lambda entry, threads: ("none", threads, False))
    with pytest.raises(
        ValueError, match="ended with code 1: .*none.*; see that Keras can be impor"
    ):
        carry_out(runs)
    assert not any(runs.folder(name).path.exists() for name in NAMES)


@pytest.mark.parametrize("event", [{"event": "done", "status": "stopped"}, {"event": "end"}])
def test_a_signal_to_a_process_alone_is_no_death_of_its_run(event, pretended, runs):
    signals = [NAMES[0]] * (MAX_DEATHS + 1)

    def ends(process, name):
        if name not in signals:
            return False
        signals.remove(name)
        process.answer({**event, "name": name})
        process.end(0)
        return True

    pretended.ends = ends
    done, shown = carry_out(runs)
    assert sorted(done.completed) == NAMES and "its process ended" not in shown


def test_a_run_of_another_process_is_waited_for(pretended, runs):
    other = runs.locked(NAMES[0])
    other.__enter__()
    freed = []

    def outcome(spec):
        if spec.seed == 2:
            freed.append(other.__exit__())
        return 0.5

    pretended.outcome = outcome
    done, shown = carry_out(runs)
    assert shown.count("student, seed 0  another process works on it") == 1
    assert freed and pretended.begun == [*NAMES[1:], NAMES[0]]
    assert sorted(done.completed) == NAMES


def test_a_run_that_another_process_completes_meanwhile_is_not_repeated(pretended, runs):
    def outcome(spec):
        if spec.seed == 0:
            write_run(runs.folder(NAMES[1]).path, runs.entry(NAMES[1]).spec, accuracy=0.9)
        return 0.5

    pretended.outcome = outcome
    done, _ = carry_out(runs)
    assert pretended.begun == [NAMES[0], NAMES[2]] and sorted(done.completed) == NAMES
    assert runs.folder(NAMES[1]).read()["results"]["models"]["student"]["test"]["accuracy"] == 0.9


def test_a_run_that_someone_resumes_by_hand_is_waited_for(pretended, runs):
    folder = runs.folder(NAMES[0])
    write_run(folder.path, runs.entries()[0].spec)
    tries = []

    def outcome(spec):
        if spec.seed == 0:
            tries.append(spec.seed)
            if len(tries) < 3:
                with folder.locked(), folder.locked():
                    pass
        return 0.5

    pretended.outcome = outcome
    done, _ = carry_out(runs)
    assert len(tries) == 3 and sorted(done.completed) == NAMES and done.refused == {}


H5 = "Unable to write (errno = 28, error message = 'No space left on device', buf = 0x1)"


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "No space left", "student.keras"), errno.ENOSPC),
        (OSError(H5), errno.ENOSPC),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), errno.EDQUOT),
        (OSError(errno.EROFS, "Read-only file system", "run.json"), errno.EROFS),
        (OSError(errno.EMFILE, "Too many open files", "mine.csv"), errno.EMFILE),
    ],
)
def test_a_full_disk_ends_all_with_its_number(error, number, pretended, runs):
    def outcome(spec):
        raise error

    pretended.outcome = outcome
    with pytest.raises(OSError) as raised:
        carry_out(runs)
    assert raised.value.errno == number and str(error.strerror or error) in str(raised.value)
    assert pretended.begun == NAMES[:1]
    assert runs.folder(NAMES[0]).read()["status"] == "running"  # which goes on one day


@pytest.mark.parametrize("place", ["list", "cache"])
def test_a_folder_of_all_that_may_not_be_written_ends_all(
    place, pretended, runs, tmp_path, monkeypatch
):
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(tmp_path / "cache"))

    def outcome(spec):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / place / "a" / "b"))

    pretended.outcome = outcome
    with pytest.raises(PermissionError, match="Permission denied"):
        carry_out(runs)
    assert pretended.begun == NAMES[:1]


OF_ONE_RUN = [
    OSError("h5"),
    FileNotFoundError(errno.ENOENT, "No such file or directory", "mine.csv"),
    PermissionError(errno.EACCES, "Permission denied", "/nowhere/mine.csv"),
    urllib.error.URLError("no network"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
]


@pytest.mark.parametrize("error", OF_ONE_RUN, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("is_early", [False, True])
def test_a_file_of_one_run_is_no_fault_of_the_others(error, is_early, pretended, runs):
    pretended.fails_early = is_early

    def outcome(spec):
        if spec.seed == 0:
            raise error
        return 0.5

    pretended.outcome = outcome
    done, _ = carry_out(runs)
    reason = f"{type(error).__name__}: {error}"
    assert done.failed == {NAMES[0]: reason} and sorted(done.completed) == NAMES[1:]
    assert runs.folder(NAMES[0]).read()["failure"] == reason
    with unchanged(runs.path):
        assert carry_out(runs)[0].failed == {NAMES[0]: reason}
    assert len(pretended.begun) == 3


def test_a_failure_that_cannot_be_recorded_ends_all(pretended, runs, monkeypatch):
    def record_failure(*arguments):
        raise OSError(errno.ENOSPC, "No space left", "run.json")

    def outcome(spec):
        raise RuntimeError("no kernel")

    pretended.outcome = outcome
    monkeypatch.setattr(worker, "record_failure", record_failure)
    with pytest.raises(OSError, match="No space left"):
        carry_out(runs)
    assert pretended.begun == NAMES[:1]


def test_a_record_that_is_damaged_in_a_run_is_refused_and_not_written_over(pretended, runs):
    def outcome(spec):
        if spec.seed == 0:
            runs.folder(NAMES[0]).record.write_text("{")
            raise ValueError("it burst")
        if spec.seed == 1:
            runs.folder(NAMES[1]).record.write_text("{")
            raise RuntimeError("it burst")
        return 0.5

    pretended.outcome = outcome
    done, _ = carry_out(runs)
    assert set(done.refused) == set(NAMES[:2]) and done.completed == NAMES[2:]
    assert all("it burst" in reason for reason in done.refused.values())
    assert runs.folder(NAMES[0]).record.read_text() == "{"


@pytest.mark.parametrize("status", ["failed", "refused"])
def test_reasons_are_shown_with_the_names_that_the_caller_has_for_arguments(
    status, pretended, runs
):
    if status == "refused":
        write_run(runs.folder(NAMES[0]).path, runs.entries()[0].spec)
    pretended.fails_early = True

    def outcome(spec):
        if spec.seed == 0:
            raise SettingError(f"Expected {argument('batch_size')} of at most 3.")
        return 0.5

    pretended.outcome = outcome

    def show(text):
        return SettingError(text).shown_as({"batch_size": "--batch-size"})

    done, shown = carry_out(runs, show=show)
    assert getattr(done, status) == {NAMES[0]: "Expected --batch-size of at most 3."}
    assert ": Expected --batch-size of at most 3.\n" in shown
    if status == "failed":
        reason = "Expected batch_size of at most 3."
        assert runs.folder(NAMES[0]).read()["failure"] == reason
        done, shown = carry_out(runs, retries_failed=True)
        assert done.failed == {NAMES[0]: reason} and f"failed: {reason}\n" in shown


def test_before_the_time_is_over_all_processes_are_stopped(pretended, runs):
    stopped = []

    def ends(process, name):
        process.stop = lambda: (stopped.append(name), process.end())
        return True  # as if it were training

    pretended.ends = ends
    started = time.monotonic()
    with pytest.raises(Stopped) as raised:
        carry_out(runs, jobs=2, stop=Stop(1.0))
    assert raised.value.signal is None and stopped == NAMES[:2]
    assert time.monotonic() - started < 1.0  # there is time left to save


def test_processes_that_end_late_do_not_disturb_a_stop(pretended, tmp_path):
    # The first one has been told to end for the sake of the second backend.
    entries = [entry_of(seed=0), entry_of(seed=1, backend="jax")]
    runs = list_of(tmp_path / "list", entries)
    pretended.ends = lambda process, name: name == NAMES[1]
    with pytest.raises(Stopped):
        carry_out(runs, stop=Stop(0.3))
    assert runs.folder(NAMES[0]).read()["status"] == "completed"


def test_a_signal_stops_after_the_runs_are_saved(pretended, runs):
    stop = Stop()

    def outcome(spec):
        stop.signal = 15
        return 0.5

    pretended.outcome = outcome
    with pytest.raises(Stopped) as raised:
        carry_out(runs, stop=stop)
    assert raised.value.signal == 15 and pretended.begun == NAMES[:1]


def test_proposed_runs_are_added_until_there_are_no_more(pretended, runs):
    proposals = [entry_of("kd", 0), entry_of("kd", 1)]

    def propose():
        if proposals:
            runs.add([proposals.pop(0)])
        return runs.entries()

    done, shown = carry_out(runs, propose=propose)
    assert sorted(done.completed) == ["kd-seed-0", "kd-seed-1", *NAMES]
    assert "run 5 of 5: kd, seed 1" in shown


def test_runs_that_are_no_longer_wanted_are_dropped(pretended, runs):
    seen = []

    def drops(name, pending):
        seen.append((name, set(pending)))
        return name == NAMES[1]

    done, _ = carry_out(runs, drops=drops)
    assert done.completed == pretended.begun == [NAMES[0], NAMES[2]]
    assert seen == [(NAMES[0], {*NAMES[1:]}), (NAMES[1], {NAMES[2]}), (NAMES[2], set())]


def test_test_data_is_measured_of_completed_runs_alone_and_once(pretended, runs):
    carry_out(runs, names=NAMES[:2])
    done, shown = carry_out(runs, names=NAMES[:2], adds_test=True)
    assert sorted(done.completed) == pretended.tested == NAMES[:2]
    assert len(pretended.begun) == 2 and "test data 1 of 2: student, seed 0" in shown


def test_a_fault_in_measuring_leaves_the_run_completed(pretended, runs, monkeypatch):
    from keras_prokt.runs import finished_run

    carry_out(runs, names=NAMES[:1])

    def add_test(folder):
        raise RuntimeError("no")

    monkeypatch.setattr(finished_run, "add_test", add_test)
    done, _ = carry_out(runs, names=NAMES[:1], adds_test=True)
    assert done.refused == {NAMES[0]: "RuntimeError: no"}
    assert runs.folder(NAMES[0]).read()["status"] == "completed"


@pytest.mark.parametrize("settings", [{"jobs": 0}, {"jobs": -1}, {"threads": 0}])
def test_numbers_that_mean_nothing_are_refused(settings, pretended, runs):
    with pytest.raises(ValueError, match=r"Expected (jobs|threads) of at least 1, received"):
        execute(runs, **settings)
    assert pretended.begun == []


def test_whoever_reads_the_progress_may_have_gone(pretended, runs):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    assert sorted(execute(runs, stream=Gone()).completed) == NAMES


def test_the_time_that_is_left_follows_from_the_runs_that_are_done(pretended, runs):
    pretended.seconds = 100.0
    _, shown = carry_out(runs)
    lines = shown.splitlines()
    assert lines[1].endswith("student, seed 0  completed in 1 min 40 s  3 min 20 s left")
    assert lines[-1].endswith("student, seed 2  completed in 1 min 40 s")


@pytest.mark.process
def test_a_process_ends_when_it_is_told_to_and_answers_in_lines(tmp_path):
    """The protocol of a real process, without a run: names that are done already."""
    runs = list_of(tmp_path / "list", [entry_of()])
    write_run(runs.folder(NAMES[0]).path, runs.entries()[0].spec, accuracy=0.5)
    command = [sys.executable, "-P", "-m", "keras_prokt.runs.worker"]
    command += [str(runs.path), "comparison", "tensorflow", "1", "False"]
    task = json.dumps({"name": NAMES[0], "retries": False, "adds_test": False})
    result = subprocess.run(
        command, input=f'{task}\n{{"end": true}}\n', capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    ready, answer = map(json.loads, result.stdout.splitlines())
    assert ready == {"event": "ready"}
    assert (answer["event"], answer["name"], answer["status"]) == ("done", NAMES[0], "completed")
    assert answer["was_there"]


@pytest.mark.process
def test_a_process_whose_executor_has_ended_ends_too(tmp_path):
    runs = list_of(tmp_path / "list", [entry_of()])
    command = [sys.executable, "-P", "-m", "keras_prokt.runs.worker"]
    command += [str(runs.path), "comparison", "tensorflow", "1", "False"]
    result = subprocess.run(command, input="", capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    events = [json.loads(line)["event"] for line in result.stdout.splitlines()]
    assert events in ([], ["end"], ["ready"], ["ready", "end"])
    assert not runs.folder(NAMES[0]).path.exists()


def test_a_process_whose_executor_has_ended_ends_even_if_its_signal_is_lost(monkeypatch):
    sent = []
    monkeypatch.setattr(worker.sys, "stdin", io.StringIO('{"name": "a"}\n'))
    monkeypatch.setattr(worker.os, "kill", lambda *arguments: sent.append(arguments))
    tasks = queue.SimpleQueue()
    worker._read_tasks(tasks)
    assert [tasks.get_nowait(), tasks.get_nowait()] == [{"name": "a"}, None]
    assert sent == [(os.getpid(), signal.SIGTERM)]
