"""What would be seen only after a teacher has been trained is refused before; no folder is left."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt.app import get_app
from keras_prokt.experiments import run as runs
from keras_prokt.experiments.run import check_before_training, prepare, run, trained_teacher
from keras_prokt.experiments.run_folder import RunFolder
from keras_prokt.experiments.spec import RunSpec

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
SMALL = {"limit": 64, "epochs": 2}


class Subclassed(keras.Model):
    def __init__(self, logits):
        super().__init__()
        self.flatten, self.logits = layers.Flatten(), logits

    def call(self, x):
        return self.logits(self.flatten(x))


def subclassed():
    model = Subclassed(layers.Dense(10))
    model(np.ones((1, 8, 8, 1), "float32"))
    return model


def network(classes=10, shape=(8, 8, 1), activation=None):
    logits = layers.Dense(classes, activation=activation)
    return keras.Sequential([keras.Input(shape), layers.Flatten(), logits])


@pytest.mark.parametrize(
    ("build_student", "message"),
    [
        (lambda: network(classes=7), "classes"),
        (lambda: network(activation="softmax"), "logits"),
        (lambda: network(shape=(9, 9, 1)), "of the student of shape"),
        (subclassed, "a model that Keras can save, received .* of class Subclassed"),
    ],
)
@pytest.mark.parametrize("method", ["kd", "prokt", "student"])
def test_an_unfit_student(build_student, message, method):
    if method == "student" and message == "classes":
        pytest.skip("there is no teacher to disagree with")
    app, spec = get_app("digits"), RunSpec.resolve("digits", method, **SMALL)
    task = replace(prepare(app, spec), build_student=build_student)
    with pytest.raises(ValueError, match=message):
        check_before_training(app, task, spec)


@pytest.mark.parametrize("method", ["kd", "prokt", "ta"])
@pytest.mark.parametrize("network", [network(classes=7), network(shape=(9, 9, 1))])
def test_an_unfit_teacher_file(network, method, tmp_path):
    network.save(tmp_path / "teacher.keras")
    given = {"teacher_init": str(tmp_path / "teacher.keras")}
    spec = RunSpec.resolve("digits", method, **SMALL, **given)
    with pytest.raises(ValueError, match=r"classes|of the teacher of shape|of shape"):
        run(spec, tmp_path / "run", cache=tmp_path / "cache")
    assert not (tmp_path / "run").exists()


def test_a_given_teacher_is_not_trained():
    with pytest.raises(ValueError, match="Expected no --teacher-epochs with --teacher-init"):
        RunSpec.resolve("digits", "kd", teacher_init="x.keras", teacher_epochs=3)
    RunSpec.resolve("digits", "prokt", teacher_init="x.keras", teacher_learning_rate=1e-3)


def test_a_damaged_teacher_is_trained_again(tmp_path, monkeypatch):
    app, spec = get_app("digits"), RunSpec.resolve("digits", "kd", **SMALL)
    task = prepare(app, spec)
    trained = []
    train = runs._train_teacher
    monkeypatch.setattr(runs, "_train_teacher", lambda *a: (trained.append(1), train(*a)))

    def teacher(name):
        return trained_teacher(app, task, spec, runs.Work(RunFolder(name), tmp_path / "cache"))

    first = teacher(tmp_path / "one")
    [path] = (tmp_path / "cache").glob("*/model.keras")
    path.write_bytes(path.read_bytes()[:1000])
    again = teacher(tmp_path / "two")
    assert len(trained) == 2
    teacher(tmp_path / "three")
    assert len(trained) == 2
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        assert (one == other).all()


def test_without_validation_data_the_last_student_is_kept(tmp_path):
    spec = replace(RunSpec.resolve("digits", "student", **SMALL), full_train=True)
    record = run(spec, tmp_path / "run", export=False, cache=tmp_path / "cache")
    assert record["results"]["best_epoch"] == 2
    models = record["results"]["models"]
    assert models["student"]["test"] == models["student (last epoch)"]["test"]
