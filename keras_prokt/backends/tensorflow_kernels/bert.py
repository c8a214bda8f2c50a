"""The pooled state of a BERT by fewer TensorFlow operations than layer by layer.

keras-hub's encoder spends half of a CPU's time on operations that read and write every activation
once each. Here tokens are the rows of matrices, so that biases are added by the kernels of the
matrix products; GELU and layer normalisation have gradients written by hand; and of the last layer
only [CLS] is computed, which is all that the pooled state reads. The values are those of the
layers up to rounding, and so are the dropout masks, but for the last layer's, of another shape.
"""

import math
from typing import Any

import keras
import tensorflow as tf

from keras_prokt.keras_internals import layers_in
from keras_prokt.layer_calls import compute_once, is_computed_once, is_recorded
from keras_prokt.typing import Tensor


def bert_pooled_output(
    backbone: keras.Model, inputs: dict[str, Tensor], training: bool
) -> Tensor | None:
    """The pooled [CLS] state, or `None` where it is left to the layers.

    Args: as in `pooled_output`.
    """
    return pooled_output(backbone, inputs, training) if is_applicable(backbone) else None


def is_applicable(backbone: keras.Model) -> bool:
    """Whether the pooled state may be computed here: inside a graph, all float32, nothing recorded.

    Args:
        backbone: A `keras_hub.models.BertBackbone` with the exact GELU.
    """
    if not tf.inside_function():
        return False  # operation by operation both ways would be computed
    layers = layers_in(backbone, include_self=False)
    return all(layer.dtype_policy.name == "float32" and not is_recorded(layer) for layer in layers)


def pooled_output(backbone: keras.Model, inputs: dict[str, Tensor], training: bool) -> Tensor:
    """The pooled [CLS] state.

    Args:
        backbone: A `keras_hub.models.BertBackbone` with the exact GELU.
        inputs: `token_ids`, `padding_mask` and `segment_ids`, each int of shape `(batch, length)`.
        training: Whether dropout acts; gradients are then those written by hand.

    Returns:
        Shape `(batch, hidden_dim)`.
    """
    count = _computed_once(backbone)
    x = None
    if count:
        x = compute_once(backbone, inputs, lambda: hidden_states(backbone, inputs, count, False))
    last = len(backbone.transformer_layers) - 1
    x = hidden_states(backbone, inputs, last, training, start=count, x=x)
    batch, length = tf.unstack(tf.shape(inputs["token_ids"]))
    first = tf.reshape(x, (batch, length, backbone.hidden_dim))[:, 0]
    layer, real = backbone.transformer_layers[-1], _is_real(inputs)
    return backbone.pooled_dense(_encode(layer, first, x, real, batch, 1, training))


def hidden_states(
    backbone: keras.Model,
    inputs: dict[str, Tensor],
    stop: int,
    training: bool,
    start: int = 0,
    x: Tensor | None = None,
) -> Tensor:
    """The states after some of the transformer layers.

    Args:
        backbone: As in `pooled_output`.
        inputs: As in `pooled_output`.
        stop: How many layers they are after.
        training: Whether dropout acts.
        start: How many layers `x` is after.
        x: States to go on from; without, from the embeddings.

    Returns:
        Shape `(batch · length, hidden_dim)`.
    """
    x = _embed(backbone, inputs, training) if x is None else x
    batch, length = tf.unstack(tf.shape(inputs["token_ids"]))
    real = _is_real(inputs)
    for layer in backbone.transformer_layers[start:stop]:
        x = _encode(layer, x, x, real, batch, length, training)
    return x


def _is_real(inputs: dict[str, Tensor]) -> Tensor:
    """1 at real positions, of shape `(batch, 1, 1, length)`."""
    return tf.cast(tf.cast(inputs["padding_mask"], tf.bool), "float32")[:, None, None, :]


def _embed(backbone: keras.Model, inputs: dict[str, Tensor], training: bool) -> Tensor:
    """What the first transformer layer reads, of shape `(batch · length, hidden_dim)`."""
    tokens = backbone.token_embedding(inputs["token_ids"])
    positions = backbone.position_embedding(tokens)
    segments = backbone.segment_embedding(inputs["segment_ids"])
    x = backbone.embeddings_add((tokens, positions, segments))
    x = tf.reshape(x, (-1, backbone.hidden_dim))
    x = _normalise(backbone.embeddings_layer_norm, x, training)
    return backbone.embeddings_dropout(x, training=training)


def _computed_once(backbone: keras.Model) -> int:
    """How many of the first transformer layers are computed once, with all before them."""
    embeddings = (
        backbone.token_embedding,
        backbone.position_embedding,
        backbone.segment_embedding,
        backbone.embeddings_layer_norm,
        backbone.embeddings_dropout,
    )
    if not all(is_computed_once(layer) for layer in embeddings):
        return 0
    layers = backbone.transformer_layers[:-1]
    return next((n for n, layer in enumerate(layers) if not is_computed_once(layer)), len(layers))


