"""`keras-prokt benchmark`: what it measures and how it says so; never how long anything took."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from pretended_runs import completed, record_of

from keras_prokt.export import FORMATS, export_saved_model
from keras_prokt.export.runtimes import RUNTIMES, measure
from keras_prokt.front_ends import ImageFrontEnd
from keras_prokt.results.speed import draw_speed, latency_grid, size_grid, speed_notes
from keras_prokt.runs import RunSpec, speed
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.task import digests, prepare

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="models are measured on TensorFlow"
)


def test_every_runtime_opens_a_form():
    assert RUNTIMES.keys() <= FORMATS.keys()
    assert all(RUNTIMES[name].is_installed() for name in ("keras", "saved_model"))


@pytest.fixture(scope="module")
def student():
    keras.utils.set_random_seed(0)
    parts = [keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((4, 4, 1), name="pixels"), *parts])


@pytest.fixture
def job(student, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 1), dtype="uint8")
    front_end = ImageFrontEnd((4, 4), mean=[0.5], standard_deviation=[0.25])
    inputs = {"inputs": front_end.normalize(pixels), "image": pixels}
    np.savez(tmp_path / "inputs.npz", **inputs)
    examples = {f"{n}/{k}": v[4 * n : 4 * n + 4] for n in (0, 1) for k, v in inputs.items()}
    np.savez(tmp_path / "examples.npz", **examples)
    student.save(tmp_path / "student.keras")
    paths = {
        "keras": tmp_path / "student.keras",
        "saved_model": export_saved_model(
            student, tmp_path / "s", front_end=front_end, class_names=["a", "b", "c"]
        ),
        "unread": export_saved_model(student, tmp_path / "t"),
    }
    logits = student.predict(inputs["inputs"], verbose=0)

    def of(form):
        return {
            "form": "keras" if form == "keras" else "saved_model",
            "path": str(paths[form]),
            "threads": 1,
            "inputs": str(tmp_path / "inputs.npz"),
            "batches": [1, 8],
            "seconds": 1e-6,
            "examples": str(tmp_path / "examples.npz"),
            "outputs": str(tmp_path / "outputs.npz"),
        }

    return of, logits


@pytest.mark.slow
@pytest.mark.parametrize("form", ["keras", "saved_model", "unread"])
def test_a_form_is_timed_and_answers_in_its_own_runtime(form, job):
    of, logits = job
    found = measure(of(form))
    assert found["peak_bytes"] >= found["library_bytes"] > 1e6
    for size in ("1", "8"):
        timed = found["latency"][size]
        assert 0 < timed["p50"] <= timed["p95"] <= timed["p99"]
        assert timed["calls"] == 20 and timed["throughput"] > 0
    with np.load(of(form)["outputs"]) as file:
        answers = speed._logits(dict(file), "classes")
    shift = (answers - logits).mean(axis=-1, keepdims=True)  # the softmax does not keep it
    np.testing.assert_allclose(answers - shift, logits, atol=1e-4)


@pytest.mark.process
def test_memory_is_that_of_the_process_and_not_of_who_started_it():
    held = np.ones(400_000_000, "uint8")
    code = "from keras_prokt.export.runtimes import _peak_bytes; print(_peak_bytes())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert 5e6 < int(child.stdout) < 3e8 < held.nbytes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose models are not trained and whose teacher was not kept."""
    path = tmp_path_factory.mktemp("runs") / "run"
    folder, spec = RunFolder(path), RunSpec.resolve("digits", "prokt", epochs=1)
    task = prepare(spec)
    record = completed(record_of(spec, data=digests(spec, task)), 0.5)
    teacher = {"parameters": 1, "bytes": 4, "test": {"accuracy": 0.875, "seconds": 0.1}}
    record["results"]["models"]["teacher"] = teacher
    with folder.created(record):
        pass
    keras.utils.set_random_seed(0)
    model = task.build_student()
    model.save(folder.student)
    labels = task.test.labels
    answers = model.predict(task.test.inputs["student"], verbose=0).argmax(axis=-1)
    return folder, model, float((answers == labels).mean())


@pytest.mark.process
def test_a_run_is_measured_with_its_teacher_and_its_test_data(run, monkeypatch):
    folder, model, accuracy = run
    monkeypatch.setattr(speed, "available_cores", lambda: 1)
    printed = keras_prokt(
        "benchmark", folder.path, "--seconds", "1e-6", "--json", cwd=folder.path.parent
    )
    assert printed.exit_code == 0, printed.stderr
    found = json.loads(printed.stdout)
    student, teacher = found["models"]
    assert (student["model"], teacher["model"]) == ("student", "teacher, untrained")
    assert student["parameters"] == model.count_params() == 850
    assert student["bytes"] == folder.student.stat().st_size
    assert student["value"] == pytest.approx(accuracy, abs=1e-6)
    assert teacher["value"] == 0.875 and "untrained" in " ".join(found["notes"])
    # 3 × 3 × 1 × 6 at 64 places, 3 × 3 × 6 × 12 at 16, and the last layer.
    assert student["multiply_adds"] < teacher["multiply_adds"]
    assert list(student["latency"]) == ["1"] and list(student["latency"]["1"]) == ["1", "8", "32"]
    assert json.loads((folder.path / "benchmark.json").read_text())["models"] == found["models"]
    assert (folder.path / "benchmark.png").read_bytes().startswith(b"\x89PNG")
    assert size_grid(found).rows[0][:3] == ["student", "keras", "850"]
    assert len(latency_grid(found).rows) == 6 and len(speed_notes(found)) == 3


def test_the_picture_has_a_point_a_model(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    point = {"p50": 0.002, "p95": 0.003, "p99": 0.004, "throughput": 500.0, "calls": 20}
    models = [
        {"model": name, "form": "keras", "value": value, "latency": {"1": {"1": point}}}
        for name, value in (("student", 0.5), ("teacher", 0.75), ("other", None))
    ]
    points, plot = [], Axes.plot
    monkeypatch.setattr(
        Axes, "plot", lambda a, x, y, *m, **k: (points.append((x, y)), plot(a, x, y, *m, **k))
    )
    found = {"part": "test", "metric": "accuracy", "models": models}
    draw_speed(found, tmp_path / "speed.png")
    assert points == [(2.0, 0.5), (2.0, 0.75)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "Expected a run folder"),
        (["a.keras", "run"], "Expected one run folder, or model files"),
        (["one", "two"], "Expected one run folder, or model files"),
        (["gone.keras"], "received 'gone.keras'"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(arguments, message, tmp_path):
    found = keras_prokt("benchmark", *arguments, cwd=tmp_path)
    assert found.exit_code == 2 and found.stdout == "" and message in found.stderr
    assert found.stderr.count("\n") == 1
