"""Students and inputs that the tests of several forms of export share."""

import keras
import numpy as np
from keras import layers, ops

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fine", "film", "dull", "very"]


class Unknown(layers.Layer):
    """What neither ONNX nor LiteRT has an operation for."""

    def call(self, inputs):
        return ops.erfinv(ops.tanh(inputs))


def texts(*lengths, segments=False):
    """Two texts of each length, the second padded."""
    draw = np.random.default_rng(0).integers
    for length in lengths:
        mask = (np.arange(length) < np.array([[length], [length - 2]])).astype("int32")
        ids = draw(5, len(PIECES), (2, length)).astype("int32") * mask
        yield {"token_ids": ids, "padding_mask": mask} | (
            {"segment_ids": np.zeros_like(ids)} if segments else {}
        )


def recurrent_student():
    """One layer that goes along the texts of `texts`, as far as their masks say."""
    names = ("token_ids", "padding_mask")
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    x = layers.Embedding(len(PIECES), 4)(inputs["token_ids"])
    x = layers.SimpleRNN(3)(x, mask=ops.cast(inputs["padding_mask"], "bool"))
    return keras.Model(inputs, layers.Dense(2)(x))
