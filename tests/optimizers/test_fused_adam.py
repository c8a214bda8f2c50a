"""The fused Adam against Keras's own and PyTorch's, under every option of Keras's.

`tests/mutants.py` lists mistakes that make a test of this file fail; tried by hand besides: the
step count one too low.
"""

import keras
import numpy as np
import pytest
from keras import ops

from keras_prokt.backends.tensorflow_kernels.optimizers import clip_by_global_norm
from keras_prokt.optimizers import FusedAdam

RNG = np.random.default_rng(0)
GRADIENTS = RNG.normal(size=(50, 6, 3)).astype("float32") * 3
START = RNG.normal(size=(6, 3)).astype("float32")
OPTIONS = {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-6}


def rate():
    return keras.optimizers.schedules.PolynomialDecay(0.1, 60, end_learning_rate=0.0)


def trained(optimizer_class, gradients=GRADIENTS, **options):
    variable = keras.Variable(START)
    optimizer = optimizer_class(rate(), **OPTIONS, **options)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
    return ops.convert_to_numpy(variable), [ops.convert_to_numpy(v) for v in optimizer.variables]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"amsgrad": True},
        {"global_clipnorm": 1.0},
        {"weight_decay": 0.1},
        {"use_ema": True, "ema_momentum": 0.5},
        {"gradient_accumulation_steps": 2},
    ],
    ids=str,
)
def test_weights_and_moments_are_those_of_keras(options):
    ours, our_state = trained(FusedAdam, **options)
    theirs, their_state = trained(keras.optimizers.Adam, **options)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert len(our_state) == len(their_state)
    for mine, other in zip(our_state, their_state, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_fifty_steps_equal_pytorch():
    torch = pytest.importorskip("torch", reason="compared with PyTorch's optimizer")
    weight = torch.nn.Parameter(torch.tensor(START))
    # PyTorch's epsilon is added after the correction of v, here before: too small to matter.
    optimizer = torch.optim.Adam([weight], lr=0.1, betas=(0.8, 0.95), eps=1e-12)
    for step, gradient in enumerate(GRADIENTS):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 60)
        weight.grad = torch.tensor(gradient)
        optimizer.step()
    ours, _ = trained(FusedAdam)
    np.testing.assert_allclose(ours, weight.detach().numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_rows_of_a_table_that_had_no_gradient_move_on_as_in_keras():
    def table(optimizer_class):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((2,), dtype="int32"), keras.layers.Embedding(6, 3, name="table")]
        )
        model.compile(optimizer_class(0.1, global_clipnorm=1.0), "mse")
        y = np.ones((4, 2, 3), "float32")
        for ids in ([[0, 0], [1, 2], [2, 5], [0, 1]], [[3, 3], [3, 3], [3, 3], [3, 3]]):
            model.train_on_batch(np.array(ids), y)
        return ops.convert_to_numpy(model.weights[0])

    np.testing.assert_allclose(table(FusedAdam), table(keras.optimizers.Adam), rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="slices are TensorFlow's")
@pytest.mark.parametrize("norm", [0.5, 100.0])
def test_the_norm_of_slices_with_repeated_rows_is_that_of_their_sum(norm):
    import tensorflow as tf

    rows = [4, 1, 4, 4]
    values = RNG.normal(size=(4, 3)).astype("float32")
    dense = np.zeros((6, 3), "float32")
    np.add.at(dense, rows, values)
    other = RNG.normal(size=(3,)).astype("float32")
    total = np.sqrt((dense**2).sum() + (other**2).sum())

    slices = tf.IndexedSlices(values, rows, tf.constant((6, 3)))
    table, bias = clip_by_global_norm([slices, other], norm)
    factor = min(1.0, norm / total)
    np.testing.assert_allclose(tf.convert_to_tensor(table), dense * factor, rtol=1e-5)
    np.testing.assert_allclose(bias, other * factor, rtol=1e-5)
    assert table.values.shape[0] == 2  # not made as large as the table

    infinite = clip_by_global_norm([slices, other * np.inf], norm)
    assert np.isnan(infinite[0].values).all() and np.isnan(infinite[1]).all()


def test_on_tensorflow_it_is_one_kernel():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("a kernel of TensorFlow")
    import tensorflow as tf

    variable = keras.Variable(START)
    optimizer = FusedAdam(0.1)
    optimizer.build([variable])
    step = tf.function(lambda: optimizer.apply([tf.constant(GRADIENTS[0])], [variable]))
    operations = [op.type for op in step.get_concrete_function().graph.get_operations()]
    assert operations.count("ResourceApplyAdam") == 1


def test_it_reloads():
    optimizer = FusedAdam(rate(), **OPTIONS, global_clipnorm=1.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is FusedAdam
    assert again.get_config() == optimizer.get_config()