def _encode(
    layer: Any, x: Tensor, context: Tensor, real: Tensor, batch: Any, length: Any, training: bool
) -> Tensor:
    """A transformer layer for the `batch · length` rows of `x`; they attend to `context`."""
    attention = layer._self_attention_layer
    heads, size = attention.num_heads, attention.key_dim
    width = heads * size

    def project(rows: Tensor, length: Any, *projections: keras.layers.EinsumDense) -> list[Tensor]:
        """Of one product for all: small ones leave cores idle."""
        kernels = [tf.reshape(dense.kernel, (-1, width)) for dense in projections]
        biases = [tf.reshape(dense.bias, (width,)) for dense in projections]
        product = tf.matmul(rows, tf.concat(kernels, 1))
        values = tf.nn.bias_add(product, tf.concat(biases, 0))
        values = tf.reshape(values, (batch, length, len(projections), heads, size))
        return tf.unstack(tf.transpose(values, (2, 0, 3, 1, 4)))

    all_length = tf.shape(real)[-1]
    of_query, of_context = attention.query_dense, (attention.key_dense, attention.value_dense)
    if x is context:
        query, key, value = project(x, length, of_query, *of_context)
    else:
        (query,) = project(x, length, of_query)
        key, value = project(context, all_length, *of_context)
    scores = tf.matmul(query * size**-0.5, key, transpose_b=True)
    # Of a text without real positions: Keras's layer attends to nothing where it has a dropout, and
    # equally to all positions, whatever the scores, where it has none.
    if layer.dropout:
        weights = tf.nn.softmax(scores + (real - 1.0) * 1e30) * real
        weights = attention._dropout_layer(weights, training=training)
    else:
        weights = tf.nn.softmax(tf.where(real > 0, scores, -1e30))
    mixed = tf.reshape(tf.transpose(tf.matmul(weights, value), (0, 2, 1, 3)), (-1, width))
    output = attention._output_dense
    mixed = tf.nn.bias_add(
        tf.matmul(mixed, tf.reshape(output.kernel, (width, -1))), tf.convert_to_tensor(output.bias)
    )
    mixed = layer._self_attention_dropout(mixed, training=training)
    x = _normalise(layer._self_attention_layer_norm, x + mixed, training)
    inner = _dense(layer._feedforward_intermediate_dense, x)
    inner = _gelu(inner) if training else tf.nn.gelu(inner)
    outer = _dense(layer._feedforward_output_dense, inner)
    outer = layer._feedforward_dropout(outer, training=training)
    return _normalise(layer._feedforward_layer_norm, x + outer, training)


def _dense(dense: keras.layers.Dense, x: Tensor) -> Tensor:
    product = tf.matmul(x, tf.convert_to_tensor(dense.kernel))
    return tf.nn.bias_add(product, tf.convert_to_tensor(dense.bias))


@tf.custom_gradient
def _gelu(x: Tensor) -> Any:
    """`x Φ(x)`; its derivative is `Φ(x) + x φ(x)`, `φ(x) = exp(-x²/2) / √(2π)`."""
    scaled = x * math.sqrt(0.5)
    probability = 0.5 * tf.math.erf(scaled) + 0.5

    def gradient(upstream: Tensor) -> Tensor:
        density = tf.exp(-tf.square(scaled)) * (scaled * (1 / math.sqrt(math.pi)))
        return upstream * (probability + density)

    return x * probability, gradient


def _normalise(layer: keras.layers.LayerNormalization, x: Tensor, training: bool) -> Tensor:
    """Layer normalisation of each row."""
    if not training:
        return layer(x)
    epsilon = layer.epsilon

    @tf.custom_gradient
    def normalise(x: Tensor, scale: Tensor, offset: Tensor) -> Any:
        centred = x - tf.reduce_mean(x, -1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
        inverse = tf.math.rsqrt(variance + epsilon)
        unit = centred * inverse
        result = unit * scale + offset

        def gradient(upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            product = upstream * unit
            weights = scale[:, None] / tf.cast(tf.size(scale), scale.dtype)
            # Products with a vector: means over each row of `upstream · scale` and of it · `unit`.
            mean, correlation = tf.matmul(upstream, weights), tf.matmul(product, weights)
            of_x = (upstream * scale - (unit * correlation + mean)) * inverse
            ones = tf.ones((1, tf.shape(x)[0]), x.dtype)
            of_scale, of_offset = tf.matmul(ones, product)[0], tf.matmul(ones, upstream)[0]
            return of_x, of_scale, of_offset

        return result, gradient

    return normalise(x, tf.convert_to_tensor(layer.gamma), tf.convert_to_tensor(layer.beta))
