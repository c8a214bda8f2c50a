"""Grouped convolutions and shuffles against Keras's layer and loops.

Each of these wrong versions was tried and failed here: nothing shuffled, the inverse shuffle, the
groups' kernels in reverse, strides not looked at.
"""

import keras
import numpy as np
import pytest
from losses.gradients import compiled

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
