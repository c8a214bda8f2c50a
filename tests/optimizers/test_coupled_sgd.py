"""SGD with coupled weight decay against PyTorch's, and the step schedule against its definition.

`tests/mutants.py` lists mistakes that make a test of this file fail; tried by hand besides: decay
taken off the weights beside the momentum; the learning rate inside the momentum; a boundary one
step later.
"""

import keras
import numpy as np
import pytest
from keras import ops

from keras_prokt.app import OptimizerRecipe
from keras_prokt.optimizers import CoupledSGD

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(12, 5)).astype("float32")
TARGET = RNG.normal(size=(12,)).astype("float32")
START = RNG.normal(size=(5,)).astype("float32")
RATES = [0.05 if step < 20 else 0.005 for step in range(50)]


def gradient(weight):
    return 2 * MATRIX.T @ (MATRIX @ weight - TARGET) / len(TARGET)


def ours(steps=50, **options):
    variable = keras.Variable(START)
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([19], [0.05, 0.005])
    optimizer = CoupledSGD(rate, momentum=0.9, l2=5e-2, **options)
    optimizer.build([variable])
    for _ in range(steps):
        of_loss = gradient(ops.convert_to_numpy(variable))
        optimizer.apply([ops.convert_to_tensor(of_loss)], [variable])
    return ops.convert_to_numpy(variable)


def test_fifty_steps_equal_pytorch():
    torch = pytest.importorskip("torch", reason="compared with PyTorch's optimizer")
    weight = torch.nn.Parameter(torch.tensor(START))
    optimizer = torch.optim.SGD([weight], lr=RATES[0], momentum=0.9, weight_decay=5e-2)
    for rate in RATES:
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.tensor(gradient(weight.detach().numpy()))
        optimizer.step()
    np.testing.assert_allclose(ours(), weight.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_fifty_steps_equal_numpy():
    weight, momentum = START.astype("float64"), np.zeros(5)
    for rate in RATES:
        momentum = 0.9 * momentum + gradient(weight) + 5e-2 * weight
        weight = weight - rate * momentum
    np.testing.assert_allclose(ours(), weight, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_it_differs_from_keras_decay_and_reloads():
    variable = keras.Variable(START)
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([19], [0.05, 0.005])
    plain = keras.optimizers.SGD(rate, momentum=0.9, weight_decay=5e-2)
    plain.build([variable])
    for _ in range(50):
        of_loss = gradient(ops.convert_to_numpy(variable))
        plain.apply([ops.convert_to_tensor(of_loss)], [variable])
    assert np.abs(ops.convert_to_numpy(variable) - ours()).max() > 1e-2
    config = keras.optimizers.serialize(CoupledSGD(0.1, 0.8, 1e-4, global_clipnorm=1.0))
    again = keras.optimizers.deserialize(config)
    assert isinstance(again, CoupledSGD)
    assert (again.momentum, again.l2, again.global_clipnorm) == (0.8, 1e-4, 1.0)


def test_the_step_schedule_drops_at_the_recipes_epochs():
    recipe = OptimizerRecipe("coupled_sgd", 0.05, "steps", {"momentum": 0.9, "l2": 5e-4})
    steps_an_epoch = 782
    optimizer = recipe.build(240 * steps_an_epoch)
    variable = keras.Variable(START)
    optimizer.build([variable])
    for epoch, expected in ((0, 0.05), (149, 0.05), (150, 5e-3), (180, 5e-4), (210, 5e-5)):
        optimizer.iterations.assign(epoch * steps_an_epoch)
        assert float(optimizer.learning_rate) == pytest.approx(expected)
        optimizer.iterations.assign((epoch + 1) * steps_an_epoch - 1)
        last = expected if epoch != 149 else 0.05
        assert float(optimizer.learning_rate) == pytest.approx(last)


def test_refusals():
    with pytest.raises(ValueError, match=r"momentum in \[0, 1\), received 1.0"):
        CoupledSGD(0.1, momentum=1.0)
    with pytest.raises(ValueError, match="l2 of at least 0, received -1"):
        CoupledSGD(0.1, l2=-1)
