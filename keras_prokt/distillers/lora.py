"""Low-rank adapters (LoRA) in the models of a distiller, saved so that they train on."""

from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_prokt.distillers.own_variables import load_variables, save_variables
from keras_prokt.keras_internals import layers_in, lora_variables


class UnmergedAdapters(keras.layers.Layer):
    """Keeps W, A and B of layers with adapters apart in a file.

    Keras writes W + B·A in place of W, and sets A and B to zero when it reads them. The outputs are
    the same, but where both are zero the gradient of each is zero, and neither ever trains again.

    Keras reads the attributes of a model by name, in the order of the alphabet: this one has to
    come after the models, or they would undo it.

    Args:
        models: Gives the models.
    """

    def __init__(self, models: Callable[[], Iterable[keras.Model]]):
        super().__init__(name="unmerged_adapters")
        self._models = models
        self.built = True

    def own_state(self) -> list[keras.Variable]:
        """The variables of all adapters, and the frozen weights that they belong to."""
        layers = [layer for model in self._models() for layer in layers_in(model)]
        return [variable for layer in layers for variable in lora_variables(layer)]

    def save_own_variables(self, store: Any) -> None:
        save_variables(store, self.own_state())

    def load_own_variables(self, store: Any) -> None:
        advice = "call enable_lora on the same layers as when the file was written"
        load_variables(store, self.own_state(), "low-rank adapters", advice)
