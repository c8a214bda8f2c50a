"""Gradients and compiled calls of loss functions, on every backend."""

import keras
import numpy as np
from keras import ops

from keras_prokt import backends


def gradient(function, value):
    """Gradient of the mean of `function` with respect to its argument, a NumPy array."""
    variable = keras.Variable(np.asarray(value, "float32"))
    recording = backends.current().record(
        lambda: ops.mean(function(variable.value)), [variable], [variable]
    )
    _, [result] = recording.gradients(lambda loss: (loss, loss))
    return ops.convert_to_numpy(result)


def gradients_of_objective(objective, teacher, student, part):
    """Gradients of the mean of an objective, in training mode, as NumPy arrays.

    They are with respect to the student's `part`, which is an array or a list of arrays, and to the
    objective's own trainable variables: `(of_part, of_variables)`, both lists.
    """
    values = student[part] if isinstance(student[part], list) else [student[part]]
    inputs = [keras.Variable(np.asarray(value, "float32")) for value in values]

    def loss():
        read = [variable.value for variable in inputs]
        read = read if isinstance(student[part], list) else read[0]
        return ops.mean(objective(teacher, {**student, part: read}, training=True))

    variables = [*inputs, *objective.trainable_variables]
    others = [v for v in objective.variables if all(v is not one for one in variables)]
    recording = backends.current().record(loss, variables, [*variables, *others])
    _, results = recording.gradients(lambda value: (value, value))
    results = [ops.convert_to_numpy(result) for result in results]
    return results[: len(inputs)], results[len(inputs) :]


def compiled(function, *values):
    """What a compiled function gives for NumPy arrays; TensorFlow's knows no batch size."""
    values = [np.asarray(value, "float32") for value in values]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec((None, *value.shape[1:]), "float32") for value in values]
        function = tf.function(function, input_signature=signature)
    elif keras.backend.backend() == "jax":
        import jax

        function = jax.jit(function)
    return ops.convert_to_numpy(function(*[ops.convert_to_tensor(value) for value in values]))
