"""Teachers as users have them, with random weights: importable functions, and what they save."""

import keras

CLASSES, SHAPE = 10, (8, 8, 1)


def network(num_classes=CLASSES, input_shape=SHAPE):
    """A Keras model that ends in softmax, the same one each time."""
    keras.utils.set_random_seed(7)
    stack = [keras.Input(input_shape), keras.layers.Flatten()]
    dense = keras.layers.Dense(num_classes, "softmax", kernel_initializer="glorot_normal")
    return keras.Sequential([*stack, keras.layers.Dense(16, "relu"), dense])


def sequential(num_classes=CLASSES, input_shape=SHAPE):
    """A sequential model of logits, the same one each time."""
    keras.utils.set_random_seed(7)
    layers = [keras.layers.Flatten(), keras.layers.Dense(num_classes)]
    return keras.Sequential([keras.Input(input_shape), *layers])


def narrow(num_classes, input_shape):
    """One of a class less."""
    return sequential(num_classes - 1, input_shape)


def of_other_images(num_classes, input_shape):
    return sequential(num_classes, (9, 9, 1))


def module():
    """A module of PyTorch for the same inputs."""
    import torch

    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, CLASSES))


def no_module():
    return 3
