"""A bidirectional LSTM whose gradient has a loop of its own, for training on TensorFlow.

Keras's loop multiplies with both kernels and sums the gradients of both in every step, once for
each direction. Here the inputs of all steps are multiplied at once, one loop runs both directions,
and the gradients of the kernels are products over all steps, behind the loop.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_prokt.keras_internals import layers_in
from keras_prokt.typing import Tensor


def bidirectional_lstm(layer: keras.layers.Bidirectional, x: Tensor, mask: Tensor) -> Tensor | None:
    """The states of both directions in training, or `None` where they are left to the layer.

    Args: as in `run`.
    """
    return run(layer, x, mask) if is_applicable(layer, x) else None


def is_applicable(layer: keras.layers.Bidirectional, x: Tensor) -> bool:
    """Whether `run` computes what the layer does: inside a graph, float32, nothing watched.

    Args:
        layer: A layer around LSTMs with Keras's own activations and a bias, without dropout, that
            returns concatenated sequences.
        x: Its input.
    """
    inner = layers_in(layer, include_self=False)
    return (
        tf.inside_function()
        and x.dtype == tf.float32
        and all(
            # `keras_prokt.distillers.features` watches a layer by a `call` of the instance.
            each.dtype_policy.name == "float32" and "call" not in vars(each)
            for each in inner
        )
    )


def run(layer: keras.layers.Bidirectional, x: Tensor, mask: Tensor) -> Tensor:
    """The states of both directions.

    Args:
        layer: As in `is_applicable`.
        x: Shape `(batch, length, dimension)`, float32.
        mask: Shape `(batch, length)`, bool; where it is false a direction keeps its state.

    Returns:
        Shape `(batch, length, 2 · units)`, zero where the mask is false.
    """
    cells = (layer.forward_layer.cell, layer.backward_layer.cell)
    weights = [(cell.kernel, cell.recurrent_kernel, cell.bias) for cell in cells]
    return _states(x, mask, *(tf.convert_to_tensor(w) for of_cell in weights for w in of_cell))


@tf.custom_gradient
def _states(x: Tensor, mask: Tensor, *weights: Tensor) -> Any:
    kernels, recurrent_kernels, biases = weights[::3], weights[1::3], weights[2::3]
    units, dimension = recurrent_kernels[0].shape[0], x.shape[-1]
    batch, length = tf.unstack(tf.shape(mask))
    mask = tf.transpose(mask)
    rows = tf.reshape(tf.transpose(x, (1, 0, 2)), (-1, dimension))
    inputs = [
        tf.reshape(tf.nn.bias_add(tf.matmul(rows, kernel), bias), (length, batch, 4 * units))
        for kernel, bias in zip(kernels, biases, strict=True)
    ]
    recurrent = tf.stack(recurrent_kernels)
    shown = tf.cast(mask, x.dtype)[:, :, None]

    def both(values: Sequence[Tensor], step: Tensor) -> Tensor:
        """Both directions' rows at a step: one goes up, the other down."""
        return tf.concat([values[0][step], values[1][length - 1 - step]], 0)

    def times_recurrent(values: Tensor, transposed: bool = False) -> Tensor:
        by_direction = tf.reshape(values, (2, batch, values.shape[-1]))
        product = tf.matmul(by_direction, recurrent, transpose_b=transposed)
        return tf.reshape(product, (2 * batch, units if transposed else 4 * units))

    def forward(step: Tensor, hidden: Tensor, cell: Tensor, *arrays: Any) -> Any:
        real = both((mask, mask), step)
        gates = both(inputs, step) + times_recurrent(hidden)
        i, f, c, o = tf.split(gates, 4, axis=1)
        i, f, c, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(c), tf.sigmoid(o)
        new_cell = f * cell + i * c
        tanh = tf.tanh(new_cell)
        # Whole rows: `tf.where` would broadcast the mask, at many times the cost.
        new_cell = tf.raw_ops.Select(condition=real, x=new_cell, y=cell)
        new_hidden = tf.raw_ops.Select(condition=real, x=o * tanh, y=hidden)
        kept = (i, f, c, o, tanh, cell)
        arrays = [array.write(step, value) for array, value in zip(arrays, kept, strict=False)] + [
            array.write(place, half)
            for array, place, half in zip(
                arrays[-2:], (step, length - 1 - step), tf.split(new_hidden, 2), strict=True
            )
        ]
        return (step + 1, new_hidden, new_cell, *arrays)

    def arrays_of(count: int) -> list[tf.TensorArray]:
        return [tf.TensorArray(x.dtype, length, infer_shape=False) for _ in range(count)]

    zeros = tf.zeros((2 * batch, units), x.dtype)
    results = tf.while_loop(
        lambda step, *_: step < length, forward, (0, zeros, zeros, *arrays_of(8))
    )
    *kept, upward, downward = results[3:]

    def stacked(array: tf.TensorArray, width: int) -> Tensor:
        return tf.reshape(array.stack(), (length, batch, width))

    hidden = [stacked(upward, units), stacked(downward, units)]

    def gradient(upstream: Tensor) -> list[Tensor | None]:
        of_states = tf.split(tf.transpose(upstream, (1, 0, 2)) * shown, 2, axis=2)

        def backward(step: Tensor, of_hidden: Tensor, of_cell: Tensor, *arrays: Any) -> Any:
            real = both((mask, mask), step)
            i, f, c, o, tanh, cell = (
                tf.ensure_shape(array.read(step), (None, units)) for array in kept
            )
            of_hidden = of_hidden + both(of_states, step)
            # A row whose state stayed hands its gradient on.
            passed_hidden = tf.raw_ops.Select(condition=real, x=zeros, y=of_hidden)
            passed_cell = tf.raw_ops.Select(condition=real, x=zeros, y=of_cell)
            of_hidden, of_cell = of_hidden - passed_hidden, of_cell - passed_cell
            of_cell = of_cell + tf.raw_ops.TanhGrad(y=tanh, dy=of_hidden * o)
            of_gates = tf.concat(
                [
                    tf.raw_ops.SigmoidGrad(y=i, dy=of_cell * c),
                    tf.raw_ops.SigmoidGrad(y=f, dy=of_cell * cell),
                    tf.raw_ops.TanhGrad(y=c, dy=of_cell * i),
                    tf.raw_ops.SigmoidGrad(y=o, dy=of_hidden * tanh),
                ],
                axis=1,
            )
            places = (step, length - 1 - step)
            arrays = [
                array.write(place, half)
                for array, place, half in zip(arrays, places, tf.split(of_gates, 2), strict=True)
            ]
            of_hidden = passed_hidden + times_recurrent(of_gates, transposed=True)
            return (step - 1, of_hidden, passed_cell + of_cell * f, *arrays)

        loop = tf.while_loop(
            lambda step, *_: step >= 0, backward, (length - 1, zeros, zeros, *arrays_of(2))
        )
        of_rows, of_weights = [], []
        start = tf.zeros((1, batch, units), x.dtype)
        before = [
            tf.concat([start, hidden[0][:-1]], 0),
            tf.concat([hidden[1][1:], start], 0),
        ]
        for array, previous, kernel in zip(loop[3:], before, kernels, strict=True):
            of_gates = tf.reshape(stacked(array, 4 * units), (-1, 4 * units))
            previous = tf.reshape(previous, (-1, units))
            of_rows.append(tf.matmul(of_gates, kernel, transpose_b=True))
            of_weights += [
                tf.matmul(rows, of_gates, transpose_a=True),
                tf.matmul(previous, of_gates, transpose_a=True),
                tf.reduce_sum(of_gates, 0),
            ]
        of_x = tf.reshape(of_rows[0] + of_rows[1], (length, batch, dimension))
        return [tf.transpose(of_x, (1, 0, 2)), None, *of_weights]

    return tf.transpose(tf.concat(hidden, axis=2) * shown, (1, 0, 2)), gradient
