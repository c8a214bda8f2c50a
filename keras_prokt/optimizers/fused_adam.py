"""Adam whose update is one pass over each variable, in place."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_prokt.backends.tensorflow_kernels.optimizers import clip_by_global_norm, resource_handle


@keras.saving.register_keras_serializable(package="keras_prokt")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, on TensorFlow by a single kernel for each variable.

    `m ← m + (1 − β₁)(g − m)`, `v ← v + (1 − β₂)(g² − v)`,
    `w ← w − η √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)` (Kingma and Ba 2015, section 2, the order
    of its last remark). Keras composes that of operations that read and write each variable
    several times, which for BERT and its vocabulary is a sixth of a training step on a CPU.
    Clipping by the norm of all gradients reads of an embedding's gradient the rows that a batch
    has. Other backends, distribution strategies and `amsgrad` use Keras's own update, with the same
    result.

    Args: as in `keras.optimizers.Adam`.

    Example:

    >>> from keras_prokt.optimizers import FusedAdam
    >>> FusedAdam(1e-3, global_clipnorm=1.0).name
    'fused_adam'
    """

    def __init__(self, *arguments: Any, name: str = "fused_adam", **options: Any):
        super().__init__(*arguments, name=name, **options)

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        is_tensorflow = keras.backend.backend() == "tensorflow"
        if self.amsgrad or not (is_tensorflow and self._apply(gradient, variable, learning_rate)):
            super().update_step(gradient, variable, learning_rate)

    def _clip_gradients(self, grads: Sequence[Any]) -> Sequence[Any]:
        by_global_norm = self.global_clipnorm and not self.clipnorm
        if by_global_norm and keras.backend.backend() == "tensorflow":
            return clip_by_global_norm(grads, self.global_clipnorm)
        return super()._clip_gradients(grads)

    def _apply(self, gradient: Any, variable: Any, learning_rate: Any) -> bool:
        """The update by TensorFlow's kernel; `False` where it has none."""
        import tensorflow as tf

        if tf.distribute.has_strategy():  # variables are then several, one on each device
            return False
        index = self._get_variable_index(variable)
        of_weight, of_momentum, of_velocity = (
            resource_handle(v) for v in (variable, self._momentums[index], self._velocities[index])
        )
        dtype = variable.dtype
        step = ops.cast(self.iterations + 1, dtype)
        powers = (ops.power(ops.cast(beta, dtype), step) for beta in (self.beta_1, self.beta_2))
        first_power, second_power = powers
        tf.raw_ops.ResourceApplyAdam(
            var=of_weight,
            m=of_momentum,
            v=of_velocity,
            beta1_power=first_power,
            beta2_power=second_power,
            lr=ops.cast(learning_rate, dtype),
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
        )
        return True
