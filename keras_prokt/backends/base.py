"""What a backend has to say: the contract, with answers for one that has nothing of its own.

A backend implements `record`; everything else has an answer here that is right everywhere, if not
fast.
"""

import functools
import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import keras

from keras_prokt.typing import Tensor

Variables = Sequence[keras.Variable]
LossFunction = Callable[[Any], tuple[Tensor, Any]]

KERNELS = (
    "adam_update",
    "batch_normalization",
    "bert_pooled_output",
    "bidirectional_lstm",
    "clip_by_global_norm",
    "grouped_pointwise_convolution",
    "momentum_update",
)
"""What a backend may compute by a kernel of its own (`Backend.by_kernel`). The caller, which does
the same in `keras.ops`, says what it is."""

_XLA_FLAG = "--xla_gpu_deterministic_ops"


class Recording:
    """Outputs of a forward whose gradient can still be taken.

    Attributes:
        outputs: What the forward returned (a nested structure of float tensors).
    """

    outputs: Any

    def gradients(
        self, loss_function: LossFunction, variables: Variables = ()
    ) -> tuple[Any, list[Tensor]]:
        """Differentiates a function of the outputs.

        Args:
            loss_function: Takes `outputs`, returns `(loss, auxiliary)` with a scalar loss.
            variables: Variables that only `loss_function` reads (adapters of objectives).

        Returns:
            `(auxiliary, gradients)`: one gradient for each recorded variable, then one for each
            of `variables`; zeros where the loss does not reach one.
        """
        raise NotImplementedError


