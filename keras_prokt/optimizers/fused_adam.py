"""Adam whose update is one pass over each variable, in place."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_prokt import backends


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
        if self.amsgrad or not self._update_by_kernel(gradient, variable, learning_rate):
            super().update_step(gradient, variable, learning_rate)

    def _clip_gradients(self, grads: Sequence[Any]) -> Sequence[Any]:
        clipped = None
        if self.global_clipnorm and not self.clipnorm:
            kernel = backends.current().by_kernel
            clipped = kernel("clip_by_global_norm", grads, self.global_clipnorm)
        return super()._clip_gradients(grads) if clipped is None else clipped

    def _update_by_kernel(self, gradient: Any, variable: Any, learning_rate: Any) -> bool | None:
        index = self._get_variable_index(variable)
        return backends.current().by_kernel(
            "adam_update",
            variable,
            (self._momentums[index], self._velocities[index]),
            gradient,
            learning_rate,
            self.iterations,
            (self.beta_1, self.beta_2),
            self.epsilon,
        )
