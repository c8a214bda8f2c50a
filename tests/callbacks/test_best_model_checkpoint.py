"""The best model of a run in a file an improvement, whenever the run is killed."""

import json

import keras
import numpy as np
import pytest
from marks import thorough

from keras_prokt import ResumableBackup
from keras_prokt.callbacks.best_model_checkpoint import BestModelCheckpoint, read_best


@pytest.fixture(scope="module")
def distiller(make_distiller):
    return make_distiller()


def replay(checkpoint, distiller, values, first_epoch=0):
    """What `fit` does with the callback, for given values of its metric."""
    checkpoint.set_model(distiller)
    checkpoint.on_train_begin()
    for epoch, value in enumerate(values, first_epoch):
        checkpoint.on_epoch_begin(epoch)
        distiller.teacher.get_layer("logits").bias.assign(np.full(3, epoch))
        checkpoint.on_epoch_end(epoch, {"val_teacher_accuracy": value})


def checkpoint_in(folder, **settings):
    return BestModelCheckpoint(folder, "teacher", monitor="val_teacher_accuracy", **settings)


def saved_epoch(best):
    model = keras.saving.load_model(best.path)
    return keras.ops.convert_to_numpy(model.get_layer("logits").bias)[0]


def names(folder):
    return sorted(path.name for path in folder.glob("*.keras"))


def test_the_first_of_the_highest_values_is_kept(distiller, tmp_path):
    checkpoint = checkpoint_in(tmp_path)
    replay(checkpoint, distiller, [0.2, 0.5, 0.5, float("nan"), 0.4])
    best = checkpoint.best()
    assert (best.epoch, best.value, saved_epoch(best)) == (1, 0.5, 1)
    # Later begun epochs need none of the others.
    assert names(tmp_path) == ["epoch-000001.keras"]


def test_the_first_of_the_lowest_values_is_kept_where_lower_is_better(distiller, tmp_path):
    checkpoint = checkpoint_in(tmp_path, mode="min")
    replay(checkpoint, distiller, [float("nan"), 0.5, 0.2, 0.2, 0.4])
    best = checkpoint.best()
    assert (best.epoch, best.value, saved_epoch(best)) == (2, 0.2, 2)


def test_a_file_is_written_once_and_stays_as_long_as_a_checkpoint_may_name_it(distiller, tmp_path):
    checkpoint, written = checkpoint_in(tmp_path), {}
    values = [0.1, 0.2, 0.3, 0.3, 0.3, 0.6]
    checkpoint.set_model(distiller)
    checkpoint.on_train_begin()
    best_after = []
    for epoch, value in enumerate(values):
        checkpoint.on_epoch_begin(epoch)
        # The checkpoints of the last two ends of epochs are there, and what they name with them.
        for earlier in best_after[-2:]:
            assert earlier in names(tmp_path)
        checkpoint.on_epoch_end(epoch, {"val_teacher_accuracy": value})
        for path in tmp_path.glob("*.keras"):
            assert written.setdefault(path.name, path.stat().st_mtime_ns) == path.stat().st_mtime_ns
        best_after.append(checkpoint.best().path.name)
        assert len(names(tmp_path)) <= 3
    assert best_after == [f"epoch-00000{n}.keras" for n in (0, 1, 2, 2, 2, 5)]


def test_a_new_training_begins_anew(distiller, tmp_path):
    replay(checkpoint_in(tmp_path), distiller, [0.9, 0.95])
    checkpoint = checkpoint_in(tmp_path)
    replay(checkpoint, distiller, [0.1])
    assert (checkpoint.best().value, names(tmp_path)) == (0.1, ["epoch-000000.keras"])


