"""Teachers that are trained already: no epochs of their own."""

import keras
import pytest

from keras_prokt.runs import RunSpec, run
from keras_prokt.runs.cost import estimate
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.plan import plan_of
from keras_prokt.runs.task import prepare
from keras_prokt.runs.training import Run
from keras_prokt.settings import SettingError

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="runs are tested on the default backend"
)
SMALL = {"limit": 64, "epochs": 1}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "teacher.keras"
    prepare(RunSpec.resolve("digits", "kd", **SMALL)).build_teacher().save(path)
    return str(path)


@pytest.mark.thorough
@pytest.mark.whole_run
@pytest.mark.parametrize("method", ["kd", "ta"])
def test_a_given_teacher_has_no_epochs(method, teacher, tmp_path):
    given = {**SMALL, "teacher_init": teacher}

    def losses_and_cost(name, **more):
        spec = RunSpec.resolve("digits", method, **given, **more)
        record = run(spec, tmp_path / name, cache=tmp_path / f"{name}-cache", export=False)
        models = record["results"]["models"].items()
        return {name: of_model["test"]["loss"] for name, of_model in models}, record["cost"]

    assert losses_and_cost("none", teacher_epochs=0) == losses_and_cost("unsaid")


@pytest.mark.parametrize("method", ["kd", "ta", "tinybert+prokt"])
def test_a_teacher_that_is_not_trained_needs_epochs(method, tmp_path):
    spec = RunSpec.resolve("digits", method, **SMALL, teacher_epochs=0)
    for refused in (
        lambda: run(spec, tmp_path / "run", cache=tmp_path / "cache"),
        lambda: estimate(spec),
    ):
        with pytest.raises(SettingError, match="teacher_epochs of at least 1 for .*, received 0;"):
            refused()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_an_assistant_follows_from_says_that_its_teacher_had_no_epochs(teacher):
    def key(**more):
        spec = RunSpec.resolve("digits", "ta", **SMALL, teacher_init=teacher, **more)
        return plan_of(Run(spec, RunFolder("unused"))).assistant.key["teacher"]

    assert list(key(teacher_epochs=0)) == ["weights"]
    assert key(teacher_epochs=0)["weights"] == key()["weights"]


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("kd", {"teacher_learning_rate": 0.1}, "no teacher_learning_rate with teacher_epochs 0"),
        ("kd", {"teacher_keep": "best"}, "teacher_keep last with teacher_epochs 0, received 'best"),
        ("kd", {"label_smoothing": 0.1}, "no label_smoothing with teacher_epochs 0, method 'kd'"),
        ("rco", {}, "teacher_epochs of at least anchors, received 0 and"),
    ],
)
def test_settings_of_a_training_that_is_none(method, settings, message):
    with pytest.raises(SettingError, match=message):
        RunSpec.resolve("digits", method, teacher_epochs=0, **settings)


def test_fewer_epochs_than_none():
    with pytest.raises(SettingError, match="teacher_epochs of at least 0, received -1"):
        RunSpec.resolve("digits", "kd", teacher_epochs=-1)
