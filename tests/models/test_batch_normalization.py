"""The fused layer against Keras's: outputs, statistics, gradients; when which kernel runs.

Each of these wrong versions was tried and failed here: the unbiased variance kept, the momentum
swapped, ε left at the kernel's default; mask, trainable, axis, renorm, float64 or the number of
channels not looked at; the output left in float32 under half precision; a bias of the inputs that
is left out in inference or of the moving mean, taken from the moving mean in inference, without a
gradient in training.
"""

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt.models.batch_normalization import FusedBatchNormalization

TENSORFLOW = keras.backend.backend() == "tensorflow"
on_tensorflow = pytest.mark.skipif(not TENSORFLOW, reason="the fused kernel is TensorFlow's")


def images(*shape, seed=0):
    random = np.random.default_rng(seed)
    # Channels of different scale and offset.
    scale = np.linspace(0.5, 3.0, shape[-1])
    return (random.normal(size=shape) * scale + 0.25 * np.arange(shape[-1])).astype("float32")


def both(shape, **options):
    """Our layer and Keras's, built, with the same weights, none of them at its start."""
    return with_same_weights(
        [kind(**options) for kind in (FusedBatchNormalization, layers.BatchNormalization)], shape
    )


def with_same_weights(pair, shape):
    random = np.random.default_rng(1)
    for layer in pair:
        layer.build(shape)
    weights = [random.uniform(0.5, 1.5, v.shape).astype("float32") for v in pair[0].weights]
    for layer in pair:
        layer.set_weights(weights)
    return pair


def gradients_of(pair, mode, jit_compile):
    """With respect to the inputs and the weights, for each layer of a pair."""
    import tensorflow as tf

    x = tf.constant(images(4, 5, 6, 4))
    # The sum of outputs alone has no gradient with respect to the inputs.
    slope = tf.constant(np.random.default_rng(3).normal(size=x.shape).astype("float32"))
    gradients = []
    for layer in pair:
        weights = [v.value for v in layer.trainable_variables]
        if mode == "frozen":
            layer.trainable = False

        @tf.function(jit_compile=jit_compile)
        def step(x, layer=layer, weights=weights):
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = layer(x, training=mode != "inference")
                loss = tf.reduce_sum(slope * tf.square(outputs))
            return tape.gradient(loss, [x, *weights])

        gradients.append(step(x))
    return gradients


def to_numpy(value):
    return keras.ops.convert_to_numpy(keras.ops.cast(value, "float32"))


def assert_same_training(pair, batches, tolerance=1e-5, call=lambda layer: layer):
    """Both train on the batches and then infer, with the same results and statistics."""
    outputs = []
    for layer in pair:
        run = call(lambda x, layer=layer: layer(x, training=True))
        outputs.append([to_numpy(run(x)) for x in batches])
        outputs[-1].append(to_numpy(layer(batches[0], training=False)))
    for ours, theirs in zip(*outputs, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    for ours, theirs in zip(pair[0].weights, pair[1].weights, strict=True):
        assert ours.name == theirs.name
        np.testing.assert_allclose(to_numpy(ours), to_numpy(theirs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 5, 6, 4), (2, 1, 1, 8), (16, 8, 8, 12)])
@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 0.9, "epsilon": 1e-5},
        {},
        {"scale": False},
        {"center": False, "momentum": 0.5},
        {"scale": False, "center": False},
    ],
)
def test_training_equals_keras(shape, options):
    pair = both(shape, **options)
    assert_same_training(pair, [images(*shape, seed=seed) for seed in range(3)])


def test_statistics_by_hand():
    layer = FusedBatchNormalization(momentum=0.75, epsilon=1e-5)
    x = images(2, 3, 4, 8).astype("float64")
    outputs = to_numpy(layer(x.astype("float32"), training=True))
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))  # divided by 24, not by 23
    expected = (x - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(to_numpy(layer.moving_mean), 0.25 * mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_numpy(layer.moving_variance), 0.75 + 0.25 * variance, rtol=1e-5)


@on_tensorflow
def test_single_values_have_no_variance():
    # Not against Keras, whose layer is 4e-5 off here: it subtracts mean / √ε from x / √ε.
    layer, _ = both((1, 1, 1, 4), momentum=0.9, epsilon=1e-5)
    before = to_numpy(layer.moving_variance)
    outputs = layer(images(1, 1, 1, 4), training=True)
    np.testing.assert_allclose(to_numpy(outputs)[0, 0, 0], to_numpy(layer.beta), atol=1e-6)
    np.testing.assert_allclose(to_numpy(layer.moving_variance), 0.9 * before, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((6, 8), {}),
        ((4, 3, 8), {}),
        ((2, 3, 2, 3, 4), {}),
        ((4, 3, 5, 6), {}),
        ((4, 3, 5, 8), {"axis": 1}),
        ((4, 3, 5, 8), {"renorm": True}),
    ],
)
def test_what_is_not_fused_equals_keras(shape, options):
    pair = both(shape, momentum=0.9, **options)
    assert_same_training(pair, [images(*shape, seed=seed) for seed in range(2)])


