"""What a served graph does with requests that do not fit: an error to the caller.

A server hands tensors to the graph as they came; kernels may end its process at a wrong rank.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from keras_prokt.typing import Tensor

if TYPE_CHECKING:
    import tensorflow as tf


def checked_request(
    values: Mapping[str, Tensor], specs: "Mapping[str, tf.TensorSpec]"
) -> dict[str, Tensor]:
    """The inputs of a signature, behind operations that fail unless they fit.

    Refused are another rank or size, a free length of 0 (a batch of 0 is answered), numbers that
    are not finite, and inputs of different batches.

    Args:
        values: The inputs by name.
        specs: What each has to be.

    Returns:
        The same tensors.
    """
    import tensorflow as tf

    checked = {}
    for name, spec in specs.items():
        value = tf.ensure_shape(values[name], spec.shape)
        if value.dtype.is_floating:
            value = tf.debugging.check_numerics(
                value, f"Expected finite numbers in {name!r}, received others; send none of them"
            )
        checked[name] = value
    sizes = {name: tf.shape(value) for name, value in checked.items()}
    conditions = []
    for name, spec in specs.items():
        if None in spec.shape[1:]:
            lengths = sizes[name][1:]
            message = (
                f"Expected a length of at least 1 in {name!r}, received an empty input of size"
            )
            conditions.append((tf.reduce_all(lengths > 0), [message, lengths]))
    first, *others = sizes
    for name in others:
        batches = [sizes[first][0], sizes[name][0]]
        message = f"Expected as many rows in {name!r} as in {first!r}, received batches of"
        conditions.append((tf.equal(batches[0], batches[1]), [message, *batches]))
    with tf.control_dependencies([tf.debugging.Assert(*one) for one in conditions if one]):
        return {name: tf.identity(value) for name, value in checked.items()}


def checked_answers(answers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Answers, behind operations that fail where a number is not finite.

    Numbers of a request that are too large for the student have no answer.
    """
    import tensorflow as tf

    message = (
        "Expected numbers that the student can answer, received larger ones; scale as in training"
    )
    return {
        name: tf.debugging.check_numerics(value, message) if value.dtype.is_floating else value
        for name, value in answers.items()
    }
