"""Layers of models of logits that were made from models of probabilities."""

from typing import Any

import keras
from keras import ops

from keras_prokt.typing import Tensor

ACTIVATIONS = ("softmax", "sigmoid")
"""Activations that make probabilities of logits."""

LEAST_PROBABILITY = 1e-7
"""Probabilities nearer than this to 0, or with sigmoid to 1, count as this far: float32 has
1 − 6e-8 as the last number below 1."""


@keras.saving.register_keras_serializable(package="keras_prokt")
class RemovedActivation(keras.layers.Layer):
    """The end of a model of logits: an identity that remembers which activation was there.

    Args:
        activation: One of `ACTIVATIONS`.
        **settings: As in `keras.layers.Layer`.
    """

    def __init__(self, activation: str, **settings: Any):
        super().__init__(**settings)
        self.activation = activation

    def call(self, inputs: Tensor) -> Tensor:
        return inputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation}


@keras.saving.register_keras_serializable(package="keras_prokt")
class LogitsFromProbabilities(keras.layers.Layer):
    """Logits of probabilities: `log p` of softmax, `log p − log(1 − p)` of sigmoid.

    `p` is clipped by `LEAST_PROBABILITY`. The result is float32, and NaN where a value is no
    probability.

    Args:
        activation: One of `ACTIVATIONS`; `None` for sigmoid of one output, softmax of more.
        **settings: As in `keras.layers.Layer`.
    """

    def __init__(self, activation: str | None = None, **settings: Any):
        super().__init__(**{"dtype": "float32", **settings})
        self.activation = activation

    def call(self, probabilities: Tensor) -> Tensor:
        check_width(self.activation, probabilities)
        activation = self.activation or ("softmax" if probabilities.shape[-1] > 1 else "sigmoid")
        # A softmax in half precision may be above 1 by its rounding.
        is_valid = ops.logical_and(probabilities > -0.01, probabilities < 1.01)
        clipped = ops.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        logits = ops.log(clipped)
        if activation == "sigmoid":
            logits = logits - ops.log(1 - clipped)
        return ops.where(is_valid, logits, float("nan"))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation}


@keras.saving.register_keras_serializable(package="keras_prokt")
class LogitsOfModel(keras.Model):
    """A subclassed model of probabilities whose logits are computed back from them.

    Args:
        model: The model.
        activation: As in `LogitsFromProbabilities`.
        name: By default that of the model.
    """

    def __init__(self, model: keras.Model, activation: str | None = None, name: str | None = None):
        super().__init__(name=name or model.name)
        self.model = model
        self.to_logits = LogitsFromProbabilities(activation)
        self.built = model.built

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return keras.tree.map_structure(self.to_logits, self.model(inputs, training=training))

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "model": keras.saving.serialize_keras_object(self.model),
            "activation": self.to_logits.activation,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "LogitsOfModel":
        model = keras.saving.deserialize_keras_object(config["model"], custom_objects)
        return cls(**{**config, "model": model})


def check_width(activation: str | None, probabilities: Tensor) -> None:
    """Refuses a softmax over one output.

    Raises:
        ValueError: If it is one.
    """
    if activation == "softmax" and probabilities.shape[-1] == 1:
        raise ValueError(
            "Expected a softmax over two outputs or more, received one output, which is always 1; "
            "a yes-or-no answer of one output is a sigmoid."
        )
