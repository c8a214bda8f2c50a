"""A server in C++, with TensorFlow's own loader: what it answers, and that nothing ends it."""

import functools
import json
import shutil
import threading
import time
from importlib import util

import keras
import numpy as np
import pytest
from bad_requests import as_json, bad_requests
from cpp_server import NAME, CannotBuild, CppServer, build, kept_in, text_libraries
from keras import layers, ops

from keras_prokt.export import export_saved_model
from keras_prokt.export.graph import move_to_next_version
from keras_prokt.export.warm_up import read_examples
from keras_prokt.front_ends import ImageFrontEnd, TextFrontEnd, WordFrontEnd

tf = pytest.importorskip("tensorflow")
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the graphs are the same"),
]

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film", "fine", "dull", "##ly", "!"]
IMAGES = ImageFrontEnd((8, 8), mean=[0.5], standard_deviation=[0.25])


def of_images():
    image = keras.Input((8, 8, 1), name="pixels")
    x = layers.Conv2D(4, 3, activation="relu")(image)
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(layers.MaxPooling2D()(x))))


def of_texts():
    ids, mask = (keras.Input((None,), dtype="int32", name=n) for n in ("token_ids", "padding_mask"))
    x = layers.Embedding(len(PIECES), 4)(ids) * ops.cast(mask, "float32")[..., None]
    return keras.Model([ids, mask], layers.Dense(2)(layers.LSTM(5)(x)))


def of_words():
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    states = layers.Embedding(len(PIECES), 4)(ids)
    return keras.Model(ids, layers.Dense(3)(layers.Conv1D(4, 3, padding="same")(states)))


def of_numbers(width):
    one, two = keras.Input((4,), name="one"), keras.Input((2, 3), name="two")
    x = layers.Concatenate()([one, layers.Flatten()(two)])
    return keras.Model({"one": one, "two": two}, layers.Dense(width)(x))


def of_signals():
    signal = keras.Input((None, 2), name="signal")
    return keras.Model(signal, layers.Dense(2)(layers.LSTM(3)(layers.Conv1D(3, 2)(signal))))


@functools.cache
def convolutions_know_no_rows():
    """Whether TensorFlow gives a convolution of no rows its shape: by oneDNN, on some CPUs, not."""
    convolution = tf.function(lambda signal: tf.nn.conv1d(signal, tf.ones((2, 2, 3)), 1, "VALID"))
    shape = convolution.get_concrete_function(tf.TensorSpec((None, None, 2)))(tf.ones((0, 9, 2)))
    return tuple(shape.shape) == (0, 8, 3)


def of_rows():
    age, kind = keras.Input((1,), name="age"), keras.Input((1,), dtype="string", name="kind")
    one_hot = layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")(kind)
    x = layers.Concatenate()([layers.Normalization(mean=[40.0], variance=[9.0])(age), one_hot])
    return keras.Model({"age": age, "kind": kind}, layers.Dense(2)(x))


STUDENTS = {
    "images": (of_images, {"front_end": IMAGES, "class_names": ["circle", "square", "star"]}),
    "texts": (of_texts, {"front_end": TextFrontEnd(PIECES, max_length=12)}),
    "words": (
        of_words,
        {"front_end": WordFrontEnd(PIECES, max_length=12), "class_names": ["O", "A", "B"]},
    ),
    "images alone": (of_images, {}),
    "labels": (lambda: of_numbers(3), {"output": "labels", "class_names": ["a", "b", "c"]}),
    "values": (lambda: of_numbers(2), {"output": "values"}),
    "positions": (of_words, {"output": "positions"}),
    "free lengths": (of_signals, {}),
    "rows of a table": (of_rows, {}),
}
"""One version of the model each: from 1 on."""

NEW_VERSIONS = 5
"""That appear under load; `benchmarks/serving_load.py` has 200."""

