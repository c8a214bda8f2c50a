"""Registered subclassed models, which know their inputs from the data alone."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from subclassed import Subclassed

from keras_prokt import ProKTDistiller, StudentOnly, TrainingFault, load_student
from keras_prokt.models.symbolic_inputs import with_inputs

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4)).astype("float32")
Y = RNG.integers(0, 3, 32)


@keras.saving.register_keras_serializable("test_subclassed_models")
class OfWords(Subclassed):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.table = layers.Embedding(10, 4)

    def call(self, inputs):
        return super().call(ops.mean(self.table(inputs["words"]), axis=1))


class Hiding(Subclassed):
    """A model that computes its sigmoid out of Keras's sight."""

    def call(self, inputs):
        if isinstance(inputs, keras.KerasTensor):
            raise NotImplementedError
        return 1 / (1 + ops.exp(-super().call(inputs)))

    def compute_output_spec(self, inputs, **settings):
        return keras.KerasTensor((inputs.shape[0], self.width))


WORDS = {"words": RNG.integers(0, 10, size=(32, 6)).astype("int32")}
PAIRS = {
    "arrays": (lambda: (Subclassed(8), Subclassed(4)), X),
    "dicts of integers": (lambda: (OfWords(units=8), OfWords(units=4)), WORDS),
}


def fitted(case):
    build, x = PAIRS[case]
    distiller = ProKTDistiller(*build())
    distiller.compile("adam", teacher_optimizer="adam")
    distiller.fit(x, Y, shuffle=False, batch_size=8, verbose=0)
    return distiller, x


@pytest.mark.parametrize("predicts_first", [True, False])
@pytest.mark.parametrize("case", PAIRS)
def test_a_loaded_distiller_goes_on_as_the_saved_one(case, predicts_first, tmp_path):
    distiller, x = fitted(case)
    distiller.save(tmp_path / "d.keras")
    loaded = keras.saving.load_model(tmp_path / "d.keras")
    if predicts_first:
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), distiller.predict(x, verbose=0))
    for trained in (distiller, loaded):
        trained.fit(x, Y, shuffle=False, batch_size=8, verbose=0)
    for one, other in zip(distiller.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


@pytest.mark.parametrize("case", PAIRS)
def test_a_fitted_student_is_exported_with_the_shapes_that_it_has_seen(case, tmp_path):
    distiller, x = fitted(case)
    exported = load_student(distiller.export(tmp_path / "student.keras", "keras"))
    np.testing.assert_allclose(
        exported.predict(x, verbose=0), distiller.predict(x, verbose=0), atol=1e-6
    )


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="written by TensorFlow")
def test_a_fitted_student_is_served(tmp_path):
    import tensorflow as tf

    distiller, x = fitted("arrays")
    served = tf.saved_model.load(distiller.export(tmp_path / "served"))
    result = served.signatures["serving_default"](inputs=tf.constant(x))
    expected = tf.nn.softmax(distiller.predict(x, verbose=0))
    np.testing.assert_allclose(result["probabilities"], expected, atol=1e-6)


def test_the_student_reads_its_part_of_a_batch_or_that_part_alone():
    def network(size):
        return keras.Sequential([keras.Input((size,)), layers.Dense(3)])

    pair = {"a": X, "b": X[:, :2]}
    distiller = ProKTDistiller(
        network(4),
        network(2),
        teacher_inputs=lambda x: x["a"],
        student_inputs=lambda x: x["b"],
    )
    distiller.compile("sgd")
    distiller.fit(pair, Y, verbose=0)
    expected = distiller.student.predict(X[:, :2], verbose=0)
    for given in (pair, X[:, :2]):
        np.testing.assert_array_equal(distiller.predict(given, verbose=0), expected)

    halved = ProKTDistiller(network(4), network(2), student_inputs=lambda x: x[:, :2])
    halved.compile("sgd")
    halved.fit(X, Y, verbose=0)
    expected = halved.student.predict(X[:, :2], verbose=0)
    np.testing.assert_array_equal(halved.predict(X, verbose=0), expected)
    np.testing.assert_array_equal(halved.predict(X[:, :2], verbose=0), expected)
    evaluated = [halved.evaluate(x, Y, verbose=0) for x in (X, X[:, :2])]
    assert evaluated[0] == evaluated[1]


