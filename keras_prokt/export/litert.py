"""The student as a LiteRT (TensorFlow Lite) file, for phones and small devices."""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_prokt.export.base import Answer, Description, Format
from keras_prokt.export.comparison import mean_among
from keras_prokt.export.described import add_description
from keras_prokt.export.graph import (
    check_graph,
    checked_ends,
    graph_of,
    in_float32,
    named_batch,
    new_archive,
    write_out,
)
from keras_prokt.export.tokenizer_files import write_tokenizer
from keras_prokt.files import replacing

_SIGNATURE = "serving_default"


class LiteRT(Format):
    """Form `litert`: one graph of LiteRT's own operations, without TensorFlow's (Select).

    The batch is open, and of texts the length is one: `Description.length`, or the longest that
    the front end makes; shorter ones are padded. A recurrent network holds one text at a time.

    float16 halves the weights, which are computed with in float32. int8 quantizes the weights of
    each channel by itself, and what passes between layers by the ranges of training examples;
    operations without an int8 form, such as the softmax's ends, stay in float32. In a recurrent
    network weights alone are quantized, and what passes between layers is measured as it runs.
    """

    tolerance = 2e-5
    reads_pictures = True

    def check(self, student: keras.Model, path: Path, description: Description) -> None:
        check_graph(student, path, ".tflite", description)
        _length(student, description)

    def write(self, student: keras.Model, path: Path, description: Description) -> Path:
        content = _converted(in_float32(student), description)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
            add_description(temporary, description)
        write_tokenizer(path.parent, description.front_end)
        return path

    def snippet(self, name: str, inputs: str, description: Description) -> str:
        return f"""import numpy as np
from ai_edge_litert.interpreter import Interpreter

run = Interpreter(model_path={name!r}).get_signature_runner()
inputs = {inputs}
read = run.get_input_details()  # with the one shape of texts
for key, details in read.items():
    sizes = zip(details["shape_signature"][1:], inputs[key].shape[1:])
    inputs[key] = np.pad(inputs[key], [(0, 0), *((0, max(0, n - own)) for n, own in sizes)])
print(run(**{{key: inputs[key] for key in read}}))
"""

    def open(self, written: Path, description: Description) -> Answer | None:
        from ai_edge_litert.interpreter import Interpreter

        with _quiet():
            interpreter = Interpreter(model_path=str(written))
            runner = interpreter.get_signature_runner(_SIGNATURE)
        details = runner.get_input_details()
        shapes = {name: one["shape_signature"] for name, one in details.items()}
        one_by_one = any(shape[0] == 1 for shape in shapes.values())

        def answer(features: Mapping[str, np.ndarray]) -> np.ndarray:
            given = {name: _padded(features[name], shape) for name, shape in shapes.items()}
            size = 1 if one_by_one else len(next(iter(given.values())))
            found = []
            with _quiet():
                for start in range(0, len(next(iter(given.values()))), size):
                    batch = {name: value[start : start + size] for name, value in given.items()}
                    found.append(mean_among(runner(**batch)))
            means = np.concatenate(found)
            # Positions that are padding here alone.
            lengths = [v.shape[1] for v in features.values() if v.ndim == 2]
            return means[:, : lengths[0]] if means.ndim == 3 and lengths else means

        return answer


def _padded(values: np.ndarray, shape: Any) -> np.ndarray:
    sizes = zip(values.shape[1:], shape[1:], strict=True)
    missing = [(0, max(0, size - own)) for own, size in sizes]
    return np.pad(values, [(0, 0), *missing])


def _length(student: keras.Model, description: Description) -> int | None:
    """The length of all open dimensions; `None` if there are none."""
    inputs, _, _ = checked_ends(student, description.output)
    is_open = [name for name, tensor in inputs.items() if None in tensor.shape[1:]]
    if not is_open or description.front_end is not None and not _reads_texts(description):
        return None
    length = description.length or getattr(description.front_end, "max_length", None)
    if length is None:
        raise ValueError(
            f"Expected a length for format 'litert', which has no open ones, received a student "
            f"whose {', '.join(is_open)} may be of any; give one, such as length=128."
        )
    return int(length)


def _reads_texts(description: Description) -> bool:
    return hasattr(description.front_end, "max_length")


def _converted(student: keras.Model, description: Description) -> bytes:
    import tensorflow as tf

    answer, specs = graph_of(student, description)
    length = _length(student, description)
    problem = ""
    # Lists of tensors, of which recurrent networks are made, have a fixed batch there.
    for batch in (None, 1):
        fixed = {
            name: tf.TensorSpec((batch, *(n or length for n in s.shape[1:])), s.dtype, name)
            for name, s in specs.items()
        }
        archive = new_archive(student)
        archive.add_endpoint(_SIGNATURE, answer, [fixed])
        with tempfile.TemporaryDirectory() as scratch, _quiet():
            write_out(archive, scratch, student)
            converter = tf.lite.TFLiteConverter.from_saved_model(
                scratch, signature_keys=[_SIGNATURE]
            )
            if description.quantize is not None:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if description.quantize == "float16":
                converter.target_spec.supported_types = [tf.float16]
            # Taking ranges within a loop ends the process (TensorFlow 2.21).
            if description.quantize == "int8" and not _has_loop(Path(scratch)):
                batches = [named_batch(student, description, b) for b in description.calibration]
                converter.representative_dataset = _single_examples(batches, fixed)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of TensorFlow about its own interpreter
                    return converter.convert()
            except Exception as error:  # whatever the converter raises, of any class
                problem = problem or str(error)
    raise ValueError(
        f"Expected a student whose layers LiteRT can hold by its own operations, received "
        f"{student.name!r} ({_shown(problem)}); export it as onnx or saved_model."
    )


def _has_loop(saved_model: Path) -> bool:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    read = SavedModel.FromString((saved_model / "saved_model.pb").read_bytes())
    graphs = [one.graph_def for one in read.meta_graphs]
    nodes = [graph.node for graph in graphs]
    nodes += [function.node_def for graph in graphs for function in graph.library.function]
    return any(node.op in ("While", "StatelessWhile") for group in nodes for node in group)


def _single_examples(
    batches: Sequence[Mapping[str, np.ndarray]], specs: Mapping[str, Any]
) -> Callable[[], Iterator[Any]]:
    """Examples one by one, as the converter asks for them."""

    def examples() -> Iterator[Any]:
        for batch in batches:
            padded = {name: _padded(batch[name], spec.shape) for name, spec in specs.items()}
            for number in range(len(next(iter(padded.values())))):
                one = {name: values[number : number + 1] for name, values in padded.items()}
                yield _SIGNATURE, one

    return examples


def _shown(problem: str) -> str:
    lines = [line.strip() for line in problem.splitlines() if line.strip()]
    told = [line for line in lines if "ops:" in line or "error:" in line]
    return " ".join((told or lines or ["no reason given"])[-1].split())[-200:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Holds back what native code writes to standard error; a failure has a message of its own."""
    sys.stderr.flush()
    standard_error = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
