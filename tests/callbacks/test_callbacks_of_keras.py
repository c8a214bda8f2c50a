"""Keras's own callbacks on a distiller, which has two optimizers and metrics of its own."""

import keras
import numpy as np
import pytest

from keras_prokt import OnOptimizer, ProKTDistiller

pytestmark = pytest.mark.slow

KINDS = {
    "EarlyStopping": keras.callbacks.EarlyStopping,
    "ReduceLROnPlateau": keras.callbacks.ReduceLROnPlateau,
    "ModelCheckpoint": lambda name: keras.callbacks.ModelCheckpoint(
        "unused.keras", monitor=name, save_best_only=True
    ),
}
HIGHER_IS_BETTER = {
    "val_student_accuracy": True,
    "val_teacher_accuracy": True,
    "student_accuracy": True,
    "val_gap": False,
    "student_loss": False,
    "val_teacher_loss": False,
    "val_loss": False,
}


def test_the_direction_of_a_metric_is_known(make_distiller, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    callbacks = {(k, name): make(name) for k, make in KINDS.items() for name in HIGHER_IS_BETTER}
    given = list(callbacks.values())
    make_distiller().fit(*data, validation_data=data, callbacks=given, verbose=0)
    for (kind, name), callback in callbacks.items():
        is_high = bool(callback.monitor_op(2.0, 1.0))
        assert is_high == HIGHER_IS_BETTER[name], (kind, name)


def test_the_direction_of_a_callback_for_one_optimizer_is_known(make_distiller, data):
    inner = keras.callbacks.ReduceLROnPlateau("val_student_accuracy")
    callback = OnOptimizer("student", inner)
    make_distiller().fit(*data, validation_data=data, callbacks=[callback], verbose=0)
    assert inner.mode == "max"


def test_a_mode_that_was_given_stays(make_distiller, data):
    callback = keras.callbacks.EarlyStopping("val_student_accuracy", mode="min")
    make_distiller().fit(*data, validation_data=data, callbacks=[callback], verbose=0)
    assert callback.mode == "min"


def test_moving_averages_of_both_models_are_swapped_in():
    momentum = 0.7
    x = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
    y = np.arange(24) % 3

    def network(units):
        return keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(units, "tanh"), keras.layers.Dense(3)]
        )

    def optimizer():
        return keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=momentum)

    averages, epochs = [], []

    class Average(keras.callbacks.Callback):
        """The average as its definition says, of the weights after each step."""

        def weights(self):
            return [*self.model.teacher.get_weights(), *self.model.student.get_weights()]

        def on_train_batch_end(self, batch, logs=None):
            now = self.weights()
            last = averages[-1] if averages else now
            pairs = zip(last, now, strict=True)
            averages.append([momentum * a + (1 - momentum) * w for a, w in pairs])

    class Swapped(Average):
        on_train_batch_end = keras.callbacks.Callback.on_train_batch_end

        def on_epoch_end(self, epoch, logs=None):
            epochs.append((averages[-1], self.weights()))

    distiller = ProKTDistiller(network(8), network(4))
    distiller.compile(optimizer(), teacher_optimizer=optimizer())
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    callbacks = [Average(), swap, Swapped()]
    distiller.fit(x, y, epochs=3, batch_size=8, shuffle=False, callbacks=callbacks, verbose=0)
    assert len(averages) == 9
    for expected, weights in epochs:
        for one, other in zip(expected, weights, strict=True):
            np.testing.assert_allclose(other, one, atol=1e-5)