def test_a_batch_that_could_be_the_students_inputs_is_taken_for_a_batch():
    student = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    distiller = StudentOnly(student, student_inputs=lambda x: 2 * x)
    distiller.compile("sgd")
    before = distiller.predict(X, verbose=0)  # no batch has been seen
    np.testing.assert_allclose(before, student.predict(2 * X, verbose=0), atol=1e-6)
    distiller.fit(X, Y, verbose=0)
    after = distiller.predict(X, verbose=0)
    np.testing.assert_allclose(after, student.predict(2 * X, verbose=0), atol=1e-6)


@pytest.mark.parametrize(("width", "labels"), [(1, Y == 1), (3, Y)])
def test_outputs_between_0_and_1_of_a_model_that_hides_them(width, labels):
    model = Hiding(width=width)
    distiller = StudentOnly(model)
    distiller.compile("sgd")
    with pytest.raises(TrainingFault, match="Step 1: Expected logits from the student.*as_logits"):
        distiller.fit(X, labels.astype("float32"), verbose=0)


def test_equal_outputs_are_no_probabilities():
    model = Hiding(width=1)
    model(X)
    model.head.kernel.assign(np.zeros((5, 1)))  # ½ for all examples
    distiller = StudentOnly(model)
    distiller.compile("sgd")
    distiller.train_on_batch(X, (Y == 1).astype("float32"))
    # Logits of a model whose layers can be seen lie where they lie.
    visible = keras.Sequential([keras.Input((4,)), layers.Dense(1, kernel_initializer="zeros")])
    visible.layers[-1].bias.assign([0.5])
    visible.layers[-1].kernel.assign(0.01 * np.ones((4, 1)))
    distiller = StudentOnly(visible)
    distiller.compile("sgd")
    distiller.fit(X, (Y == 1).astype("float32"), verbose=0)


def test_an_optimizer_of_another_model_is_refused_when_the_models_are_built():
    used = keras.optimizers.Adam()
    used.build(keras.Sequential([keras.Input((4,)), layers.Dense(3)]).trainable_variables)
    distiller = StudentOnly(Subclassed())
    distiller.compile(used)
    with pytest.raises(ValueError, match="that was built for another model"):
        distiller.fit(X, Y, verbose=0)


def test_several_outputs_are_refused_by_their_names():
    class Two(Subclassed):
        def call(self, inputs):
            return {"logits": super().call(inputs), "features": inputs}

    distiller = StudentOnly(Two())
    distiller.compile("sgd")
    with pytest.raises(
        ValueError, match=r"one tensor of logits, received \['features', 'logits'\]; give a keras.M"
    ):
        distiller.fit(X, Y, verbose=0)


@pytest.mark.parametrize("student", [Subclassed, lambda: visible_network()])
def test_keras_arguments_of_export(student, tmp_path, capsys):
    distiller = StudentOnly(student())
    distiller.student(X)
    signature = [keras.InputSpec(shape=(None, 4), dtype="float32")]
    path = tmp_path / "student.keras"
    distiller.export(path, "keras", False, signature)
    assert capsys.readouterr().out == ""
    exported = load_student(path)
    np.testing.assert_allclose(
        exported.predict(X, verbose=0), distiller.predict(X, verbose=0), atol=1e-6
    )
    with pytest.raises(ValueError, match="among .*keras, .*saved_model.*; received 'torchscript'"):
        distiller.export(tmp_path / "student", format="torchscript")


def visible_network():
    return keras.Sequential([keras.Input((4,), name="features"), layers.Dense(3)])


def test_a_signature_keeps_names_and_has_to_fit():
    named = with_inputs(visible_network(), keras.InputSpec(shape=(8, 4), dtype="float32"))
    assert [(tensor.name, tensor.shape) for tensor in named.inputs] == [("features", (None, 4))]
    with pytest.raises(ValueError, match=r"\(None, 4\), received \(None, 5\); leave it out"):
        StudentOnly(visible_network()).export(
            "student", input_signature=keras.InputSpec(shape=(None, 5))
        )
