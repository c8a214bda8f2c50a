"""Example requests of a SavedModel, with the student's answers: what a server warms up with.

    saved_model/1/assets.extra/tf_serving_warmup_requests

TensorFlow Serving plays them when it loads a version, before it answers anyone. The file is its
own: a TFRecord of `tensorflow.serving.PredictionLog`. Its fields are declared here, since
`tensorflow-serving-api` is no dependency. This module imports no Keras.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_prokt.export.described import EXTRA

if TYPE_CHECKING:
    import tensorflow as tf

NAME = "tf_serving_warmup_requests"
"""The file, in the folder `assets.extra` of a SavedModel."""

_ROWS = 2
_LARGE = 2**18
"""Bytes of a request from which one row is enough."""


class Example(NamedTuple):
    """A request and the student's answer to it, arrays by name; strings are of type `object`."""

    signature: str
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]


def write_examples(directory: Path, examples: Iterable[Example]) -> None:
    """Puts examples into a SavedModel that nobody serves yet."""
    import tensorflow as tf

    log_class = _prediction_log()
    folder = directory / EXTRA
    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / NAME)) as writer:
        for example in examples:
            log = log_class()
            log.predict_log.request.model_spec.signature_name = example.signature
            for name, values in example.inputs.items():
                log.predict_log.request.inputs[name] = _as_proto(values)
            for name, values in example.outputs.items():
                log.predict_log.response.outputs[name] = _as_proto(values)
            writer.write(log.SerializeToString(deterministic=True))


def read_examples(directory: Path) -> list[Example]:
    """The examples of a SavedModel, in their order.

    Raises:
        ValueError: If it has none, or they cannot be read.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    file, log_class = directory / EXTRA / NAME, _prediction_log()
    examples = []
    try:
        for record in tf.data.TFRecordDataset(str(file)):
            log = log_class.FromString(record.numpy()).predict_log
            inputs, outputs = (
                {name: _of_proto(values) for name, values in sorted(tensors.items())}
                for tensors in (log.request.inputs, log.response.outputs)
            )
            if outputs:
                examples.append(Example(log.request.model_spec.signature_name, inputs, outputs))
    except (tf.errors.OpError, DecodeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"Expected example requests in {str(file)!r}, received {reason}; export the student "
            "again."
        ) from error
    if not examples:
        raise ValueError(
            f"Expected example requests with answers in {str(file)!r}, received none; export the "
            "student again."
        )
    return examples


def first_example(
    signature: str,
    candidates: Iterable[Mapping[str, Any]],
    answer: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> Example | None:
    """The first request that the student answers, with its answer.

    Args:
        signature: Its name.
        candidates: Requests, tensors by name.
        answer: Of the student itself, not of what was exported.
    """
    import tensorflow as tf

    for candidate in candidates:
        inputs = {name: np.asarray(tf.convert_to_tensor(v)) for name, v in candidate.items()}
        if sum(values.nbytes for values in inputs.values()) > _LARGE:
            inputs = {name: values[:1] for name, values in inputs.items()}
        try:
            answers = answer({name: tf.constant(values) for name, values in inputs.items()})
        # Such as numbers that are no ids of a vocabulary, and pictures below a network's least.
        except (tf.errors.OpError, ValueError):
            continue
        return Example(signature, inputs, {name: np.asarray(v) for name, v in answers.items()})
    return None


def made_up(specs: "Mapping[str, tf.TensorSpec]") -> Iterator[dict[str, np.ndarray]]:
    """Requests of a signature of which nothing but types and shapes is known."""
    for length in (16, 64, 224):
        for fill in (_random, np.ones, np.zeros):
            yield {
                name: _filled([_ROWS, *(size or length for size in spec.shape[1:])], spec, fill)
                for name, spec in specs.items()
            }


def _random(shape: list[int]) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 2, shape)


def _filled(shape: list[int], spec: "tf.TensorSpec", fill: Callable[..., Any]) -> np.ndarray:
    if spec.dtype.as_numpy_dtype is object:
        return np.full(shape, b"a", object)
    return np.asarray(fill(shape)).astype(spec.dtype.as_numpy_dtype)


def _as_proto(values: np.ndarray) -> bytes:
    import tensorflow as tf

    return bytes(tf.make_tensor_proto(values).SerializeToString())


def _of_proto(content: bytes) -> np.ndarray:
    import tensorflow as tf
    from tensorflow.core.framework.tensor_pb2 import TensorProto

    return np.asarray(tf.make_ndarray(TensorProto.FromString(content)))


def _prediction_log() -> Any:
    """The class of `tensorflow.serving.PredictionLog`, with the fields that are used here.

    Tensors are bytes in it, which are the same on the wire.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="prediction_log.proto", package="tensorflow.serving", syntax="proto3"
    )

    def add(message: Any, name: str, number: int, of: str | None = None) -> Any:
        label = kinds.LABEL_OPTIONAL
        if of is None:
            return message.field.add(name=name, number=number, label=label, type=kinds.TYPE_STRING)
        return message.field.add(
            name=name,
            number=number,
            label=label,
            type=kinds.TYPE_MESSAGE,
            type_name=f".tensorflow.serving.{of}",
        )

    def add_tensors(message: Any, name: str, number: int) -> None:
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        add(entry, "key", 1)
        add(entry, "value", 2).type = kinds.TYPE_BYTES
        field = add(message, name, number, f"{message.name}.{entry.name}")
        field.label = kinds.LABEL_REPEATED

    add(file.message_type.add(name="ModelSpec"), "signature_name", 3)
    request = file.message_type.add(name="PredictRequest")
    add(request, "model_spec", 1, "ModelSpec")
    add_tensors(request, "inputs", 2)
    add_tensors(file.message_type.add(name="PredictResponse"), "outputs", 1)
    log = file.message_type.add(name="PredictLog")
    add(log, "request", 1, "PredictRequest")
    add(log, "response", 2, "PredictResponse")
    add(file.message_type.add(name="PredictionLog"), "predict_log", 6, "PredictLog")
    # A pool of its own: the official messages have these names too.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("tensorflow.serving.PredictionLog")
    return message_factory.GetMessageClass(found)
