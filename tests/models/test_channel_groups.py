"""Grouped convolutions and shuffles against Keras's layer and loops.

Each of these wrong versions was tried and failed here: nothing shuffled, the inverse shuffle, the
groups' kernels in reverse, strides not looked at, a convolution that TensorFlow joins to its bias.
"""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from losses.gradients import compiled

from keras_prokt.models.batch_normalization import FusedBatchNormalization
from keras_prokt.models.channel_groups import ChannelShuffle, GroupedConvolution


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def grouped_by_hand(inputs, kernel, groups):
    size, filters = kernel.shape[2], kernel.shape[3] // groups
    outputs = [
        inputs[..., g * size : (g + 1) * size] @ kernel[0, 0, :, g * filters : (g + 1) * filters]
        for g in range(groups)
    ]
    return np.concatenate(outputs, -1)


@pytest.mark.parametrize(
    ("groups", "channels", "filters", "use_bias", "activation"),
    [(3, 6, 12, False, None), (2, 8, 4, True, "relu"), (4, 4, 4, True, None)],
)
def test_grouped_products_equal_the_definition(groups, channels, filters, use_bias, activation):
    layer = GroupedConvolution(
        filters,
        1,
        groups=groups,
        use_bias=use_bias,
        activation=activation,
        bias_initializer=keras.initializers.RandomNormal(),
    )
    inputs = images(2, 3, 5, channels)
    layer.build(inputs.shape)
    expected = grouped_by_hand(
        inputs.astype("float64"), keras.ops.convert_to_numpy(layer.kernel), groups
    )
    if use_bias:
        expected = expected + keras.ops.convert_to_numpy(layer.bias)
    if activation:
        expected = np.maximum(expected, 0)
    for outputs in (keras.ops.convert_to_numpy(layer(inputs)), compiled(layer, inputs)):
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 1, "groups": 2},
        {"kernel_size": 1, "groups": 1},
        {"kernel_size": 3, "groups": 2, "padding": "same"},
        {"kernel_size": 1, "groups": 2, "strides": 2},
    ],
)
def test_variables_and_results_are_those_of_keras(options):
    ours, theirs = (kind(8, **options) for kind in (GroupedConvolution, keras.layers.Conv2D))
    inputs = images(2, 4, 4, 6)
    ours.build(inputs.shape)
    theirs.build(inputs.shape)
    theirs.set_weights(ours.get_weights())
    assert ours.compute_output_shape(inputs.shape) == theirs.compute_output_shape(inputs.shape)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(ours(inputs)),
        keras.ops.convert_to_numpy(theirs(inputs)),
        rtol=1e-5,
        atol=1e-6,
    )


on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's kernels"
)


@pytest.mark.slow
@on_tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_gradients_equal_those_of_keras(jit_compile, dtype):
    import tensorflow as tf

    inputs = tf.cast(images(2, 4, 5, 6), dtype)
    slope = tf.cast(images(2, 4, 5, 9)[::-1], dtype)
    first = GroupedConvolution(9, 1, groups=3, dtype=dtype)
    second = keras.layers.Conv2D(9, 1, groups=3, dtype=dtype)
    first.build(inputs.shape)
    second.build(inputs.shape)
    second.set_weights(first.get_weights())
    results = []
    for layer in (first, second):

        @tf.function(jit_compile=jit_compile)
        def gradients(layer=layer):
            sources = [inputs, layer.kernel.value]
            with tf.GradientTape(persistent=True) as outer:
                outer.watch(sources)
                with tf.GradientTape() as inner:
                    inner.watch(sources)
                    loss = tf.reduce_sum(slope * tf.square(layer(inputs)))
                firsts = inner.gradient(loss, sources)
                norm = sum(tf.reduce_sum(tf.square(g)) for g in firsts)
            return firsts, outer.gradient(norm, sources)

        results.append(tf.nest.flatten(gradients()))
    tolerance = 2**-5 if dtype == "bfloat16" else 1e-4
    for ours, theirs in zip(*results, strict=True):
        ours, theirs = (tf.cast(value, "float64").numpy() for value in (ours, theirs))
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * scale)


@on_tensorflow
@pytest.mark.parametrize("shape", [(1, 4, 4, 6), (None, 4, 4, 6), (None, None, None, 6)])
def test_shapes_in_graphs(shape):
    import tensorflow as tf

    layer = GroupedConvolution(12, 1, groups=3, use_bias=False)
    layer.build((None, 4, 4, 6))
    run = tf.function(layer, input_signature=[tf.TensorSpec(shape)])
    for size in (1,) if shape[0] else (0, 1, 3):
        batch = images(size, 4, 4, 6)
        outputs = run(batch)
        assert outputs.shape == (size, 4, 4, 12)
        np.testing.assert_allclose(outputs, layer(batch), rtol=1e-5, atol=1e-6)


def small_network():
    """What a network predicts before and after a training step: its grouped convolutions meet a
    bias and ReLU, and batch normalisation."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 6))
    x = GroupedConvolution(12, 1, groups=3, activation="relu")(inputs)
    x = GroupedConvolution(12, 1, groups=3, use_bias=False)(x)
    x = keras.layers.ReLU()(FusedBatchNormalization()(x))
    model = keras.Model(inputs, keras.layers.Flatten()(x))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    batch = images(8, 4, 4, 6)
    # A single image first: what TensorFlow compiles for several sizes is another graph.
    results = [model.predict(batch[:1], verbose=0), model.predict(batch, verbose=0)]
    model.fit(batch, np.ones((8, 192)), verbose=0)
    return [*results, model.predict(batch, verbose=0)]


@pytest.mark.process
@on_tensorflow
def test_processors_without_special_kernels(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from models.test_channel_groups import small_network\n"
        "np.savez(sys.argv[1], *small_network())"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "plain.npz")],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"},
        cwd=Path(__file__).parents[1],
        check=True,
    )
    with np.load(tmp_path / "plain.npz") as kept:
        plain = [kept[name] for name in kept.files]
    for ours, expected in zip(small_network(), plain, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_free_image_sizes_and_files(tmp_path):
    inputs = keras.Input((None, None, 6))
    x = GroupedConvolution(12, 1, groups=3)(inputs)
    model = keras.Model(inputs, ChannelShuffle(4)(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for size in (3, 5):
        batch = images(2, size, size + 1, 6)
        outputs = keras.ops.convert_to_numpy(model(batch))
        assert outputs.shape == (2, size, size + 1, 12)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(loaded(batch)), outputs)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_shuffle_deals_out_the_channels(groups):
    inputs = images(2, 3, 4, 6)
    outputs = keras.ops.convert_to_numpy(ChannelShuffle(groups)(inputs))
    for group in range(groups):
        for channel in range(6 // groups):
            np.testing.assert_array_equal(
                outputs[..., channel * groups + group],
                inputs[..., group * (6 // groups) + channel],
            )
    back = ChannelShuffle(6 // groups)(outputs)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(back), inputs)


def test_groups_that_do_not_fit():
    with pytest.raises(ValueError, match="received 6 channels and groups=4"):
        ChannelShuffle(4)(images(1, 2, 2, 6))
