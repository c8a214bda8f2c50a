"""Stored outputs of a teacher: the part `target` of a batch, on every backend."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_prokt import (
    FrozenTeacherDistiller,
    MutualDistiller,
    ProKTDistiller,
    StudentOnly,
    TrainingFault,
    losses,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32") + (X[:, 1] > 0)
WEIGHT = RNG.uniform(0.5, 2, size=48).astype("float32")
TARGET = RNG.normal(scale=2, size=(48, 3)).astype("float32")
FIT = {"batch_size": 16, "shuffle": False, "verbose": 0}
BACKEND = keras.backend.backend()


def network(units=8, classes=3):
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(units, activation="relu"), layers.Dense(classes)]
    )


def pair(classes=3):
    keras.utils.set_random_seed(0)
    return network(16, classes), network(6, classes)


def stored(**settings):
    """A compiled distiller without a teacher."""
    distiller = FrozenTeacherDistiller(None, pair()[1], **settings)
    distiller.compile("adam")
    return distiller


def prokt(**settings):
    distiller = ProKTDistiller(*pair(), **settings)
    distiller.compile(keras.optimizers.Adam(1e-2), keras.optimizers.Adam(1e-2))
    return distiller


def parts(count=48, target=TARGET, **more):
    return {"student": X[:count], "target": target[:count], **more}


def both_parts(target=TARGET):
    return {"teacher": X, **parts(target=target)}


def weights_of(model):
    return [ops.convert_to_numpy(v) for v in model.variables]


def assert_close(one, other, atol=1e-5):
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_stored_outputs_teach_as_the_live_teacher(classes, temperature):
    labels = Y if classes > 1 else Y > 0
    teacher, student = pair(classes)
    settings = {"temperature": temperature, "student_loss_weight": 0.3}
    live = FrozenTeacherDistiller(teacher, student, **settings)
    live.compile(keras.optimizers.Adam(1e-2))
    from_file = FrozenTeacherDistiller(None, pair(classes)[1], **settings)
    from_file.compile(keras.optimizers.Adam(1e-2))
    x = parts(target=teacher.predict(X, verbose=0))
    given = live.fit(X, labels, sample_weight=WEIGHT, validation_data=(X, labels), **FIT).history
    read = from_file.fit(x, labels, sample_weight=WEIGHT, validation_data=(x, labels), **FIT)
    assert_close(live.student, from_file.student)
    assert set(read.history) == set(given)
    for name, values in given.items():
        assert read.history[name] == pytest.approx(values, abs=1e-5), name
    assert from_file.forwards_per_example == {"student": 3}


@pytest.mark.slow
def test_one_step_towards_stored_outputs_by_hand():
    distiller = FrozenTeacherDistiller(None, keras.Sequential([keras.Input((4,)), layers.Dense(3)]))
    distiller.compile(keras.optimizers.SGD(0.5))
    kernel, bias = weights_of(distiller.student)
    distiller.fit(parts(), Y, **{**FIT, "batch_size": 48})

    def softmax(z):
        return np.exp(z) / np.exp(z).sum(-1, keepdims=True)

    of_logits = (softmax(X @ kernel + bias) - softmax(TARGET)) / 48
    np.testing.assert_allclose(
        weights_of(distiller.student)[0], kernel - 0.5 * X.T @ of_logits, atol=1e-6
    )


@pytest.mark.slow
def test_under_prokt_they_stand_where_the_labels_stand():
    distribution = ops.convert_to_numpy(ops.softmax(TARGET))
    by_labels, by_target = prokt(proximal_weight=0.4), prokt(proximal_weight=0.4)
    by_labels.fit(X, distribution, **FIT)
    # Other labels, which nothing learns.
    logs = by_target.fit(both_parts(), (Y + 1) % 3, **FIT).history
    assert_close(by_labels.student, by_target.student)
    assert_close(by_labels.teacher, by_target.teacher)
    assert logs["teacher_accuracy"][0] < 1


@pytest.mark.slow
def test_the_teacher_loss_of_validation_is_of_what_is_there():
    distiller = prokt(proximal_weight=0.0)
    logs = distiller.fit(both_parts(), Y, validation_data=(X, Y), **FIT).history
    logits = distiller.teacher.predict(X, verbose=0)
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(Y, logits)
    assert logs["val_teacher_loss"] == [pytest.approx(float(entropy), abs=1e-5)]
    logs = distiller.fit(both_parts(), Y, validation_data=(both_parts(), Y), **FIT).history
    logits = distiller.teacher.predict(X, verbose=0)
    divergence = ops.mean(losses.kl_divergence(TARGET, logits))
    assert logs["val_teacher_loss"] == [pytest.approx(float(divergence), abs=1e-5)]


@pytest.mark.slow
def test_validation_without_stored_outputs_reports_the_student():
    logs = stored().fit(parts(), Y, validation_data=(X, Y), **FIT).history
    assert {name for name in logs if name.startswith("val_")} == {
        "val_loss",
        "val_student_accuracy",
    }
    assert {"teacher_accuracy", "gap", "student_loss"} <= set(logs)


@pytest.mark.slow
def test_evaluation_and_prediction_need_no_stored_outputs():
    distiller = stored()
    distiller.fit(parts(), Y, **FIT)
    logs = distiller.evaluate(X, Y, verbose=0, return_dict=True)
    assert logs == pytest.approx(distiller.evaluate(parts(), Y, verbose=0, return_dict=True))
    np.testing.assert_array_equal(
        distiller.predict(X, verbose=0), distiller.predict({"student": X}, verbose=0)
    )


@pytest.mark.slow
@pytest.mark.parametrize("make", [stored, prokt])
def test_what_is_saved_goes_on_as_if_nothing_had_happened(make, tmp_path):
    x = parts() if make is stored else both_parts()
    distiller = make()
    distiller.fit(x, Y, **FIT)
    distiller.save(tmp_path / "distiller.keras")
    restored = keras.saving.load_model(tmp_path / "distiller.keras")
    distiller.fit(x, Y, **FIT)
    restored.fit(x, Y, **FIT)
    assert_close(distiller, restored, atol=0)


def batches(x, y=Y):
    """The data as a generator: nothing of it is seen before the first step."""
    while True:
        for start in range(0, 48, 16):
            rows = slice(start, start + 16)
            yield {name: values[rows] for name, values in x.items()}, y[rows]


STEPS = {"steps_per_epoch": 3, "verbose": 0}


@pytest.mark.slow
def test_a_generator_of_batches_teaches_the_same():
    one, other = stored(), stored()
    one.fit(parts(), Y, **FIT)
    other.fit(batches(parts()), **STEPS)
    assert_close(one.student, other.student, atol=1e-6)


@pytest.mark.slow
def test_targets_of_a_stream_that_are_not_finite():
    target = TARGET.copy()
    target[20, 1] = -np.inf
    with pytest.raises(TrainingFault, match=r"Step 2: Expected finite target.*clip the logarithm"):
        stored().fit(batches(parts(target=target)), **STEPS)


@pytest.mark.slow
def test_probabilities_of_a_stream():
    probabilities = ops.convert_to_numpy(ops.softmax(TARGET))
    with pytest.raises(TrainingFault, match="Step 1: Expected logits as target, received prob"):
        stored().fit(batches(parts(target=probabilities)), **STEPS)


def test_a_stream_without_stored_outputs():
    with pytest.raises(ValueError, match="Expected batches with the part 'target' for a Frozen"):
        stored().fit(batches({"student": X}), **STEPS)


NOT_FINITE = TARGET.copy()
NOT_FINITE[7, 2] = np.nan
BAD = {
    "no target": (lambda: X, "with the part 'target' for a FrozenTeacher.*received none; give x="),
    "width": (lambda: parts(target=TARGET[:, :2]), r"of shape \(batch, 3\), .*shape \(48, 2\)"),
    "rank": (lambda: parts(target=TARGET[:, 0]), r"of shape \(batch, 3\), .*shape \(48,\); store"),
    "rows": (lambda: {"student": X, "target": TARGET[:40]}, "each of the 48 .* received 40 rows"),
    "nan": (lambda: parts(target=NOT_FINITE), "Expected finite target.*example 7; .*clip"),
    "probabilities": (
        lambda: parts(target=np.full((48, 3), 1 / 3, "float32")),
        r"Expected logits as target, received probabilities; .*numpy.log\(numpy.clip",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_targets_are_refused_before_the_first_step(name):
    make, message = BAD[name]
    distiller = stored()
    before = weights_of(distiller)
    with pytest.raises(ValueError, match=message) as error:
        distiller.fit(make(), Y, **FIT)
    assert "\n" not in str(error.value)
    assert all(map(np.array_equal, before, weights_of(distiller)))
    if name != "no target":
        with pytest.raises(ValueError, match="validation target"):
            distiller.fit(parts(), Y, validation_data=(make(), Y), **FIT)


@pytest.mark.parametrize("regime", [FrozenTeacherDistiller, MutualDistiller, StudentOnly])
def test_regimes_that_do_not_read_them_refuse_them(regime):
    models = pair()[1:] if regime is StudentOnly else pair()
    distiller = regime(*models)
    distiller.compile("adam")
    with pytest.raises(ValueError, match=f"Expected no part 'target' with this {regime.__name__}"):
        distiller.fit(both_parts(), Y, **FIT)


def test_under_prokt_both_models_have_inputs():
    with pytest.raises(ValueError, match="with the part 'teacher' beside 'target', received stud"):
        prokt().fit(parts(), Y, **FIT)


@pytest.mark.parametrize("regime", [ProKTDistiller, MutualDistiller])
def test_a_teacher_that_trains_is_needed(regime):
    with pytest.raises(ValueError, match=r"received None; .*FrozenTeacherDistiller\(None, student"):
        regime(None, pair()[1])


@pytest.mark.parametrize("objective, read", [("at+kd", "stages"), ("pkt", "pooled")])
def test_objectives_on_features_are_refused_by_name(objective, read):
    name = objective.partition("+")[0]
    with pytest.raises(ValueError, match=f"received '{name}', which reads {read} of it; stored"):
        FrozenTeacherDistiller(None, pair()[1], objectives=objective)


@pytest.mark.parametrize(
    "settings",
    [
        {"teacher_taps": {"pooled": "dense"}},
        {"teacher_inputs": lambda x: x},
        {"teacher_divergence_output": "second"},
        {"target_mode": "training"},
    ],
)
def test_settings_of_a_teacher_are_refused_without_one(settings):
    [name] = settings
    with pytest.raises(ValueError, match=f"Expected no {name} without a teacher, received"):
        FrozenTeacherDistiller(None, pair()[1], **settings)
