import keras
import pytest

from keras_prokt import StudentOnly
from keras_prokt.callbacks import OnOptimizer

pytestmark = pytest.mark.slow


def rate(optimizer):
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def fit(model, data, callbacks, **arguments):
    arguments = {"epochs": 3, "batch_size": 20, "verbose": 0, **arguments}
    return model.fit(*data, callbacks=callbacks, **arguments).history


@pytest.mark.parametrize(("which", "other"), [("teacher", "student"), ("student", "teacher")])
def test_only_the_named_optimizer_changes(which, other, make_distiller, data):
    distiller = make_distiller(optimizer=keras.optimizers.SGD(0.1))
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    history = fit(distiller, data, [OnOptimizer(which, schedule)])
    assert rate(getattr(distiller.optimizer, which)) == pytest.approx(0.0125)
    assert rate(getattr(distiller.optimizer, other)) == pytest.approx(0.1)
    assert history[f"{which}_learning_rate"] == pytest.approx([0.05, 0.025, 0.0125])
    assert "learning_rate" not in history


def test_each_optimizer_has_its_plateau(make_distiller, data):
    distiller = make_distiller(optimizer=keras.optimizers.SGD(0.1))
    callbacks = [
        # No loss falls by this much, so both reduce after every epoch but the first.
        OnOptimizer(
            which,
            keras.callbacks.ReduceLROnPlateau(
                monitor, factor=factor, patience=1, mode="min", min_delta=1e9
            ),
        )
        for which, monitor, factor in (("teacher", "gap", 0.5), ("student", "loss", 0.1))
    ]
    fit(distiller, data, callbacks)
    assert rate(distiller.optimizer.teacher) == pytest.approx(0.1 * 0.5**2)
    assert rate(distiller.optimizer.student) == pytest.approx(0.1 * 0.1**2)


def test_everything_else_goes_to_the_model(make_distiller, data):
    distiller = make_distiller()
    history = fit(
        distiller,
        data,
        [OnOptimizer("teacher", keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: None))],
    )
    assert len(history["loss"]) == 3
    stop = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=0, mode="min")
    assert len(fit(distiller, data, [OnOptimizer("student", stop)])["loss"]) == 2
    assert distiller.stop_training


def test_hooks_on_batches_only_where_the_callback_has_them(make_distiller, data):
    seen = []

    class Batches(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((batch, self.model.optimizer, "loss" in logs))

    assert OnOptimizer("student", keras.callbacks.Callback()).on_train_batch_end._is_default
    distiller = make_distiller()
    fit(distiller, data, [OnOptimizer("student", Batches())], epochs=1)
    assert [batch for batch, _, _ in seen] == [0, 1]
    assert all(
        optimizer is distiller.optimizer.student and has_loss for _, optimizer, has_loss in seen
    )


def test_a_student_alone(data):
    model = StudentOnly(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.2)
    fit(model, data, [OnOptimizer("student", schedule)], epochs=1)
    assert rate(model.optimizer) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="trains its teacher, received StudentOnly"):
        fit(model, data, [OnOptimizer("teacher", schedule)])


def test_refusals():
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.2)
    with pytest.raises(ValueError, match="Expected which in .* received 'both'"):
        OnOptimizer("both", schedule)
    with pytest.raises(ValueError, match="construct it first"):
        OnOptimizer("teacher", keras.callbacks.LearningRateScheduler)
    with pytest.raises(ValueError, match="Expected a distiller, received Sequential"):
        OnOptimizer("teacher", schedule).set_model(keras.Sequential())