def test_what_came_after_the_checkpoint_is_forgotten(distiller, tmp_path):
    """Killed after an improvement, before the checkpoint: the pointer is put back by it."""
    replay(checkpoint_in(tmp_path), distiller, [0.2, 0.1])
    pointer = (tmp_path / "best.json").read_bytes()
    replay(checkpoint_in(tmp_path), distiller, [0.7], first_epoch=2)
    (tmp_path / "best.json").write_bytes(pointer)
    checkpoint = checkpoint_in(tmp_path)
    replay(checkpoint, distiller, [0.3, 0.25], first_epoch=2)
    assert (checkpoint.best().epoch, checkpoint.best().value) == (2, 0.3)
    assert saved_epoch(checkpoint.best()) == 2


@pytest.mark.parametrize("damage", ["gone", "changed", "pointer gone", "pointer changed"])
def test_what_is_damaged_is_refused_in_one_line(damage, distiller, tmp_path):
    checkpoint = checkpoint_in(tmp_path)
    replay(checkpoint, distiller, [0.2])
    path = tmp_path / ("best.json" if "pointer" in damage else "epoch-000000.keras")
    content = path.read_bytes()
    path.unlink()
    if "changed" in damage:
        path.write_bytes(content.replace(b"0.2", b"0.3") if "pointer" in damage else content[:-1])
    for read in (
        lambda: read_best(tmp_path),
        lambda: replay(checkpoint_in(tmp_path), distiller, [0.5], first_epoch=1),
    ):
        with pytest.raises(ValueError, match="Expected the best model so far in") as refusal:
            read()
        assert len(str(refusal.value).splitlines()) == 1


def test_what_the_logs_lack_is_measured_and_added(distiller, tmp_path):
    checkpoint = BestModelCheckpoint(
        tmp_path, "student", monitor="val_f1", measure=lambda model: model.count_params() / 1e6
    )
    checkpoint.set_model(distiller)
    checkpoint.on_train_begin()
    checkpoint.on_epoch_begin(0)
    logs = {"loss": 1.0}
    checkpoint.on_epoch_end(0, logs)
    assert logs["val_f1"] == distiller.student.count_params() / 1e6 == checkpoint.best().value
    unmeasured = checkpoint_in(tmp_path / "other")
    unmeasured.set_model(distiller)
    unmeasured.on_train_begin()
    unmeasured.on_epoch_begin(0)
    with pytest.raises(ValueError, match="Expected a monitor among loss"):
        unmeasured.on_epoch_end(0, {"loss": 1.0})


class _Killed(Exception):
    pass


class _KillAtEnd(keras.callbacks.Callback):
    """Ends training at the end of an epoch, before or after the state of it is saved."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise _Killed


@pytest.mark.slow
@pytest.mark.parametrize("is_saved", [False, *thorough(True)])
def test_a_killed_training_has_the_same_best_teacher(make_distiller, data, tmp_path, is_saved):
    def train(folder, kill=None):
        keras.utils.set_random_seed(0)
        distiller = make_distiller(optimizer=keras.optimizers.Adam(0.05))
        best = checkpoint_in(folder / "best")
        backup = ResumableBackup(folder / "backup", files=[best.pointer])
        after = [] if kill is None else [_KillAtEnd(kill)]
        callbacks = [best, backup, *after] if is_saved else [best, *after, backup]
        settings = {"validation_data": data, "epochs": 5, "shuffle": False, "verbose": 0}
        distiller.fit(*data, callbacks=callbacks, **settings)
        return best.best()

    whole = train(tmp_path / "whole")
    for epoch in (0, 1, 3):
        folder = tmp_path / f"killed-{epoch}"
        with pytest.raises(_Killed):
            train(folder, kill=epoch)
        killed = train(folder)
        assert (killed.epoch, killed.value) == (whole.epoch, whole.value)
        one, other = (keras.saving.load_model(best.path).get_weights() for best in (whole, killed))
        for pair in zip(one, other, strict=True):
            np.testing.assert_array_equal(*pair)
        assert names(folder / "best") == names(tmp_path / "whole" / "best")
        # The weights are in no checkpoint.
        kept = [path.name for path in (folder / "backup").rglob("files/*")]
        assert set(kept) == {"best.json"}
        assert json.loads(killed.path.with_name("best.json").read_text())["epoch"] == whole.epoch
