"""Networks of keras.applications on normalised images: their own preprocessing and weights."""

import keras
import numpy as np
import pytest
from marks import thorough

from keras_prokt.models.image_networks import image_network
from keras_prokt.settings import SettingError

pytestmark = pytest.mark.slow

SCALE = {"mean": [0.4, 0.5, 0.6], "standard_deviation": [0.2, 0.25, 0.3]}
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
NORMALIZED = ((PIXELS / 255 - SCALE["mean"]) / SCALE["standard_deviation"]).astype("float32")


@pytest.mark.parametrize(
    ("name", "preprocess_input"),
    [
        ("MobileNetV2", keras.applications.mobilenet_v2.preprocess_input),
        *thorough(
            ("VGG16", keras.applications.vgg16.preprocess_input),
            ("MobileNetV3Small", keras.applications.mobilenet_v3.preprocess_input),
        ),
    ],
)
def test_published_weights_see_what_they_were_trained_on(name, preprocess_input, tmp_path):
    plain = getattr(keras.applications, name)(
        weights=None, input_shape=(32, 32, 3), classes=5, classifier_activation=None
    )
    plain.save_weights(tmp_path / "all.weights.h5")
    network = image_network(f"keras:{name}", **SCALE, weights=tmp_path / "all.weights.h5")
    built = network(5, (32, 32, 3))
    expected = plain(preprocess_input(PIXELS.copy()))
    np.testing.assert_allclose(built(NORMALIZED), expected, atol=2e-5, rtol=1e-3)
    again = keras.Model.from_config(built.get_config())  # as a file has it
    again.set_weights(built.get_weights())
    np.testing.assert_array_equal(again(NORMALIZED), built(NORMALIZED))


def test_files_without_the_top_or_with_other_classes_are_used(tmp_path):
    build = keras.applications.MobileNetV2
    for name, settings in (
        ("notop.weights.h5", {"include_top": False}),
        ("imagenet.weights.h5", {"classes": 1000}),
    ):
        source = build(weights=None, input_shape=(32, 32, 3), **settings)
        source.save_weights(tmp_path / name)
        built = image_network("keras:MobileNetV2", **SCALE, weights=tmp_path / name)(4, (32, 32, 3))
        for layer in ("Conv1", "block_5_expand", "Conv_1", "Conv_1_bn"):
            for one, other in zip(
                built.get_layer(layer).get_weights(),
                source.get_layer(layer).get_weights(),
                strict=True,
            ):
                np.testing.assert_array_equal(one, other)
        assert built.output_shape == (None, 4)


@pytest.mark.parametrize(
    ("variance", "deviation"),
    [((0.229, 0.224, 0.225), (0.229, 0.224, 0.225)), ((0.04, 0.09, 0.16), (0.2, 0.3, 0.4))],
    ids=["published", "own"],
)
def test_the_pixels_of_efficientnet_are_normalised_at_once_and_after_loading(
    variance, deviation, tmp_path
):
    mean = (0.485, 0.456, 0.406)
    source = keras.applications.EfficientNetB0(
        weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    [layer] = [one for one in source.layers if isinstance(one, keras.layers.Normalization)]
    layer.set_weights([np.array(mean), np.array(variance), np.array(0)])
    source.save_weights(path := tmp_path / "notop.weights.h5")
    network = image_network("keras:EfficientNetB0", **SCALE, weights=path)(5, (32, 32, 3))
    [layer] = [one for one in network.layers if isinstance(one, keras.layers.Normalization)]
    below = keras.Model(network.input, layer.output)
    below.save(tmp_path / "below.keras")
    for model in (below, keras.models.load_model(tmp_path / "below.keras")):
        np.testing.assert_allclose(
            model(NORMALIZED), (PIXELS / 255 - mean) / deviation, atol=1e-4, rtol=1e-4
        )


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "small.weights.h5"
    small = image_network("cnn-small", **SCALE)(3, (12, 12, 3))
    small.save_weights(path)
    again = image_network("cnn-small", **SCALE, weights=path)(3, (12, 12, 3))
    np.testing.assert_array_equal(again.get_weights()[0], small.get_weights()[0])
    with pytest.raises(SettingError, match="weights of cnn-small for 4 classes, received"):
        image_network("cnn-small", **SCALE, weights=path)(4, (12, 12, 3))
    with pytest.raises(SettingError, match="weights of keras:MobileNetV2 for 3 or 1000 classes"):
        image_network("keras:MobileNetV2", **SCALE, weights=path)(3, (32, 32, 3))


def test_a_preset_of_keras_hub_has_its_own_scale(tmp_path):
    keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    backbone.save_to_preset(tmp_path / "preset")
    scale, offset = [0.02, 0.03, 0.04], [-1.0, -2.0, -3.0]
    converter = keras_hub.layers.ResNetImageConverter(scale=scale, offset=offset)
    converter.save_to_preset(tmp_path / "preset")
    network = image_network(f"hub:{tmp_path / 'preset'}", **SCALE)(5, (32, 32, 3))
    below = keras.Model(network.input, network.get_layer("pooled").output)
    expected = np.mean(backbone(PIXELS * scale + offset), axis=(1, 2))
    np.testing.assert_allclose(below(NORMALIZED), expected, atol=1e-4, rtol=1e-3)
