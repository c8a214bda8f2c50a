"""A second output that only divergences read, as of DeiT: one head a teacher, one the labels."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_prokt import FrozenTeacherDistiller, MutualDistiller, ProKTDistiller, uniform_start

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 6)).astype("float32")
Y = RNG.integers(0, 3, 64)


def teacher():
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu"), layers.Dense(3)])


def student(as_dict=True, classes=3, second=3):
    inputs = keras.Input((6,))
    x = layers.Dense(5, activation="relu")(inputs)
    heads = {
        "logits": layers.Dense(classes, name="logits")(x),
        "distillation": layers.Dense(second, name="distillation")(x),
    }
    return keras.Model(inputs, heads if as_dict else list(heads.values()))


def distillers(model):
    shared = {"student_divergence_output": "distillation"}
    return {
        "kd": lambda: FrozenTeacherDistiller(teacher(), model, label_weight=1.0, **shared),
        "prokt": lambda: ProKTDistiller(teacher(), model, label_weight=1.0, **shared),
        "dml": lambda: MutualDistiller(teacher(), model, **shared),
    }


def kl(a, b):
    a, b = (ops.convert_to_numpy(ops.log_softmax(v)).astype("float64") for v in (a, b))
    return float(np.mean(np.sum(np.exp(a) * (a - b), -1)))


@pytest.mark.slow
@pytest.mark.parametrize("as_dict", [True, False])
@pytest.mark.parametrize("regime", ["kd", "prokt", "dml"])
def test_labels_train_one_head_and_the_teacher_the_other(regime, as_dict):
    model = student(as_dict)
    distiller = distillers(model)[regime]()
    distiller.compile(keras.optimizers.SGD(1e-30))
    outputs = model.predict(X, verbose=0)
    # JAX sorts the keys of a dict.
    first, second = (outputs["logits"], outputs["distillation"]) if as_dict else outputs
    logs = distiller.fit(X, Y, batch_size=64, verbose=0).history
    of_teacher = distiller.teacher.predict(X, verbose=0)
    label_loss = float(keras.losses.SparseCategoricalCrossentropy(from_logits=True)(Y, first))
    assert logs["student_loss"][0] == pytest.approx(kl(of_teacher, second), abs=1e-5)
    assert logs["gap"][0] == pytest.approx(kl(second, of_teacher), abs=1e-5)
    expected = label_loss + kl(of_teacher, second)
    assert logs["loss"][0] == pytest.approx(expected, abs=1e-5)
    assert logs["student_accuracy"][0] == pytest.approx(np.mean(first.argmax(-1) == Y))


@pytest.mark.slow
def test_predictions_are_those_of_the_labels(tmp_path):
    model = student()
    distiller = distillers(model)["prokt"]()
    distiller.compile("adam")
    distiller.fit(X, Y, validation_data=(X, Y), verbose=0)
    first = model.predict(X, verbose=0)["logits"]
    np.testing.assert_array_equal(distiller.predict(X, verbose=0), first)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), first)


@pytest.mark.process
def test_the_export_has_the_head_of_the_labels_alone(tmp_path):
    model = student()
    distiller = distillers(model)["prokt"]()
    first = model.predict(X, verbose=0)["logits"]
    tf = pytest.importorskip("tensorflow", reason="a SavedModel is read by TensorFlow")
    served = tf.saved_model.load(distiller.export(tmp_path / "served"))
    result = served.signatures["serving_default"](inputs=tf.constant(X))
    expected = ops.convert_to_numpy(ops.softmax(first))
    np.testing.assert_allclose(result["probabilities"].numpy(), expected, atol=1e-6)


def test_a_neutral_start_is_one_of_both_heads():
    outputs = uniform_start(student()).predict(X, verbose=0)
    for logits in outputs.values():
        np.testing.assert_array_equal(logits, np.zeros((64, 3)))


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (student, {}, "nothing would train its other output; give a label_weight"),
        (student, {"student_divergence_output": "distilation"}, "did you mean 'distillation'"),
        (lambda: student(second=4), {"label_weight": 1.0}, "of the same width, received 3 and 4"),
        (teacher, {"label_weight": 1.0}, "output"),
    ],
)
def test_heads_that_do_not_fit_are_refused(model, settings, message):
    settings = {"student_divergence_output": "distillation", **settings}
    with pytest.raises(ValueError, match=message) as error:
        ProKTDistiller(teacher(), model(), **settings)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["logits", "distillation"])
def test_either_head_that_ends_in_a_softmax(head):
    inputs = keras.Input((6,))
    heads = {
        name: layers.Dense(3, activation="softmax" if name == head else None, name=name)(inputs)
        for name in ("logits", "distillation")
    }
    for given in (heads, list(heads.values())):
        distiller = distillers(keras.Model(inputs, given))["prokt"]()
        distiller.compile("sgd")
        distiller.fit(X, Y, verbose=0)
        first, second = distiller.forwards["student"].logits_and_parts(X, training=False)
        for name, logits in (("logits", first), ("distillation", second["logits"])):
            layer = distiller.student.get_layer(name)
            expected = X @ layer.kernel.numpy() + layer.bias.numpy()
            np.testing.assert_allclose(ops.convert_to_numpy(logits), expected, atol=1e-5)


def test_two_outputs_without_a_word_about_them():
    with pytest.raises(ValueError, match="one tensor of logits"):
        ProKTDistiller(teacher(), student())
