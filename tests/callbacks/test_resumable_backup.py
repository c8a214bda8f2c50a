import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext

import keras
import numpy as np
import pytest
from marks import thorough

from keras_prokt.callbacks import ResumableBackup, StudentCheckpoint, TrainingDynamics
from keras_prokt.callbacks.resumable_backup import _read_intact
from keras_prokt.callbacks.training_dynamics import read_history
from keras_prokt.distillers import StudentOnly
from keras_prokt.files import read_record, write_record

EPOCHS, STEPS = 3, 4


class StopAfter(keras.callbacks.Callback):
    """Stops training after a number of steps."""

    def __init__(self, steps):
        super().__init__()
        self._left = steps

    def on_train_batch_end(self, batch, logs=None):
        self._left -= 1
        if self._left == 0:
            self.model.stop_training = True


def fit(distiller, data, callbacks, **arguments):
    arguments = {"epochs": EPOCHS, "batch_size": 10, "verbose": 0, **arguments}
    history = distiller.fit(
        *data, shuffle=False, validation_data=data, callbacks=callbacks, **arguments
    )
    return history.history


def state(distiller):
    return [v.numpy() for v in [*distiller.variables, *distiller.optimizer.variables]]


def assert_same(distiller, other):
    for a, b in zip(state(distiller), state(other), strict=True):
        np.testing.assert_array_equal(a, b)


def one_line(refusal):
    return len(str(refusal.value).splitlines()) == 1


@pytest.fixture(scope="module")
def make(make_distiller):
    """Makes distillers that start with other weights and seeds each time."""

    def other(seed, **arguments):
        keras.utils.set_random_seed(seed)
        rates = keras.optimizers.schedules.CosineDecay(1e-2, EPOCHS * STEPS)
        return make_distiller(optimizer=keras.optimizers.Adam(rates), **arguments)

    return other


def make_stateful(make, seed):
    metrics = [keras.metrics.SparseTopKCategoricalAccuracy(2), "accuracy"]
    return make(seed, stateful=True, metrics=metrics)


@pytest.fixture(scope="module")
def uninterrupted(make, data, tmp_path_factory):
    """A trained distiller, its history, and a file of its initial state."""
    initial = tmp_path_factory.mktemp("initial") / "initial.weights.h5"
    distiller = make_stateful(make, 1)
    distiller.save_weights(initial)
    return distiller, fit(distiller, data, []), initial


@pytest.fixture(scope="module")
def stopped(make):
    return make_stateful(make, 2)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 4, *thorough(6)], ids=lambda steps: f"after {steps} steps")
