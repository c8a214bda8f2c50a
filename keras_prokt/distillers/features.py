"""Reads parts out of the middle of any Keras model in one forward pass, and finds where they are.

A *tap* is the path of a layer, `"block/conv"`, whose output is read, or `"block/relu:input"`, the
input of one. It works on functional, sequential and subclassed models, with submodels in them.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_prokt import backends
from keras_prokt.arguments import check_mapping
from keras_prokt.keras_internals import layers_in
from keras_prokt.layer_calls import around_calls
from keras_prokt.losses.base import PARTS
from keras_prokt.models.logit_layers import LogitsOfModel
from keras_prokt.names import is_known, unknown_name
from keras_prokt.typing import Tensor

Taps = dict[str, str | list[str]]
"""Part of a network -> its tap or taps."""

INPUT = ":input"
MODEL_PARTS = tuple(part for part in PARTS if part not in ("logits", "mask", "index"))
LISTS = ("stages", "pre_activations", "hidden_states", "attentions")
"""Parts that are lists of tensors."""


class Call(NamedTuple):
    """One call of a layer in a forward."""

    path: str
    layer: keras.layers.Layer
    inputs: Any
    outputs: Any


@contextlib.contextmanager
def recording_calls(layers: Mapping[str, keras.layers.Layer]) -> Iterator[list[Call]]:
    """Records the calls of some layers, in the order in which they end.

    Args:
        layers: Path -> layer.

    Returns:
        A context that gives the list of calls, filled as the layers run.
    """
    calls: list[Call] = []
    paths = {id(layer): path for path, layer in layers.items()}

    def record(layer: keras.layers.Layer, call: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = call(*args, **kwargs)
        inputs = args[0] if args else next(iter(kwargs.values()), None)
        calls.append(Call(paths[id(layer)], layer, inputs, outputs))
        return outputs

    with around_calls(layers.values(), record):
        yield calls


def layers_by_path(model: keras.layers.Layer) -> dict[str, keras.layers.Layer]:
    """Every layer inside a model by its path: names joined by `/`, numbered where they repeat."""
    found: dict[str, keras.layers.Layer] = {}
    seen: set[int] = set()

    def walk(layer: keras.layers.Layer, prefix: str) -> None:
        for child in layers_in(layer, include_self=False, recursive=False):
            if id(child) in seen or isinstance(child, keras.layers.InputLayer):
                continue
            seen.add(id(child))
            path, number = f"{prefix}{child.name}", 2
            while path in found:
                path, number = f"{prefix}{child.name}#{number}", number + 1
            found[path] = child
            walk(child, f"{path}/")

    # What computes logits back is no part of the network that a user names layers of.
    walk(model.model if isinstance(model, LogitsOfModel) else model, "")
    return found


def observe(model: keras.Model, inputs: Any) -> list[Call]:
    """Runs a model on zeros in inference mode and records every layer in it.

    Args:
        model: A built model.
        inputs: Structure of things with a shape (first dimension the batch) and a dtype; unknown
            dimensions become 8.

    Returns:
        The calls in the order in which they ended, with symbolic tensors (`keras.KerasTensor`);
        nothing of the model has changed.
    """

    def zeros(spec: Any) -> Tensor:
        shape = [2, *(8 if size is None else size for size in spec.shape[1:])]
        return ops.zeros(shape, keras.backend.standardize_dtype(spec.dtype))

    def run(values: Any) -> Any:
        return model(values, training=False)

    values = keras.tree.map_structure(zeros, inputs)
    with recording_calls(layers_by_path(model)) as calls:
        backends.current().trace(run, values)
    return [
        call._replace(inputs=_symbolic(call.inputs), outputs=_symbolic(call.outputs))
        for call in calls
    ]


def _symbolic(value: Any) -> Any:
    def symbolic_tensor(tensor: Any) -> Any:
        if not hasattr(tensor, "shape"):
            return tensor
        return keras.KerasTensor(
            tuple(tensor.shape), dtype=keras.backend.standardize_dtype(tensor.dtype)
        )

    return keras.tree.map_structure(symbolic_tensor, value)


def check_taps(taps: Mapping[str, Any], model: keras.Model, role: str) -> Taps:
    """The taps that a user gave, checked against the model.

    Raises:
        ValueError: On unknown parts or layers, and on lists where one tap is wanted.
    """
    check_mapping(f"{role}_taps", taps, "such as {'stages': ['block1_out']}")
    known = layers_by_path(model) if taps else {}
    checked: Taps = {}
    for part, given in taps.items():
        if not is_known(part, MODEL_PARTS):
            raise ValueError(unknown_name(f"a part of the {role}", part, MODEL_PARTS))
        is_list = isinstance(given, list | tuple)
        if is_list != (part in LISTS):
            expected = "a list of layer names" if part in LISTS else "one layer name"
            raise ValueError(f"Expected {expected} for {part!r} of the {role}, received {given!r}.")
        names = list(given) if is_list else [given]
        for name in names:
            path = name.removesuffix(INPUT) if isinstance(name, str) else name
            if not is_known(path, known):
                raise ValueError(unknown_name(f"a layer of the {role}", path, known))
        checked[part] = names if is_list else names[0]
    return checked


def find_taps(
    calls: Sequence[Call], parts: Sequence[str], given: Taps, role: str, model: keras.Model
) -> Taps:
    """Where a model's parts are, as far as the user has not said.

    The networks of `keras_prokt.models` name their layers after the parts (`stage_1`, `pooled`,
    `embedding`, `hidden_1`). In other models the stages are the last outputs at each resolution,
    before it goes down; the pooled features are what the last linear layer reads; the transformer
    layers are those with a `keras.layers.MultiHeadAttention` in them.

    Args:
        calls: All calls of a forward, of `observe`.
        parts: Which parts are wanted, among `MODEL_PARTS`.
        given: Taps that the user named.
        role: "teacher" or "student", for messages.
        model: The model.

    Raises:
        ValueError: If a part is not found; the message lists the layers.
    """
    taps: Taps = {}
    for part in parts:
        found = given.get(part) or _FINDERS[part](calls, given)
        if not found:
            layers = ", ".join(
                f"{call.path} {tuple(call.outputs.shape)[1:]}"
                for call in calls
                if hasattr(call.outputs, "shape")
            )
            raise ValueError(
                f"Expected a {role} whose {part} can be found ({PARTS[part]}), received "
                f"{model.name!r}; use another {role}, or name the layers, {role}_taps={{{part!r}: "
                f"{[] if part in LISTS else ''!r}}}, among: {layers}."
            )
        taps[part] = found
    return taps


def tapped_layers(model: keras.Model, taps: Taps) -> dict[str, keras.layers.Layer]:
    """The layers that have to be recorded to read the taps, by path."""
    layers = layers_by_path(model)
    paths = []
    for part, tap in taps.items():
        for name in [tap] if isinstance(tap, str) else tap:
            path = name.removesuffix(INPUT)
            paths += [f"{path}/query", f"{path}/key"] if part == "attentions" else [path]
    return {path: layers[path] for path in paths}


def read_parts(calls: Sequence[Call], taps: Taps, model: keras.Model) -> dict[str, Any]:
    """The tapped tensors of a forward, in float32.

    Raises:
        ValueError: If a layer did not run, or ran more than once.
    """
    by_path: dict[str, list[Call]] = {}
    for call in calls:
        by_path.setdefault(call.path, []).append(call)

    def read(tap: str) -> Tensor:
        path = tap.removesuffix(INPUT)
        ran = by_path.get(path, [])
        if len(ran) != 1:
            raise ValueError(
                f"Expected layer {path!r} of {model.name!r} to run once in a forward, received "
                f"{len(ran)} calls; name another layer."
            )
        value = ran[0].inputs if tap.endswith(INPUT) else ran[0].outputs
        tensors = keras.tree.flatten(value)
        if len(tensors) != 1:
            raise ValueError(
                f"Expected one tensor at {tap!r} of {model.name!r}, received {len(tensors)}; name "
                "another layer."
            )
        return ops.cast(tensors[0], "float32")

    def scores(path: str) -> Tensor:
        # What the layer itself computes from these two, whether or not by a fused kernel.
        query, key = read(f"{path}/query"), read(f"{path}/key")
        return ops.einsum("bqnh,bknh->bnqk", query, key) / query.shape[-1] ** 0.5

    parts: dict[str, Any] = {}
    for part, tap in taps.items():
        one = scores if part == "attentions" else read
        parts[part] = one(tap) if isinstance(tap, str) else [one(t) for t in tap]
    return parts


def shapes_of(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The shapes of parts, with `None` for the batch and for lengths of texts."""

    def shape(part: str, tensor: Any) -> tuple[int | None, ...]:
        sizes = list(tensor.shape)
        free = {"attentions": (0, 2, 3), "hidden_states": (0, 1), "embeddings": (0, 1)}
        return tuple(None if i in free.get(part, (0,)) else size for i, size in enumerate(sizes))

    return {
        part: [shape(part, t) for t in value] if isinstance(value, list) else shape(part, value)
        for part, value in parts.items()
    }


