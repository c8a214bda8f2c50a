"""`class_weight` of a run: which losses it reaches, and that Keras's own gives the same."""

import keras
import numpy as np
import pytest
from pieces import stopped_run
from sklearn.utils.class_weight import compute_class_weight

from keras_prokt import load_student
from keras_prokt.distillers import StudentOnly
from keras_prokt.runs import RunSpec, resume, run
from keras_prokt.runs.class_weights import parsed_class_weights
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.plan import plan_of
from keras_prokt.runs.training import Run

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
SMALL = {"limit": 192, "epochs": 2, "batch_size": 32}
SGD = {"optimizer": "sgd", "learning_rate": 0.05, "schedule": "constant"}


def spec_of(method="prokt", **settings):
    return RunSpec.resolve("digits", method, **{**SMALL, **settings})


def run_of(*arguments, **settings):
    return Run(spec_of(*arguments, **settings), RunFolder("unused"))


def test_balanced_is_of_the_training_labels():
    one = run_of(class_weight="balanced")
    labels = one.task.train.labels
    expected = compute_class_weight("balanced", classes=np.arange(10), y=labels)
    assert list(one.class_weights) == [str(digit) for digit in range(10)]
    np.testing.assert_allclose(list(one.class_weights.values()), expected)


def test_classes_that_are_not_named_count_one():
    weights = run_of(class_weight=" 3=2.5, 9 = 0").class_weights
    assert (weights["3"], weights["9"]) == (2.5, 0.0)
    assert {weights[str(digit)] for digit in range(10) if digit not in (3, 9)} == {1.0}
    assert run_of().class_weights is None


@pytest.mark.whole_run
def test_the_student_alone_is_trained_as_by_the_class_weight_of_keras(tmp_path):
    settings = {f"student_{name}": value for name, value in SGD.items()}
    weighted = plan_of(run_of("student", class_weight="1=4,7=0.5", **settings))
    weighted.run.folder = RunFolder(tmp_path)
    weighted.run.fit(weighted.distiller, 2, "student")
    by_keras = StudentOnly(run_of("student", **settings).student, student_inputs=student_part)
    by_keras.compile(optimizer=keras.optimizers.SGD(0.05))
    train = weighted.run.task.train
    for epoch in range(2):
        for x, y in train.epoch(epoch):
            by_keras.train_on_batch(
                x, y, class_weight={**dict.fromkeys(range(10), 1.0), 1: 4, 7: 0.5}
            )
    pairs = zip(weighted.run.student.get_weights(), by_keras.student.get_weights(), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, atol=1e-5)
    usual = run_of("student").student.get_weights()
    assert np.abs(weighted.run.student.get_weights()[0] - usual[0]).max() > 1e-3


def student_part(x):
    return x["student"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["kd", "prokt", "dml", "student"])
def test_it_weighs_labels_and_nothing_that_is_matched(method):
    plans = [plan_of(run_of(method, class_weight=text)) for text in (None, "3=5")]
    x, y = plans[0].run.task.train.batch(np.arange(64))
    logits = np.random.default_rng(0).normal(size=(64, 10)).astype("float32")
    shifted = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    of_each = -shifted[np.arange(64), y]
    values = [float(plan.distiller.label_loss(y, logits)) for plan in plans]
    assert values[0] == pytest.approx(of_each.mean(), rel=1e-5)
    assert values[1] == pytest.approx((of_each * np.where(y == 3, 5, 1)).mean(), rel=1e-5)
    for objective in plans[1].distiller.objectives:
        assert objective.get_config() == plans[0].distiller.objectives[0].get_config()


@pytest.mark.thorough
@pytest.mark.whole_run
def test_it_reaches_a_fixed_teacher_whose_kept_weights_are_its_own(tmp_path):
    settings = {"teacher_epochs": 1, "student_learning_rate": 1e-3}
    teachers = []
    for text in (None, "3=5", "3=5"):
        out = tmp_path / f"run-{len(teachers)}"
        run(
            spec_of("kd", class_weight=text, **settings),
            out,
            export=False,
            save_teacher=True,
            cache=tmp_path / "cache",
        )
        teachers.append(load_student(out / "teacher.keras").get_weights())
    assert np.abs(teachers[0][0] - teachers[1][0]).max() > 1e-4
    for one, other in zip(teachers[1], teachers[2], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.thorough
@pytest.mark.whole_run
def test_a_run_in_pieces_is_equal(tmp_path):
    spec = spec_of(class_weight="balanced", label_weight=0.5, label_smoothing=0.1)
    assert RunSpec.from_json(spec.to_json()) == spec
    assert spec.changed_settings()["class-weight"] == "balanced"
    run(spec, tmp_path / "whole", export=False, cache=tmp_path)
    stopped_run(spec, tmp_path / "pieces", [3], cache=tmp_path, export=False)
    resume(tmp_path / "pieces", cache=tmp_path)
    one, other = (
        load_student(tmp_path / name / "student.keras").get_weights()
        for name in ("whole", "pieces")
    )
    for pair in zip(one, other, strict=True):
        np.testing.assert_array_equal(*pair)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("balance", "Expected class_weight balanced, or NAME=WEIGHT,NAME=WEIGHT, received"),
        ("=2", "Expected class_weight balanced, or NAME=WEIGHT"),
        ("3=many", "a number for class_weight 3, received 'many'"),
        ("3=-1", "class_weight 3 of at least 0, received -1.0"),
        ("3=inf", "class_weight 3 that is finite and at least 0, received inf"),
        ("3=1,3=2", "class_weight 3 once, received it again"),
        ("3=0,4=0", "class_weight above 0 of one class at least"),
    ],
)
def test_what_is_no_weight_is_refused_at_once(text, message):
    with pytest.raises(ValueError, match=message):
        spec_of(class_weight=text)


@pytest.mark.slow
def test_what_does_not_fit_the_data_is_refused_before_training():
    with pytest.raises(ValueError, match="Expected a class in class_weight among 0, 1, .*'thre'"):
        plan_of(run_of(class_weight="thre=2"))
    with pytest.raises(
        ValueError, match="training examples of every class .* balanced, received none"
    ):
        plan_of(run_of(class_weight="balanced", limit=5, batch_size=5))
    with pytest.raises(
        ValueError, match="no class_weight with teacher_init.* nothing learns labels"
    ):
        spec_of("kd", teacher_init="teacher.keras", class_weight="balanced")
    spec_of("kd", teacher_init="teacher.keras", class_weight="balanced", label_weight="0..1")


def test_names_with_an_equals_sign():
    assert parsed_class_weights("a=b=2") == {"a=b": 2.0}
