"""Stochastic gradient descent with momentum and coupled weight decay."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_prokt import backends
from keras_prokt.arguments import checked_number


@keras.saving.register_keras_serializable(package="keras_prokt")
class CoupledSGD(keras.optimizers.Optimizer):
    """SGD with momentum in which weight decay is a part of the gradient.

    `m ← μ m + ∇L + d · w`, `w ← w − η m`, for every variable, biases and batch normalisation
    included. It is the optimizer of the CIFAR-100 recipe (PyTorch's `SGD`). Keras's
    `SGD(weight_decay=d)` takes `d · w` off the weights beside the momentum, without the factor η,
    which at η = 0.05 and μ = 0.9 decays several times as strongly, and its momentum keeps the
    learning rate with which each gradient came, so that a drop of the learning rate acts later.

    Args:
        learning_rate: η, a number or a schedule.
        momentum: μ in [0, 1).
        l2: d, at least 0; 5e-4 in the recipe. The penalty is `d/2 · ‖w‖²`.
        **options: As in `keras.optimizers.Optimizer` (clipping, moving averages, accumulation).

    Raises:
        ValueError: If momentum or l2 is out of range.

    Example:

    >>> from keras_prokt.optimizers import CoupledSGD
    >>> CoupledSGD(0.05, momentum=0.9, l2=5e-4).l2
    0.0005
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.9,
        l2: float = 0.0,
        *,
        name: str = "coupled_sgd",
        **options: Any,
    ):
        # Schedules are functions too.
        is_function = callable(learning_rate) and not isinstance(learning_rate, type)
        if not is_function and getattr(learning_rate, "shape", None) != ():
            rate = checked_number("learning_rate", learning_rate)
            if rate < 0:
                raise ValueError(f"Expected learning_rate of at least 0, received {rate!r}.")
        momentum = checked_number("momentum", momentum, is_bounded=True)
        l2 = checked_number("l2", l2, is_bounded=True)
        super().__init__(learning_rate=learning_rate, name=name, **options)
        if not 0 <= momentum < 1:
            raise ValueError(f"Expected momentum in [0, 1), received {momentum!r}.")
        if not 0 <= l2 < float("inf"):
            raise ValueError(f"Expected l2 of at least 0, received {l2!r}.")
        self.momentum = float(momentum)
        self.l2 = float(l2)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._momenta = self.add_optimizer_variables(variables, "momentum") if self.momentum else []

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        rate = ops.cast(learning_rate, variable.dtype)
        step = ops.cast(gradient, variable.dtype)
        if self.l2:
            step = ops.add(step, ops.multiply(variable, self.l2))
        if not self.momentum:
            self.assign_sub(variable, ops.multiply(rate, step))
            return
        momentum = self._momenta[self._get_variable_index(variable)]
        kernel = backends.current().by_kernel
        if kernel("momentum_update", variable, momentum, rate, step, self.momentum):
            return
        step = ops.add(ops.multiply(momentum, self.momentum), step)
        self.assign(momentum, step)
        self.assign_sub(variable, ops.multiply(rate, step))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "l2": self.l2}