def test_stopped_and_resumed_equals_uninterrupted(
    steps, uninterrupted, stopped, make, data, tmp_path
):
    whole, expected, initial = uninterrupted
    stopped.load_weights(initial)
    backup = ResumableBackup(tmp_path)
    fit(stopped, data, [StopAfter(steps), backup])
    assert backup.position() == ((steps - 1) // STEPS, (steps - 1) % STEPS + 1)

    resumed = make_stateful(make, 3)
    history = fit(resumed, data, [ResumableBackup(tmp_path)])
    assert_same(resumed, whole)
    assert history == {name: values[-len(history["loss"]) :] for name, values in expected.items()}
    assert len(history["loss"]) == EPOCHS - (steps - 1) // STEPS
    assert ResumableBackup(tmp_path).position() == (EPOCHS, 0)


@pytest.mark.slow
@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_saves_every_few_batches_and_keeps_some(steps_per_execution, make, data, tmp_path):
    if keras.backend.backend() == "torch" and steps_per_execution > 1:
        pytest.skip("PyTorch runs one step an execution")
    backup = ResumableBackup(tmp_path, save_freq=2, keep=3)
    fit(make(1, steps_per_execution=steps_per_execution), data, [backup], epochs=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch-000001-batch-000000002",
        "epoch-000001-batch-000000004",
        "epoch-000002-batch-000000000",
    ]


@pytest.mark.slow
def test_training_can_be_prolonged_and_repeated(make, data, tmp_path):
    whole = make(1)
    whole.save_weights(tmp_path / "initial.weights.h5")
    fit(whole, data, [])
    backup = ResumableBackup(tmp_path / "checkpoint")
    distiller = make(2)
    distiller.load_weights(tmp_path / "initial.weights.h5")
    fit(distiller, data, [backup], epochs=1)
    assert len(fit(distiller, data, [backup])["loss"]) == EPOCHS - 1
    assert_same(distiller, whole)
    # Done: nothing is left to train.
    assert not fit(distiller, data, [backup])
    assert_same(distiller, whole)
    # Without the callback the next fit begins at epoch 0.
    assert len(fit(distiller, data, [])["loss"]) == EPOCHS


@pytest.mark.slow
def test_proximal_weight_is_restored(make, data, tmp_path):
    distiller = make(1, proximal_weight=0.6)
    fit(distiller, data, [ResumableBackup(tmp_path)], epochs=1)
    fit(distiller, data, [ResumableBackup(tmp_path)], epochs=2)
    shutil.rmtree(tmp_path / "epoch-000002-batch-000000000")
    other = make(2, proximal_weight=0.0)
    fit(other, data, [ResumableBackup(tmp_path)], epochs=2)
    assert_same(other, distiller)


@pytest.fixture(scope="module")
def saved(make, data, tmp_path_factory):
    """A distiller and the folder with its checkpoints of two epochs."""
    folder = tmp_path_factory.mktemp("saved")
    history = tmp_path_factory.mktemp("files") / "history.csv"
    history.write_text("epoch\n0\n1\n")
    distiller = make(1)
    fit(distiller, data, [ResumableBackup(folder, files=[history])], epochs=2)
    return distiller, folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        "truncated state",
        "changed state",
        "no position",
        "half",
        "edited",
        "renamed",
        "changed file",
    ],
)
def test_a_damaged_checkpoint_is_never_chosen(damage, saved, tmp_path):
    distiller, folder = saved
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    newest = tmp_path / "epoch-000002-batch-000000000"
    content = (newest / "state.weights.h5").read_bytes()
    if damage == "truncated state":
        (newest / "state.weights.h5").write_bytes(content[: len(content) // 2])
    elif damage == "changed state":
        (newest / "state.weights.h5").write_bytes(content[:-9] + b"x" + content[-8:])
    elif damage == "no position":
        (newest / "position.json").unlink()
    elif damage == "edited":
        text = (newest / "position.json").read_text()
        (newest / "position.json").write_text(text.replace('"epoch": 2', '"epoch": 3'))
    elif damage == "renamed":
        newest.rename(tmp_path / "epoch-000003-batch-000000000")
    elif damage == "changed file":
        (newest / "files" / "history.csv").write_text("epoch\n0\n2\n")
    else:
        (newest / "position.json").write_text('{"epoch": 2, "ba')
    # What kills leave, those of older versions too.
    (tmp_path / ".writing").mkdir()
    (tmp_path / ".removing-epoch-000000-batch-000000003" / "files").mkdir(parents=True)
    (tmp_path / ".unfinished-epoch-000003-batch-000000000-x").mkdir()
    backup = ResumableBackup(tmp_path)
    assert backup.position() == (1, 0)
    backup.set_model(distiller)
    backup.on_train_begin()
    assert int(distiller.optimizer.iterations.numpy()) == STEPS
    # Its name is needed when training comes there again.
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-000001-batch-000000000"]
    backup.on_train_end()


def test_nothing_saved_yet(tmp_path):
    assert ResumableBackup(tmp_path / "new").position() == (0, 0)
    assert not (tmp_path / "new").exists()


def test_refusals(saved, tmp_path):
    with pytest.raises(ValueError, match="Expected save_freq .* received 0"):
        ResumableBackup(tmp_path, save_freq=0)
    with pytest.raises(ValueError, match="received 'batch'"):
        ResumableBackup(tmp_path, save_freq="batch")
    with pytest.raises(ValueError, match="Expected keep to be a whole number of at least 1"):
        ResumableBackup(tmp_path, keep=0)
    with pytest.raises(ValueError, match="Expected files to be a list of paths, received 'a.csv'"):
        ResumableBackup(tmp_path, files="a.csv")
    with pytest.raises(ValueError, match="Expected files of different names"):
        ResumableBackup(tmp_path, files=["a.csv", tmp_path / "a.csv"])
    with pytest.raises(ValueError, match="Expected a distiller, received Sequential"):
        ResumableBackup(tmp_path).set_model(keras.Sequential())
    shutil.copytree(saved[1], tmp_path, dirs_exist_ok=True)
    for position in tmp_path.glob("*/position.json"):
        position.unlink()
    with pytest.raises(ValueError, match="intact checkpoint in .* received 2 damaged") as refusal:
        ResumableBackup(tmp_path).position()
    assert one_line(refusal)


@pytest.mark.slow
def test_no_bit_of_a_position_can_change_it(saved, tmp_path):
    folder = tmp_path / "epoch-000002-batch-000000000"
    shutil.copytree(saved[1] / folder.name, folder)
    content = (folder / "position.json").read_bytes()
    intact = _read_intact(folder)
    assert (intact["epoch"], intact["batch"]) == (2, 0)
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        (folder / "position.json").write_bytes(damaged)
        # One blank for another is no damage.
        assert _read_intact(folder) in (None, intact), bit


def copied(folder, name, position):
    """A checkpoint's copy at another position, as if training had come there."""
    newest = folder / "epoch-000002-batch-000000000"
    shutil.copytree(newest, folder / name)
    record = {**read_record(newest / "position.json"), **position}
    write_record(folder / name / "position.json", record)


def test_the_newest_is_that_of_the_highest_numbers(saved, tmp_path):
    shutil.copytree(saved[1], tmp_path, dirs_exist_ok=True)
    copied(tmp_path, "epoch-999999-batch-999999999", {"epoch": 999999, "batch": 999999999})
    copied(tmp_path, "epoch-999999-batch-1000000000", {"epoch": 999999, "batch": 10**9})
    assert ResumableBackup(tmp_path).position() == (999999, 10**9)
    copied(tmp_path, "epoch-1000000-batch-000000000", {"epoch": 10**6})
    assert ResumableBackup(tmp_path).position() == (10**6, 0)


def test_what_a_kill_left_goes_when_training_begins(saved, tmp_path):
    distiller, folder = saved
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    copied(tmp_path, "epoch-000000-batch-000000003", {"epoch": 0, "batch": 3})
    # Killed while it was removed.
    (tmp_path / "epoch-000001-batch-000000000" / "position.json").unlink()
    other = tmp_path / "notes"
    other.mkdir()
    backup = ResumableBackup(tmp_path)
    backup.set_model(distiller)
    backup.on_train_begin()
    backup.on_train_end()
    names = ["epoch-000000-batch-000000003", "epoch-000002-batch-000000000", "notes"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    copied(tmp_path, "epoch-000001-batch-000000003", {"epoch": 1, "batch": 3})
    backup.on_train_begin()
    backup.on_train_end()
    names[0] = "epoch-000001-batch-000000003"
    assert sorted(path.name for path in tmp_path.iterdir()) == names


OURS = {"spec": {"seed": 0, "rate": 0.1, "layers": [4, 2]}, "data": "3f", "none": None}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data": "a7"}, 'data was "3f", is "a7"'),
        ({"spec": {**OURS["spec"], "seed": 1}}, "spec.seed was 0, is 1"),
        ({"spec": {**OURS["spec"], "layers": [4, 3]}}, "spec.layers.1 was 2, is 3"),
        ({"spec": {**OURS["spec"], "layers": [4]}}, "spec.layers was [4, 2], is [4]"),
        ({"none": 1}, "none was null, is 1"),
        ({"more": "a\nb"}, 'more was not given, is "a\\nb"'),
        (
            {"spec": {"seed": 1}, "data": 0, "none": 1},
            "spec.seed was 0, is 1; spec.rate was 0.1, is not given; "
            "spec.layers was [4, 2], is not given; and 2 more",
        ),
        (None, f"belongs_to was {json.dumps(OURS)}, is not given"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(changes, expected, make, data, tmp_path):
    backup = ResumableBackup(tmp_path, belongs_to=OURS)
    backup.set_model(make(1))
    backup.on_train_begin()
    backup._save(1, 0)
    assert ResumableBackup(tmp_path, belongs_to=dict(reversed(OURS.items()))).position() == (1, 0)
    other = None if changes is None else {**OURS, **changes}
    other = ResumableBackup(tmp_path, belongs_to=other)
    with pytest.raises(ValueError) as refusal:
        other.position()
    assert str(refusal.value) == (
        f"Expected a checkpoint of this training in {str(tmp_path)!r}, received one of another: "
        f"{expected}; undo the change, or delete the folder to begin anew."
    )
    with pytest.raises(ValueError, match="received one of another: "):
        other.restore_files()
    other.set_model(backup.model)
    with pytest.raises(ValueError, match="received one of another: "):
        other.on_train_begin()
    assert backup.position() == (1, 0)


def test_a_checkpoint_that_belongs_to_nothing_is_refused_too(saved):
    with pytest.raises(ValueError, match='belongs_to was not given, is {"seed": 0}; undo'):
        ResumableBackup(saved[1], belongs_to={"seed": 0}).position()


@pytest.mark.parametrize("wrong", [{"a": object()}, {"a": float("nan")}, {"a": {1, 2}}, [1], "a"])
def test_what_json_cannot_hold_belongs_to_nothing(wrong, tmp_path):
    with pytest.raises(ValueError, match="Expected belongs_to ") as refusal:
        ResumableBackup(tmp_path, belongs_to=wrong)
    assert one_line(refusal)


def test_files_are_put_back_as_they_were(saved, tmp_path):
    distiller, _ = saved
    history, best, later = (tmp_path / name for name in ("history.csv", "best.keras", "later"))
    backup = ResumableBackup(tmp_path / "checkpoint", files=[history, str(best), later])
    backup.set_model(distiller)
    backup.on_train_begin()
    history.write_text("0")
    best.write_bytes(b"the best")
    backup._save(1, 0)
    history.write_text("0, 1")
    backup._save(2, 0)
    first, second = sorted((tmp_path / "checkpoint").glob("*/files"))
    # Copies of their own: what damages one leaves the others whole.
    assert not (first / best.name).samefile(second / best.name)
    assert not (second / best.name).samefile(best)
    assert [(f / history.name).read_text() for f in (first, second)] == ["0", "0, 1"]

    for damage in (lambda p: p.write_text("other"), lambda p: p.unlink(missing_ok=True)):
        for path in (history, best):
            damage(path)
        later.write_text("too late")
        backup.restore_files()
        assert (history.read_text(), best.read_bytes()) == ("0, 1", b"the best")
        assert not later.exists()
    assert not (second / best.name).samefile(best)
    history.write_text("newer")
    backup.on_train_begin()
    backup.on_train_end()
    assert history.read_text() == "0, 1"
    # One that the checkpoint says nothing of stays.
    unknown = tmp_path / "unknown"
    unknown.write_text("mine")
    ResumableBackup(tmp_path / "checkpoint", files=[unknown]).restore_files()
    assert unknown.read_text() == "mine"


def test_a_damaged_copy_is_not_taken_into_the_next_checkpoint(saved, tmp_path):
    best = tmp_path / "best.keras"
    best.write_bytes(b"the best")
    backup = ResumableBackup(tmp_path / "checkpoint", files=[best])
    backup.set_model(saved[0])
    backup.on_train_begin()
    backup._save(1, 0)
    [copy] = (tmp_path / "checkpoint").glob("*/files/*")
    copy.write_bytes(b"the worst")
    backup._save(2, 0)
    copies = sorted((tmp_path / "checkpoint").glob("*/files/*"))
    assert [copy.read_bytes() for copy in copies] == [b"the worst", b"the best"]


@pytest.mark.slow
def test_training_goes_on_with_the_files_of_its_checkpoint(make, data, tmp_path):
    """An epoch killed before its checkpoint, and a student and a history that are damaged."""

    def callbacks(folder):
        history, student = folder / "history.csv", folder / "student.keras"
        return [
            StudentCheckpoint(student),
            TrainingDynamics(folder, tensorboard=False, plot=False),
            ResumableBackup(folder / "checkpoint", files=[history, student]),
        ]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    distiller = make(1)
    distiller.save_weights(tmp_path / "initial.weights.h5")
    fit(distiller, data, callbacks(whole))
    other = make(2)
    other.load_weights(tmp_path / "initial.weights.h5")
    fit(other, data, callbacks(killed), epochs=2)
    shutil.rmtree(killed / "checkpoint" / "epoch-000002-batch-000000000")
    (killed / "history.csv").write_text("epoch,seconds\n0")
    (killed / "student.keras").write_bytes(b"PK")
    last = callbacks(killed)
    fit(other, data, last)
    assert_same(other, distiller)
    whole_rows, rows = (read_history(f / "history.csv") for f in (whole, killed))
    for row in (*whole_rows, *rows):
        del row["seconds"]
    assert rows == whole_rows and len(rows) == EPOCHS
    best = [keras.saving.load_model(f / "student.keras").get_weights() for f in (whole, killed)]
    for weight, expected in zip(*best, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_the_state_of_another_model_is_refused(saved, data, tmp_path, recwarn):
    shutil.copytree(saved[1], tmp_path, dirs_exist_ok=True)
    others = [keras.Sequential([keras.Input((4,)), keras.layers.Dense(n)]) for n in (3, 5)]
    for other in others:
        model = StudentOnly(other)
        model.compile(optimizer="adam")
        with pytest.raises(ValueError, match="of this model .* another architecture") as refusal:
            fit(model, data, [ResumableBackup(tmp_path)])
        assert one_line(refusal)
    assert ResumableBackup(tmp_path).position() == (2, 0)
    assert not [w.message for w in recwarn if not issubclass(w.category, DeprecationWarning)]


@pytest.mark.slow
def test_the_same_arrays_in_other_layers_are_refused(data, tmp_path):
    class Twice(keras.layers.Dense):
        """A layer of another class."""

    for layer, refused in ((keras.layers.Dense, False), (Twice, True)):
        model = StudentOnly(keras.Sequential([keras.Input((4,)), layer(3)]))
        model.compile(optimizer="adam")
        context = (
            pytest.raises(ValueError, match="another architecture") if refused else nullcontext()
        )
        with context as refusal:
            fit(model, data, [ResumableBackup(tmp_path)], epochs=1)
    assert one_line(refusal)


def test_a_checkpoint_of_an_older_version_goes_on(saved, make, data, tmp_path):
    distiller, folder = saved
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("*/position.json"):
        # What it held of arrays that are not in the state may have changed since.
        write_record(path, {**read_record(path), "arrays": "a digest"})
    assert ResumableBackup(tmp_path).position() == (2, 0)
    model = make(2)
    fit(model, data, [ResumableBackup(tmp_path)], epochs=2)
    assert_same(model, distiller)


FULL_DISK = """
import resource, sys
import keras, numpy as np
from keras_prokt import ResumableBackup, StudentOnly

class FullDisk(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

model = StudentOnly(keras.Sequential([keras.Input((64,)), keras.layers.Dense(256)]))
model.compile(optimizer="adam")
x, y = np.zeros((8, 64), "float32"), np.zeros(8, int)
try:
    model.fit(
        x, y, epochs=3, shuffle=False, verbose=0,
        callbacks=[FullDisk(), ResumableBackup(sys.argv[1])],
    )
except OSError as error:
    print("once:", error)
"""


@pytest.mark.process
def test_a_full_disk_is_one_error_and_leaves_the_checkpoints_before(tmp_path):
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.startswith("once: ") and done.stdout.count("\n") == 1
    assert "File too large" in done.stdout
    assert "h5" not in done.stderr and "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-000001-batch-000000000"]
    assert ResumableBackup(tmp_path).position() == (1, 0)
