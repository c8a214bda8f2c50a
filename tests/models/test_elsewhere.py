"""Networks by names with a colon."""

import sys
import types

import keras
import numpy as np
import pytest
from keras import ops

from keras_prokt import models


@pytest.mark.slow
def test_a_network_of_keras_applications_has_logits():
    model = models.get("keras:MobileNetV2")(10, (32, 32, 3))
    values = ops.convert_to_numpy(model(np.ones((2, 32, 32, 3), "float32")))
    assert values.shape == (2, 10)
    assert not np.allclose(values.sum(-1), 1)
    with pytest.raises(ValueError, match="did you mean 'ResNet50'"):
        models.get("keras:Resnet50")


def test_a_users_own_function(monkeypatch):
    module = types.ModuleType("my_networks")
    module.small = lambda num_classes, input_shape: keras.Sequential(
        [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes)]
    )
    module.number = 3
    monkeypatch.setitem(sys.modules, "my_networks", module)
    assert models.get("my_networks:small")(7, (8, 8, 1)).output_shape == (None, 7)
    with pytest.raises(ValueError, match="module:function of a builder, received 'my_networks'"):
        models.get("my_networks:large")
    with pytest.raises(ValueError, match="a int"):
        models.get("my_networks:number")
    with pytest.raises(ValueError, match="has to be importable"):
        models.get("nowhere_at_all:small")


@pytest.mark.parametrize("last", [{"activation": "softmax"}, {}])
def test_a_users_own_function_may_build_a_model_of_probabilities(monkeypatch, last):
    module = types.ModuleType("my_networks")
    module.built = []

    def small(num_classes, input_shape):
        head = keras.layers.Dense(num_classes, **last)
        module.built.append(keras.Sequential([keras.Input(input_shape), head]))
        return module.built[-1]

    module.small = small
    monkeypatch.setitem(sys.modules, "my_networks", module)
    model = models.get("my_networks:small")(3, (4,))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    expected = x @ module.built[0].get_weights()[0]
    np.testing.assert_allclose(ops.convert_to_numpy(model(x)), expected, atol=1e-5)
    assert {id(v) for v in model.variables} == {id(v) for v in module.built[0].variables}


@pytest.mark.slow
def test_names_may_be_spelled_as_papers_do():
    for name in ("MobileNetV2", "WRN-16-2", "ResNet8x4", "shufflenet_v1"):
        assert models.get(name)(10, (32, 32, 3)).output_shape == (None, 10)
    with pytest.raises(ValueError, match="did you mean 'vgg13'"):
        models.get("vgg113")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV3Small", "EfficientNetB0"])
def test_images_are_not_normalised_a_second_time(name):
    model = models.get(f"keras:{name}")(10, (32, 32, 3))
    kinds = (keras.layers.Rescaling, keras.layers.Normalization)
    assert not [layer.name for layer in model.layers if isinstance(layer, kinds)]
    assert model.output_shape == (None, 10)


@pytest.mark.slow
def test_logits_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = models.get("keras:MobileNetV2")(10, (32, 32, 3))
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.output.dtype == "float32"
    assert model.get_layer("Conv1").compute_dtype == "bfloat16"


def test_builders_that_build_nothing(monkeypatch):
    module = types.ModuleType("my_networks")
    module.no_arguments = lambda: None
    module.number = lambda num_classes, input_shape: 3
    monkeypatch.setitem(sys.modules, "my_networks", module)
    with pytest.raises(ValueError, match="to build a model, received TypeError"):
        models.get("my_networks:no_arguments")(10, (8, 8, 1))
    with pytest.raises(ValueError, match=r"to return a keras\.Model, received a int"):
        models.get("my_networks:number")(10, (8, 8, 1))


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="Expected an image preset of keras-hub, received"):
        models.get("hub:no_such_preset")(10, (32, 32, 3))
