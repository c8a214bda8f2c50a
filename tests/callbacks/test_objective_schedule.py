"""Weights of the terms of the student's loss over epochs and steps."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_prokt import FrozenTeacherDistiller, ObjectiveSchedule

pytestmark = pytest.mark.slow

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def distiller(**settings):
    def network(units):
        return keras.Sequential(
            [keras.Input((4,)), layers.Dense(units, activation="relu"), layers.Dense(2)]
        )

    model = FrozenTeacherDistiller(network(6), network(3), **settings)
    model.compile("sgd")
    return model


class Seen(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        model = self.model
        self.values.append(
            [
                float(ops.convert_to_numpy(v))
                for v in (model.objectives[0].weight, model.label_weight)
            ]
        )


def test_weights_of_an_objective_and_of_the_labels():
    model, seen = distiller(label_weight=1.0), Seen()
    soft = ObjectiveSchedule("kd", {0: 2.0, 1: 0.5})
    labels = ObjectiveSchedule("labels", lambda step: float(step), per="step")
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[soft, labels, seen])
    assert seen.values == [[2.0, 0.0], [2.0, 1.0], [0.5, 2.0], [0.5, 3.0]]


def test_the_step_obeys_the_weight_without_a_trace():
    model = distiller()
    model.fit(X, Y, verbose=0, callbacks=[ObjectiveSchedule("kd", lambda epoch: 0.0)])
    function, before = model.train_function, model.student.get_weights()
    model.fit(X, Y, verbose=0, callbacks=[ObjectiveSchedule("kd", {1: 1.0})])
    for one, other in zip(before, model.student.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.train_function is function


def test_refusals():
    with pytest.raises(ValueError, match="did you mean 'kd'"):
        distiller().fit(X, Y, verbose=0, callbacks=[ObjectiveSchedule("kdd", lambda e: 1.0)])
    with pytest.raises(ValueError, match="at least 0 at every epoch, received -1"):
        distiller().fit(X, Y, verbose=0, callbacks=[ObjectiveSchedule("kd", lambda e: -1.0)])
    with pytest.raises(ValueError, match="received -1.0 at epoch 3"):
        ObjectiveSchedule("kd", {3: -1.0})
