"""The networks of the CIFAR-100 tables: sizes, stages, numbers, precision, files, backends.

Each of these wrong versions was tried and failed here: padding as Keras's "same"; He by fan-in,
uniform by fan-out, fan-in regardless of groups, depthwise fan-out regardless of channels; ε 1e-3;
a head in half precision; VGG with a pooling before the last block, without biases; ResNet's stage
before its ReLU, its stride in the first 1x1; WRN's shortcut of what comes before the ReLU; ReLU on
MobileNetV2's bottleneck, its third stage one group early; ShuffleNetV1 without shuffle, with an
average without the zeros, concatenated the other way; ShuffleNetV2 with its halves swapped, with a
ReLU after the depthwise convolution.
"""

import functools
import os
import subprocess
import sys
from typing import NamedTuple

import keras
import numpy as np
import pytest
from marks import thorough
from models.shaped_weights import set_weights

from keras_prokt import models
from keras_prokt.distillers.features import (
    find_taps,
    observe,
    read_parts,
    recording_calls,
    tapped_layers,
)
from keras_prokt.export import export_saved_model
from keras_prokt.models.loading import load_student
from keras_prokt.models.resnet import resnet_x4
from keras_prokt.models.shufflenet_v1 import shufflenet_v1
from keras_prokt.models.vgg import vgg

pytestmark = pytest.mark.slow


class Row(NamedTuple):
    """What the recipe says of a network."""

    trainable: int
    total: int
    stages: list[tuple[int, int]]  # channels, side
    pooled: int


WIDE = [(32, 32), (64, 16), (128, 8)]
VGG = [(128, 16), (256, 8), (512, 4), (512, 4)]
X4 = [(64, 32), (128, 16), (256, 8)]
ZOO = {
    "vgg8": Row(3_965_028, 3_967_972, VGG, 512),
    "vgg13": Row(9_462_180, 9_468_068, VGG, 512),
    "resnet8x4": Row(1_233_540, 1_236_292, X4, 256),
    "resnet32x4": Row(7_433_860, 7_443_780, X4, 256),
    "resnet50": Row(23_705_252, 23_758_372, [(256, 32), (512, 16), (1024, 8), (2048, 4)], 2048),
    "wrn-16-2": Row(703_284, 705_108, WIDE, 128),
    "wrn-40-2": Row(2_255_156, 2_260_564, WIDE, 128),
    "mobilenet-v2": Row(812_836, 831_204, [(12, 16), (16, 8), (48, 4), (160, 2)], 1280),
    "shufflenet-v1": Row(949_258, 972_994, [(240, 16), (480, 8), (960, 4)], 960),
    "shufflenet-v2": Row(1_355_528, 1_371_708, [(116, 16), (232, 8), (464, 4)], 1024),
}
# Without those that repeat the blocks of another one more often.
EACH_KIND = [name for name in ZOO if name not in ("vgg13", "resnet32x4", "wrn-40-2")]
SERVED = ("wrn-16-2", "mobilenet-v2", "shufflenet-v2")
LINEAR_STAGES = ("mobilenet-v2",)
on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="once, from TensorFlow"
)


@functools.cache
def network(name):
    """A network in which every weight counts, which tests only read."""
    model = models.get(name)(100, (32, 32, 3))
    set_weights(model)
    return model


def images(count=2):
    return np.random.default_rng(count).normal(size=(count, 32, 32, 3)).astype("float32")


def logits_of(model, batch):
    return keras.ops.convert_to_numpy(model(batch, training=False))


def parts_of(model, batch):
    parts = ("stages", "pre_activations", "pooled")
    taps = find_taps(observe(model, model.input), parts, {}, "teacher", model)
    with recording_calls(tapped_layers(model, taps)) as calls:
        model(batch, training=False)
    read = read_parts(calls, taps, model)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, read)


@pytest.mark.parametrize("name", ZOO)
def test_sizes_are_those_of_the_recipe(name):
    model = network(name)
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert (trainable, model.count_params()) == ZOO[name][:2]


@pytest.mark.parametrize("name", ZOO)
def test_parts_are_found_and_have_their_shapes(name):
    parts = parts_of(network(name), images())
    shapes = [(2, side, side, channels) for channels, side in ZOO[name].stages]
    assert [stage.shape for stage in parts["stages"]] == shapes
    assert parts["pooled"].shape == (2, ZOO[name].pooled)
    for stage, before in zip(parts["stages"], parts["pre_activations"], strict=True):
        assert before.min() < 0  # of a ReLU, or there is none
        after = before if name in LINEAR_STAGES else np.maximum(before, 0)
        np.testing.assert_array_equal(stage, after)


