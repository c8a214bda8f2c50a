"""PyTorch: operation by operation, on one device."""

import os
from contextlib import AbstractContextManager
from typing import Any

import keras
import torch
from torch.utils.flop_counter import FlopCounterMode

from keras_prokt.backends.base import Backend, LossFunction, Recording, Variables
from keras_prokt.typing import Tensor


class TorchBackend(Backend):
    """PyTorch; it records unasked."""

    name = "torch"

    def record(self, forward: Any, variables: Variables, all_variables: Variables) -> Recording:
        return _TorchRecording(forward(), variables)

    def without_gradient(self) -> AbstractContextManager[Any]:
        return torch.no_grad()

    def apply_gradients(self, optimizer: Any, gradients: Any, variables: Variables) -> None:
        with torch.no_grad():
            optimizer.apply(gradients, variables)

    def count_operations(self, model: keras.Model, inputs: Any) -> int | None:
        """Of matrix products and convolutions."""
        values = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        with FlopCounterMode(display=False) as counter:
            model(values, training=False)
        return int(counter.get_total_flops()) or None

    def accelerators(self) -> list[str]:
        count = torch.cuda.device_count()
        return [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(count)]

    def make_deterministic(self) -> None:
        super().make_deterministic()
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)

    def is_deterministic(self) -> bool:
        return torch.are_deterministic_algorithms_enabled()


class _TorchRecording(Recording):
    def __init__(self, outputs: Any, variables: Variables):
        self.outputs = outputs
        self._variables = list(variables)

    def gradients(
        self, loss_function: LossFunction, variables: Variables = ()
    ) -> tuple[Any, list[Tensor]]:
        variables = self._variables + list(variables)
        loss, auxiliary = loss_function(self.outputs)
        gradients = torch.autograd.grad(loss, [v.value for v in variables], allow_unused=True)
        return auxiliary, [
            torch.zeros_like(v.value) if gradient is None else gradient
            for gradient, v in zip(gradients, variables, strict=True)
        ]


BACKEND = TorchBackend()
