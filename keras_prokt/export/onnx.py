"""The student as an ONNX file, for ONNX Runtime and what else reads it."""

import contextlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_prokt.export.base import Answer, Description, Format
from keras_prokt.export.comparison import mean_among
from keras_prokt.export.described import NAME, as_text
from keras_prokt.export.graph import check_graph, graph_of, in_float32, named_batch
from keras_prokt.export.onnx_lstm import lstms_in_one_operation, to_onnx
from keras_prokt.export.tokenizer_files import write_tokenizer
from keras_prokt.files import replacing

OPSET = 18
"""Version of ONNX's operations; ONNX Runtime reads it from 1.14 on."""

_LAYERS = ["Conv", "MatMul", "Gemm"]
"""Operations that hold the weights of layers, and have an 8-bit form."""


class Onnx(Format):
    """Form `onnx`: one graph with an open batch and open lengths.

    It answers as a SavedModel does: `probabilities` and `label`, or `values`. The metadata
    `keras_prokt.json` says how raw input is read and what the classes are called.
    """

    reads_pictures = True

    def check(self, student: keras.Model, path: Path, description: Description) -> None:
        check_graph(student, path, ".onnx", description)

    def write(self, student: keras.Model, path: Path, description: Description) -> Path:
        import onnx

        student = in_float32(student)
        model = _quantized(_converted(student, description), student, description)
        entry = model.metadata_props.add()
        entry.key, entry.value = NAME, as_text(description)
        with replacing(path) as temporary:
            onnx.save(model, str(temporary))
        write_tokenizer(path.parent, description.front_end)
        return path

    def snippet(self, name: str, inputs: str, description: Description) -> str:
        return f"""import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession({name!r}, providers=["CPUExecutionProvider"])
inputs = {inputs}
read = [one.name for one in session.get_inputs()]
names = [one.name for one in session.get_outputs()]
answers = session.run(names, {{key: inputs[key] for key in read}})
print(dict(zip(names, answers)))
"""

    def open(self, written: Path, description: Description) -> Answer | None:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(written), providers=["CPUExecutionProvider"])
        read = {one.name for one in session.get_inputs()}
        names = [one.name for one in session.get_outputs()]

        def answer(features: Mapping[str, np.ndarray]) -> np.ndarray:
            # What the graph does not need, such as segments of a DistilBERT, is not an input.
            given = {name: value for name, value in features.items() if name in read}
            return mean_among(dict(zip(names, session.run(None, given), strict=True)))

        return answer


def _converted(student: keras.Model, description: Description) -> Any:
    import tensorflow as tf

    answer, specs = graph_of(student, description)

    def of_each(*values: Any) -> Any:
        return answer(dict(zip(specs, values, strict=True)))

    # Of a dict TensorFlow would put the name of the argument before some names.
    signature = list(specs.values())
    function = tf.function(of_each, input_signature=signature, autograph=False)
    # Its own log is about operations that the message names.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        with _without_log(), lstms_in_one_operation(student):
            try:
                with _without_copies():
                    model = _converted_by_tf2onnx(function)
            except Exception:  # of one of its passes, which it leaves out where it has copies
                model = _converted_by_tf2onnx(function)
    except Exception as error:  # whatever the converter raises, of any class
        raise ValueError(
            f"Expected a student whose layers ONNX can hold, received {student.name!r} "
            f"({' '.join(str(error).split())[:200]}); export it as saved_model."
        ) from error
    if unknown := sorted(set(_unknown_operations(model))):
        raise ValueError(
            f"Expected a student whose layers ONNX can hold, received {student.name!r} with the "
            f"operations {', '.join(unknown)}; export it as saved_model."
        )
    for one in model.graph.input:
        one.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


def _converted_by_tf2onnx(function: Any) -> Any:
    import tf2onnx

    model, _ = tf2onnx.convert.from_function(
        function,
        input_signature=function.input_signature,
        opset=OPSET,
        custom_op_handlers={"Erfc": (_complementary_error, []), "BlockLSTMV2": (to_onnx, [])},
    )
    _hold_constants(model, function.get_concrete_function(*function.input_signature))
    return model


def _hold_constants(model: Any, traced: Any) -> None:
    """Puts what layers keep as tensors, such as `Normalization`, inside: they came as inputs."""
    import onnx

    kept = {own.name: value for value, own in traced.graph.captures if value.dtype != "resource"}
    for one in [one for one in model.graph.input if one.name in kept]:
        model.graph.input.remove(one)
        values = np.asarray(kept[one.name])
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, one.name))


