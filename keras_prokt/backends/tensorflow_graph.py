"""Multiply-adds of a TensorFlow graph, counted operation by operation."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

_LOOPS = ("While", "StatelessWhile")
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_MATRIX_PRODUCTS = ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
_CONVOLUTIONS = ("Conv2D", "Conv3D")
_TRANSPOSED = ("Conv2DBackpropInput", "Conv3DBackpropInputV2")

Shape = tuple[int, ...] | None

_Evaluate = Callable[[str], int]
"""Gives the number of a name in a graph."""


class _Node(NamedTuple):
    """An operation with the shapes of what enters and leaves it."""

    proto: Any
    inputs: list[Shape]
    outputs: list[Shape]


class _Unknown(Exception):
    """A count that the graph does not say."""


def multiply_adds(model: keras.Model, inputs: Any) -> int | None:
    """Multiplications of a forward in inference mode whose products are summed.

    Those of matrix products and convolutions, in loops of known length each time; a product of
    `m × k` and `k × n` has `m k n`. What is done with each number alone (biases, normalisation,
    activations) is not counted, as is usual.

    Args:
        model: A built model.
        inputs: Arrays.

    Returns:
        The number; `None` if the graph does not say it, as of a loop whose length depends on data.
    """

    def forward() -> Any:
        # As constants of the graph, so that lengths that follow from them are known.
        values = keras.tree.map_structure(tf.constant, inputs)
        return model(values, training=False)

    function = tf.function(forward, autograph=False).get_concrete_function()
    graph = function.graph.as_graph_def(add_shapes=True)
    functions = {one.signature.name: one for one in graph.library.function}
    try:
        wanted = [tensor.name for tensor in function.outputs]
        return _count(_nodes(graph.node, {}, wanted), functions, _Evaluated(graph))
    except _Unknown:
        return None


class _Evaluated:
    """Numbers of a graph that follow from its constants.

    Args:
        graph: The graph, as a protocol buffer.
    """

    def __init__(self, graph: Any):
        self._graph = graph

    def __call__(self, name: str) -> int:
        with tf.Graph().as_default():
            tf.graph_util.import_graph_def(self._graph, name="")
            tensor = name if ":" in name else f"{name}:0"
            try:
                with tf.compat.v1.Session() as session:
                    return int(session.run(tensor))
            except (tf.errors.OpError, ValueError, KeyError) as error:
                raise _Unknown from error


def _nodes(
    all_protos: Iterable[Any], arguments: Mapping[str, Shape], wanted: Iterable[str]
) -> list[_Node]:
    """The operations of a graph that some of its tensors need; others are never run."""
    by_name = {one.name: one for one in all_protos}
    protos, open_names = {}, [_node_of(name) for name in wanted]
    while open_names:
        name = open_names.pop()
        if name in by_name and name not in protos:
            protos[name] = by_name[name]
            open_names += [_node_of(one) for one in by_name[name].input if one[0] != "^"]
    return _with_shapes(list(protos.values()), arguments)


def _node_of(tensor: str) -> str:
    return tensor.partition(":")[0]


def _with_shapes(protos: Sequence[Any], arguments: Mapping[str, Shape]) -> list[_Node]:
    outputs = {one.name: _shapes(one.attr["_output_shapes"]) for one in protos}

    def shape_of(name: str) -> Shape:
        # `node`, `node:1` of a graph; `node:output:1` of a function.
        node, *place = name.split(":")
        if node in arguments and not place:
            return arguments[node]
        number = int(place[-1]) if place else 0
        shapes = outputs.get(node, [])
        return shapes[number] if number < len(shapes) else None

    return [
        _Node(
            one,
            [shape_of(name) for name in one.input if not name.startswith("^")],
            outputs[one.name],
        )
        for one in protos
    ]


def _shapes(attribute: Any) -> list[Shape]:
    return [
        None if one.unknown_rank else tuple(dimension.size for dimension in one.dim)
        for one in attribute.list.shape
    ]


def _count(nodes: Sequence[_Node], functions: Mapping[str, Any], evaluate: _Evaluate) -> int:
    return sum(_count_of(node, functions, evaluate) for node in nodes)


def _count_of(node: _Node, functions: Mapping[str, Any], evaluate: _Evaluate) -> int:
    operation, inputs, proto = node.proto.op, node.inputs, node.proto
    if operation in _LOOPS:
        inner = _count_function(functions[proto.attr["body"].func.name], inputs, functions)
        return inner * _length(evaluate, proto) if inner else 0
    if operation in _CALLS:
        return _count_function(functions[proto.attr["f"].func.name], inputs, functions)
    if operation == "MatMul":
        side = 0 if proto.attr["transpose_a"].b else 1
        return _product(node.outputs[0]) * _product(inputs[0] and inputs[0][side : side + 1])
    if operation in _MATRIX_PRODUCTS:
        side = -2 if proto.attr["adj_x"].b else -1
        return _product(node.outputs[0]) * _product(inputs[0] and (inputs[0][side],))
    if operation in _CONVOLUTIONS:
        return _product(node.outputs[0]) * _product(inputs[1] and inputs[1][:-1])
    if operation == "DepthwiseConv2dNative":
        return _product(node.outputs[0]) * _product(inputs[1] and inputs[1][:2])
    if operation in _TRANSPOSED:
        return _product(inputs[2]) * _product(inputs[1] and inputs[1][:-1])
    if operation == "Einsum":
        return _of_einsum(proto.attr["equation"].s.decode(), inputs)
    return 0


def _count_function(function: Any, arguments: Sequence[Shape], functions: Mapping[str, Any]) -> int:
    names = [one.name for one in function.signature.input_arg]
    shapes = dict(zip(names, arguments, strict=True))
    nodes = _nodes(function.node_def, shapes, function.ret.values())
    constants = {
        one.proto.name: one.proto.attr["value"].tensor for one in nodes if one.proto.op == "Const"
    }

    def evaluate(name: str) -> int:
        node = _node_of(name)
        if node not in constants:
            raise _Unknown
        return int(tf.make_ndarray(constants[node]))

    return _count(nodes, functions, evaluate)


def _length(evaluate: _Evaluate, loop: Any) -> int:
    """How often a loop runs: its second input."""
    length = evaluate(loop.input[1])
    if length < 0:  # without a most
        raise _Unknown
    return length


def _product(shape: Shape) -> int:
    if shape is None or any(size < 0 for size in shape):
        raise _Unknown
    return math.prod(shape)


def _of_einsum(equation: str, inputs: Sequence[Shape]) -> int:
    """Sizes of all indices of two operands, multiplied; dimensions without a name too."""
    sizes: dict[str, int] = {}
    terms = equation.partition("->")[0].split(",")
    if len(terms) != 2:
        raise _Unknown
    for term, shape in zip(terms, inputs, strict=True):
        _product(shape)
        assert shape is not None
        before, dots, after = term.partition("...")
        broadcast = len(shape) - len(before) - len(after)
        # Counted from the last, as dimensions are matched.
        unnamed = [f"...{number}" for number in range(broadcast, 0, -1)] if dots else []
        for index, size in zip([*before, *unnamed, *after], shape, strict=True):
            sizes[index] = max(size, sizes.get(index, 1))
    return math.prod(sizes.values())
