"""`label_smoothing` of a run: what it reaches, and that 0 is nothing."""

import keras
import numpy as np
import pytest
from pieces import stopped_run

from keras_prokt import load_student
from keras_prokt.distillers import StudentOnly
from keras_prokt.runs import RunSpec, resume, run
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.plan import plan_of
from keras_prokt.runs.training import Run

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
SMALL = {"limit": 192, "epochs": 3, "batch_size": 32}


# Adam's steps are as long where a gradient is rounding alone.
SGD = {"optimizer": "sgd", "learning_rate": 0.05, "schedule": "constant"}


def spec_of(method="prokt", **settings):
    return RunSpec.resolve("digits", method, **{**SMALL, **settings})


def sgd_of(role):
    return {f"{role}_{name}": value for name, value in SGD.items()}


@pytest.fixture
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def last_teachers(cache):
    """Files of the kept teachers of their last epochs."""
    kept = cache.glob("teachers/*/model.keras")
    return {path for path in kept if '"best"' not in (path.parent / "contents.json").read_text()}


def weights_of(path):
    return load_student(path).get_weights()


def trained_by_hand(spec, model, epochs, inputs):
    """A network trained on labels that are smoothed before, as distributions."""
    train = Run(spec, RunFolder("unused")).task.train
    alone = StudentOnly(model, student_inputs=lambda x: x[inputs])
    alone.compile(optimizer=keras.optimizers.SGD(0.05))
    for epoch in range(epochs):
        for x, y in train.epoch(epoch):
            alone.train_on_batch(x, (0.7 * np.eye(10)[y] + 0.03).astype("float32"))
    return model.get_weights()


def assert_close(weights, expected):
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.whole_run
def test_it_reaches_the_student_of_method_student(tmp_path, cache):
    spec = spec_of("student", label_smoothing=0.3, **sgd_of("student"))
    plan = plan_of(Run(spec, RunFolder(tmp_path / "by_hand")))
    plan.run.fit(plan.distiller, 3, "student")
    model = plan_of(Run(spec, RunFolder("unused"))).run.student
    assert_close(plan.run.student.get_weights(), trained_by_hand(spec, model, 3, "student"))


@pytest.mark.thorough
@pytest.mark.whole_run
def test_it_reaches_a_fixed_teacher_and_the_label_term_of_its_student(tmp_path, cache):
    settings = {"teacher_epochs": 2, "label_weight": 0.5, **sgd_of("teacher")}
    spec = spec_of("kd", label_smoothing=0.3, **settings)
    run(spec, tmp_path / "kd", export=False, cache=cache)
    model = plan_of(Run(spec, RunFolder("unused"))).run.fixed_teacher
    [kept] = last_teachers(cache)
    expected = trained_by_hand(spec, model, 2, "teacher")
    assert_close(weights_of(kept), expected)
    run(spec.replacing(label_smoothing=0.0), tmp_path / "usual", export=False, cache=cache)
    [other] = last_teachers(cache) - {kept}
    differences = [a - b for a, b in zip(weights_of(other), expected, strict=True)]
    assert max(np.abs(difference).max() for difference in differences) > 3e-3
    for method in ("kd", "prokt", "dml", "student"):
        smoothed = plan_of(Run(spec_of(method, label_smoothing=0.3), RunFolder("unused")))
        x, y = smoothed.run.task.train.batch(np.arange(32))
        logits = smoothed.run.student(x["student"])
        # All models start as the uniform distribution.
        assert float(smoothed.distiller.label_loss(y, logits)) == pytest.approx(np.log(10))
        sure = 5 * np.eye(10, dtype="float32")[y]
        rest = np.log(np.exp(5) + 9)
        expected = rest - 5 * (0.7 + 0.03)
        assert float(smoothed.distiller.label_loss(y, sure)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.thorough
@pytest.mark.whole_run
def test_without_it_and_with_0_a_run_is_what_it_was(tmp_path, cache):
    for name, settings in (("without", {}), ("zero", {"label_smoothing": 0.0})):
        run(spec_of(**settings), tmp_path / name, export=False, cache=cache)
    one, other = (weights_of(tmp_path / n / "student.keras") for n in ("without", "zero"))
    for pair in zip(one, other, strict=True):
        np.testing.assert_array_equal(*pair)
    assert Run(spec_of(), RunFolder("unused")).label_loss is None


@pytest.mark.thorough
@pytest.mark.whole_run
def test_a_run_in_pieces_is_equal_and_the_reported_loss_is_that_of_right_labels(tmp_path, cache):
    spec = spec_of(label_smoothing=0.2, label_weight=0.5)
    assert RunSpec.from_json(spec.to_json()) == spec
    whole = run(spec, tmp_path / "whole", export=False, cache=cache)
    stopped_run(spec, tmp_path / "pieces", [3], cache=cache, export=False)
    resume(tmp_path / "pieces", cache=cache)
    one, other = (weights_of(tmp_path / n / "student.keras") for n in ("whole", "pieces"))
    for pair in zip(one, other, strict=True):
        np.testing.assert_array_equal(*pair)
    assert spec.changed_settings()["label-smoothing"] == 0.2
    student = load_student(tmp_path / "whole" / "student.keras")
    test = Run(spec, RunFolder("unused")).task.test
    logits = student.predict(test.inputs["student"], verbose=0).astype("float64")
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    of_labels = (powers / powers.sum(-1, keepdims=True))[np.arange(len(logits)), test.labels]
    reported = whole["results"]["models"]["student"]["test"]["loss"]
    assert reported == pytest.approx(-np.log(of_labels).mean(), rel=1e-4)


def test_refusals():
    for value in (1, -0.1):
        with pytest.raises(ValueError, match=r"Expected label_smoothing in \[0, 1\), received"):
            spec_of(label_smoothing=value)
    with pytest.raises(ValueError, match="nothing learns labels there"):
        spec_of("kd", teacher_init="teacher.keras", label_smoothing=0.1)
    spec_of("kd", teacher_init="teacher.keras", label_smoothing=0.1, label_weight="0..1")