def _numbered(calls: Sequence[Call], name: str) -> list[str]:
    """Paths of layers called `name_1`, `name_2`, ... in order of their numbers."""
    found = {}
    for call in calls:
        if match := re.fullmatch(rf"{name}_(\d+)", call.path.rpartition("/")[2]):
            found[int(match.group(1))] = call.path
    return [found[number] for number in sorted(found)]


def _named(calls: Sequence[Call], name: str) -> str | None:
    return next((call.path for call in calls if call.path.rpartition("/")[2] == name), None)


def _is_float(tensor: Any, rank: int) -> bool:
    shape = getattr(tensor, "shape", None)
    return (
        shape is not None
        and len(shape) == rank
        and keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype))
    )


def _stages(calls: Sequence[Call], given: Taps) -> list[str]:
    if named := _numbered(calls, "stage"):
        return named
    last: dict[tuple[int, int], str] = {}
    attention = tuple(f"{path}/" for path in _attention_layers(calls))
    for call in calls:
        if call.path.startswith(attention):
            continue  # queries and keys have four dimensions too
        if not _is_float(call.outputs, 4) or isinstance(call.layer, keras.layers.ZeroPadding2D):
            continue
        size = tuple(call.outputs.shape[1:3])
        if size == (1, 1):
            continue
        if (
            last
            and size not in last
            and any(a > b for a, b in zip(size, list(last)[-1], strict=True))
        ):
            return []  # the resolution goes up again: no stages in the sense of a classifier
        last[size] = call.path
    return list(last.values())


