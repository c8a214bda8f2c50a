"""After an error a distiller is what it was: a user mends the data and goes on."""

import keras
import numpy as np
import pytest
from keras import layers
from subclassed import Subclassed

from keras_prokt import FrozenTeacherDistiller, ProKTDistiller

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4)).astype("float32")
Y = RNG.integers(0, 3, 32)
NARROW = X[:, :3]


class Interrupted(layers.Layer):
    """A layer in which the user stops what runs, as a notebook does."""

    is_stopped = False

    def call(self, inputs):
        if self.is_stopped:
            raise KeyboardInterrupt
        return inputs


class SecondBatch(keras.callbacks.Callback):
    def on_test_batch_end(self, batch, logs=None):
        if batch:
            raise RuntimeError


def stopped(distiller):
    interrupted = distiller.student.get_layer("interrupted")
    interrupted.is_stopped = True
    try:
        distiller.fit(X, Y, verbose=0)
    finally:
        interrupted.is_stopped = False


def batches(x):
    yield from [(x[:16], Y[:16]), (x[16:], Y[16:])]


ERRORS = {
    "a batch that does not fit": (ValueError, lambda d: d.fit(batches(NARROW), verbose=0)),
    "a step that the user stops": (KeyboardInterrupt, stopped),
    "an evaluation in which a callback raises": (
        RuntimeError,
        lambda d: d.evaluate(X, Y, batch_size=8, callbacks=[SecondBatch()], verbose=0),
    ),
    "a prediction from another shape": (ValueError, lambda d: d.predict(NARROW, verbose=0)),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_distiller_goes_on_after(case):
    error, raising = ERRORS[case]
    teacher, student = (
        keras.Sequential(
            [keras.Input((4,)), Interrupted(name="interrupted"), layers.Dense(3, name="logits")]
        )
        for _ in range(2)
    )
    distiller = ProKTDistiller(teacher, student)
    distiller.compile("sgd")
    before = [np.array(weight) for weight in distiller.get_weights()]
    with pytest.raises(error):
        raising(distiller)
    for weight, expected in zip(distiller.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)
    distiller.fit(X, Y, verbose=0)
    assert np.isfinite(distiller.evaluate(X, Y, verbose=0, return_dict=True)["loss"])
    assert distiller.predict(X, verbose=0).shape == (32, 3)


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras has no steps_per_execution on PyTorch"
)
@pytest.mark.parametrize("what", ["fit", "evaluate", "predict"])
def test_a_later_one_of_several_steps_that_raises_leaves_what_the_first_has_done(what):
    teacher, student = (
        keras.Sequential(
            [keras.Input((4,)), Interrupted(name="interrupted"), layers.Dense(3, name="logits")]
        )
        for _ in range(2)
    )
    distiller = ProKTDistiller(teacher, student)
    distiller.compile("sgd", steps_per_execution=2)
    before = [np.array(weight) for weight in distiller.get_weights()]
    interrupted = student.get_layer("interrupted")

    def two_batches():
        yield (X[:16], Y[:16])
        interrupted.is_stopped = True  # another shape is traced anew
        yield (X[16:24], Y[16:24])

    with pytest.raises(KeyboardInterrupt):
        getattr(distiller, what)(two_batches(), verbose=0)
    interrupted.is_stopped = False
    weights = [np.array(weight) for weight in distiller.get_weights()]
    assert all(np.isfinite(weight).all() for weight in weights)
    if what != "fit":
        for weight, expected in zip(weights, before, strict=True):
            np.testing.assert_array_equal(weight, expected)
    distiller.fit(X, Y, verbose=0)
    assert np.isfinite(distiller.evaluate(X, Y, verbose=0, return_dict=True)["loss"])
    assert distiller.predict(X, verbose=0).shape == (32, 3)


def test_unbuilt_models_are_built_by_the_data_of_predict():
    distiller = FrozenTeacherDistiller(Subclassed(8), Subclassed(4))
    assert distiller.predict(X, verbose=0).shape == (32, 3)
    distiller.compile("sgd")
    distiller.fit(X, Y, verbose=0)


def test_a_call_of_unbuilt_models_is_refused_in_one_line():
    distiller = FrozenTeacherDistiller(Subclassed(8), Subclassed(4))
    with pytest.raises(ValueError, match="received a call before they are built; use") as error:
        distiller(X)
    assert "\n" not in str(error.value)
