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


@pytest.fixture
def make(make_distiller):
    """Makes distillers that start with other weights and seeds each time."""

    def other(seed, **arguments):
        keras.utils.set_random_seed(seed)
        rates = keras.optimizers.schedules.CosineDecay(1e-2, EPOCHS * STEPS)
        return make_distiller(**{"optimizer": keras.optimizers.Adam(rates), **arguments})

    return other


@pytest.mark.parametrize("steps", [1, 4, 6, 12])
@pytest.mark.parametrize("metrics", [None, ["accuracy", "crossentropy"]], ids=["none", "metrics"])
def test_stopped_and_resumed_equals_uninterrupted(steps, metrics, make, data, tmp_path):
    if metrics:
        metrics = [
            keras.metrics.SparseCategoricalAccuracy(),
            keras.metrics.SparseTopKCategoricalAccuracy(2),
        ]
    whole = make(1, metrics=metrics)
    whole.save_weights(tmp_path / "initial.weights.h5")
    expected = fit(whole, data, [])

    stopped = make(2, metrics=metrics)
    stopped.load_weights(tmp_path / "initial.weights.h5")
    backup = ResumableBackup(tmp_path / "checkpoint")
    fit(stopped, data, [StopAfter(steps), backup])
    assert backup.position() == divmod(steps, STEPS) or steps % STEPS == 0

    resumed = make(3, metrics=metrics)
    history = fit(resumed, data, [ResumableBackup(tmp_path / "checkpoint")])
    assert_same(resumed, whole)
    for name, values in expected.items():
        assert history[name] == values[-len(history[name]) :]
    assert ResumableBackup(tmp_path / "checkpoint").position() == (EPOCHS, 0)


@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_saves_every_few_batches_and_keeps_some(steps_per_execution, make, data, tmp_path):
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


@pytest.mark.parametrize("damage", ["truncated state", "changed state", "no position", "half"])
def test_a_damaged_checkpoint_is_never_chosen(damage, make, data, tmp_path):
    fit(make(1), data, [ResumableBackup(tmp_path)], epochs=2)
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
    assert len(fit(make(2), data, [backup])["loss"]) == EPOCHS - 1
    assert backup.position() == (EPOCHS, 0)
    assert not (tmp_path / ".writing").exists()


def test_nothing_saved_yet(tmp_path):
    assert ResumableBackup(tmp_path / "new").position() == (0, 0)
    assert not (tmp_path / "new").exists()


def test_refusals(make, data, tmp_path):
    with pytest.raises(ValueError, match="Expected save_freq .* received 0"):
        ResumableBackup(tmp_path, save_freq=0)
    with pytest.raises(ValueError, match="received 'batch'"):
        ResumableBackup(tmp_path, save_freq="batch")
    with pytest.raises(ValueError, match="Expected keep of at least 1"):
        ResumableBackup(tmp_path, keep=0)
    with pytest.raises(ValueError, match="Expected a distiller, received Sequential"):
        ResumableBackup(tmp_path).set_model(keras.Sequential())
    fit(make(1), data, [ResumableBackup(tmp_path, keep=1)], epochs=1)
    (tmp_path / "epoch-000001-batch-000000000" / "position.json").unlink()
    with pytest.raises(ValueError, match="intact checkpoint in .* received 1 damaged"):
        ResumableBackup(tmp_path).position()