def _pre_activations(calls: Sequence[Call], given: Taps) -> list[str]:
    by_path = {call.path: call for call in calls}
    stages = given.get("stages") or _stages(calls, given)
    taps = []
    for path in stages:
        call = by_path[path.removesuffix(INPUT)]
        if isinstance(call.layer, keras.layers.ReLU | keras.layers.Activation):
            taps.append(f"{path}{INPUT}")
        elif getattr(call.layer, "activation", keras.activations.linear) in (
            keras.activations.linear,
            None,
        ):
            taps.append(path)
        else:
            return []  # the activation is inside the layer: what it reads cannot be seen
    return taps


def _pooled(calls: Sequence[Call], given: Taps) -> str | None:
    if named := _named(calls, "pooled"):
        return named
    flat = [call for call in calls if _is_float(call.outputs, 2)]
    heads = [i for i, call in enumerate(flat) if isinstance(call.layer, keras.layers.Dense)]
    if not heads:
        return None
    head = flat[heads[-1]]
    for call in reversed(flat[: heads[-1]]):
        is_same = call.outputs.shape[-1] == head.inputs.shape[-1]
        if is_same and not isinstance(call.layer, keras.layers.Dropout):
            return call.path
    return f"{head.path}{INPUT}" if _is_float(head.inputs, 2) else None


def _attention_layers(calls: Sequence[Call]) -> list[str]:
    attention = keras.layers.MultiHeadAttention
    return [call.path for call in calls if isinstance(call.layer, attention)]


def _hidden_states(calls: Sequence[Call], given: Taps) -> list[str]:
    if named := _numbered(calls, "hidden"):
        return named
    by_path = {call.path: call for call in calls}
    blocks = []
    for path in _attention_layers(calls):
        block = by_path.get(path.rpartition("/")[0])
        if block is None or isinstance(block.layer, keras.Model):
            return []  # the attention stands in the open: where its layer ends cannot be seen
        if _is_float(block.outputs, 3) and block.path not in blocks:
            blocks.append(block.path)
    return blocks


def _embeddings(calls: Sequence[Call], given: Taps) -> str | None:
    if named := _named(calls, "embedding"):
        return named
    hidden = given.get("hidden_states") or _hidden_states(calls, given)
    return f"{hidden[0]}{INPUT}" if hidden else None


_FINDERS = {
    "stages": _stages,
    "pre_activations": _pre_activations,
    "pooled": _pooled,
    "embeddings": _embeddings,
    "hidden_states": _hidden_states,
    "attentions": lambda calls, given: _attention_layers(calls),
}
