"""JAX: in a step all variables are arguments and results."""

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from jax._src import xla_bridge

from keras_prokt.backends import jax_steps
from keras_prokt.backends.base import Backend, LossFunction, Recording, Variables
from keras_prokt.typing import Tensor


class JaxBackend(Backend):
    """JAX, under `keras.distribution` too."""

    name = "jax"
    compiles_every_shape = True
    # What is computed inside a function that is differentiated exists there alone.
    reads_outputs_again = False

    def record(
        self, forward: Callable[[], Any], variables: Variables, all_variables: Variables
    ) -> Recording:
        return _JaxRecording(forward, list(variables), list(all_variables))

    def forgetting_assignments(self, variables: Variables) -> AbstractContextManager[Any]:
        # An inner scope does not see the values of the outer one.
        return keras.StatelessScope(state_mapping=[(v, v.value) for v in variables])

    def apply_gradients(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[Tensor],
        variables: Variables,
    ) -> None:
        # The loss-scaling optimizer branches on whether gradients are finite, and a branch cannot
        # assign variables.
        new_values, new_state = optimizer.stateless_apply(
            [v.value for v in optimizer.variables], gradients, [v.value for v in variables]
        )
        variables = [*variables, *optimizer.variables]
        for variable, value in zip(variables, [*new_values, *new_state], strict=True):
            variable.assign(value)

    def run_step(
        self, model: keras.Model, step: Callable[[Any], dict[str, Any]], *arguments: Any
    ) -> Any:
        values, data = arguments
        groups = _groups_of_state(model, len(values))
        mapping = [
            pair
            for group, of_group in zip(groups, values, strict=True)
            for pair in zip(group, of_group, strict=True)
        ]
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
            logs = step(data)
        return logs, tuple([scope.get_current_value(v) for v in group] for group in groups)

    def train_function(
        self, model: keras.Model, function: Callable[..., Any]
    ) -> Callable[..., Any]:
        # A distribution says how results are spread over devices, which Keras's own loop does.
        if (
            model.steps_per_execution > 1
            and model.jit_compile
            and not model.run_eagerly
            and keras.distribution.distribution() is None
            and jax_steps.is_worthwhile()
        ):
            return jax_steps.many_steps_at_once(model.train_step, model.steps_per_execution)
        return jax_steps.one_by_one(function, model.steps_per_execution, concatenates=False)

    def test_function(self, model: keras.Model, function: Callable[..., Any]) -> Callable[..., Any]:
        return jax_steps.one_by_one(function, model.steps_per_execution, concatenates=False)

    def predict_function(
        self, model: keras.Model, function: Callable[..., Any]
    ) -> Callable[..., Any]:
        return jax_steps.one_by_one(function, model.steps_per_execution, concatenates=True)

    def keeping_state(self, model: keras.Model, function: Callable[..., Any]) -> Callable[..., Any]:
        return jax_steps.keeping_state(function, lambda count: _groups_of_state(model, count))

    def put_state_back(self, model: keras.Model) -> None:
        model.jax_state_sync()

    def trace(self, function: Callable[[Any], Any], inputs: Any) -> None:
        jax.eval_shape(function, inputs)  # operation by operation it would compile each of them

    def batches_on_device(
        self, values: Any, transform: Callable[[Any, Any, Any], Any]
    ) -> Callable[[Any, Any], Any] | None:
        if keras.distribution.distribution() is not None:
            return None  # it places its batches itself, from the host's memory
        stored = jax.device_put(np.asarray(values))
        make = jax.jit(lambda stored, indices, drawn: transform(stored[indices], drawn, jax.numpy))
        return lambda indices, drawn: make(stored, indices.astype("int32"), drawn)

    def count_operations(self, model: keras.Model, inputs: Any) -> int | None:
        # Accelerators count nothing, so the program is made for the CPU, where it is not run.
        is_cpu = jax.default_backend() == "cpu"
        try:
            device = None if is_cpu else jax.local_devices(backend="cpu")[0]
            with contextlib.nullcontext() if is_cpu else jax.default_device(device):
                values = keras.tree.map_structure(np.asarray, inputs)
                lowered = jax.jit(lambda x: model(x, training=False)).lower(values)
                counted = lowered.cost_analysis()
        except (RuntimeError, ValueError):  # there is no CPU, or weights lie on several devices
            return None
        return int((counted or {}).get("flops", 0)) or None

    def accelerators(self) -> list[str]:
        devices = [device for device in jax.devices() if device.platform != "cpu"]
        return [f"{device.platform}:{device.id} {device.device_kind}" for device in devices]

    def make_deterministic(self) -> None:
        if not self.is_deterministic() and xla_bridge.backends_are_initialized():
            raise ValueError(
                "Expected a JAX that has not computed anything yet, received one that has; call "
                "use_deterministic_operations first in the process."
            )
        super().make_deterministic()

    def keep_compiled_programs(self, folder: Path) -> None:
        # Those for a CPU belong to one processor.
        if jax.default_backend() != "cpu" and jax.config.jax_compilation_cache_dir is None:
            jax.config.update("jax_compilation_cache_dir", str(folder))


def _groups_of_state(model: keras.Model, count: int) -> list[list[keras.Variable]]:
    """The variables of the state of Keras's trainer: in training 4 groups, evaluation 3, else 2."""
    optimizer = [model.optimizer.variables] if count == 4 else []
    metrics = [model.metrics_variables] if count > 2 else []
    return [model.trainable_variables, model.non_trainable_variables, *optimizer, *metrics]


class _JaxRecording(Recording):
    def __init__(
        self,
        forward: Callable[[], Any],
        variables: list[keras.Variable],
        all_variables: list[keras.Variable],
    ):
        self._all_variables = all_variables
        values = [v.value for v in variables]
        run = self._as_function_of(variables, forward)
        self.outputs, self._pullback, updates = jax.vjp(run, values, has_aux=True)
        self._assign(updates)

    def gradients(
        self, loss_function: LossFunction, variables: Variables = ()
    ) -> tuple[Any, list[Tensor]]:
        variables = list(variables)

        def run(outputs: Any, values: list[Tensor]) -> Any:
            function = self._as_function_of(variables, lambda: loss_function(outputs))
            (loss, auxiliary), updates = function(values)
            return loss, (auxiliary, updates)

        differentiate = jax.value_and_grad(run, argnums=(0, 1), has_aux=True)
        (_, (auxiliary, updates)), (of_outputs, of_variables) = differentiate(
            self.outputs, [v.value for v in variables]
        )
        self._assign(updates)
        return auxiliary, [*self._pullback(of_outputs)[0], *of_variables]

    def _as_function_of(
        self, variables: list[keras.Variable], function: Callable[[], Any]
    ) -> Callable[[list[Tensor]], tuple[Any, list[Tensor]]]:
        """`function()` as a pure function of the values of some variables."""
        # A nested StatelessScope does not see the values of the outer one: pass them all on.
        given = {id(v) for v in variables}
        state = [v for v in self._all_variables if id(v) not in given]
        present = [(v, v.value) for v in state]

        def run(values: list[Tensor]) -> tuple[Any, list[Tensor]]:
            mapping = [*present, *zip(variables, values, strict=True)]
            with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
                result = function()
            return result, [scope.get_current_value(v) for v in state]

        self._state = state
        return run

    def _assign(self, values: list[Tensor]) -> None:
        for variable, value in zip(self._state, values, strict=True):
            variable.assign(value)


BACKEND = JaxBackend()