VERSIONS = {name: number for number, name in enumerate(STUDENTS, 1)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    keras.utils.set_random_seed(0)
    for make, options in STUDENTS.values():
        export_saved_model(make(), folder, **options)
    return folder


@pytest.fixture(scope="module")
def program(pytestconfig, tmp_path_factory):
    try:
        return build(kept_in(pytestconfig, tmp_path_factory))
    except CannotBuild as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def running(program, folder):
    with CppServer(program, folder, keep=len(STUDENTS), libraries=text_libraries()) as server:
        yield server


def assert_equal_answers(received, expected):
    assert set(received) == set(expected)
    for name, values in expected.items():
        if values.dtype == object:
            values = np.vectorize(lambda value: value.decode(), otypes=[object])(values)
        if values.dtype.kind == "f":
            np.testing.assert_allclose(received[name], values, rtol=0, atol=1e-5)
        else:
            assert received[name] == values.tolist()


def test_all_versions_are_warmed_up_and_served(running):
    status, answer = running.ask("")
    states = [(one["version"], one["state"]) for one in answer["model_version_status"]]
    assert status == 200
    assert states == [(str(number), "AVAILABLE") for number in reversed(VERSIONS.values())]
    assert running.ask("/test")[1]["warmed_up"] == 1
    assert running.ask("", version=99)[0] == 404


@pytest.mark.parametrize("student", STUDENTS)
def test_answers_are_those_of_the_student(running, folder, student):
    version = VERSIONS[student]
    examples = read_examples(folder / str(version))
    signatures = running.ask("/metadata", version=version)[1]["metadata"]["signature_def"]
    assert {one.signature for one in examples} == set(signatures["signature_def"])
    for one in examples:
        columns = {name: as_json(values) for name, values in one.inputs.items()}
        body = {"signature_name": one.signature, "inputs": columns}
        status, answer = running.ask(":predict", body, version=version)
        assert status == 200, answer
        outputs = answer["outputs"]
        if len(one.outputs) == 1:
            outputs = {next(iter(one.outputs)): outputs}
        assert_equal_answers(outputs, one.outputs)
        # The same by rows.
        count = len(next(iter(columns.values())))
        rows = [{name: values[i] for name, values in columns.items()} for i in range(count)]
        by_row = {"signature_name": one.signature, "instances": rows}
        status, answer = running.ask(":predict", by_row, version=version)
        assert status == 200 and len(answer["predictions"]) == count


@pytest.mark.parametrize("student", STUDENTS)
def test_what_does_not_fit_is_an_error_to_the_caller(running, folder, student):
    version, answered = VERSIONS[student], []
    for example in read_examples(folder / str(version)):
        large = example.signature == "serving_default" and student in ("images", "values")
        for what, body in bad_requests(example.signature, example.inputs, large):
            if (student, what) in ANSWERED or (example.signature, what) in ANSWERED:
                continue
            status, answer = running.ask(":predict", body, version=version)
            assert running.is_alive(), (example.signature, what)
            if status < 400 or not answer["error"]:
                answered.append((example.signature, what, answer))
        body = {name: as_json(values) for name, values in example.inputs.items()}
        body = {"signature_name": example.signature, "inputs": body}
        assert running.ask(":predict", body, version=version)[0] == 200
    assert answered == []


ANSWERED = {
    # No texts and no files are a batch of none, which has no answers.
    ("serve_text", "empty list"),
    ("serve_encoded", "empty list"),
    # Without a sum that overflows, large numbers are numbers.
    ("free lengths", "1e38"),
    ("labels", "1e38"),
    ("values", "1e38"),
    ("serve_normalized", "1e38"),
    ("images alone", "1e38"),
    ("rows of a table", "1e38"),
}


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8\xff", b"GIF89a", b"text", bytes(range(256)) * 40]
)
def test_what_is_no_picture_is_refused(running, content):
    body = {"signature_name": "serve_encoded"}
    body["inputs"] = {"image_bytes": as_json(np.array([content], object))}
    status, answer = running.ask(":predict", body, version=VERSIONS["images"])
    assert status >= 400 and answer["error"]
    assert running.is_alive()


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\xc3", b"a" * 1_000_000, b"\x00", b"film " * 10_000, b"\xed\xa0\x80"],
)
@pytest.mark.parametrize("student", ["texts", "words"])
def test_any_text_is_answered(running, content, student):
    body = {
        "signature_name": "serve_text",
        "inputs": {"text": as_json(np.array([content], object))},
    }
    status, answer = running.ask(":predict", body, version=VERSIONS[student])
    assert status == 200, answer


@pytest.mark.skipif(util.find_spec("tensorflow_serving") is None, reason="needs the official API")
def test_the_official_messages_are_understood(running, folder):
    from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

    def ask(student, signature, inputs):
        request = PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = NAME, signature
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
        status, content = running.ask(
            ":predict",
            request.SerializeToString(),
            version=VERSIONS[student],
            kind="application/x-protobuf",
        )
        if status != 200:
            return content["error"]
        outputs = PredictResponse.FromString(content).outputs
        return {name: tf.make_ndarray(values) for name, values in outputs.items()}

    for student, version in VERSIONS.items():
        for one in read_examples(folder / str(version)):
            answer = ask(student, one.signature, one.inputs)
            assert set(answer) == set(one.outputs)
            for name, values in one.outputs.items():
                if values.dtype.kind == "f":
                    np.testing.assert_allclose(answer[name], values, rtol=0, atol=1e-5)
                else:
                    np.testing.assert_array_equal(answer[name], values)
            # No rows have no answers: that is no error.
            no_rows = ask(student, one.signature, {k: v[:0] for k, v in one.inputs.items()})
            if student != "free lengths" or convolutions_know_no_rows():
                assert isinstance(no_rows, dict), (student, one.signature, no_rows)
                assert all(len(values) == 0 for values in no_rows.values())
            # Another type is refused.
            others = {k: np.zeros(v.shape, "float64") for k, v in one.inputs.items()}
            assert isinstance(ask(student, one.signature, others), str)
    assert running.is_alive()


