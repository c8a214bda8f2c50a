"""The clients of docs/serving.md, at a server in C++ of what that document exports."""

import contextlib
import io
import subprocess
from concurrent import futures
from importlib import util

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from cpp_server import CannotBuild, CppServer, build, kept_in
from document_blocks import blocks_of

tf = pytest.importorskip("tensorflow")
grpc = pytest.importorskip("grpc")
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the graphs are the same"),
    pytest.mark.skipif(
        util.find_spec("tensorflow_serving") is None, reason="needs the official API"
    ),
]

BLOCKS = blocks_of("docs/serving.md")
NEEDS_SERVER = "needs a server"


def client(language):
    """What the document has for a server that runs, of a language."""
    [block] = [b for b in BLOCKS if b.language == language and b.reason == NEEDS_SERVER]
    return block.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the document's own student has been trained and exported."""
    folder = tmp_path_factory.mktemp("document")
    first = next(block for block in BLOCKS if block.language == "python")
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        exec(compile(first.code, "docs/serving.md", "exec"), {"__name__": "__main__"})
    return folder


@pytest.fixture(scope="module")
def server(folder, pytestconfig, tmp_path_factory):
    try:
        program = build(kept_in(pytestconfig, tmp_path_factory))
    except CannotBuild as reason:
        pytest.skip(str(reason))
    with CppServer(program, folder / "serving" / "shapes", name="shapes") as server:
        yield server


@pytest.fixture
def grpc_port(server):
    """The same by gRPC: the official service, which asks the server in C++."""
    from tensorflow_serving.apis import prediction_service_pb2_grpc as services
    from tensorflow_serving.apis.predict_pb2 import PredictResponse

    class Service(services.PredictionServiceServicer):
        def Predict(self, request, context):
            content = request.SerializeToString()
            status, answer = server.ask(":predict", content, kind="application/x-protobuf")
            if status != 200:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, answer["error"])
            return PredictResponse.FromString(answer)

    running = grpc.server(futures.ThreadPoolExecutor(1))
    services.add_PredictionServiceServicer_to_server(Service(), running)
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    yield port
    running.stop(None).wait()


def expected(folder, pictures):
    served = tf.saved_model.load(str(folder / "serving" / "shapes" / "1"))
    answer = served.signatures["serving_default"](image=tf.constant(pictures))
    return {name: values.numpy() for name, values in answer.items()}


def test_python_by_rest_and_by_grpc(folder, server, grpc_port, capsys):
    code = client("python").replace("127.0.0.1:8501", f"127.0.0.1:{server.port}")
    code = code.replace("127.0.0.1:8500", f"127.0.0.1:{grpc_port}")
    namespace = {"__name__": "__main__"}
    exec(compile(code, "docs/serving.md", "exec"), namespace)
    right = expected(folder, namespace["pictures"])
    names = [name.decode() for name in right["class_name"]]
    by_rest, by_grpc = capsys.readouterr().out.split("\n", 1)
    assert by_rest == str(names)
    numbers = np.fromstring(by_grpc.replace("[", "").replace("]", ""), sep=" ")
    np.testing.assert_allclose(numbers, right["probabilities"].ravel(), atol=1e-5)


def test_curl(folder, server, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 1), dtype="uint8")
    (tmp_path / "shape.png").write_bytes(tf.io.encode_png(pictures[0]).numpy())
    script = client("bash").replace("127.0.0.1:8501", f"127.0.0.1:{server.port}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    right = expected(folder, pictures)
    assert right["class_name"][0].decode() in done.stdout
    assert f"{right['probabilities'][0, 0]:.5f}"[:6] in done.stdout


def test_serve_check(folder, server):
    done = keras_prokt("serve-check", "serving/shapes", "--url", server.url, cwd=folder)
    assert done.exit_code == 0 and done.stdout.count(" ok") == 3, done.output
