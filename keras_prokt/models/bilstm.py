"""The one-layer bidirectional LSTM students of the paper's text experiments, and a tagger."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_prokt import backends
from keras_prokt.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_prokt")
class MaskedMaxPooling(keras.layers.Layer):
    """Maximum over the real positions of a sequence.

    `y_d = max {x_{t,d} : padding_mask_t ≠ 0}`. `keras.layers.GlobalMaxPooling1D` ignores masks:
    there the result depends on how far a batch is padded.

    Args:
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Shape `(batch, length, dimension)`, float.
        padding_mask: Shape `(batch, length)`, int or bool, not zero at real positions.

    Returns:
        Shape `(batch, dimension)`, zero where an example has no real position.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.models.bilstm import MaskedMaxPooling
    >>> states = np.array([[[-3.0], [-1.0], [9.0]]], dtype="float32")
    >>> float(MaskedMaxPooling()(states, np.array([[1, 1, 0]]))[0, 0])
    -1.0
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        # The LSTM attaches its mask to its output; without this Keras warns that it ends here.
        self.supports_masking = True

    def call(self, inputs: Tensor, padding_mask: Tensor) -> Tensor:
        real = ops.expand_dims(ops.not_equal(padding_mask, 0), -1)
        largest = ops.max(ops.where(real, inputs, float("-inf")), axis=1)
        # Without this an example that is all padding would become NaN in the next layer.
        return ops.where(ops.any(real, axis=1), largest, 0.0)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor) -> None:
        # No positions are left to mask; a mask on the logits would reach the loss.
        return None

    def compute_output_shape(
        self, inputs_shape: tuple[int | None, ...], padding_mask_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (inputs_shape[0], inputs_shape[2])


@keras.saving.register_keras_serializable(package="keras_prokt")
class Bidirectional(keras.layers.Bidirectional):
    """`keras.layers.Bidirectional` of an LSTM, faster in training on TensorFlow.

    There a kernel of the backend's computes the same states and gradients in float32;
    everywhere else, and in inference (of which exports are made), Keras does. The name is that of
    Keras's class because files of weights hold it.

    Args:
        layer: A `keras.layers.LSTM` with Keras's own activations, a bias and no dropout, that
            returns sequences.
        **arguments: Those of `keras.layers.Bidirectional`; the directions are concatenated.

    Example:

    >>> import keras, numpy as np
    >>> from keras_prokt.models.bilstm import Bidirectional
    >>> layer = Bidirectional(keras.layers.LSTM(4, return_sequences=True))
    >>> tuple(layer(np.zeros((2, 5, 3), "float32")).shape)
    (2, 5, 8)
    """

    def call(
        self,
        sequences: Tensor,
        initial_state: Any = None,
        mask: Tensor = None,
        training: bool | None = None,
    ) -> Any:
        if training and initial_state is None and mask is not None:
            states = backends.current().by_kernel("bidirectional_lstm", self, sequences, mask)
            if states is not None:
                return states
        return super().call(sequences, initial_state, mask, training)


def bilstm(
    num_classes: int,
    *,
    vocabulary_size: int = 30522,
    embedding_dim: int = 300,
    units: int = 300,
    dropout: float = 0.4,
    name: str = "bilstm",
) -> keras.Model:
    """The bi-LSTM student of the paper (section 4.2), for single sentences.

    Word-piece embeddings drawn from N(0, 0.02), dropout on them, one bidirectional LSTM, the
    maximum over time, a linear classifier. The defaults are those of the authors' published text
    code: 10.60 million parameters for two classes. One difference, on purpose: their maximum
    also runs over the padding, ours over real positions only, so that neither the padding nor
    the other examples of a batch change an example's logits.

    Args:
        num_classes: Width of the logits, at least 1: of a value.
        vocabulary_size: Number of word-piece ids; the default is BERT's English uncased one.
        embedding_dim: Width of the embeddings.
        units: Width of the LSTM, per direction.
        dropout: Rate on the embeddings, in [0, 1).
        name: Name of the model.

    Returns:
        A functional model. Inputs: a dict of `token_ids` and `padding_mask` (1 at real
        positions), each int32 of shape `(batch, length)`. Output: float32 logits of shape
        `(batch, num_classes)`, of the layer `"logits"`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.models.bilstm import bilstm
    >>> model = bilstm(2, vocabulary_size=100, embedding_dim=8, units=4)
    >>> ids = np.array([[2, 7, 9, 3]], dtype="int32")
    >>> tuple(model({"token_ids": ids, "padding_mask": np.ones_like(ids)}).shape)
    (1, 2)
    """
    _check_arguments(num_classes, vocabulary_size, embedding_dim, units, dropout)
    inputs = _sentence_inputs()
    encode = _sentence_encoder(vocabulary_size, embedding_dim, units, dropout)
    # Logits stay in float32 under mixed precision: every loss here reads them.
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(
        encode(inputs["token_ids"], inputs["padding_mask"])
    )
    return keras.Model(inputs, logits, name=name)


def bilstm_pair(
    num_classes: int,
    *,
    vocabulary_size: int = 30522,
    embedding_dim: int = 300,
    units: int = 300,
    dropout: float = 0.4,
    name: str = "bilstm_pair",
) -> keras.Model:
    """The bi-LSTM student of the paper (section 4.2), for pairs of sentences.

    One encoder, that of `bilstm`, reads each sentence by itself and gives u and v. Two linear
    layers, with nothing between them, read `[u; v; |u - v|; u * v]`; the first is as wide as u.
    The defaults are those of the authors' published text code: 12.04 million parameters for two
    classes.

    Args:
        num_classes: Width of the logits, at least 1: of a value.
        vocabulary_size: Number of word-piece ids; the default is BERT's English uncased one.
        embedding_dim: Width of the embeddings.
        units: Width of the LSTM, per direction; u and v are twice as wide.
        dropout: Rate on the embeddings, in [0, 1).
        name: Name of the model.

    Returns:
        A functional model. Inputs: a dict of `token_ids` and `padding_mask` (1 at real
        positions) of the first sentences, `token_ids_pair` and `padding_mask_pair` of the second
        ones, each int32 of shape `(batch, length)`, the lengths of the two free of each other.
        Output: float32 logits of shape `(batch, num_classes)`, of the layer `"logits"`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.models.bilstm import bilstm_pair
    >>> model = bilstm_pair(2, vocabulary_size=100, embedding_dim=8, units=4)
    >>> first, second = np.array([[2, 7, 9, 3]], "int32"), np.array([[2, 8, 3]], "int32")
    >>> inputs = {"token_ids": first, "padding_mask": np.ones_like(first)}
    >>> inputs |= {"token_ids_pair": second, "padding_mask_pair": np.ones_like(second)}
    >>> tuple(model(inputs).shape)
    (1, 2)
    """
    _check_arguments(num_classes, vocabulary_size, embedding_dim, units, dropout)
    first, second = _sentence_inputs(), _sentence_inputs("_pair")
    encode = _sentence_encoder(vocabulary_size, embedding_dim, units, dropout)
    u, v = encode(*first.values()), encode(*second.values())
    x = keras.layers.Concatenate(name="pair")([u, v, ops.abs(u - v), u * v])
    x = keras.layers.Dense(2 * units, name="hidden")(x)
    # Logits stay in float32 under mixed precision: every loss here reads them.
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model({**first, **second}, logits, name=name)


def bilstm_tagger(
    num_classes: int,
    *,
    vocabulary_size: int = 30522,
    embedding_dim: int = 300,
    units: int = 300,
    dropout: float = 0.4,
    name: str = "bilstm_tagger",
) -> keras.Model:
    """`bilstm` with a linear classifier on the state of each word piece in place of the maximum.

    Args: as `bilstm`.

    Returns:
        A functional model with the inputs of `bilstm`. Output: float32 logits of shape
        `(batch, length, num_classes)`, of the layer `"logits"`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.models.bilstm import bilstm_tagger
    >>> model = bilstm_tagger(5, vocabulary_size=100, embedding_dim=8, units=4)
    >>> ids = np.array([[2, 7, 9, 3]], dtype="int32")
    >>> tuple(model({"token_ids": ids, "padding_mask": np.ones_like(ids)}).shape)
    (1, 4, 5)
    """
    _check_arguments(num_classes, vocabulary_size, embedding_dim, units, dropout)
    inputs = _sentence_inputs()
    encode = _states_encoder(vocabulary_size, embedding_dim, units, dropout)
    # Logits stay in float32 under mixed precision: every loss here reads them.
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(
        encode(inputs["token_ids"], inputs["padding_mask"])
    )
    return keras.Model(inputs, logits, name=name)


def _check_arguments(
    num_classes: int, vocabulary_size: int, embedding_dim: int, units: int, dropout: float
) -> None:
    if num_classes < 1:
        raise ValueError(
            f"Expected num_classes of at least 1, received {num_classes}; "
            "give one for each class, or 1 for a value."
        )
    sizes = {"vocabulary_size": vocabulary_size, "embedding_dim": embedding_dim, "units": units}
    for argument, value in sizes.items():
        if value < 1:
            raise ValueError(f"Expected {argument} of at least 1, received {value}; e.g. 300.")
    if not 0 <= dropout < 1:
        raise ValueError(f"Expected dropout in [0, 1), received {dropout}; pass e.g. 0.4.")


def _sentence_inputs(suffix: str = "") -> dict[str, keras.KerasTensor]:
    names = (f"token_ids{suffix}", f"padding_mask{suffix}")
    return {name: keras.Input((None,), dtype="int32", name=name) for name in names}


def _sentence_encoder(
    vocabulary_size: int, embedding_dim: int, units: int, dropout: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """A function from token ids and padding mask to the maximum over the states of a sentence."""
    states = _states_encoder(vocabulary_size, embedding_dim, units, dropout)
    max_over_time = MaskedMaxPooling(name="max_over_time")

    def encode(token_ids: Tensor, padding_mask: Tensor) -> Tensor:
        return max_over_time(states(token_ids, padding_mask), padding_mask)

    return encode


def _states_encoder(
    vocabulary_size: int, embedding_dim: int, units: int, dropout: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """A function from token ids and padding mask to states, with the same layers in every call."""
    embedding = keras.layers.Embedding(
        vocabulary_size,
        embedding_dim,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=0.02),
        name="token_embedding",
    )
    embedding_dropout = keras.layers.Dropout(dropout, name="embedding_dropout")
    # Never cuDNN's kernel: it would bind the exported model to a GPU, and one such layer turns
    # XLA off for the teacher as well.
    lstm = keras.layers.LSTM(units, return_sequences=True, use_cudnn=False, name="lstm")
    bidirectional = Bidirectional(lstm, name="bidirectional")

    def encode(token_ids: Tensor, padding_mask: Tensor) -> Tensor:
        x = embedding_dropout(embedding(token_ids))
        return bidirectional(x, mask=ops.not_equal(padding_mask, 0))

    return encode