@pytest.mark.skipif(util.find_spec("tensorflow_serving") is None, reason="needs the official API")
def test_warm_up_requests_are_official_messages(folder):
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    path = folder / "1" / "assets.extra" / "tf_serving_warmup_requests"
    logs = [PredictionLog.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
    requests = [log.predict_log.request for log in logs]
    names = [request.model_spec.signature_name for request in requests]
    assert sorted(names) == ["serve_encoded", "serve_normalized", "serving_default"]
    for log, example in zip(logs, read_examples(folder / "1"), strict=True):
        request, response = log.predict_log.request, log.predict_log.response
        for tensors, expected in (
            (request.inputs, example.inputs),
            (response.outputs, example.outputs),
        ):
            assert set(tensors) == set(expected)
            for name, values in expected.items():
                np.testing.assert_array_equal(tf.make_ndarray(tensors[name]), values)


def test_a_version_without_text_operations_is_not_served(program, folder):
    """Its error is kept as TensorFlow Serving keeps it, and the other versions are served."""
    with CppServer(program, folder, keep=len(STUDENTS)) as server:
        states = server.ask("")[1]["model_version_status"]
    ended = {
        one["version"]: one["status"]["error_message"] for one in states if one["state"] == "END"
    }
    assert set(ended) == {str(VERSIONS["texts"]), str(VERSIONS["words"])}
    assert all("Op type not registered" in message for message in ended.values())


def test_new_versions_appear_under_load(program, folder, tmp_path):
    """Each is served, and no request of two clients that keep their connections open fails."""
    served, copies = tmp_path / "served", tmp_path / "copies"
    shutil.copytree(folder / str(VERSIONS["images"]), served / "1")
    [example] = [one for one in read_examples(served / "1") if one.signature == "serving_default"]
    body = {"inputs": {name: as_json(values) for name, values in example.inputs.items()}}
    failed, stop = [], threading.Event()

    def ask(server, answered):
        connection = server.connection()
        while not stop.is_set():
            try:
                status, answer = server.ask(":predict", body, connection=connection)
                received = answer["outputs"]["probabilities"] if status == 200 else answer
                near = np.abs(np.subtract(received, example.outputs["probabilities"])) < 1e-5
                if not near.all():
                    failed.append(received)
            except Exception as error:
                failed.append(error)
                return
            answered.append(status)
        connection.close()

    with CppServer(program, served) as server:
        counts = [[], []]
        clients = [threading.Thread(target=ask, args=(server, count)) for count in counts]
        for client in clients:
            client.start()
        try:
            for _ in range(NEW_VERSIONS):
                unfinished = shutil.copytree(served / "1", copies)
                version = int(move_to_next_version(unfinished, served).name)
                states, until = [], time.monotonic() + 60
                while not states and time.monotonic() < until:
                    status, answer = server.ask("", version=version)
                    states = [s["state"] for s in answer.get("model_version_status", ())]
                assert states == ["AVAILABLE"], answer
        finally:
            stop.set()
            for client in clients:
                client.join()
        assert server.ask("/test")[1]["loaded"] == 1 + NEW_VERSIONS
    assert failed == [] and all(len(count) > NEW_VERSIONS for count in counts), counts


def test_bodies_in_chunks_and_of_any_content_type_are_answered(running, folder):
    version = VERSIONS["images alone"]
    [example] = read_examples(folder / str(version))
    body = {"inputs": {name: as_json(values) for name, values in example.inputs.items()}}
    sent = json.dumps(body).encode()
    chunks = iter([sent[:1], sent[1:100], sent[100:]])
    for content, kind in ((chunks, "application/json"), (sent, "text/plain"), (sent, "")):
        status, answer = running.ask(":predict", content, version=version, kind=kind)
        assert status == 200, answer
        np.testing.assert_allclose(
            answer["outputs"]["probabilities"], example.outputs["probabilities"], atol=1e-5
        )
    status, answer = running.ask(":predict", sent, version=version, kind="application/x-protobuf")
    assert status == 400 and answer["error"]


def test_errors_say_what_was_expected(running):
    nan = b'{"inputs": {"pixels": [NaN]}}'.replace(
        b"[NaN]", json.dumps(np.zeros((1, 8, 8, 1)).tolist()).replace("0.0", "NaN").encode()
    )
    answer = running.ask(":predict", nan, version=VERSIONS["images alone"])[1]
    assert "Expected finite numbers in 'pixels'" in answer["error"]
    flat = {"inputs": {"pixels": [[0.0] * 64]}}
    answer = running.ask(":predict", flat, version=VERSIONS["images alone"])[1]
    assert "is not compatible with expected shape [?,8,8,1]" in answer["error"]