@contextlib.contextmanager
def _without_copies() -> Iterator[None]:
    """Keeps the converter from copying the graph, with all weights, before each of its passes."""
    name = "TF2ONNX_CATCH_ERRORS"
    before = os.environ.get(name)
    os.environ[name] = "FALSE"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _quantized(model: Any, student: keras.Model, description: Description) -> Any:
    """The model itself, or one in fewer bits."""
    if description.quantize is None:
        return model
    if description.quantize == "float16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights that are smaller than float16 has
            return convert_float_to_float16(model, keep_io_types=True)
    batches = [named_batch(student, description, batch) for batch in description.calibration]
    with tempfile.TemporaryDirectory() as scratch, _without_log():
        return _in_int8(model, batches, Path(scratch))


def _in_int8(model: Any, batches: Sequence[Mapping[str, np.ndarray]], scratch: Path) -> Any:
    """The model with weights of 8 bits, each output channel by itself.

    What convolves takes the ranges of what passes between layers from the batches; anything else
    (transformers, recurrent networks) measures them as it runs, as ONNX Runtime advises. The
    first and the last layer of what convolves, small and the most sensitive, stay in float32.

    Weights are unsigned: the products of signed ones overflow on processors without VNNI.
    """
    import onnx
    from onnxruntime import quantization

    plain, prepared, small = (str(scratch / f"{name}.onnx") for name in ("a", "b", "c"))
    onnx.save(model, plain)
    quantization.shape_inference.quant_pre_process(plain, prepared, skip_symbolic_shape=True)
    nodes = onnx.load(prepared).graph.node
    unsigned = quantization.QuantType.QUInt8
    if any(node.op_type == "Conv" for node in nodes):
        layers = [node.name for node in nodes if node.op_type in _LAYERS]
        quantization.quantize_static(
            prepared,
            small,
            _Reader(batches, {one.name for one in model.graph.input}),
            per_channel=True,
            activation_type=unsigned,
            weight_type=unsigned,
            op_types_to_quantize=_LAYERS,
            nodes_to_exclude=[layers[0], layers[-1]] if len(layers) > 2 else [],
        )
    else:
        loops = any(attribute.HasField("g") for node in nodes for attribute in node.attribute)
        weights = {one.name for one in onnx.load(prepared).graph.initializer if one.data_type == 1}
        embeds = [node for node in nodes if node.op_type == "Gather"]
        quantization.quantize_dynamic(
            prepared,
            small,
            per_channel=True,
            weight_type=unsigned,
            # ONNX Runtime 1.32 ends its process at embeddings of 8 bits that a loop reads.
            op_types_to_quantize=_LAYERS if loops else [*_LAYERS, "Gather"],
            nodes_to_exclude=[node.name for node in embeds if node.input[0] not in weights],
        )
    return onnx.load(small)


class _Reader:
    """Gives ONNX Runtime batches to take ranges of."""

    def __init__(self, batches: Sequence[Mapping[str, np.ndarray]], names: set[str]):
        self._left = iter(batches)
        self._names = names

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._left, None)
        return None if batch is None else {n: v for n, v in batch.items() if n in self._names}


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Holds back advice that the converters log to the root logger and TensorFlow's."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _complementary_error(context: Any, node: Any, name: str, args: Any) -> Any:
    """`erfc(x)` as `1 - erf(x)`: ONNX has the second alone."""
    [x] = node.input
    dtype = context.get_dtype(x)
    error = context.make_node("Erf", [x], dtypes=[dtype]).output[0]
    one = context.make_const(f"{name}/one", np.ones((), "float32")).output[0]
    shapes, outputs = node.output_shapes, list(node.output)
    context.remove_node(node.name)
    return context.make_node(
        "Sub", [one, error], name=name, outputs=outputs, shapes=shapes, dtypes=[dtype]
    )


def _unknown_operations(model: Any) -> Iterator[str]:
    """Operations that the converter has left as TensorFlow's."""
    import onnx

    def of(graph: Any) -> Iterator[str]:
        for node in graph.node:
            if node.domain in ("", "ai.onnx") and not onnx.defs.has(node.op_type):
                yield node.op_type
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    yield from of(attribute.g)

    return of(model.graph)


def described_onnx(path: Path) -> dict[str, Any]:
    """What an ONNX file of ours says of itself: see `keras_prokt.export.described`.

    Args:
        path: The file.

    Returns:
        `front_end`, `class_names` and `output`; empty of another file.
    """
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    found = {one.key: one.value for one in model.metadata_props}
    return json.loads(found[NAME]) if NAME in found else {}
