import zipfile

import keras
import numpy as np
import pytest

from keras_prokt.callbacks import StudentCheckpoint


@pytest.fixture(scope="module")
def distiller(make_distiller):
    return make_distiller()


def replay(checkpoint, distiller, values, first_epoch=0):
    """What `fit` does with the callback, for given values of its metric."""
    checkpoint.set_model(distiller)
    checkpoint.on_train_begin()
    for epoch, value in enumerate(values, first_epoch):
        checkpoint.on_epoch_begin(epoch)
        distiller.student.get_layer("logits").bias.assign(np.full(3, epoch))
        checkpoint.on_epoch_end(epoch, {"loss": 1.0, checkpoint.monitor: value})


def saved_epoch(path):
    return keras.saving.load_model(path).get_layer("logits").bias.numpy()[0]


@pytest.mark.slow
def test_the_best_student_is_saved_alone_in_fit(make_distiller, data, tmp_path):
    class Weights(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            of_epoch.append((logs["val_student_accuracy"], self.model.student.get_weights()))

    of_epoch = []
    checkpoint = StudentCheckpoint(tmp_path / "best.keras")
    distiller = make_distiller(optimizer=keras.optimizers.Adam(0.1))
    distiller.fit(
        *data, validation_data=data, epochs=4, callbacks=[checkpoint, Weights()], verbose=0
    )
    accuracies = [accuracy for accuracy, _ in of_epoch]
    assert checkpoint.best == max(accuracies)
    assert checkpoint.best_epoch == accuracies.index(max(accuracies))
    assert [path.name for path in tmp_path.iterdir()] == ["best.keras"]
    student = keras.saving.load_model(tmp_path / "best.keras")
    expected = of_epoch[checkpoint.best_epoch][1]
    for weight, other in zip(student.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, other)


def test_the_name_is_formatted_as_keras_does(distiller, tmp_path):
    name = tmp_path / "s[1]-{epoch:02d}-{val_student_accuracy:.2f}.keras"
    checkpoint = StudentCheckpoint(name)
    replay(checkpoint, distiller, [0.2, 0.1, 0.5])
    names = ["s[1]-01-0.20.keras", "s[1]-03-0.50.keras"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert [saved_epoch(tmp_path / name) for name in names] == [0, 2]
    # A continued run knows the best of its earlier epochs.
    again = StudentCheckpoint(name)
    replay(again, distiller, [0.4, 0.6], first_epoch=3)
    assert (again.best, again.best_epoch) == (0.6, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == [*names, "s[1]-05-0.60.keras"]
    with pytest.raises(ValueError, match="with fields among epoch, loss, .*KeyError: 'nothing'"):
        replay(StudentCheckpoint(tmp_path / "{nothing}.keras"), distiller, [0.2])


def test_only_an_improvement_is_saved(distiller, tmp_path, capsys):
    checkpoint = StudentCheckpoint(tmp_path / "best.keras", verbose=1)
    replay(checkpoint, distiller, [0.2, 0.5, 0.5, float("nan")])
    assert (checkpoint.best, checkpoint.best_epoch) == (0.5, 1)
    assert saved_epoch(tmp_path / "best.keras") == 1
    printed = capsys.readouterr().out
    assert "Epoch 2: val_student_accuracy improved from 0.2 to 0.5; student saved to" in printed
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


def test_lower_is_better_and_threshold(distiller, tmp_path):
    checkpoint = StudentCheckpoint(
        tmp_path / "best.keras", monitor="val_loss", initial_value_threshold=0.5
    )
    replay(checkpoint, distiller, [0.7, 0.4, 0.45])
    assert (checkpoint.best, checkpoint.best_epoch) == (0.4, 1)
    assert saved_epoch(tmp_path / "best.keras") == 1


def test_a_continued_run_compares_with_its_earlier_epochs(distiller, tmp_path):
    path = tmp_path / "best.keras"
    replay(StudentCheckpoint(path), distiller, [0.2, 0.6])
    before = path.read_bytes()
    checkpoint = StudentCheckpoint(path)
    replay(checkpoint, distiller, [0.5, 0.3], first_epoch=2)
    assert (checkpoint.best, checkpoint.best_epoch) == (0.6, 1)
    assert path.read_bytes() == before


def test_a_new_run_and_a_foreign_file_begin_anew(distiller, tmp_path):
    path = tmp_path / "best.keras"
    replay(StudentCheckpoint(path), distiller, [0.9])
    checkpoint = StudentCheckpoint(path)
    replay(checkpoint, distiller, [0.1])
    assert checkpoint.best == 0.1
    distiller.student.save(path)
    replay(checkpoint, distiller, [0.05], first_epoch=3)
    assert (checkpoint.best, checkpoint.best_epoch) == (0.05, 3)


def changed(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("damage", ["cut", "empty", "end", "list", "weights", "record", "method"])
def test_a_damaged_file_is_named_when_a_run_goes_on(damage, distiller, tmp_path):
    path = tmp_path / "best.keras"
    replay(StudentCheckpoint(path), distiller, [0.2, 0.6])
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        weights = archive.getinfo("model.weights.h5").header_offset + 2000
        # Archives end with a directory, each of whose entries names the method of compression.
        entry = archive.start_dir
    record = content.index(b'"monitor"')
    path.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "empty": b"",
            "end": content[:-3],
            # 22 bytes at the end, with the length of the list of members at 12.
            "list": changed(content, len(content) - 22 + 12),
            "weights": changed(content, weights),
            "record": changed(content, record + 3),
            "method": content[: entry + 10] + b"\x63" + content[entry + 11 :],
        }[damage]
    )
    with pytest.raises(ValueError, match="Expected the best student so far in .*best") as refusal:
        replay(StudentCheckpoint(path), distiller, [0.5], first_epoch=2)
    assert len(str(refusal.value).splitlines()) == 1
    # A new run begins anew.
    replay(StudentCheckpoint(path), distiller, [0.1])


def test_a_failing_save_leaves_the_last_file(distiller, tmp_path, monkeypatch):
    path = tmp_path / "best.keras"
    replay(StudentCheckpoint(path), distiller, [0.1])
    before = path.read_bytes()

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(OSError, match="No space left"):
        replay(StudentCheckpoint(path), distiller, [0.2])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["best.keras"]


def test_refusals(distiller, tmp_path):
    with pytest.raises(ValueError, match=r"filepath ending in \.keras, received 'best\.h5'"):
        StudentCheckpoint("best.h5")
    with pytest.raises(ValueError, match="Expected mode in .* received 'best'"):
        StudentCheckpoint("best.keras", mode="best")
    logs = {"loss": 1.0, "student_accuracy": 0.5}
    for monitor, advice in (
        ("student_acuracy", "did you mean 'student_accuracy'"),
        ("val_student_accuracy", "Validation is reported with validation_data="),
    ):
        checkpoint = StudentCheckpoint(tmp_path / "a.keras", monitor=monitor)
        checkpoint.set_model(distiller)
        checkpoint.on_train_begin()
        with pytest.raises(ValueError, match=f"among loss, .*{advice}"):
            checkpoint.on_epoch_end(0, logs)
