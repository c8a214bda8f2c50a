"""Small transformers that read an image row by row."""

from typing import Any

import keras
from keras import layers, ops

from keras_prokt.typing import Tensor

Shape = tuple[int | None, ...]


def transformer(
    num_classes: int,
    input_shape: tuple[int, int, int],
    *,
    num_layers: int,
    hidden_dim: int = 32,
    num_heads: int = 4,
    intermediate_dim: int | None = None,
    dropout: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """An encoder whose tokens are the rows of pixels.

    Dosovitskiy et al. 2021 (arXiv 2010.11929), section 3.1, with rows for patches: each is embedded
    by one linear map, a [CLS] token is put in front and learnt positions are added. The logits are
    linear in the last [CLS] state, normalised.

    Args:
        num_classes: Width of the logits.
        input_shape: `(height, width, channels)`; `height` tokens of `width · channels` numbers.
        num_layers: Transformer layers, at least 1.
        hidden_dim: Width of the hidden states, a multiple of `num_heads`.
        num_heads: Attention heads of each layer.
        intermediate_dim: Width inside the feed-forward blocks; twice `hidden_dim` by default.
        dropout: Rate after the embedding, on attention and after each block, in [0, 1).
        name: Name of the model.

    Returns:
        A model from images, float32 `(batch, height, width, channels)`, to logits
        `(batch, num_classes)`. Layers: `embedding` and `hidden_1`, `hidden_2`, ... of shape
        `(batch, height + 1, hidden_dim)`, position 0 being [CLS], with
        `keras.layers.MultiHeadAttention` in each; `pooled`, the last [CLS] state, normalised.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> from keras_prokt.models.transformer import transformer
    >>> model = transformer(10, (8, 8, 1), num_layers=2, hidden_dim=16)
    >>> model.get_layer("hidden_2").output.shape
    (None, 9, 16)
    """
    if num_layers < 1:
        raise ValueError(f"Expected at least 1 transformer layer, received {num_layers}; give 2.")
    if num_heads < 1 or hidden_dim < 1 or hidden_dim % num_heads:
        raise ValueError(
            f"Expected a hidden_dim that is a multiple of num_heads, received {hidden_dim} and "
            f"{num_heads}; 32 and 4 are usual here."
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"Expected dropout in [0, 1), received {dropout}; pass e.g. 0.1.")
    height, width, channels = input_shape
    image = keras.Input(input_shape, name="image")
    x = layers.Reshape((height, width * channels), name="rows")(image)
    x = RowEmbedding(hidden_dim, dropout, name="embedding")(x)
    for number in range(1, num_layers + 1):
        x = TransformerLayer(
            num_heads, intermediate_dim or 2 * hidden_dim, dropout, name=f"hidden_{number}"
        )(x)
    x = FirstPosition(name="first")(x)
    x = layers.LayerNormalization(epsilon=1e-6, name="pooled")(x)
    # Logits stay in float32 under mixed precision: every loss here reads them.
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=name)


@keras.saving.register_keras_serializable(package="keras_prokt")
class RowEmbedding(keras.layers.Layer):
    """Tokens from vectors: a linear map, a [CLS] token in front, learnt positions.

    Args:
        hidden_dim: Width of the tokens.
        dropout: Rate on the result, in [0, 1).
        **arguments: Those of `keras.layers.Layer`.

    Call arguments:
        inputs: Shape `(batch, length, numbers)`, float; the length is known.

    Returns:
        Shape `(batch, length + 1, hidden_dim)`.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.models.transformer import RowEmbedding
    >>> tuple(RowEmbedding(16)(np.ones((2, 8, 8), "float32")).shape)
    (2, 9, 16)
    """

    def __init__(self, hidden_dim: int, dropout: float = 0.0, **arguments: Any):
        super().__init__(**arguments)
        self.hidden_dim = hidden_dim
        self.dropout = dropout
        self.projection = layers.Dense(hidden_dim, dtype=self.dtype_policy, name="projection")
        self.drop = layers.Dropout(dropout, dtype=self.dtype_policy, name="drop")

    def build(self, input_shape: Shape) -> None:
        _, length, numbers = input_shape
        self.projection.build((None, length, numbers))
        self.first = self.add_weight(
            shape=(1, 1, self.hidden_dim), initializer=_normal(), name="first"
        )
        self.positions = self.add_weight(
            shape=(1, length + 1, self.hidden_dim), initializer=_normal(), name="positions"
        )

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        tokens = self.projection(inputs)
        first = ops.cast(ops.convert_to_tensor(self.first), tokens.dtype)
        first = ops.broadcast_to(first, (ops.shape(tokens)[0], 1, self.hidden_dim))
        tokens = ops.concatenate([first, tokens], axis=1)
        tokens = tokens + ops.cast(ops.convert_to_tensor(self.positions), tokens.dtype)
        return self.drop(tokens, training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[1] + 1, self.hidden_dim)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hidden_dim": self.hidden_dim, "dropout": self.dropout}


