"""The one primitive that differs between the backends: differentiation of a recorded forward.

A student's forward is used twice in a ProKT step: its distribution is the teacher's proximal
target, and after the teacher's update its loss is differentiated. `record` runs a forward once
and lets its gradient be taken later, so that the forward is not paid for twice.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras

Tensor = Any
LossFunction = Callable[[Any], tuple[Tensor, Any]]


class Recording:
    """Outputs of a forward whose gradient can still be taken.

    Attributes:
        outputs: What the forward returned (a nested structure of float tensors).
    """

    outputs: Any

    def gradients(
        self, loss_function: LossFunction, variables: Sequence[keras.Variable] = ()
    ) -> tuple[Any, list[Tensor]]:
        """Differentiates a function of the outputs.

        Args:
            loss_function: Takes `outputs`, returns `(loss, auxiliary)` with a scalar loss.
            variables: Variables that only `loss_function` reads (adapters of objectives).

        Returns:
            `(auxiliary, gradients)`: one gradient for each recorded variable, then one for each
            of `variables`.
        """
        raise NotImplementedError


def record(
    forward: Callable[[], Any],
    variables: Sequence[keras.Variable],
    all_variables: Sequence[keras.Variable],
) -> Recording:
    """Runs a forward and keeps what its gradient needs.

    Args:
        forward: Function without arguments; reads and assigns Keras variables.
        variables: Variables to differentiate for.
        all_variables: Every variable that the forward or a later loss function may read or
            assign, `variables` included. (JAX passes values explicitly; the others do not look.)

    Returns:
        A `Recording`. What the forward assigned (moving statistics, random seeds) is assigned.
    """
    return _RECORDINGS[keras.backend.backend()](forward, list(variables), list(all_variables))


def without_gradient() -> AbstractContextManager[Any]:
    """A context in which nothing is recorded (only PyTorch records unasked)."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.no_grad()
    return nullcontext()


def after(done: Sequence[Tensor], inputs: Any) -> Any:
    """The same inputs, once all of `done` has been computed.

    TensorFlow runs what it can as soon as it can: without this the student's forward, which needs
    nothing of the teacher, runs beside the teacher's, and the memory holds what the gradients of
    both need at the same time. Forwards that nothing is kept of are left to run beside others:
    small models don't fill all cores. So is a student's forward that is used twice, since it is
    kept through the teacher's step anyway. The other backends go through a step in order.
    """
    if keras.backend.backend() != "tensorflow":
        return inputs
    import tensorflow as tf

    with tf.control_dependencies(list(done)):
        return tf.nest.map_structure(tf.identity, inputs)


class _TensorFlowRecording(Recording):
    def __init__(self, forward, variables, all_variables):
        import tensorflow as tf

        self._tape = tf.GradientTape()
        self._variables = variables
        with self._tape:
            self.outputs = forward()

    def gradients(self, loss_function, variables=()):
        import tensorflow as tf

        variables = self._variables + list(variables)
        with self._tape:  # a tape goes on recording when it is entered again
            loss, auxiliary = loss_function(self.outputs)
        # Where a loss does not reach (the head, if only features are matched) JAX gives zeros too.
        zero = tf.UnconnectedGradients.ZERO
        return auxiliary, self._tape.gradient(loss, [v.value for v in variables], None, zero)


class _TorchRecording(Recording):
    def __init__(self, forward, variables, all_variables):
        self._variables = variables
        self.outputs = forward()

    def gradients(self, loss_function, variables=()):
        import torch

        variables = self._variables + list(variables)
        loss, auxiliary = loss_function(self.outputs)
        gradients = torch.autograd.grad(loss, [v.value for v in variables], allow_unused=True)
        return auxiliary, [
            torch.zeros_like(v.value) if gradient is None else gradient
            for gradient, v in zip(gradients, variables, strict=True)
        ]


class _JaxRecording(Recording):
    def __init__(self, forward, variables, all_variables):
        import jax

        self._all_variables = all_variables
        values = [v.value for v in variables]
        run = self._as_function_of(variables, forward)
        self.outputs, self._pullback, updates = jax.vjp(run, values, has_aux=True)
        self._assign(updates)

    def gradients(self, loss_function, variables=()):
        import jax

        variables = list(variables)

        def run(outputs, values):
            function = self._as_function_of(variables, lambda: loss_function(outputs))
            (loss, auxiliary), updates = function(values)
            return loss, (auxiliary, updates)

        differentiate = jax.value_and_grad(run, argnums=(0, 1), has_aux=True)
        (_, (auxiliary, updates)), (of_outputs, of_variables) = differentiate(
            self.outputs, [v.value for v in variables]
        )
        self._assign(updates)
        return auxiliary, [*self._pullback(of_outputs)[0], *of_variables]

    def _as_function_of(self, variables, function):
        """`function()` as a pure function of the values of some variables."""
        # A nested StatelessScope does not see the values of the outer one: pass them all on.
        given = {id(v) for v in variables}
        state = [v for v in self._all_variables if id(v) not in given]
        present = [(v, v.value) for v in state]

        def run(values):
            mapping = [*present, *zip(variables, values, strict=True)]
            with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
                result = function()
            return result, [scope.get_current_value(v) for v in state]

        self._state = state
        return run

    def _assign(self, values):
        for variable, value in zip(self._state, values, strict=True):
            variable.assign(value)


_RECORDINGS: dict[str, type[Recording]] = {
    "tensorflow": _TensorFlowRecording,
    "jax": _JaxRecording,
    "torch": _TorchRecording,
}
