"""Models that end in softmax or sigmoid, trained as models of logits and left as given."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops
from marks import crossed
from subclassed import Subclassed

from keras_prokt import (
    FrozenTeacherDistiller,
    InexactLogitsWarning,
    MutualDistiller,
    ProKTDistiller,
    StudentCheckpoint,
    StudentOnly,
    TrainingFault,
    load_student,
)

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4)).astype("float32")
Y = RNG.integers(0, 3, 32)
MULTI_HOT = RNG.integers(0, 2, size=(32, 3)).astype("float32")


def network(units, width, activation):
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(units, "relu"), layers.Dense(width, activation)]
    )


def with_a_function(units, width, function):
    inputs = keras.Input((4,))
    return keras.Model(inputs, function(layers.Dense(width)(layers.Dense(units)(inputs))))


def not_built(units):
    return keras.Sequential([layers.Dense(units, "relu"), layers.Dense(3, "softmax")])


ENDS = {
    "softmax": (lambda units: network(units, 3, "softmax"), Y),
    "one sigmoid": (lambda units: network(units, 1, "sigmoid"), Y == 1),
    "sigmoids": (lambda units: network(units, 3, "sigmoid"), MULTI_HOT),
    "function": (lambda units: with_a_function(units, 1, ops.sigmoid), Y == 1),
    "layer": (lambda units: with_a_function(units, 3, layers.Softmax()), Y),
    "not built": (not_built, Y),
    "subclass": (lambda units: Subclassed(units, activation="softmax"), Y),
    "subclass of a sigmoid": (lambda units: Subclassed(units, 1, "sigmoid"), Y == 1),
}
REGIMES = {
    "prokt": ProKTDistiller,
    "kd": FrozenTeacherDistiller,
    "dml": MutualDistiller,
    "student": lambda teacher, student: StudentOnly(student),
}


def fitted(case, regime, **settings):
    build, labels = ENDS[case]
    distiller = REGIMES[regime](build(8), build(4))
    distiller.compile("adam")
    fit(distiller, labels, **settings)
    return distiller, labels


def fit(distiller, labels, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InexactLogitsWarning)
        labels = labels if labels.ndim > 1 or len(np.unique(labels)) > 2 else 1.0 * labels
        distiller.fit(X, labels, shuffle=False, batch_size=8, verbose=0, **settings)


@pytest.mark.parametrize(
    ("case", "regime"),
    [
        *((case, "prokt") for case in ENDS),
        *crossed(("softmax", "subclass"), ("kd", "dml", "student")),
    ],
)
def test_the_outputs_are_those_of_the_models_that_were_given(case, regime, tmp_path):
    distiller, labels = fitted(case, regime)
    expected = distiller.student.predict(X, verbose=0)
    assert expected.min() > 0 and expected.max() < 1
    predicted = distiller.predict(X, verbose=0)
    assert predicted.shape == (32, distiller.output_width)
    np.testing.assert_array_equal(predicted, expected)

    exported = load_student(distiller.export(tmp_path / "student.keras", "keras"))
    np.testing.assert_allclose(exported.predict(X, verbose=0), expected, atol=1e-6)

    distiller.save(tmp_path / "distiller.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InexactLogitsWarning)
        loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    np.testing.assert_allclose(loaded.predict(X, verbose=0), expected, atol=1e-6)
    for trained in (distiller, loaded):
        fit(trained, labels)
    for one, other in zip(distiller.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="written by TensorFlow")
@pytest.mark.parametrize("case", ["softmax", "one sigmoid", "subclass"])
def test_the_probabilities_are_served(case, tmp_path):
    import tensorflow as tf

    distiller, _ = fitted(case, "prokt")
    served = tf.saved_model.load(distiller.export(tmp_path / "served"))
    result = served.signatures["serving_default"](inputs=tf.constant(X))
    expected = distiller.predict(X, verbose=0)
    np.testing.assert_allclose(result["probabilities"], expected, atol=1e-6)


@pytest.mark.parametrize("regime", ["prokt", "kd", "dml"])
def test_training_equals_that_of_models_of_logits(regime):
    trained = []
    for activation in ("softmax", None):
        keras.utils.set_random_seed(0)
        distiller = REGIMES[regime](network(8, 3, activation), network(4, 3, activation))
        distiller.compile(keras.optimizers.SGD(0.5))
        history = distiller.fit(X, Y, shuffle=False, batch_size=8, epochs=2, verbose=0).history
        evaluated = distiller.evaluate(X, Y, verbose=0, return_dict=True)
        trained.append((distiller.get_weights(), history, evaluated))
    (ours, history, evaluated), (theirs, other_history, other_evaluated) = trained
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    for name, values in other_history.items():
        assert history[name] == pytest.approx(values, abs=1e-5)
    assert evaluated == pytest.approx(other_evaluated, abs=1e-5)


def test_a_teacher_of_probabilities_and_a_student_of_logits():
    teacher, student = network(8, 3, "softmax"), network(4, 3, None)
    distiller = FrozenTeacherDistiller(teacher, student)
    distiller.compile(
        "sgd", metrics=[keras.metrics.SparseCategoricalCrossentropy(from_logits=True)]
    )
    logs = distiller.fit(X, Y, batch_size=32, verbose=0).history
    assert logs["sparse_categorical_crossentropy"][0] > 0
    right = teacher.predict(X, verbose=0).argmax(-1) == Y
    assert logs["teacher_accuracy"][0] == pytest.approx(right.mean())
    assert distiller.predict(X, verbose=0).min() < 0


def test_metrics_read_what_predict_gives():
    distiller = StudentOnly(network(4, 3, "softmax"))
    distiller.compile("sgd", metrics=[keras.metrics.SparseCategoricalCrossentropy()])
    result = distiller.evaluate(X, Y, verbose=0, return_dict=True)
    assert result["sparse_categorical_crossentropy"] == pytest.approx(result["loss"], abs=1e-5)


def own_loss(labels, predictions):
    rows = ops.one_hot(ops.cast(labels, "int32"), 3)
    return -ops.sum(rows * ops.log(ops.clip(predictions, 1e-7, 1)), axis=-1)


def of_probabilities(labels, predictions, from_logits=False):
    return own_loss(labels, predictions)


@pytest.mark.parametrize("case", ["softmax", "not built"])
def test_a_loss_of_ones_own_says_whether_it_reads_probabilities(case):
    build, labels = ENDS[case]

    def fit(loss):
        keras.utils.set_random_seed(1)
        distiller = StudentOnly(build(4))
        distiller.compile("sgd", loss=loss)
        distiller.fit(X, labels, verbose=0)
        return distiller

    with pytest.raises(ValueError, match="says what it reads, by an attribute or argument from_lo"):
        fit(own_loss)
    for one, other in zip(
        fit(of_probabilities).get_weights(), fit(None).get_weights(), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)
    logits = StudentOnly(network(4, 3, None))
    logits.compile("sgd", loss=lambda labels, logits: own_loss(labels, ops.softmax(logits)))
    logits.fit(X, labels, verbose=0)


def test_a_teacher_that_learns_no_labels_may_end_in_softmax():
    for kind in (FrozenTeacherDistiller, ProKTDistiller):
        distiller = kind(network(8, 3, "softmax"), network(4, 3, None))
        if kind is FrozenTeacherDistiller:
            distiller.compile("sgd", loss=own_loss)
        else:
            with pytest.raises(ValueError, match="for a teacher that ends in softmax"):
                distiller.compile("sgd", loss=own_loss)


def test_the_student_checkpoint_answers_as_the_student(tmp_path):
    checkpoint = StudentCheckpoint(tmp_path / "best.keras", monitor="student_accuracy")
    distiller, _ = fitted("softmax", "prokt", callbacks=[checkpoint])
    best = load_student(tmp_path / "best.keras")
    np.testing.assert_array_equal(best.predict(X, verbose=0), distiller.predict(X, verbose=0))


def test_what_a_subclass_computes_is_said_once_for_each_model():
    distiller = ProKTDistiller(Subclassed(8, activation="softmax"), Subclassed(4))
    distiller.compile("sgd")
    with pytest.warns(InexactLogitsWarning, match="softmax inside .* cannot be taken off") as said:
        distiller.fit(X, Y, verbose=0)
    assert sum(one.category is InexactLogitsWarning for one in said) == 1


def test_a_softmax_and_sigmoids_do_not_mean_one_thing():
    teacher, student = network(8, 3, "softmax"), network(4, 3, "sigmoid")
    with pytest.raises(
        ValueError, match=r"end alike, received softmax \(teacher\) and sigmoid \(student\)"
    ):
        ProKTDistiller(teacher, student)
    assert ProKTDistiller(teacher, student, output="classes").output_kind.id == "classes"


def test_layers_of_a_subclass_are_named_as_in_it():
    student = Subclassed(4, activation="softmax")
    distiller = FrozenTeacherDistiller(
        Subclassed(8, activation="softmax"),
        student,
        objectives="kd+rkd",
        student_taps={"pooled": "hidden"},
    )
    distiller.compile("sgd")
    with pytest.warns(InexactLogitsWarning):
        distiller.fit(X, Y, verbose=0)
    assert distiller.forwards["student"].taps["pooled"] == "hidden"


HIDES = {
    "dropout": lambda p: layers.Dropout(0.01)(p),
    "product": lambda p: layers.Multiply()([p, p]),
    "complement": lambda p: 1 - p,
}


@pytest.mark.parametrize("name", HIDES)
def test_sigmoids_behind_what_learns_nothing_are_noticed_in_the_first_step(name):
    inputs = keras.Input((4,))
    student = keras.Model(inputs, HIDES[name](layers.Dense(3, "sigmoid")(inputs)))
    distiller = FrozenTeacherDistiller(network(8, 3, None), student, output="labels")
    distiller.compile("sgd")
    with pytest.raises(TrainingFault, match="Step 1: Expected logits from the student, received"):
        distiller.fit(X, MULTI_HOT, verbose=0)


def test_logits_behind_what_learns_nothing_are_known():
    inputs = keras.Input((4,))
    values = layers.ReLU()(layers.Dense(3)(inputs))
    model = keras.Model(inputs, layers.Reshape((3,))(layers.Dropout(0.1)(values)))
    assert StudentOnly(model, output="labels").forwards["student"].shows_its_end


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="functions of TensorFlow")
@pytest.mark.parametrize("as_layer", [True, False])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_functions_of_tensorflow_are_seen_too(activation, as_layer):
    import tensorflow as tf

    function, width = getattr(tf.nn, activation), 3 if activation == "softmax" else 1
    student = (
        keras.Sequential([keras.Input((4,)), layers.Dense(width), layers.Lambda(function)])
        if as_layer
        else Subclassed(4, width, function)
    )
    labels = Y if width > 1 else 1.0 * (Y == 1)
    with pytest.warns(InexactLogitsWarning, match=f"The {activation} inside"):
        distiller = ProKTDistiller(network(8, width, activation), student)
        distiller.compile("sgd")
        distiller.fit(X, labels, verbose=0)
    np.testing.assert_array_equal(distiller.predict(X, verbose=0), student.predict(X, verbose=0))