def test_masks_are_honoured():
    pair = both((4, 3, 3, 4))
    mask = np.random.default_rng(2).uniform(size=(4, 3, 3)) < 0.6
    ours, theirs = (to_numpy(layer(images(4, 3, 3, 4), training=True, mask=mask)) for layer in pair)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_frozen_layers_keep_their_statistics():
    pair = both((4, 5, 5, 4))
    for layer in pair:
        layer.trainable = False
    before = [to_numpy(v) for v in pair[0].weights]
    assert_same_training(pair, [images(4, 5, 5, 4)])
    for variable, value in zip(pair[0].weights, before, strict=True):
        np.testing.assert_array_equal(to_numpy(variable), value)


@pytest.mark.parametrize(
    "policy",
    [
        "mixed_float16",
        "mixed_bfloat16",
        "float16",
        pytest.param(
            "float64",
            marks=pytest.mark.skipif(
                keras.backend.backend() == "jax", reason="JAX has no float64 unless told"
            ),
        ),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_other_precisions_equal_keras(policy, training):
    pair = both((8, 4, 4, 4), dtype=policy)
    ours, theirs = (layer(images(8, 4, 4, 4), training=training) for layer in pair)
    assert ours.dtype == theirs.dtype
    # Half precision rounds the result: it may fall to either neighbour.
    tolerance = {"mixed_bfloat16": 2**-7, "float64": 1e-5}.get(policy, 2**-9)
    np.testing.assert_allclose(to_numpy(ours), to_numpy(theirs), rtol=tolerance, atol=1e-5)
    for ours, theirs in zip(pair[0].weights, pair[1].weights, strict=True):
        assert ours.dtype == theirs.dtype
        exact = 1e-3 if policy == "float16" else 1e-5
        np.testing.assert_allclose(to_numpy(ours), to_numpy(theirs), rtol=exact, atol=exact)


class AfterBias(layers.Layer):
    """Keras's layer on the inputs plus a bias, with the weights in the order of ours."""

    def __init__(self, **options):
        super().__init__(dtype=options.get("dtype"))
        self.normalization = layers.BatchNormalization(**options)

    def build(self, shape):
        channels = (shape[self.normalization.axis],)
        self.bias = self.add_weight(channels, "zeros", name="bias")
        self.normalization.build(shape)

    def call(self, inputs, training=None):
        shape = [1] * len(inputs.shape)
        shape[self.normalization.axis] = -1
        bias = keras.ops.reshape(self.bias, shape)
        return self.normalization(inputs + bias, training=training)


def both_with_bias(shape, **options):
    pair = FusedBatchNormalization(input_bias=True, **options), AfterBias(**options)
    return with_same_weights(pair, shape)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((4, 5, 6, 4), {"epsilon": 1e-5}),
        ((4, 5, 6, 4), {"scale": False, "center": False}),
        ((4, 5, 6, 6), {}),
        ((6, 8), {}),
        ((4, 3, 5, 8), {"axis": 1}),
    ],
)
def test_a_bias_of_the_inputs(shape, options):
    pair = both_with_bias(shape, momentum=0.9, **options)
    assert [v.name for v in pair[0].weights] == [v.name for v in pair[1].weights]
    assert_same_training(pair, [images(*shape, seed=seed) for seed in range(3)])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("channels", [4, 6])
def test_a_bias_of_the_inputs_is_not_rounded_to_half_precision(policy, channels):
    layer = FusedBatchNormalization(input_bias=True, momentum=0.0, dtype=policy)
    x = images(8, 4, 4, channels)
    layer.build(x.shape)
    bias = np.resize([1.003, 100.3, -33.37, 7.0011], channels)
    layer.bias.assign(bias)
    layer(keras.ops.cast(x, layer.compute_dtype), training=True)
    expected = x.mean((0, 1, 2)) + bias
    np.testing.assert_allclose(to_numpy(layer.moving_mean), expected, rtol=0, atol=2e-3)
    outputs = layer(keras.ops.cast(x, layer.compute_dtype), training=False)
    assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype


@pytest.mark.parametrize("training", [True, False])
def test_a_bias_of_the_inputs_under_a_mask(training):
    ours, theirs = both_with_bias((4, 3, 3, 4))
    x, mask = images(4, 3, 3, 4), np.random.default_rng(2).uniform(size=(4, 3, 3)) < 0.6
    expected = theirs.normalization(x + to_numpy(theirs.bias), training=training, mask=mask)
    outputs = ours(x, training=training, mask=mask)
    np.testing.assert_allclose(to_numpy(outputs), to_numpy(expected), rtol=1e-5, atol=1e-5)
    moving = (to_numpy(layer.moving_mean) for layer in (ours, theirs.normalization))
    np.testing.assert_allclose(*moving, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@on_tensorflow
@pytest.mark.parametrize("mode", ["training", "inference", "frozen"])
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_gradients_with_a_bias_of_the_inputs(mode, jit_compile, options):
    pair = both_with_bias((4, 5, 6, 4), epsilon=1e-5, **options)
    ours, theirs = gradients_of(pair, mode, jit_compile)
    assert len(ours) == len(theirs) == (4 if not options else 3)
    if mode == "training":
        np.testing.assert_array_equal(ours[1], np.zeros(4))
    scale = np.abs(theirs[0]).max()
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=1e-4, atol=1e-4 * scale)


def test_files_and_configuration(tmp_path):
    inputs = keras.Input((4, 4, 4))
    layer = FusedBatchNormalization(momentum=0.9, epsilon=1e-5, input_bias=True)
    model = keras.Model(inputs, layer(inputs))
    layer.bias.assign([0.5, -0.25, 1.0, 2.0])
    model(images(8, 4, 4, 4), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded.layers[-1]) is FusedBatchNormalization
    assert loaded.layers[-1].get_config() == model.layers[-1].get_config()
    batch = images(3, 4, 4, 4)
    np.testing.assert_array_equal(to_numpy(loaded(batch)), to_numpy(model(batch)))


def kernels_in(layer, training, shape=(None, 4, 4, 4), **options):
    import tensorflow as tf

    function = tf.function(lambda x: layer(x, training=training, **options))
    graph = function.get_concrete_function(tf.TensorSpec(shape, layer.compute_dtype)).graph
    return "FusedBatchNormV3" in {operation.type for operation in graph.get_operations()}


@on_tensorflow
@pytest.mark.parametrize("training", [True, False])
def test_a_bias_of_the_inputs_reads_no_feature_map(training):
    import tensorflow as tf

    layer, _ = both_with_bias((2, 4, 4, 4))
    function = tf.function(lambda x: layer(x, training=training))
    graph = function.get_concrete_function(tf.TensorSpec((8, 4, 4, 4))).graph
    maps = [o.type for o in graph.get_operations() for x in o.outputs if x.shape.rank == 4]
    assert set(maps) <= {"Placeholder", "FusedBatchNormV3", "Identity"}


@on_tensorflow
@pytest.mark.parametrize("training", [True, False])
def test_when_the_fused_kernel_runs(training):
    assert kernels_in(both((2, 4, 4, 4))[0], training)
    assert kernels_in(both((2, 4, 4, 4), dtype="mixed_float16")[0], training)
    assert not kernels_in(both((2, 4, 4, 6))[0], training, shape=(None, 4, 4, 6))
    frozen, _ = both((2, 4, 4, 4))
    frozen.trainable = False
    assert kernels_in(frozen, training)
    for options in ({"dtype": "float64"}, {"axis": 1}, {"renorm": True}, {"synchronized": True}):
        assert not kernels_in(both((2, 4, 4, 4), **options)[0], training)


@on_tensorflow
def test_inference_of_no_images():
    layer, theirs = both((2, 4, 4, 4))
    assert layer(images(0, 4, 4, 4)).shape == theirs(images(0, 4, 4, 4)).shape


@pytest.mark.slow
@on_tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_steps_with_free_batches_equal_keras(jit_compile):
    import tensorflow as tf

    pair = both((2, 4, 4, 4), momentum=0.9)
    signature = [tf.TensorSpec((None, 4, 4, 4), "float32")]

    def call(function):
        return tf.function(function, input_signature=signature, jit_compile=jit_compile)

    assert_same_training(pair, [images(n, 4, 4, 4, seed=n) for n in (5, 1, 8)], call=call)


@pytest.mark.slow
@on_tensorflow
@pytest.mark.parametrize("mode", ["training", "inference"])
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_gradients_equal_keras(mode, jit_compile, options):
    gradients = gradients_of(both((4, 5, 6, 4), epsilon=1e-5, **options), mode, jit_compile)
    assert len(gradients[0]) == len(gradients[1]) == (3 if not options else 2)
    for ours, theirs in zip(*gradients, strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.slow
@on_tensorflow
def test_a_trained_model_is_that_of_keras():
    results = []
    for kind in (FusedBatchNormalization, layers.BatchNormalization):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((8, 8, 3))
        x = layers.Conv2D(8, 3, use_bias=False)(inputs)
        x = layers.ReLU()(kind(momentum=0.9, epsilon=1e-5)(x))
        model = keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
        model.compile(
            keras.optimizers.SGD(0.05, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        # The last batch is smaller.
        model.fit(images(42, 8, 8, 3), np.arange(42) % 4, batch_size=16, epochs=3, verbose=0)
        results.append(model.get_weights())
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