@keras.saving.register_keras_serializable(package="keras_prokt")
class TransformerLayer(keras.layers.Layer):
    """Self-attention and a feed-forward block, each of which reads its input normalised.

    `y = x + attention(norm(x))`, `y + W₂ GELU(W₁ norm(y))`: Dosovitskiy et al. 2021, Eq. 2 and 3
    (Vaswani et al. 2017, arXiv 1706.03762, normalise afterwards), with the GELU in its tanh form.

    Args:
        num_heads: Attention heads, a divisor of the width.
        intermediate_dim: Width inside the feed-forward block.
        dropout: Rate on attention and after each block, in [0, 1).
        **arguments: Those of `keras.layers.Layer`.

    Call arguments:
        inputs: Shape `(batch, length, width)`, float.

    Returns:
        The same shape.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.models.transformer import TransformerLayer
    >>> tuple(TransformerLayer(4, 32)(np.ones((2, 9, 16), "float32")).shape)
    (2, 9, 16)
    """

    def __init__(
        self, num_heads: int, intermediate_dim: int, dropout: float = 0.0, **arguments: Any
    ):
        super().__init__(**arguments)
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.dropout = dropout

    def build(self, input_shape: Shape) -> None:
        width, policy = input_shape[-1], self.dtype_policy
        self.attention_norm, self.intermediate_norm = (
            layers.LayerNormalization(epsilon=1e-6, dtype=policy, name=name)
            for name in ("attention_norm", "intermediate_norm")
        )
        self.attention = layers.MultiHeadAttention(
            self.num_heads,
            width // self.num_heads,
            dropout=self.dropout,
            dtype=policy,
            name="attention",
        )
        self.intermediate = layers.Dense(self.intermediate_dim, dtype=policy, name="intermediate")
        self.outer = layers.Dense(width, dtype=policy, name="outer")
        self.attention_drop, self.outer_drop = (
            layers.Dropout(self.dropout, dtype=policy, name=name)
            for name in ("attention_drop", "outer_drop")
        )
        self.attention_norm.build(input_shape)
        self.attention.build(input_shape, input_shape)
        self.intermediate_norm.build(input_shape)
        self.intermediate.build(input_shape)
        self.outer.build((*input_shape[:-1], self.intermediate_dim))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        x = self.attention_norm(inputs)
        x = self.attention(x, x, training=training)
        y = inputs + self.attention_drop(x, training=training)
        x = ops.gelu(self.intermediate(self.intermediate_norm(y)), approximate=True)
        return y + self.outer_drop(self.outer(x), training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "dropout": self.dropout,
        }


@keras.saving.register_keras_serializable(package="keras_prokt")
class FirstPosition(keras.layers.Layer):
    """The state at position 0, that of the [CLS] token.

    Call arguments:
        inputs: Shape `(batch, length, width)`.

    Returns:
        Shape `(batch, width)`.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.models.transformer import FirstPosition
    >>> tuple(FirstPosition()(np.ones((2, 9, 16), "float32")).shape)
    (2, 16)
    """

    def call(self, inputs: Tensor) -> Tensor:
        return inputs[:, 0]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[2])


def _normal() -> keras.initializers.Initializer:
    """What BERT starts its embeddings from."""
    return keras.initializers.TruncatedNormal(stddev=0.02)
