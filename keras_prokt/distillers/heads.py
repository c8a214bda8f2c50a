"""The outputs of a model: one, or a second one that only divergences read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
from keras import ops

from keras_prokt import outputs
from keras_prokt.names import is_known, unknown_name
from keras_prokt.outputs import Output
from keras_prokt.typing import Tensor

Shape: TypeAlias = tuple[int | None, ...]


@dataclass(frozen=True)
class Heads:
    """Which outputs of a model are for the labels, and which for the divergences.

    With one output it is both. A model with two, such as DeiT with its distillation token (Touvron
    et al. 2021, Training data-efficient image transformers, section 4), learns the labels with the
    first and its teacher with the second.

    Args:
        role: "teacher" or "student".
        second: Name of the output for the divergences: its key in a dict of outputs, or the layer
            that makes it. `None` for a model with one output.
    """

    role: str
    second: str | None = None

    def split(self, model: keras.Model, predicted: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """What a model returned in float32, and its second output as a part `logits`."""
        if self.second is None:
            return ops.cast(_only(predicted), "float32"), {}
        first, second = self._pair(model, predicted)
        return ops.cast(first, "float32"), {"logits": ops.cast(second, "float32")}

    def check(self, model: keras.Model, predicted: Any, kind: Output | None) -> Shape:
        """The shape of what a model returns, without the batch; its last entry is the width.

        Args:
            model: The model.
            predicted: What it returned, symbolic or not.
            kind: What it means, or `None` if the shape is to tell.

        Raises:
            ValueError: If it is not one tensor, or two of the same shape.
        """
        if self.second is None:
            self._check_is_one(model, _only(predicted))
            return _shape(self.role, _only(predicted), kind)
        first, second = (_shape(self.role, p, kind) for p in self._pair(model, predicted))
        if first != second:
            raise ValueError(
                f"Expected two outputs of the {self.role} of the same width, received "
                f"{_shown(first)} and {_shown(second)}; give both heads the same units."
            )
        return first

    def _check_is_one(self, model: keras.Model, predicted: Any) -> None:
        if isinstance(predicted, Mapping | list | tuple):
            raise ValueError(
                f"Expected the {self.role} to output one tensor of logits, received "
                f"{sorted(_by_name(model, predicted))}; give a keras.Model with one of them, or "
                f"name one that only divergences read ({self.role}_divergence_output=)."
            )

    def known_shape(self, model: keras.Model, kind: Output | None) -> Shape | None:
        """`check` of a functional or built sequential model, or `None` if none knows it yet."""
        is_open = isinstance(model, keras.Sequential) and not model.built
        if is_open or not getattr(model, "outputs", None):
            return None
        if isinstance(model, keras.Sequential):
            return self.check(model, model.outputs[0], kind)
        return self.check(model, model.output, kind)

    def without_second(self, model: keras.Model) -> keras.Model:
        """The model with the first output alone, the same layers and weights."""
        if self.second is None:
            return model
        first, _ = self._pair(model, model.output)
        return keras.Model(model.input, first, name=model.name)

    def _pair(self, model: keras.Model, predicted: Any) -> tuple[Any, Any]:
        named = _by_name(model, predicted)
        if not is_known(self.second, named):
            raise ValueError(unknown_name(f"an output of the {self.role}", self.second, named))
        if len(named) != 2:
            raise ValueError(
                f"Expected a {self.role} with two outputs, one for the labels and "
                f"{self.second!r} for the divergences, received {sorted(named)}; wrap it in a "
                "keras.Model with two."
            )
        first = next(value for name, value in named.items() if name != self.second)
        return first, named[self.second]


def _only(predicted: Any) -> Any:
    """The output of a model that returns it in a dict or list of its own."""
    if isinstance(predicted, Mapping | list | tuple) and len(predicted) == 1:
        return keras.tree.flatten(predicted)[0]
    return predicted


def _by_name(model: keras.Model, predicted: Any) -> dict[str, Any]:
    if isinstance(predicted, Mapping):
        return dict(predicted)
    values = list(predicted) if isinstance(predicted, list | tuple) else [predicted]
    names = getattr(model, "output_names", None) or [str(n) for n in range(len(values))]
    return dict(zip(names, values, strict=True))


def _shape(role: str, predicted: Any, kind: Output | None) -> Shape:
    if kind is None:
        shape = getattr(predicted, "shape", None)
        is_tensor = shape is not None and len(shape) > 1
        kind = outputs.infer(*shape[1:]) if is_tensor else outputs.get("classes")
    return kind.check_model_outputs(role, predicted)


def _shown(shape: Shape) -> str:
    return str(shape[-1] if len(shape) == 1 else shape)
