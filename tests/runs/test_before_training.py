"""What would be seen only after a teacher has been trained is refused before; no folder is left."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers
from marks import thorough

from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.plan import plan_of
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import prepare
from keras_prokt.runs.training import Run
from keras_prokt.runs.training_run import run
from keras_prokt.settings import SettingError

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


def network(classes=10, shape=(8, 8, 1)):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(classes)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build_student", "message"),
    [
        (lambda: network(classes=7), "classes"),
        (lambda: network(shape=(9, 9, 1)), "of the student of shape"),
        (subclassed, "a model that Keras can save, received .* of class Subclassed"),
    ],
)
@pytest.mark.parametrize("method", ["kd", "prokt", "student"])
def test_an_unfit_student(build_student, message, method):
    if method == "student" and message == "classes":
        pytest.skip("there is no teacher to disagree with")
    unfit = Run(RunSpec.resolve("digits", method, **SMALL), RunFolder("unused"))
    unfit.task = replace(prepare(unfit.spec), build_student=build_student)
    with pytest.raises(ValueError, match=message):
        plan_of(unfit)


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
    with pytest.raises(SettingError, match="Expected no teacher_epochs with teacher_init"):
        RunSpec.resolve("digits", "kd", teacher_init="x.keras", teacher_epochs=3)
    RunSpec.resolve("digits", "prokt", teacher_init="x.keras", teacher_learning_rate=1e-3)


@pytest.mark.whole_run
@pytest.mark.parametrize("method", ["kd", *thorough("rco", "ta")])
def test_what_is_kept_damaged_is_trained_again(method, tmp_path):
    spec = RunSpec.resolve("digits", method, **SMALL)

    def losses(name):
        record = run(spec, tmp_path / name, export=False, cache=tmp_path / "cache")
        return record["results"]["models"]["student"]["validation"]["loss"]

    first = losses("first")
    kept = sorted((tmp_path / "cache").glob("*/*.keras"))
    before = {path: path.read_bytes() for path in kept}
    for path in kept:
        path.write_bytes(before[path][:1000])
    assert losses("again") == first
    for path in kept:
        assert len(path.read_bytes()) == pytest.approx(len(before[path]), rel=0.01)


@pytest.mark.whole_run
def test_without_validation_data_the_last_student_is_kept(tmp_path):
    spec = RunSpec.resolve("digits", "student", **SMALL)
    # Of an app that has this protocol; the digits are quicker than one of those.
    spec = replace(spec, data=replace(spec.data, full_train=True))
    record = run(spec, tmp_path / "run", export=False, cache=tmp_path / "cache")
    assert record["results"]["best_epoch"] == 2
    models = record["results"]["models"]
    assert models["student"]["test"] == models["student (last epoch)"]["test"]


@pytest.mark.parametrize(("method", "is_equal"), [("dml", False), ("prokt", True)])
def test_equal_networks_that_learn_from_each_other_start_from_different_weights(method, is_equal):
    spec = RunSpec.resolve("digits", method, teacher="cnn-small", student="cnn-small", **SMALL)
    distiller = plan_of(Run(spec, RunFolder("unused"))).distiller
    kernels = [model.get_weights()[0] for model in (distiller.teacher, distiller.student)]
    assert np.array_equal(*kernels) is is_equal
