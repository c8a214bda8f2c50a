"""PyTorch modules: what a function of the user's makes, with weights in safetensors."""

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_prokt.recorders.base import Asked, OpenTeacher, named_as


def open_module(name: str, asked: Asked) -> OpenTeacher:
    """The module that `module:function` makes without arguments, with the weights of a file.

    Its `forward` gets one tensor, or several by the names of its arguments; it returns a tensor, or
    what has one as `logits`.
    """
    import torch

    module = _built(name).eval()
    arguments = inspect.signature(module.forward).parameters.values()
    needed = [a.name for a in arguments if a.default is a.empty and a.kind is not a.VAR_KEYWORD]
    known = {a.name for a in arguments}

    def predict(batch: Any) -> np.ndarray:
        with torch.no_grad():
            if isinstance(batch, Mapping):
                given = named_as(batch, needed, name)
                for key in known - set(given):  # what it takes besides, where there is such
                    try:
                        given |= named_as(batch, [key], name)
                    except ValueError:
                        continue
                predicted = module(**{key: torch.as_tensor(given[key]) for key in given})
            else:
                predicted = module(torch.as_tensor(batch))
        predicted = getattr(predicted, "logits", predicted)
        if not isinstance(predicted, torch.Tensor):
            raise ValueError(
                f"Expected {name!r} to return one tensor, received a {type(predicted).__name__}; "
                "wrap it in a module that does."
            )
        return predicted.float().numpy()

    return OpenTeacher(predict)


def _built(name: str) -> Any:
    """The module with its weights."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    function, _, weights = name.partition("@")
    if Path(weights).suffix != ".safetensors" or not Path(weights).is_file():
        raise ValueError(
            f"Expected module:function@FILE.safetensors with a file that is there, received "
            f"{name!r}; write it with safetensors.torch.save_file(module.state_dict(), FILE)."
        )
    source, _, attribute = function.partition(":")
    try:
        module = getattr(importlib.import_module(source), attribute)()
    except Exception as error:  # whatever the user's code raises
        raise ValueError(
            f"Expected {function}() to make a PyTorch module, received {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}; the module has to be importable (PYTHONPATH)."
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise ValueError(
            f"Expected {function}() to return a torch.nn.Module, received a "
            f"{type(module).__name__}."
        )
    try:
        module.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise ValueError(
            f"Expected the weights of {function}() in {weights!r}, received "
            f"{type(error).__name__}: {' '.join(str(error).split())[:300]}; save them of the same "
            "module."
        ) from error
    return module
