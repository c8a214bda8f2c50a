"""A registered subclassed model, which knows its inputs from the data alone."""

import keras
from keras import layers


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, units=5, width=3, activation=None, **settings):
        super().__init__(**settings)
        self.units, self.width, self.activation = units, width, activation
        self.hidden = layers.Dense(units, "relu", name="hidden")
        self.head = layers.Dense(width, name="head")

    def call(self, inputs):
        return keras.activations.get(self.activation)(self.head(self.hidden(inputs)))

    def get_config(self):
        settings = {"units": self.units, "width": self.width, "activation": self.activation}
        return {**settings, "name": self.name}