class Backend:
    """What computes.

    Example:

    >>> import keras
    >>> from keras_prokt import backends
    >>> weight = keras.Variable(3.0)
    >>> recording = backends.current().record(lambda: weight * weight, [weight], [weight])
    >>> _, [gradient] = recording.gradients(lambda square: (square, None))
    >>> float(gradient)
    6.0
    """

    name: str
    """What Keras calls it."""
    kernels: Mapping[str, str] = {}
    """`module:function` of each of `KERNELS` that it has; `by_kernel` calls them."""
    builds_tensorflow_graphs: bool = False
    """Whether models become graphs of TensorFlow, of which SavedModels are made."""
    compiles_every_shape: bool = False
    """Whether each new shape of a batch is compiled anew, so that few shapes are faster."""
    reads_outputs_again: bool = True
    """Whether what one forward computed may be read by another in the same step. If not, the
    compiler computes once what is equal."""

    # Differentiation and updates.

    def record(
        self, forward: Callable[[], Any], variables: Variables, all_variables: Variables
    ) -> Recording:
        """Runs a forward once and keeps what its gradient needs.

        A student's forward is used twice in a ProKT step: its distribution is the teacher's
        proximal target, and after the teacher's update its loss is differentiated.

        Args:
            forward: Function without arguments; reads and assigns Keras variables.
            variables: Variables to differentiate for.
            all_variables: Every variable that the forward or a later loss function may read or
                assign, `variables` included, for backends that pass values explicitly.

        Returns:
            A `Recording`. What the forward assigned (moving statistics, random seeds) is assigned.
        """
        raise NotImplementedError

    def without_gradient(self) -> AbstractContextManager[Any]:
        """A context in which nothing is recorded."""
        return nullcontext()

    def forgetting_assignments(self, variables: Variables) -> AbstractContextManager[Any]:
        """A context in which variables have the values they have now, and which keeps no others.

        Args:
            variables: Every variable that is read or assigned inside.
        """
        return keras.StatelessScope()

    def after(self, done: Sequence[Tensor], inputs: Any) -> Any:
        """The same inputs, once all of `done` has been computed.

        What runs as soon as it can would run a student's forward, which needs nothing of the
        teacher, beside the teacher's, and the memory would hold what the gradients of both need at
        the same time. Forwards that nothing is kept of are left to run beside others: small models
        don't fill all cores. So is a student's forward that is used twice, since it is kept through
        the teacher's step anyway.

        Args:
            done: Tensors.
            inputs: A nested structure of arrays or tensors.
        """
        return inputs

    def apply_gradients(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[Tensor],
        variables: Variables,
    ) -> None:
        """Applies an optimizer's update, inside a step."""
        optimizer.apply(gradients, variables)

    def number_of_replicas(self) -> int:
        """Devices that share a batch and add up their gradients."""
        return 1

    def mean_over_replicas(self, value: Tensor) -> Tensor:
        """The mean of a scalar over the devices that share a batch, inside a step."""
        return value

    def by_kernel(self, name: str, *arguments: Any) -> Any:
        """What a kernel of the backend's own computes, or `None` where it has none for that.

        Args:
            name: One of `KERNELS`.
            *arguments: Those of the kernel.

        Example:

        >>> from keras_prokt import backends
        >>> backends.get("torch").by_kernel("clip_by_global_norm", [], 1.0) is None
        True
        """
        if name not in self.kernels:
            return None
        return _function(self.kernels[name])(*arguments)

    # Keras's trainer: what it calls for a step.

    def run_step(
        self, model: keras.Model, step: Callable[[Any], dict[str, Any]], *arguments: Any
    ) -> Any:
        """Runs a step on what the backend's trainer hands to `train_step` or `test_step`.

        Args:
            model: The model of the trainer.
            step: Takes the batch, returns the logs; reads and assigns variables.
            *arguments: Those of the trainer; the last one is the batch.

        Returns:
            What the trainer expects.
        """
        return step(*arguments)

    def train_function(
        self, model: keras.Model, function: Callable[..., Any]
    ) -> Callable[..., Any]:
        """The train function to be used for `steps_per_execution` steps.

        Args:
            model: A compiled model.
            function: What Keras made.
        """
        return function

    def test_function(self, model: keras.Model, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same for evaluation."""
        return function

    def predict_function(
        self, model: keras.Model, function: Callable[..., Any]
    ) -> Callable[..., Any]:
        """The same for prediction."""
        return function

    def keeping_state(self, model: keras.Model, function: Callable[..., Any]) -> Callable[..., Any]:
        """A train, test or predict function that loses no state where it raises.

        Args:
            model: The model of the trainer.
            function: The function; raises `StopIteration` if there is no batch.
        """
        return function

    def put_state_back(self, model: keras.Model) -> None:
        """Makes a model's variables have the values that the trainer has for them, between steps.

        Args:
            model: The model of the trainer.
        """

    def trace(self, function: Callable[[Any], Any], inputs: Any) -> None:
        """Calls a function for what it notes on its way, computing as little as possible.

        Args:
            function: Takes `inputs`.
            inputs: A nested structure of tensors.
        """
        function(inputs)

    def last_operation(self, function: Callable[..., Any], *args: Any, **named: Any) -> str | None:
        """Name of the backend's own operation that a function returns the result of.

        Args:
            function: What may call functions of the backend, which take no symbolic tensors.
            *args: What it is called with, `keras.KerasTensor`s.
            **named: The same by name.

        Returns:
            In small letters, such as "softmax"; `None` where the backend cannot say.
        """
        return None

    # Data.

    def data_set(
        self,
        stream: Callable[[], Iterator[Any]],
        signature: Callable[[], Any],
        length: int | None = None,
    ) -> Any:
        """A data set of batches that `fit` reads faster than Python's iterators; `None` without.

        Args:
            stream: Returns batches of arrays from the first one on.
            signature: Returns the structure of a batch, of `keras.KerasTensor`.
            length: Number of batches; `None` if the stream does not end.
        """
        return None

    def enough_to_compile(self, data: Any, length: int) -> Any:
        """Batches for which everything is compiled that all of them need.

        Args:
            data: What `data_set` returned, or a `keras.utils.PyDataset`.
            length: Number of batches.
        """
        return data

    def batches_on_device(
        self, values: Any, transform: Callable[[Any, Any, Any], Any]
    ) -> Callable[[Any, Any], Any] | None:
        """Copies an array to the device and makes batches of it there; `None` where it can't.

        Args:
            values: A NumPy array.
            transform: `(rows, drawn, xp)` -> batch, written for the arrays of `xp`: `numpy`, or the
                backend's module of the same functions.

        Returns:
            `(indices, drawn)` -> batch.
        """
        return None

    # Runs.

    def quick(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The function itself, or one that answers many batches of several shapes faster.

        Args:
            function: Of a structure of arrays, without side effects.
        """
        return function

    def count_operations(self, model: keras.Model, inputs: Any) -> int | None:
        """Floating-point operations of a forward in inference mode.

        Args:
            model: A built model.
            inputs: Arrays.

        Returns:
            The number, a multiplication and an addition being two; `None` if it cannot be counted.
        """
        return None

    def count_multiply_adds(self, model: keras.Model, inputs: Any) -> int | None:
        """Multiply-adds of a forward in inference mode: of matrix products and convolutions alone.

        Args:
            model: A built model.
            inputs: Arrays.

        Returns:
            The number; `None` if it cannot be counted.
        """
        return None

    def accelerators(self) -> list[str]:
        """Name and model of each accelerator."""
        return []

    def make_deterministic(self) -> None:
        """Chooses operations that give the same bits every time, on accelerators too.

        Raises:
            ValueError: If that had to be said before anything was computed.
        """
        if not self._has_xla_flag():
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_XLA_FLAG}=true".strip()

    def is_deterministic(self) -> bool:
        """Whether `make_deterministic` has been called, or the like."""
        return self._has_xla_flag()

    def keep_compiled_programs(self, folder: Path) -> None:
        """Keeps programs that were compiled for an accelerator, where the next process finds them.

        Call it before anything is computed.

        Args:
            folder: Where; made when something is kept.
        """

    @staticmethod
    def _has_xla_flag() -> bool:
        flags = os.environ.get("XLA_FLAGS", "").split()
        of_ours = [flag for flag in flags if flag.partition("=")[0] == _XLA_FLAG]
        # The last one counts.
        return bool(of_ours) and of_ours[-1] in (_XLA_FLAG, f"{_XLA_FLAG}=true")


@functools.cache
def _function(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
