"""How the layers that objectives own start."""

import keras


def uniform_by_inputs(inputs: int) -> keras.initializers.Initializer:
    """Uniform in `±1/√inputs`, for kernels and biases alike.

    It is how the adapters of the CRD codebase start (PyTorch's default), whose loss weights suppose
    outputs of that size.

    Args:
        inputs: Number of values that one output reads.

    Returns:
        A new initializer: one object used twice would draw the same numbers twice.

    Example:

    >>> from keras_prokt.losses.adapters import uniform_by_inputs
    >>> uniform_by_inputs(4).maxval
    0.5
    """
    limit = inputs**-0.5
    return keras.initializers.RandomUniform(-limit, limit)
