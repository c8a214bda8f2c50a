"""What holds for every objective inside a distiller; a new row of the table is tested unasked."""

from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from keras import layers, ops
from marks import thorough

from keras_prokt import (
    FrozenTeacherDistiller,
    MutualDistiller,
    ObjectiveSchedule,
    ProKTDistiller,
    losses,
    models,
)
from keras_prokt.methods import OBJECTIVES
from keras_prokt.models.loading import load_student

pytestmark = pytest.mark.slow

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
COUNT, CLASSES = 24, 4
X = RNG.uniform(size=(COUNT, 8, 8, 1)).astype("float32")
Y = np.arange(COUNT) % CLASSES
BATCHES = {"teacher": X, "student": X, "index": np.arange(COUNT, dtype="int32")}
FIT = {"batch_size": 8, "shuffle": False, "verbose": 0}


def pair(name):
    keras.utils.set_random_seed(0)
    kind = "transformer" if OBJECTIVES[name].kind == "transformer" else "cnn"
    return [models.get(f"{kind}-{size}")(CLASSES, (8, 8, 1)) for size in ("large", "small")]


def make(name, regime=FrozenTeacherDistiller, weight=None):
    """A compiled distiller of one objective, as far as it belongs to the distillation."""
    [objective] = losses.get(name)
    if weight is not None:
        objective.set_weight(weight)
    objective.adapt(Y)
    models_ = pair(name)
    keras.utils.set_random_seed(1)
    distiller = regime(*models_, objectives=[objective])
    distiller.compile("adam")
    return distiller


def values(variables):
    return [ops.convert_to_numpy(v).copy() for v in variables]


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


class Trained(NamedTuple):
    """A distiller of one objective that has trained with weight 0, and then with its own.

    Attributes:
        distiller: It.
        start: What its student trains, before.
        teacher: The teacher, before.
        at_zero: What its student trains, after an epoch with weight 0.
        function: What trained it then.
        history: Of two more epochs, with validation.
        adapters: The objective's own weights, before and after them.
    """

    distiller: FrozenTeacherDistiller
    start: list[np.ndarray]
    teacher: list[np.ndarray]
    at_zero: list[np.ndarray]
    function: Any
    history: dict[str, list[float]]
    adapters: tuple[list[np.ndarray], list[np.ndarray]]


LIKE_OTHERS = ("sp", "cc", "vid", "rkd", "pkt", "ft", "nst", "pkd")


@pytest.fixture(
    scope="module", params=[thorough(n)[0] if n in LIKE_OTHERS else n for n in OBJECTIVES]
)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def trained(name):
    usual = losses.get(name)[0].weight
    distiller = make(name, weight=0.0)
    [objective] = distiller.objectives
    start, teacher = values(distiller.trained_by_student), values(distiller.teacher.variables)
    # Nothing is trained on purpose, which a schedule alone may do.
    nothing = [ObjectiveSchedule(objective.name, {0: 0.0})]
    distiller.fit(BATCHES, Y, callbacks=nothing, **FIT)
    at_zero, function = values(distiller.trained_by_student), distiller.train_function
    objective.set_weight(float(ops.convert_to_numpy(usual)))
    before = values(objective.trainable_variables)
    validation = ({"teacher": X, "student": X}, Y)
    fit = distiller.fit(BATCHES, Y, epochs=2, validation_data=validation, **FIT)
    adapters = before, values(objective.trainable_variables)
    return Trained(distiller, start, teacher, at_zero, function, fit.history, adapters)


class TestEveryObjective:
    def test_training_moves_the_adapters_and_not_the_teacher(self, trained):
        assert np.isfinite(trained.history["loss"]).all()
        assert_equal(trained.teacher, values(trained.distiller.teacher.variables))
        for before, after in zip(*trained.adapters, strict=True):
            assert np.abs(before - after).max() > 0

    def test_a_weight_of_zero_gives_no_gradient_and_can_be_raised_without_a_trace(self, trained):
        # Adam makes a step of any gradient but 0.
        assert_equal(trained.start, trained.at_zero)
        assert trained.distiller.train_function is trained.function
        moved = zip(trained.start, values(trained.distiller.trained_by_student), strict=True)
        assert any(np.abs(a - b).max() > 0 for a, b in moved)

    def test_it_validates_or_says_nothing(self, trained):
        remembers = "index" in trained.distiller.objectives[0].reads
        assert ("val_student_loss" in trained.history) != remembers
        assert "val_student_accuracy" in trained.history

    def test_the_student_leaves_without_the_adapters(self, name, trained, tmp_path):
        trained.distiller.student.save(tmp_path / "student.keras")
        student = load_student(tmp_path / "student.keras")
        assert student.count_params() == pair(name)[1].count_params()
        np.testing.assert_array_equal(
            student.predict(X, verbose=0), trained.distiller.predict(BATCHES, verbose=0)
        )

    def test_saving_keeps_everything_and_training_goes_on_exactly(self, trained, tmp_path):
        trained.distiller.save(tmp_path / "whole.keras")
        loaded = keras.saving.load_model(tmp_path / "whole.keras")
        for one in (trained.distiller, loaded):
            one.fit(BATCHES, Y, **FIT)
        assert_equal(values(trained.distiller.variables), values(loaded.variables))

    @pytest.mark.parametrize("regime", [ProKTDistiller, *thorough(MutualDistiller)])
    def test_joint_regimes(self, name, regime):
        distiller = make(name, regime)
        history = distiller.fit(BATCHES, Y, **FIT).history
        assert np.isfinite(history["loss"]).all()
        assert np.isfinite(history["teacher_loss"]).all()


