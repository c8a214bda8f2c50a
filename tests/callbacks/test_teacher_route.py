"""RCO: which checkpoint is the target when, and that the student really sees it."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt import FrozenTeacherDistiller, ProKTDistiller, ResumableBackup, TeacherRoute

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def network(units=6):
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(units, activation="relu"), layers.Dense(2)]
    )


def checkpoints(count):
    return [[w + 0.1 * i for w in network().get_weights()] for i in range(count)]


def distiller():
    keras.utils.set_random_seed(1)
    model = FrozenTeacherDistiller(network(), network(3))
    model.compile("adam")
    return model


class Teachers(keras.callbacks.Callback):
    """Notes the teacher's weights in each epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.model.teacher.get_weights())


@pytest.mark.parametrize(
    ("count", "epochs", "expected"),
    [
        (4, 8, [0, 0, 1, 1, 2, 2, 3, 3]),
        (3, 4, [0, 0, 1, 2]),
        (1, 2, [0, 0]),
        (2, 5, [0] * 3 + [1] * 2),
    ],
)
def test_epochs_are_divided_evenly(count, epochs, expected):
    route = TeacherRoute(checkpoints(count))
    assert [route.checkpoint_of(e, epochs) for e in range(epochs)] == expected


def test_the_teacher_has_the_weights_of_its_epoch_and_files_work(tmp_path):
    weights = checkpoints(2)
    files = []
    for number, values in enumerate(weights):
        model = network()
        model.set_weights(values)
        files.append(tmp_path / f"{number}.keras")
        model.save(files[-1])
    for given in (weights, files):
        model, teachers = distiller(), Teachers()
        model.fit(X, Y, epochs=4, verbose=0, callbacks=[TeacherRoute(given), teachers])
        for seen, number in zip(teachers.seen, [0, 0, 1, 1], strict=True):
            for one, other in zip(seen, weights[number], strict=True):
                np.testing.assert_array_equal(one, other)


def test_the_students_targets_are_those_of_the_checkpoint():
    weights = checkpoints(2)
    model = distiller()
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[TeacherRoute(weights[1:])])
    reference = distiller()
    reference.teacher.set_weights(weights[1])
    reference.fit(X, Y, epochs=1, verbose=0)
    for one, other in zip(
        model.student.get_weights(), reference.student.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_continued_run_has_the_same_targets(tmp_path):
    weights = checkpoints(3)
    fit = {"shuffle": False, "verbose": 0}
    whole = distiller()
    whole.fit(X, Y, epochs=6, callbacks=[TeacherRoute(weights)], **fit)

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 2

    for stop in ([Stop()], []):
        parts = distiller()
        backup = ResumableBackup(tmp_path)
        parts.fit(X, Y, epochs=6, callbacks=[TeacherRoute(weights), backup, *stop], **fit)
    for one, other in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_refusals():
    with pytest.raises(ValueError, match="at least one checkpoint"):
        TeacherRoute([])
    with pytest.raises(ValueError, match="as many epochs as checkpoints, received 1 epochs and 2"):
        distiller().fit(X, Y, verbose=0, callbacks=[TeacherRoute(checkpoints(2))])
    with pytest.raises(ValueError, match="number 1 with other weights"):
        distiller().fit(X, Y, verbose=0, callbacks=[TeacherRoute([network(5).get_weights()])])
    moving = ProKTDistiller(network(), network(3))
    moving.compile("adam")
    with pytest.raises(ValueError, match="received ProKTDistiller"):
        moving.fit(X, Y, verbose=0, callbacks=[TeacherRoute(checkpoints(1))])
