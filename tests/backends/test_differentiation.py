"""The order of forwards, which no result shows: without it the memory holds both networks.

A version that waited for nothing was tried and failed here.
"""

import keras
import numpy as np
import pytest

from keras_prokt import backends


def test_the_inputs_are_the_same():
    inputs = {"ids": np.array([[1, 2]]), "mask": np.array([[1.0, 0.0]])}
    done = [keras.ops.ones(2)]
    results = backends.current().after(done, inputs)
    assert set(results) == set(inputs)
    for name, value in inputs.items():
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(results[name]), value)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others go in order")
def test_tensorflow_waits_for_all_gradients():
    import tensorflow as tf

    table, weights = tf.Variable(tf.ones((3, 2))), tf.Variable(tf.ones((2,)))

    @tf.function
    def step(inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table, inputs) * weights)
        gradients = tape.gradient(loss, [table, weights])
        assert isinstance(gradients[0], tf.IndexedSlices)
        waiting = backends.current().after(gradients, inputs)
        names.update(op.name for op in waiting.op.control_inputs)
        expected.update((gradients[0].op.name, gradients[1].op.name))
        return waiting

    names, expected = set(), set()
    assert step(tf.constant([0, 2])).numpy().tolist() == [0, 2]
    assert names == expected
    assert len(names) == 2
