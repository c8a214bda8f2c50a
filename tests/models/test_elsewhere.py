"""Networks by names with a colon."""

import sys
import types

import keras
import numpy as np
import pytest
from keras import ops

from keras_prokt import models


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


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="Expected an image preset of keras-hub, received"):
        models.get("hub:no_such_preset")(10, (32, 32, 3))
