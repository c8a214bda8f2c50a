"""Runs that learn from stored outputs of a teacher."""

import keras
import numpy as np
import pytest
import sklearn.datasets
from command_line import keras_prokt
from small_cifar import TINY, keep_images

from keras_prokt import load_student, models
from keras_prokt.app import TaskRequest, get_app
from keras_prokt.runs import RunSpec, resume, run
from keras_prokt.runs.finished_run import evaluate_run, export_run
from keras_prokt.runs.task import prepare

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
SMALL = {"limit": 192, "epochs": 2, "batch_size": 32, "student": "cnn-small"}
IMAGES = (sklearn.datasets.load_digits().images / 16).astype("float32")[..., None]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A file of a teacher, and of its logits for all digits as scikit-learn has them."""
    folder = tmp_path_factory.mktemp("teacher")
    keras.utils.set_random_seed(1)
    model = models.get("cnn-medium")(10, (8, 8, 1))
    np.savez(folder / "logits.npz", logits=5 * model.predict(IMAGES, verbose=0))
    live = keras.Model(model.input, keras.layers.Rescaling(5.0)(model.output))
    live.save(folder / "teacher.keras")
    return folder


def spec_of(method="kd", **settings):
    return RunSpec.resolve("digits", method, **{**SMALL, **settings})


def assert_same_student(one, other, atol):
    weights = [load_student(folder / "student.keras").get_weights() for folder in (one, other)]
    for pair in zip(*weights, strict=True):
        np.testing.assert_allclose(*pair, atol=atol)


@on_tensorflow
@pytest.mark.whole_run
def test_stored_and_live_outputs_give_the_same_student(teacher, tmp_path, capsys):
    live, stored, other = (tmp_path / name for name in ("live", "stored", "other"))
    run(spec_of(teacher_init=str(teacher / "teacher.keras")), live, export=False)
    path = teacher / "logits.npz"
    record = run(spec_of(teacher_outputs=str(path)), stored, export=False)
    assert f"teacher outputs: logits of 1,797 rows in {path}" in capsys.readouterr().err
    assert_same_student(live, stored, 1e-5)
    assert {n for n in record["results"]["models"] if "student" not in n} == set()
    assert set(record["cost"]["forwards"]) == {"student"}
    # Other rows of the same file, in another order and as probabilities.
    logits = np.load(path)["logits"]
    index = np.random.default_rng(0).permutation(1797)
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits[index]))
    np.savez(tmp_path / "other.npz", probabilities=probabilities, index=index)
    run(spec_of(teacher_outputs=str(tmp_path / "other.npz")), other, export=False)
    assert_same_student(stored, other, 1e-3)


@pytest.mark.thorough
@on_tensorflow
@pytest.mark.whole_run
def test_a_run_under_prokt_goes_on_exactly_and_needs_its_file_no_more(teacher, tmp_path):
    path = tmp_path / "outputs.npz"
    path.write_bytes((teacher / "logits.npz").read_bytes())
    spec = spec_of("prokt", teacher="cnn-medium", teacher_outputs=str(path))
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(spec, whole, export=False, save_teacher=True)
    run(spec, stopped, export=False, save_teacher=True, stop_after=0)
    np.savez(path, logits=np.zeros((1797, 10)))
    with pytest.raises(ValueError, match="Expected the teacher_outputs with which the run was sta"):
        resume(stopped)
    path.write_bytes((teacher / "logits.npz").read_bytes())
    record = resume(stopped)
    assert record["status"] == "completed"
    assert_same_student(whole, stopped, 0)
    path.unlink()
    metrics = evaluate_run(whole)["test"]
    assert metrics["accuracy"] == record["results"]["models"]["student"]["test"]["accuracy"]
    assert export_run(whole).is_dir()


@on_tensorflow
@pytest.mark.whole_run
def test_from_the_command_line_with_a_table(teacher, tmp_path):
    logits = np.load(teacher / "logits.npz")["logits"]
    lines = [",".join(f"logit({digit})" for digit in range(10))]
    lines += [",".join(map(str, row)) for row in logits.tolist()]
    (tmp_path / "outputs.csv").write_text("\n".join(lines) + "\n")
    options = ["--limit", "64", "--epochs", "1", "--batch-size", "32", "--no-export"]
    arguments = ("run", "--method", "kd", "--teacher-outputs", "outputs.csv", *options)
    result = keras_prokt(*arguments, "--out", "run", cwd=tmp_path)
    assert result.exit_code == 0, result.output
    assert "teacher outputs: logits of 1,797 rows" in result.stderr
    assert "teacher " not in result.stdout.partition("model ")[2]
    result = keras_prokt(*arguments, "--estimate", cwd=tmp_path)
    assert result.exit_code == 0 and "teacher" not in result.stdout
    result = keras_prokt(*arguments, "--teacher-columns", "logits=a,b", cwd=tmp_path)
    assert result.exit_code == 2 and "Expected a column at" in result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("seed", [None, 3])
def test_positions_of_digits_are_those_of_scikit_learn(seed):
    request = {"teacher": "cnn-small", "student": "cnn-small", "batch_size": 32, "seed": 0}
    task = get_app("digits").prepare(TaskRequest(**request, split_seed=seed, limit=100))
    positions, count = task.train.origin
    assert count == 1797
    np.testing.assert_array_equal(task.train.inputs["student"], IMAGES[positions])


BAD = {
    "objectives": ("at+kd", {}, "received 'at', which reads all stages of .*'at\\+prokt'"),
    "first stage": ("ab+prokt", {}, "first stage|Expected 'ab' with one fixed teacher"),
    "initialisation": ("tinybert+prokt", {}, "first stage reads the layers of a trained teacher"),
    "regime": ("rco", {}, "Expected no teacher_outputs with method 'rco', .*belongs to"),
    "ta": ("ta", {}, "Expected no teacher_outputs with method 'ta'"),
    "dml": ("dml", {}, "Expected no teacher_outputs with method 'dml'"),
    "student": ("student", {}, "Expected no teacher_outputs with method 'student'"),
    "teacher": ("kd", {"teacher_init": "t.keras"}, "Expected no teacher_init with teacher_outputs"),
    "epochs": ("kd", {"teacher_epochs": 3}, "Expected no teacher_epochs with teacher_outputs"),
    "rate": ("kd", {"teacher_learning_rate": 0.1}, "no teacher_learning_rate with teacher_outputs"),
    "mode": ("kd", {"target_mode": "training"}, "no target_mode with teacher_outputs and method"),
    "head start": ("prokt", {"teacher_head_start": 1}, "Expected no teacher_head_start with teach"),
    "smoothing": ("kd", {"label_smoothing": 0.1}, "Expected no label_smoothing with teacher_outp"),
    "weights": ("prokt", {"class_weight": "balanced"}, "Expected no class_weight with teacher_out"),
    "columns": ("kd", {"teacher_columns": "a,b"}, "Expected teacher_columns logits=A,B"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_go_with_stored_outputs(name):
    method, settings, message = BAD[name]
    with pytest.raises(ValueError, match=message) as error:
        RunSpec.resolve("digits", method, teacher_outputs="outputs.npz", **settings)
    assert "\n" not in str(error.value)


def test_columns_alone_mean_nothing():
    with pytest.raises(ValueError, match="Expected no teacher_columns without teacher_outputs"):
        RunSpec.resolve("digits", "kd", teacher_columns="logits=a,b")


def test_there_is_no_teacher_to_keep():
    with pytest.raises(
        ValueError, match="Expected no save_teacher with method 'kd' and teacher_ou"
    ):
        spec_of(teacher_outputs="outputs.npz").check_has_teacher()


def test_a_file_of_another_width_is_refused_before_anything_is_written(tmp_path):
    np.savez(tmp_path / "outputs.npz", logits=np.zeros((1797, 9)))
    spec = spec_of(teacher_outputs=str(tmp_path / "outputs.npz"), backend=keras.backend.backend())
    with pytest.raises(ValueError, match="teacher_outputs with 10 columns, .* received 9; store"):
        run(spec, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["kd", "prokt"])
def test_probabilities_that_are_called_logits_are_refused_before_anything_is_written(
    method, tmp_path
):
    shares = np.random.default_rng(0).dirichlet(np.ones(10), 1797)
    np.savez(tmp_path / "outputs.npz", logits=shares)
    spec = spec_of(
        method,
        teacher_outputs=str(tmp_path / "outputs.npz"),
        backend=keras.backend.backend(),
        **({} if method == "kd" else {"teacher": "cnn-small"}),
    )
    with pytest.raises(ValueError, match="Expected logits in teacher_outputs, received rows of pr"):
        run(spec, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_crops_and_flips_refuse_them_as_a_fixed_teacher_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(tmp_path / "cache"))
    keep_images(tmp_path / "cache", tmp_path)
    np.savez(tmp_path / "outputs.npz", logits=np.zeros((5090, 100)))
    settings = {"teacher": TINY, "student": TINY, "data_dir": str(tmp_path), "epochs": 1}
    settings["teacher_outputs"] = str(tmp_path / "outputs.npz")
    with pytest.raises(ValueError, match="changes each input at random.*teacher_init.*use prokt"):
        prepare(RunSpec.resolve("cifar100", "kd", **settings))
    task = prepare(RunSpec.resolve("cifar100", "prokt", **settings))
    inputs, _ = next(task.train.epoch())
    assert inputs["target"].shape == (64, 100) and inputs["student"].dtype == "float32"
