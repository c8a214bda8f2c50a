"""Whole runs of the app `digits` through the command line, killed and resumed, on real images."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from command_line import keras_prokt

from keras_prokt.data.digits import load_digits
from keras_prokt.models.loading import load_student

BACKEND = keras.backend.backend()
pytestmark = [
    pytest.mark.process,
    pytest.mark.whole_run,
    pytest.mark.skipif(
        BACKEND != "tensorflow", reason="whole runs are tested on the default backend"
    ),
]
SMALL = ["--limit", "256", "--epochs", "3", "--batch-size", "32"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def command(*arguments, workplace):
    environment = {
        **os.environ,
        "KERAS_PROKT_CACHE": str(workplace / "cache"),
        "KERAS_BACKEND": BACKEND,
        "PYTHONWARNINGS": "default",
    }
    program = [sys.executable, "-m", "keras_prokt.cli", *map(str, arguments)]
    return {"args": program, "env": environment, "cwd": workplace, "text": True}


def run(*arguments, workplace):
    """A command in this process."""
    result = keras_prokt(*arguments, cwd=workplace)
    assert result.exit_code == 0, result.output
    return result


def record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


@pytest.fixture(scope="module")
def finished(workplace):
    """A run in a process of its own, and what it has printed."""
    result = subprocess.run(
        **command("run", *SMALL, workplace=workplace), capture_output=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return workplace / "runs" / "digits-prokt-1", result


def test_a_run_prints_progress_a_table_and_its_folder(finished):
    folder, result = finished
    assert result.stderr.count(" left") == 3
    for word in ("teacher", "student", "validation", "test", "parameters", "bytes", "seconds"):
        assert word in result.stdout
    assert "run folder: runs/digits-prokt-1" in result.stdout
    assert "size: the student has " in result.stdout and "lowest F1 on test: " in result.stdout
    assert folder.is_dir()


def test_a_run_folder_holds_everything(finished):
    folder, _ = finished
    expected = {"run.json", "history.csv", "dynamics.png", "tensorboard", "checkpoint"}
    expected |= {"front_end.json", "student.keras", "saved_model", "predictions"}
    assert {path.name for path in folder.iterdir()} == expected
    assert (folder / "saved_model" / "1" / "saved_model.pb").is_file()
    assert list((folder / "tensorboard").rglob("events.*"))
    run_record = record(folder)
    assert run_record["status"] == "completed"
    for key in ("spec", "versions", "hardware", "package", "results", "wall_seconds", "examples"):
        assert run_record[key]
    for model in ("teacher", "student"):
        reports = run_record["results"]["reports"][model]
        assert np.sum(reports["test"]["confusion"]) == run_record["examples"]["test"]
        right = np.trace(reports["validation"]["confusion"])
        accuracy = run_record["results"]["models"][model]["validation"]["accuracy"]
        assert right / run_record["examples"]["validation"] == pytest.approx(accuracy)
    assert 0 < run_record["results"]["size_ratio"]["parameters"] < 1
    for key in ("data", "threads", "cost", "files", "sha256", "training_seconds"):
        assert run_record[key]
    assert run_record["spec"]["method_settings"]["proximal_weight"] == 0.3
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert {"student_loss", "gap", "teacher_accuracy", "val_teacher_accuracy"} <= set(rows[0])


def test_the_reported_numbers_are_those_of_the_saved_student(finished):
    folder, _ = finished
    split = load_digits()["test"]
    student = load_student(folder / "student.keras")
    accuracy = np.mean(student.predict(split.images, verbose=0).argmax(-1) == split.labels)
    reported = record(folder)["results"]["models"]["student"]["test"]["accuracy"]
    assert reported == pytest.approx(accuracy)
    with (folder / "predictions" / "test.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["label"]) for row in rows] == split.labels.tolist()
    assert np.mean([row["student"] == row["label"] for row in rows]) == pytest.approx(accuracy)


def test_info_evaluate_and_export_of_a_run(finished, workplace):
    folder, result = finished
    table = [line for line in result.stdout.splitlines() if line.startswith("student ")]
    shown = run("info", folder, workplace=workplace).stdout
    assert all(line in shown for line in table)
    evaluated = run("evaluate", folder, workplace=workplace).stdout
    accuracy = record(folder)["results"]["models"]["student"]["validation"]["accuracy"]
    assert f"{accuracy:.4f}" in evaluated
    as_json = json.loads(run("evaluate", folder, "--json", workplace=workplace).stdout)
    reports = record(folder)["results"]["reports"]["student"]
    assert {part: one["report"] for part, one in as_json.items()} == reports
    exported = run("export", folder, workplace=workplace).stdout.strip()
    assert exported.endswith("saved_model/2")
    assert (folder / "saved_model" / "1").is_dir()


def test_overwriting_replaces_a_run(finished, workplace):
    folder = workplace / "again"
    first = run("run", *SMALL, "--out", folder, "--no-export", workplace=workplace)
    assert "SavedModel" not in first.stdout
    run("run", *SMALL, "--out", folder, "--no-export", "--overwrite", workplace=workplace)
    student = load_student(folder / "student.keras")
    other = load_student(finished[0] / "student.keras")
    for one, two in zip(student.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)  # the same seed is the same run


def test_methods_share_the_students_start_and_the_data_order(workplace):
    results = {}
    for method in ("student", "kd"):
        folder = workplace / method
        run(
            "run",
            *SMALL,
            "--method",
            method,
            "--out",
            folder,
            *(["--teacher-epochs", "2"] if method == "kd" else []),
            workplace=workplace,
        )
        results[method] = record(folder)
    assert set(results["student"]["results"]["models"]) == {"student", "student (last epoch)"}
    assert "teacher" in results["kd"]["results"]["models"]
    cached = list((workplace / "cache" / "teachers").glob("digits-*/model.keras"))
    assert len(cached) == 2  # after the last epoch, and after the best one
    before = [path.stat().st_mtime_ns for path in cached]
    second = workplace / "kd-again"
    result = run(
        "run",
        *SMALL,
        "--method",
        "kd",
        "--teacher-epochs",
        "2",
        "--out",
        second,
        workplace=workplace,
    )
    assert "teacher epoch" not in result.stderr
    assert [path.stat().st_mtime_ns for path in cached] == before
    for name in ("loss", "student_loss"):
        values = []
        for folder in ("kd", "kd-again"):
            with (workplace / folder / "history.csv").open(newline="") as file:
                values.append([row[name] for row in csv.DictReader(file)])
        assert values[0] == values[1]


def test_a_killed_run_is_resumed_exactly(finished, workplace):
    folder = workplace / "killed"
    with subprocess.Popen(
        **command("run", *SMALL, "--out", folder, workplace=workplace),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        for line in process.stderr:
            if "epoch 2/3" in line:
                break
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert record(folder)["status"] == "running"
    run("resume", folder, workplace=workplace)
    resumed, whole = record(folder), record(finished[0])
    for model, measured in whole["results"]["models"].items():
        for part in ("validation", "test"):
            for number in ("accuracy", "loss"):
                assert resumed["results"]["models"][model][part][number] == measured[part][number]
    for one, two in zip(
        load_student(folder / "student.keras").get_weights(),
        load_student(finished[0] / "student.keras").get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)
    again = run("resume", folder, workplace=workplace)
    assert " left" not in again.stderr  # a completed run is only shown
