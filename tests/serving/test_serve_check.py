"""What `keras-prokt serve-check` says of a SavedModel, and of a server."""

import http.server
import json
import re
import shutil
import threading
from dataclasses import dataclass

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from keras import layers

from keras_prokt.export import export_saved_model
from keras_prokt.export.serve_check import check_served, difference
from keras_prokt.export.warm_up import Example, read_examples, write_examples
from keras_prokt.front_ends import ImageFrontEnd, TextFrontEnd

pytest.importorskip("tensorflow")
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the graphs are the same"),
]

IMAGES = ImageFrontEnd((8, 8), mean=[0.5], standard_deviation=[0.25])
NAMES = ["circle", "square", "star"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film", "fine", "dull"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    image = keras.Input((8, 8, 1), name="pixels")
    student = keras.Model(image, layers.Dense(3)(layers.Flatten()(image)))
    export_saved_model(student, folder, front_end=IMAGES, class_names=NAMES)
    return folder


@dataclass
class Server:
    """Answers with what is stored, over which a test may write."""

    url: str
    answers: dict[str, tuple[int, bytes]]


@pytest.fixture
def server(pictures):
    answers = {}
    for one in read_examples(pictures / "1"):
        outputs = {name: listed(values) for name, values in one.outputs.items()}
        answers[one.signature] = (200, json.dumps({"outputs": outputs}).encode())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = answers[asked["signature_name"]]
            self.send_response(status if self.path == "/v1/models/shapes:predict" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield Server(f"http://127.0.0.1:{running.server_port}/v1/models/shapes", answers)
        running.shutdown()


def listed(values):
    return [v.decode() for v in values] if values.dtype == object else values.tolist()


@pytest.mark.parametrize("version", [".", "1"])
def test_each_signature_answers_without_keras(pictures, version):
    done = keras_prokt("serve-check", version, cwd=pictures)
    assert done.exit_code == 0, done.output
    for signature in ("serving_default", "serve_encoded", "serve_normalized"):
        assert re.search(rf"{signature} .* ok", done.stdout), done.stdout
    assert "image_bytes string (2,)" in done.stdout


def test_texts_are_split_without_the_package_that_imports_keras(tmp_path):
    ids, mask = (keras.Input((None,), dtype="int32", name=n) for n in ("token_ids", "padding_mask"))
    x = layers.Embedding(len(PIECES), 4, mask_zero=False)(ids)
    x = layers.GlobalMaxPooling1D()(x * layers.Reshape((-1, 1))(keras.ops.cast(mask, "float32")))
    student = keras.Model([ids, mask], layers.Dense(2)(x))
    export_saved_model(student, tmp_path / "texts", front_end=TextFrontEnd(PIECES, max_length=8))
    found = check_served(tmp_path / "texts")
    assert {one.signature for one in found} == {"serve_text", "serving_default"}
    assert all(one.difference < 1e-5 for one in found)


def test_other_answers_than_the_students_are_found(pictures, tmp_path):
    copy = tmp_path / "pictures" / "1"
    copy.parent.mkdir()
    shutil.copytree(pictures / "1", copy)
    [first, *others] = read_examples(copy)
    outputs = {**first.outputs, "probabilities": first.outputs["probabilities"] + 0.01}
    (copy / "assets.extra" / "tf_serving_warmup_requests").unlink()
    write_examples(copy, [first._replace(outputs=outputs), *others])
    done = keras_prokt("serve-check", "pictures", cwd=tmp_path)
    assert done.exit_code == 2
    assert done.stdout.count(" ok") == len(others) and done.stdout.count("WRONG") == 1
    assert re.search(rf"difference of 0.01 from signature '{first.signature}'", done.stderr)
    assert keras_prokt("serve-check", "pictures", "--tolerance", "0.1", cwd=tmp_path).exit_code == 0


def test_a_server_is_asked_the_same(pictures, server):
    for url in (server.url, f"{server.url}/", f"{server.url}:predict"):
        done = keras_prokt("serve-check", str(pictures), "--url", url, cwd=pictures)
        assert done.exit_code == 0, done.output
        assert done.stdout.count(" ok") == 3


@pytest.mark.parametrize(
    "answer, message",
    [
        ((404, b'{"error": "no model"}'), r"status 404 \(.*no model.*\); serve this SavedModel"),
        ((200, b"<html>"), "an answer in JSON from .*REST API"),
        ((200, b'{"predictions": []}'), "an answer in JSON from .*REST API"),
        ((200, b'{"outputs": [[0.2, 0.8]]}'), "a difference of inf from signature"),
    ],
    ids=["status", "no JSON", "rows", "another model"],
)
def test_a_server_that_answers_otherwise_is_named(pictures, server, answer, message):
    server.answers["serving_default"] = answer
    done = keras_prokt("serve-check", str(pictures), "--url", server.url, cwd=pictures)
    assert done.exit_code == 2 and re.search(message, done.stderr), done.output
    assert "Traceback" not in done.output


def test_what_cannot_be_asked_is_refused_in_one_line(pictures, tmp_path):
    cases = [
        (["serve-check", "nothing"], "a SavedModel, a folder of its versions or a run"),
        (["serve-check", str(pictures), "--url", "127.0.0.1:1/v1"], "the URL of a model, such as"),
        (["serve-check", str(pictures), "--url", "http://127.0.0.1:9/v1"], "an answer in JSON"),
    ]
    for arguments, message in cases:
        done = keras_prokt(*arguments, cwd=tmp_path)
        assert done.exit_code == 2 and message in done.stderr, done.output
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    copy = tmp_path / "1"
    shutil.copytree(pictures / "1", copy)
    (copy / "assets.extra" / "tf_serving_warmup_requests").unlink()
    done = keras_prokt("serve-check", "1", cwd=tmp_path)
    assert done.exit_code == 2 and "Expected example requests in" in done.stderr, done.output


def test_difference_counts_shapes_labels_and_texts():
    outputs = {"p": np.array([[0.25, 0.75]], "float32"), "label": np.array([1])}
    outputs["name"] = np.array([b"\xc3\xa9"], object)
    one = Example("s", {}, outputs)
    same = {"p": [[0.25, 0.75]], "label": [1], "name": ["é"]}
    assert difference(one, same) == 0
    assert difference(one, {**same, "p": [[0.5, 0.75]]}) == 0.25
    for wrong in ({"p": [0.25, 0.75]}, {"label": [0]}, {"name": ["e"]}, {"p": [[0.25, np.nan]]}):
        assert difference(one, {**same, **wrong}) == np.inf
    assert difference(one, {"p": [[0.25, 0.75]]}) == np.inf
    single = one._replace(outputs={"p": outputs["p"]})
    assert difference(single, [[0.25, 0.5]]) == 0.25
