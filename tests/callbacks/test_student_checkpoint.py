import zipfile

import keras
import numpy as np
import pytest

from keras_prokt.callbacks import StudentCheckpoint


class Logs(keras.callbacks.Callback):
    """Puts given values into the logs of each epoch."""

    def __init__(self, values, name="val_student_accuracy"):
        super().__init__()
        self._values = values
        self._name = name

    def on_epoch_end(self, epoch, logs=None):
        logs[self._name] = self._values[epoch]


class Weights(keras.callbacks.Callback):
    """Keeps the student's weights of each epoch."""

    def __init__(self):
        super().__init__()
        self.of_epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.of_epoch.append(self.model.student.get_weights())


def fit(distiller, data, callbacks, **arguments):
    arguments = {"epochs": 4, "batch_size": 20, "shuffle": False, "verbose": 0, **arguments}
    distiller.fit(*data, callbacks=callbacks, **arguments)


def assert_same(actual, expected):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_best_student_is_saved_alone(make_distiller, data, tmp_path, capsys):
    weights = Weights()
    checkpoint = StudentCheckpoint(tmp_path / "best.keras", verbose=1)
    distiller = make_distiller()
    fit(distiller, data, [Logs([0.2, 0.5, 0.5, float("nan")]), checkpoint, weights])
    assert (checkpoint.best, checkpoint.best_epoch) == (0.5, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["best.keras"]
    student = keras.saving.load_model(tmp_path / "best.keras")
    assert student.count_params() == distiller.student.count_params()
    assert_same(student.get_weights(), weights.of_epoch[1])
    printed = capsys.readouterr().out
    assert "improved from 0.2 to 0.5; student saved to" in printed
    assert printed.count("improved from") == 2


@pytest.mark.parametrize(
    ("monitor", "expected"),
    [
        ("val_student_accuracy", "max"),
        ("val_f1_score", "max"),
        ("val_AUC", "max"),
        ("val_loss", "min"),
        ("val_gap", "min"),
        ("val_student_loss", "min"),
    ],
)
def test_mode_follows_from_the_name(monitor, expected, tmp_path):
    assert StudentCheckpoint(tmp_path / "a.keras", monitor=monitor).mode == expected


def test_lower_is_better_and_threshold(make_distiller, data, tmp_path):
    checkpoint = StudentCheckpoint(
        tmp_path / "best.keras", monitor="val_loss", initial_value_threshold=0.5
    )
    fit(make_distiller(), data, [Logs([0.7, 0.4, 0.45, 0.6], "val_loss"), checkpoint])
    assert (checkpoint.best, checkpoint.best_epoch) == (0.4, 1)


def test_a_continued_run_compares_with_its_earlier_epochs(make_distiller, data, tmp_path):
    logs = Logs([0.2, 0.6, 0.5, 0.3])
    distiller = make_distiller()
    fit(distiller, data, [logs, StudentCheckpoint(tmp_path / "best.keras")], epochs=2)
    before = (tmp_path / "best.keras").read_bytes()
    checkpoint = StudentCheckpoint(tmp_path / "best.keras")
    fit(distiller, data, [logs, checkpoint], initial_epoch=2)
    assert (checkpoint.best, checkpoint.best_epoch) == (0.6, 1)
    assert (tmp_path / "best.keras").read_bytes() == before


def test_a_new_run_and_a_foreign_file_begin_anew(make_distiller, data, tmp_path):
    path = tmp_path / "best.keras"
    fit(make_distiller(), data, [Logs([0.9]), StudentCheckpoint(path)], epochs=1)
    checkpoint = StudentCheckpoint(path)
    fit(make_distiller(), data, [Logs([0.1]), checkpoint], epochs=1)
    assert checkpoint.best == 0.1

    make_distiller().student.save(path)
    fit(make_distiller(), data, [Logs([0, 0.1]), checkpoint], epochs=2, initial_epoch=1)
    assert (checkpoint.best, checkpoint.best_epoch) == (0.1, 1)


def test_a_failing_save_leaves_the_last_file(make_distiller, data, tmp_path, monkeypatch):
    path = tmp_path / "best.keras"
    distiller = make_distiller()
    fit(distiller, data, [Logs([0.1]), StudentCheckpoint(path)], epochs=1)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(OSError, match="No space left"):
        fit(distiller, data, [Logs([0.2]), StudentCheckpoint(path)], epochs=1)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["best.keras"]


def test_refusals(make_distiller, data, tmp_path):
    with pytest.raises(ValueError, match=r"filepath ending in \.keras, received 'best\.h5'"):
        StudentCheckpoint("best.h5")
    with pytest.raises(ValueError, match="Expected mode in .* received 'best'"):
        StudentCheckpoint("best.keras", mode="best")
    typo = StudentCheckpoint(tmp_path / "a.keras", monitor="student_acuracy")
    with pytest.raises(ValueError, match="did you mean 'student_accuracy'"):
        fit(make_distiller(), data, [typo])
    with pytest.raises(ValueError, match="received 'val_student_accuracy'.*validation_data="):
        fit(make_distiller(), data, [StudentCheckpoint(tmp_path / "a.keras")])
