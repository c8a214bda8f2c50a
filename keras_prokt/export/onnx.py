"""The student as an ONNX file, for ONNX Runtime and what else reads it."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_prokt.export.base import Answer, Description, Format
from keras_prokt.export.comparison import Examples, compare, mean_among
from keras_prokt.export.described import NAME, as_text
from keras_prokt.export.graph import check_graph, graph_of, in_float32
from keras_prokt.files import replacing

OPSET = 18
"""Version of ONNX's operations; ONNX Runtime reads it from 1.14 on."""


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

        model = _converted(in_float32(student), description)
        entry = model.metadata_props.add()
        entry.key, entry.value = NAME, as_text(description)
        with replacing(path) as temporary:
            onnx.save(model, str(temporary))
        return path

    def largest_difference(
        self, written: Path, student: keras.Model, inputs: Any, description: Description
    ) -> float:
        found = compare(self, written, student, description, Examples([inputs], "inputs"))
        assert found is not None
        return found.difference

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
    import tf2onnx

    answer, specs = graph_of(student, description)

    def of_each(*values: Any) -> Any:
        return answer(dict(zip(specs, values, strict=True)))

    # Of a dict TensorFlow would put the name of the argument before some names.
    function = tf.function(of_each, input_signature=list(specs.values()))
    # Its own log is about operations that the message names.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        model, _ = tf2onnx.convert.from_function(
            function,
            input_signature=function.input_signature,
            opset=OPSET,
            custom_op_handlers={"Erfc": (_complementary_error, [])},
        )
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
