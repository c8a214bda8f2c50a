"""CIFAR-100 in miniature: images of noise, kept as if they had been read, and a small network."""

import keras
import numpy as np

from keras_prokt.data import cifar
from keras_prokt.files import new_kept_folder

TINY = "small_cifar:tiny"
"""The network, as users name their own."""


def keep_images(cache, data_dir):
    """Keeps images of noise in a cache, as if they had been read from TFDS."""
    random = np.random.default_rng(0)
    for split, count in (("train", cifar.VALIDATION_EXAMPLES + 90), ("test", 50)):
        images = random.integers(0, 256, (count, 32, 32, 3)).astype("uint8")
        labels = random.integers(0, 100, count).astype("int32")
        names = [f"class {number}" for number in range(100)]
        with new_kept_folder(*cifar._kept(split, str(data_dir), cache)) as writing:
            cifar._write_arrays(writing, cifar.Images(images, labels, names))


def tiny(num_classes, input_shape):
    """A network for images that is quick anywhere."""
    inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes)(x))
