import shutil

import keras
import numpy as np
import pytest

from keras_prokt.callbacks import ResumableBackup

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


@pytest.mark.parametrize("steps", [1, 4, 6], ids=lambda steps: f"after {steps} steps")
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
    distiller = make(1)
    fit(distiller, data, [ResumableBackup(folder)], epochs=2)
    return distiller, folder


@pytest.mark.parametrize("damage", ["truncated state", "changed state", "no position", "half"])
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
    else:
        (newest / "position.json").write_text('{"epoch": 2, "ba')
    (tmp_path / ".writing").mkdir()
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
    with pytest.raises(ValueError, match="Expected keep of at least 1"):
        ResumableBackup(tmp_path, keep=0)
    with pytest.raises(ValueError, match="Expected a distiller, received Sequential"):
        ResumableBackup(tmp_path).set_model(keras.Sequential())
    shutil.copytree(saved[1], tmp_path, dirs_exist_ok=True)
    for position in tmp_path.glob("*/position.json"):
        position.unlink()
    with pytest.raises(ValueError, match="intact checkpoint in .* received 2 damaged"):
        ResumableBackup(tmp_path).position()