def test_a_first_stage_of_adapters_alone_leaves_the_student_as_it_was():
    keras.utils.set_random_seed(0)
    student = models.get("cnn-large")(CLASSES, (8, 8, 1))  # with batch normalisation
    first = losses.get("ft")[0].first_stage()
    stage = FrozenTeacherDistiller(pair("ft")[0], student, objectives=first)
    stage.compile("adam")
    before, adapters = values(student.variables), values(first.trainable_variables)
    stage.fit(X, Y, **FIT)
    assert_equal(before, values(student.variables))
    for one, other in zip(adapters, values(first.trainable_variables), strict=True):
        assert np.abs(one - other).max() > 0


def counting(model, counts, role):
    call = model.call

    def counted(*args, **kwargs):
        counts[role] += 1
        return call(*args, **kwargs)

    object.__setattr__(model, "call", counted)


@pytest.mark.parametrize(
    ("regime", "expected"),
    [
        (FrozenTeacherDistiller, {"teacher": 1, "student": 1}),
        (ProKTDistiller, {"teacher": 2, "student": 1}),
    ],
)
def test_four_objectives_cost_one_pass_a_network(regime, expected):
    teacher, student = pair("kd")
    distiller = regime(teacher, student, objectives="at+sp+pkt+kd", target_mode="training")
    distiller.compile("adam", run_eagerly=True)
    counts = {"teacher": 0, "student": 0}
    counting(teacher, counts, "teacher")
    counting(student, counts, "student")
    logs = distiller.train_on_batch(X, Y, return_dict=True)
    assert counts == expected
    assert {"at", "sp", "pkt", "kd"} <= set(logs)
    total = sum(float(o.weight) * logs[o.name] for o in distiller.objectives)
    assert logs["student_loss"] == pytest.approx(total, rel=1e-4)


def test_a_sum_of_objectives_is_what_the_weights_say():
    keras.utils.set_random_seed(0)
    teacher, student = pair("kd")
    soft, similar = losses.SoftTargets(4.0, weight=0.5), losses.get("sp")[0]
    similar.set_weight(2.0)
    distiller = FrozenTeacherDistiller(
        teacher, student, objectives=[soft, similar], label_weight=0.25
    )
    distiller.compile("sgd")
    logs = distiller.train_on_batch(X, Y, return_dict=True)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    twin = pair("kd")[1]
    of_labels = float(ops.convert_to_numpy(cross_entropy(Y, twin(X, training=True))))
    expected = 0.25 * of_labels + 0.5 * logs["kd"] + 2.0 * logs["sp"]
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)
    distiller.set_label_weight(0.0)
    logs = distiller.train_on_batch(X, Y, return_dict=True)
    assert logs["loss"] == pytest.approx(0.5 * logs["kd"] + 2.0 * logs["sp"], rel=1e-4)


def test_a_label_weight_that_leaves_zero_is_taken_up():
    results = []
    for start in (0.0, 0.7):
        distiller = FrozenTeacherDistiller(*pair("kd"), label_weight=start)
        distiller.compile("sgd")
        distiller.make_train_function()
        distiller.set_label_weight(0.7)
        distiller.train_on_batch(X, Y)
        results.append(distiller.student.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_refusals():
    with pytest.raises(ValueError, match="either student_loss_weight or label_weight"):
        FrozenTeacherDistiller(*pair("kd"), student_loss_weight=0.5, label_weight=0.5)
    for weight in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="label_weight .* at least 0"):
            FrozenTeacherDistiller(*pair("kd"), label_weight=weight)
    with pytest.raises(ValueError, match="objectives of different names"):
        FrozenTeacherDistiller(*pair("kd"), objectives=["kd", "kd"])


class Branch(keras.Model):
    """A subclassed model with a functional submodel in it."""

    def __init__(self):
        super().__init__()
        self.body = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(4, 3, padding="same", activation="relu", name="one"),
                layers.Conv2D(6, 3, 2, padding="same", activation="relu", name="two"),
            ],
            name="body",
        )
        self.pool = layers.GlobalAveragePooling2D()
        self.head = layers.Dense(CLASSES)

    def call(self, x):
        return self.head(self.pool(self.body(x)))


def test_a_users_own_models_need_no_names():
    keras.utils.set_random_seed(0)
    distiller = FrozenTeacherDistiller(
        models.get("cnn-large")(CLASSES, (8, 8, 1)), Branch(), objectives="at+kd"
    )
    distiller.compile("adam")
    history = distiller.fit(X, Y, validation_data=(X, Y), **FIT).history
    assert {"at", "kd", "val_at", "val_kd"} <= set(history)
    assert np.isfinite(history["loss"]).all()
