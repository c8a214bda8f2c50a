"""LSTMs in ONNX files as the one operation that ONNX has for them.

Keras's LSTM is a loop over positions. Converted as it is, ONNX Runtime interprets the loop, at
about three times the time of its own `LSTM`, and embeddings that a loop reads cannot have 8 bits.
Here the graph that is converted holds TensorFlow's `BlockLSTMV2` in place of the loop, and that
becomes an `LSTM` of ONNX.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_prokt.keras_internals import layers_in
from keras_prokt.typing import Tensor


@contextlib.contextmanager
def lstms_in_one_operation(model: keras.Model) -> Iterator[None]:
    """Within it, the LSTMs of a model that can be held so compute by `BlockLSTMV2` on TensorFlow.

    Held are those with Keras's own activations that give outputs and not their states, and read
    their input alone; others stay loops. Masks mean what they mean to Keras: a position without
    one is skipped, wherever it is.

    Args:
        model: The model.
    """
    layers = [layer for layer in layers_in(model) if _is_held(layer)]
    for layer in layers:
        layer.call = _Call(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def _is_held(layer: Any) -> bool:
    return (
        type(layer) is keras.layers.LSTM
        and "call" not in vars(layer)
        and layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.compute_dtype == "float32"
        and not (layer.stateful or layer.return_state or layer.unroll)
    )


class _Call:
    """What a layer computes, as its own `call` does in inference.

    Args:
        layer: The layer.
    """

    def __init__(self, layer: keras.layers.LSTM):
        self._layer, self._usual = layer, layer.call

    def __call__(
        self,
        sequences: Tensor,
        initial_state: Any = None,
        mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        import tensorflow as tf

        layer = self._layer
        if initial_state is not None or training or sequences.dtype != tf.float32:
            return self._usual(sequences, initial_state, mask, training)
        if layer.go_backwards:
            sequences = tf.reverse(sequences, [1])
            mask = None if mask is None else tf.reverse(mask, [1])
        if mask is None:
            states = self._states(sequences)
        else:
            states = self._of_real_positions(sequences, tf.cast(mask, tf.int32))
        return states if layer.return_sequences else states[:, -1]

    def _of_real_positions(self, sequences: Tensor, real: Tensor) -> Tensor:
        """The states where real positions come first, each put where Keras has it."""
        import tensorflow as tf

        length = tf.shape(real)[1]
        places = tf.range(length)
        # The real positions in their order, then the others.
        order = tf.math.top_k(2 * length - places - length * (1 - real), length).indices
        states = self._states(tf.gather(sequences, order, batch_dims=1))
        # How many real ones there are up to a position: it has the state after the last of them.
        rank = tf.cumsum(real, axis=1) - 1
        states = tf.gather(states, tf.maximum(rank, 0), batch_dims=1)
        shown = rank >= 0
        if self._layer.zero_output_for_mask and self._layer.return_sequences:
            shown = shown & (real > 0)
        return states * tf.cast(shown, states.dtype)[:, :, None]

    def _states(self, sequences: Tensor) -> Tensor:
        """The state at each position, `(batch, length, units)`."""
        import tensorflow as tf

        units, cell = self._layer.units, self._layer.cell
        weights = (cell.kernel, cell.recurrent_kernel)
        rows = tf.transpose(sequences, (1, 0, 2))
        zeros, none = tf.zeros((tf.shape(rows)[1], units)), tf.zeros((units,))
        # Both have the gates in this order: input, forget, candidate, output.
        result = tf.raw_ops.BlockLSTMV2(
            seq_len_max=tf.cast(tf.shape(rows)[0], tf.int64),
            x=rows,
            cs_prev=zeros,
            h_prev=zeros,
            w=tf.concat([tf.convert_to_tensor(weight) for weight in weights], 0),
            wci=none,
            wcf=none,
            wco=none,
            b=tf.zeros((4 * units,)) if cell.bias is None else tf.convert_to_tensor(cell.bias),
        )
        return tf.ensure_shape(tf.transpose(result.h, (1, 0, 2)), (None, None, units))


def to_onnx(context: Any, node: Any, name: str, args: Any) -> None:
    """A handler of tf2onnx: `BlockLSTMV2` as `LSTM`."""
    weights, bias = (node.inputs[k].get_tensor_value(as_list=False) for k in (4, 8))
    units = weights.shape[1] // 4
    # ONNX has the gates input, output, forget, candidate.
    order = np.arange(4 * units).reshape(4, units)[[0, 3, 1, 2]].ravel()
    weights, bias = weights[:, order], bias[order]
    dimension = len(weights) - units
    constants = {
        "W": weights[:dimension].T[None],
        "R": weights[dimension:].T[None],
        "B": np.concatenate([bias, np.zeros_like(bias)])[None],
    }
    made = [
        context.make_const(f"{name}/{key}", np.ascontiguousarray(value)).output[0]
        for key, value in constants.items()
    ]
    x, states = node.input[1], node.output[6]
    dtype = context.get_dtype(states)
    context.remove_node(node.name)
    lstm = context.make_node(
        "LSTM", [x, *made], name=name, attr={"hidden_size": units}, output_count=1, dtypes=[dtype]
    )
    axis = context.make_const(f"{name}/axis", np.array([1])).output[0]
    context.make_node(
        "Squeeze", [lstm.output[0], axis], name=f"{name}/h", outputs=[states], dtypes=[dtype]
    )
