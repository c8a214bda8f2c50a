"""Image networks: sizes, stages, names."""

import keras
import numpy as np
import pytest

from keras_prokt import models
from keras_prokt.models.wide_resnet import wide_resnet


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "trainable", "total"), [(40, 2_255_156, 2_260_564), (16, 703_284, None)]
)
def test_wide_resnets_have_the_published_size(depth, trainable, total):
    model = wide_resnet(depth)
    counted = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert counted == trainable
    if total is not None:
        assert model.count_params() == total


def test_wide_resnet_stages_and_shapes():
    model = wide_resnet(16)
    shapes = {layer.output.shape[1:] for layer in model.layers if layer.name.startswith("add")}
    assert shapes == {(32, 32, 32), (16, 16, 64), (8, 8, 128)}
    assert model(np.zeros((2, 32, 32, 3), "float32")).shape == (2, 100)


def test_depths_that_do_not_exist():
    with pytest.raises(ValueError, match=r"depth of 6n \+ 4"):
        wide_resnet(18)


@pytest.mark.slow
@pytest.mark.parametrize("name", models.MODELS)
def test_every_model_takes_classes_and_shape_and_ends_in_logits(name):
    options = {} if name.startswith(("cnn", "transformer")) else {"width": 0.75}
    model = models.get(name)(7, (16, 16, 1), name="small", **options)
    assert (model.name, model.output_shape) == ("small", (None, 7))
    assert isinstance(model.layers[-1], keras.layers.Dense)
    assert model.layers[-1].activation is keras.activations.linear


def test_unknown_models_suggest_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'wrn-16-2'"):
        models.get("wrn-16-3")