@pytest.mark.parametrize("name", ZOO)
def test_numbers_are_those_of_pytorch(name):
    pytest.importorskip("torch", reason="the independent implementation")
    from models import pytorch_networks

    model = network(name)
    logits, stages = pytorch_networks.run(name, images())
    parts = parts_of(model, images())
    for ours, theirs in zip(
        [logits_of(model, images()), *parts["stages"]], [logits, *stages], strict=True
    ):
        assert np.std(theirs) > 0.1
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("name", EACH_KIND)
def test_bfloat16_comes_near_float32_and_gives_float32_logits(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = models.get(name)(100, (32, 32, 3))
    finally:
        keras.config.set_dtype_policy("float32")
    half.set_weights(network(name).get_weights())
    logits, exact = half(images(), training=False), logits_of(network(name), images())
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    error = np.abs(keras.ops.convert_to_numpy(logits) - exact).max() / exact.std()
    assert error < 0.1
    assert half.get_layer("stage_1").compute_dtype == "bfloat16"


@pytest.mark.parametrize("name", EACH_KIND)
def test_files_give_the_same_numbers(name, tmp_path):
    model = network(name)
    model.save(tmp_path / "student.keras")
    loaded = load_student(tmp_path / "student.keras")
    np.testing.assert_allclose(
        logits_of(loaded, images()), logits_of(model, images()), rtol=1e-5, atol=1e-5
    )
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]


@on_tensorflow
@pytest.mark.parametrize(
    "name", [name if name in SERVED else thorough(name)[0] for name in EACH_KIND]
)
def test_served_models_give_the_same_numbers(name, tmp_path):
    import tensorflow as tf

    model = network(name)
    served = tf.saved_model.load(export_saved_model(model, tmp_path)).signatures
    for count in (1, 3):
        result = served["serving_default"](image=images(count))["probabilities"]
        expected = keras.ops.softmax(logits_of(model, images(count)))
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


# Loads files on another backend; compiled, since JAX takes long operation by operation.
OTHER_BACKEND = """
import sys
import numpy as np
import keras_prokt
images, *paths = sys.argv[1:]
images = np.load(images)
for path in paths:
    student = keras_prokt.load_student(path)
    np.save(path + ".npy", student.predict(images, verbose=0))
"""


@pytest.mark.process
@on_tensorflow
@pytest.mark.parametrize("backend", [*thorough("torch"), "jax"])
def test_files_give_the_same_numbers_on_other_backends(backend, tmp_path):
    pytest.importorskip(backend, reason="the other backend")
    names = ("mobilenet-v2", "shufflenet-v1")
    paths = [str(tmp_path / f"{name}.keras") for name in names]
    for name, path in zip(names, paths, strict=True):
        network(name).save(path)
    np.save(tmp_path / "images.npy", images())
    environment = {**os.environ, "KERAS_BACKEND": backend}
    # Compiling takes most of the time.
    environment["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", OTHER_BACKEND, str(tmp_path / "images.npy"), *paths]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for name, path in zip(names, paths, strict=True):
        expected = logits_of(network(name), images())
        np.testing.assert_allclose(np.load(f"{path}.npy"), expected, rtol=1e-4, atol=1e-4)


def kernels(model):
    """The kernels by what they start from: convolutions, depthwise ones, the linear layer."""
    found = {"convolutions": [], "depthwise": [], "linear": []}
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            found["depthwise"].append(layer.kernel)
        elif isinstance(layer, keras.layers.Conv2D):
            found["convolutions"].append(layer.kernel)
        elif isinstance(layer, keras.layers.Dense):
            found["linear"].append(layer.kernel)
    return {kind: [keras.ops.convert_to_numpy(k) for k in some] for kind, some in found.items()}


@pytest.mark.parametrize("name", ["vgg8", "wrn-16-2", "mobilenet-v2", "resnet8x4", "shufflenet-v1"])
def test_weights_start_as_in_the_recipe(name):
    # Variances by hand: He's is 2 / (k² c_out) for groups as well; PyTorch's default is uniform up
    # to 1 / √(k² c_in / groups), of variance a third of that squared.
    is_he = not name.startswith("shufflenet")
    made = kernels(models.get(name)(100, (32, 32, 3)))
    expected = {
        "convolutions": lambda k: (
            2 / (k.shape[0] ** 2 * k.shape[3]) if is_he else 1 / (3 * k.shape[0] ** 2 * k.shape[2])
        ),
        "depthwise": lambda k: 2 / (9 * k.shape[2]) if is_he else 1 / 27,
        "linear": lambda k: 1 / (3 * k.shape[0]) if name in PYTORCH_HEADS else 1e-4,
    }
    assert made["linear"] and made["convolutions"]
    for kind, some in made.items():
        values = [k.ravel() / np.sqrt(expected[kind](k)) for k in some]
        if values:
            together = np.concatenate(values)
            assert abs(together.mean()) < 0.03
            assert abs(together.var() - 1) < 0.03
            if name.startswith("shufflenet"):
                assert np.abs(together).max() <= np.sqrt(3) + 1e-5


PYTORCH_HEADS = ("resnet8x4", "shufflenet-v1")


def test_wide_images_are_pooled_once_more_in_vgg():
    shapes = [
        vgg(1, 10, (side, side, 3), width=0.1).get_layer("stage_4").output.shape[1]
        for side in (32, 64)
    ]
    assert shapes == [4, 4]


def test_what_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"depth of 6n \+ 2.*received 9"):
        resnet_x4(9)
    with pytest.raises(ValueError, match="width of at least 0.15.*received 0.1"):
        shufflenet_v1(width=0.1)
    with pytest.raises(ValueError, match="at least 1 of 64 channels, received 0.001"):
        vgg(1, width=0.001)
