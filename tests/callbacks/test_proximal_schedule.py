import keras
import numpy as np
import pytest

from keras_prokt import ProKTDistiller, StudentOnly
from keras_prokt.callbacks import ProximalSchedule


class Recorder(keras.callbacks.Callback):
    """λ as the steps used it."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        value = keras.ops.convert_to_numpy(self.model.proximal_weight.value)
        self.values.append(round(float(value), 4))


compiled = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="runs every step eagerly, one an execution"
)


@pytest.fixture
def traces(monkeypatch):
    """Counts how often a step is traced."""
    counted = []
    update_models = ProKTDistiller.update_models

    def update(self, batch):
        counted.append(1)
        return update_models(self, batch)

    monkeypatch.setattr(ProKTDistiller, "update_models", update)
    return counted


@pytest.fixture(scope="module")
def shared(make_distiller):
    """A distiller that is compiled once."""
    return make_distiller()


@pytest.fixture
def distiller(shared):
    """The shared distiller, set back."""
    shared.set_proximal_weight(0.3)
    shared.optimizer.iterations.assign(0)
    return shared


def fit(distiller, data, schedule, **arguments):
    """Trains 3 epochs of 4 steps."""
    recorder = Recorder()
    arguments = {"epochs": 3, "batch_size": 10, "shuffle": False, "verbose": 0, **arguments}
    distiller.fit(*data, callbacks=[schedule, recorder], **arguments)
    return recorder.values


@pytest.mark.slow
@compiled
def test_per_epoch_from_a_function_without_retracing(distiller, data, traces):
    fit(distiller, data, ProximalSchedule(lambda epoch: 0.3), epochs=1)
    before = len(traces)
    values = fit(distiller, data, ProximalSchedule(lambda epoch: 0.2 * (epoch + 1)))
    assert values == [0.2] * 4 + [0.4] * 4 + [0.6] * 4
    assert len(traces) == before


@pytest.mark.slow
@compiled
def test_leaving_zero_is_the_one_retrace(make_distiller, data, traces):
    distiller = make_distiller(proximal_weight=0.0)
    fit(distiller, data, ProximalSchedule(lambda step: 0.0, per="step"), epochs=1)
    once = len(traces)
    fit(distiller, data, ProximalSchedule(lambda step: 0.01 * step, per="step"))
    assert len(traces) == 2 * once


def test_per_step_continues_the_count(distiller, data):
    schedule = ProximalSchedule(lambda step: 0.01 * step, per="step")
    values = fit(distiller, data, schedule, epochs=2)
    assert values == [round(0.01 * step, 4) for step in range(8)]
    values = fit(distiller, data, schedule, initial_epoch=2)
    assert values == [0.08, 0.09, 0.1, 0.11]


@pytest.mark.slow
@compiled
def test_per_step_with_several_steps_an_execution(make_distiller, data):
    distiller = make_distiller(steps_per_execution=2)
    values = fit(distiller, data, ProximalSchedule(lambda step: 0.01 * step, per="step"), epochs=2)
    assert values == [0.0, 0.02, 0.04, 0.06]


def test_per_step_with_batches_passed_over(distiller, data):
    schedule = ProximalSchedule(lambda step: 0.01 * step, per="step")
    fit(distiller, data, schedule, epochs=1)
    distiller.optimizer.iterations.assign(2)
    distiller.skip_batches = 2
    values = fit(distiller, data, schedule, epochs=1)
    assert values[2:] == [0.02, 0.03]


def test_a_dict_holds_its_values_from_their_starts_on(distiller, data):
    values = fit(distiller, data, ProximalSchedule({1: 0.1, 2: 0.5}))
    assert values == [0.3] * 4 + [0.1] * 4 + [0.5] * 4


def test_a_dict_of_steps(distiller, data):
    values = fit(distiller, data, ProximalSchedule({0: 0.0, 3: 0.2}, per="step"), epochs=1)
    assert values == [0.0, 0.0, 0.0, 0.2]


def test_a_learning_rate_schedule(distiller, data):
    schedule = keras.optimizers.schedules.PolynomialDecay(0.5, 2, 0.1)
    values = fit(distiller, data, ProximalSchedule(schedule))
    np.testing.assert_allclose(values, [0.5] * 4 + [0.3] * 4 + [0.1] * 4)


@pytest.mark.slow
def test_refusals(distiller, make_distiller, data):
    with pytest.raises(ValueError, match=r"Expected λ in \[0, 1\) .* received 1.5 at epoch 3"):
        ProximalSchedule({0: 0.1, 3: 1.5})
    with pytest.raises(ValueError, match="dict whose keys are steps"):
        ProximalSchedule({-1: 0.1}, per="step")
    with pytest.raises(ValueError, match="Expected per in"):
        ProximalSchedule({0: 0.1}, per="batch")
    with pytest.raises(ValueError, match="Expected a function, .* received 0.3"):
        ProximalSchedule(0.3)
    with pytest.raises(ValueError, match="received 1.0 at epoch 2"):
        fit(distiller, data, ProximalSchedule(lambda epoch: epoch / 2))
    assert int(keras.ops.convert_to_numpy(distiller.optimizer.iterations.value)) == 0
    with pytest.raises(ValueError, match="received 1.0 at step 2"):
        fit(distiller, data, ProximalSchedule(lambda step: step / 2, per="step"))
    with pytest.raises(ValueError, match="received the bounded form"):
        fit(make_distiller(proximal_bound=0.1), data, ProximalSchedule({0: 0.1}))
    alone = StudentOnly(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    alone.compile(optimizer="adam")
    with pytest.raises(ValueError, match="received StudentOnly"):
        fit(alone, data, ProximalSchedule({0: 0.1}))
