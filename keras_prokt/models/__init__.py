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
from keras_prokt.models.mobilenet_v2 import mobilenet_v2
from keras_prokt.models.resnet import resnet_50, resnet_x4
from keras_prokt.models.shufflenet_v1 import shufflenet_v1
from keras_prokt.models.shufflenet_v2 import shufflenet_v2
from keras_prokt.models.transformer import transformer
from keras_prokt.models.vgg import vgg
from keras_prokt.models.wide_resnet import wide_resnet
from keras_prokt.names import is_known, known_spelling, unknown_name

MODELS: dict[str, Callable[..., keras.Model]] = {
    "cnn-large": partial(
        convnet, widths=(32, 64), convolutions=2, batch_normalization=True, name="cnn_large"
    ),
    "cnn-medium": partial(convnet, widths=(16, 32), batch_normalization=True, name="cnn_medium"),
    "cnn-small": partial(convnet, widths=(6, 12), name="cnn_small"),
    "mobilenet-v2": mobilenet_v2,
    "resnet32x4": partial(resnet_x4, 32),
    "resnet50": resnet_50,
    "resnet8x4": partial(resnet_x4, 8),
    "shufflenet-v1": shufflenet_v1,
    "shufflenet-v2": shufflenet_v2,
    "transformer-large": partial(transformer, num_layers=4, name="transformer_large"),
    "transformer-small": partial(transformer, num_layers=2, name="transformer_small"),
    "vgg13": partial(vgg, 2),
    "vgg8": partial(vgg, 1),
    "wrn-16-2": partial(wide_resnet, 16, width=2),
    "wrn-40-2": partial(wide_resnet, 40, width=2),
}


def get(name: str) -> Callable[..., keras.Model]:
    """The builder of a named network, which takes `num_classes` and `input_shape`.

    Args:
        name: A name in `MODELS`, in any spelling of case and hyphens (`MobileNetV2`);
            `keras:ResNet50`, a network of `keras.applications` with fresh weights; `hub:PRESET`,
            an image classifier of keras-hub; or `module:function`, a builder of the user's own.

    Raises:
        ValueError: If the name is unknown; the message lists the known ones.

    Example:

    >>> from keras_prokt import models
    >>> models.get("cnn-small")(10, (8, 8, 1)).name
    'cnn_small'
    """
    name = known_spelling(name, MODELS)
    if is_known(name, MODELS):
        return MODELS[name]
    if isinstance(name, str) and ":" in name:
        from keras_prokt.models.elsewhere import builder_from

        return builder_from(name)
    raise ValueError(unknown_name("a model", name, MODELS))
