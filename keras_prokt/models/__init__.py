"""Networks: one file an architecture, and the table of the ones that need no weights file.

Every builder takes `num_classes` and `input_shape` and returns a model that outputs logits. Layers
are named after the parts that objectives read: `stage_1`, `stage_2`, ... (the activation at the
end of each stage), `pooled`, and in transformers `embedding` and `hidden_1`, `hidden_2`, ....
The text networks (`bert`, `bilstm`) take a vocabulary or a preset and are used by their apps.
"""

from collections.abc import Callable
from functools import partial

import keras

from keras_prokt.models.convolutional import convnet
from keras_prokt.models.wide_resnet import wide_resnet
from keras_prokt.names import unknown_name

MODELS: dict[str, Callable[..., keras.Model]] = {
    "cnn-large": partial(
        convnet, widths=(32, 64), convolutions=2, batch_normalization=True, name="cnn_large"
    ),
    "cnn-medium": partial(convnet, widths=(16, 32), batch_normalization=True, name="cnn_medium"),
    "cnn-small": partial(convnet, widths=(6, 12), name="cnn_small"),
    "wrn-16-2": partial(wide_resnet, 16, 2),
    "wrn-40-2": partial(wide_resnet, 40, 2),
}


def get(name: str) -> Callable[..., keras.Model]:
    """The builder of a named network.

    Raises:
        ValueError: If the name is unknown; the message lists the known ones.

    Example:

    >>> from keras_prokt import models
    >>> models.get("cnn-small")(10, (8, 8, 1)).name
    'cnn_small'
    """
    if name not in MODELS:
        raise ValueError(unknown_name("a model", name, MODELS))
    return MODELS[name]
