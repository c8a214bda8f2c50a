"""Training on two virtual devices gives the weights and logs of training on one."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

COMMON = """
import numpy as np
import keras
from keras import layers
from keras_prokt import ProKTDistiller
from keras_prokt.optimizers import CoupledSGD, FusedAdam

x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
y = (x[:, 0] > 0).astype("int32") + (x[:, 1] > 0)
# All labels of a batch of 16 are in the half that the first device gets, and a batch has none.
some_y = np.where((np.arange(64) % 16 < 5) & (np.arange(64) < 48), y, -1)
some = {"ignore_class": -1, "label_weight": 0.5}

def network(units):
    return keras.Sequential([keras.Input((4,)),
        layers.Dense(units, activation="relu", kernel_regularizer="l2"), layers.Dense(3)])

def train(data, optimizer=None, **settings):
    keras.utils.set_random_seed(0)
    distiller = ProKTDistiller(network(16), network(6), **settings)
    distiller.compile(optimizer or CoupledSGD(0.05, momentum=0.9, l2=1e-3))
    history = distiller.fit(**data, epochs=2, verbose=0).history
    return distiller.get_weights(), {name: values[-1] for name, values in history.items()}

lengths = np.arange(64)[:, None] % 6
tokens = np.random.default_rng(1).integers(1, 9, (64, 5)) * (np.arange(5) < lengths)

def tagger(units):
    words = keras.Input((5,), dtype="int32")
    return keras.Model(words, layers.Dense(3)(layers.Embedding(9, units)(words)))

def train_taggers():
    keras.utils.set_random_seed(0)
    distiller = ProKTDistiller(tagger(8), tagger(4), student_loss_weight=0.5)
    distiller.compile(CoupledSGD(0.5))
    weight = (tokens != 0).astype("float32")
    history = distiller.fit(
        tokens, tokens % 3, batch_size=16, sample_weight=weight, shuffle=False, verbose=0
    ).history
    return distiller.get_weights(), {name: values[-1] for name, values in history.items()}

def compare(one, other):
    for a, b in zip(one[0], other[0], strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)
    assert one[1].keys() == other[1].keys()
    for name in one[1]:
        np.testing.assert_allclose(one[1][name], other[1][name], atol=1e-5, err_msg=name)
"""

MIRRORED = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
"""

COMPARE_MIRRORED = """
for settings in ({}, {"proximal_bound": 0.05, "dual_step_size": 0.5}, {"student_loss_weight": 0.5}):
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    data = {"x": data, "validation_data": data}
    one = train(data, **settings)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        two = train(data, **settings)
    compare(one, two)
some_data = {**data, "x": tf.data.Dataset.from_tensor_slices((x, some_y)).batch(16)}
one = train(some_data, **some)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    compare(one, train(some_data, **some))
one = train(data, FusedAdam(0.01))
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    compare(one, train(data, FusedAdam(0.01)))
"""

# In a process of its own: TensorFlow takes the gradients of another network for those of the first.
COMPARE_TAGGERS = """
one = train_taggers()
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    compare(one, train_taggers())
"""

COMPARE_DATA_PARALLEL = """
data = {"x": x, "y": y, "batch_size": 16, "shuffle": False}
some_data = {**data, "y": some_y}
one, other = train(data), train(some_data, **some)
keras.distribution.set_distribution(keras.distribution.DataParallel())
assert len(keras.distribution.list_devices()) == 2
compare(one, train(data))
compare(other, train(some_data, **some))
"""


def run(code, **environment):
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert result.returncode == 0, result.stderr[-2000:]


@pytest.mark.thorough
def test_mirrored_strategy():
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    run(MIRRORED + COMMON + COMPARE_MIRRORED, KERAS_BACKEND="tensorflow")


@pytest.mark.thorough
def test_mirrored_strategy_of_positions():
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    run(MIRRORED + COMMON + COMPARE_TAGGERS, KERAS_BACKEND="tensorflow")


def test_data_parallel_on_jax():
    pytest.importorskip("jax", reason="needs JAX")
    flags = "--xla_force_host_platform_device_count=2"
    run(COMMON + COMPARE_DATA_PARALLEL, KERAS_BACKEND="jax", XLA_FLAGS=flags)
