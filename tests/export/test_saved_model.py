"""What a server would load: in other processes, without Keras, from every backend."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops
from marks import thorough

from keras_prokt.export import export_saved_model
from keras_prokt.front_ends import TextFrontEnd
from keras_prokt.models.bilstm import bilstm, bilstm_pair
from keras_prokt.models.wordpiece import ExactBertTokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES += ["a", "cafe", "fine", "film", "very", "un", "##like", "##ly", "dull", ",", "!"]
TEXTS = ["A fine film!", "unlikely, very DULL", "café", "", "very very very very very very fine"]
SECONDS = [
    "a film",
    "fi\u00adne\u2003F\u0130LM",
    "dull, dull, dull, dull, dull, dull",
    "",
    "unseen",
]

# Loads a SavedModel where neither Keras nor this package can be imported.
SERVER = """
import pathlib
import sys
for name in ("keras", "tf_keras", "keras_hub", "keras_prokt"):
    sys.modules[name] = None
import numpy as np
import tensorflow as tf
path, signature, inputs, outputs, text_ops = sys.argv[1:]
if text_ops:
    # Its operations alone; `import tensorflow_text` itself imports Keras.
    for library in pathlib.Path(text_ops).glob("python/ops/*.so"):
        tf.load_op_library(str(library))
model = tf.saved_model.load(path)
serve = model.signatures[signature]
batches = {}
for key, value in np.load(inputs).items():
    batch, name = key.split("/")
    batches.setdefault(batch, {})[name] = tf.constant(value)
results = {}
for batch, features in batches.items():
    for name, value in serve(**features).items():
        value = value.numpy()
        # Strings of one width, because objects would have to be pickled.
        results[f"{batch}/{name}"] = value.astype("S") if value.dtype == object else value
results["signatures/names"] = np.array(sorted(model.signatures))
np.savez(outputs, **results)
"""


def serve(path, *batches, signature="serving_default", with_text=False):
    """The outputs of a signature for each batch, computed by a process without Keras."""
    text_ops = ""
    if with_text:
        text_ops = importlib.util.find_spec("tensorflow_text").submodule_search_locations[0]
    folder = Path(path).resolve().parent.parent
    inputs, outputs = folder / "inputs.npz", folder / "outputs.npz"
    flat = {
        f"{i}/{name}": value for i, batch in enumerate(batches) for name, value in batch.items()
    }
    np.savez(inputs, **flat)
    run_python("-c", SERVER, path, signature, inputs, outputs, text_ops)
    with np.load(outputs) as results:
        names = list(results["signatures/names"])
        served = [{} for _ in batches]
        for key in results.files:
            batch, name = key.split("/")
            if batch != "signatures":
                served[int(batch)][name] = results[key]
    return served, names


def run_python(*arguments, backend=None, check=True):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    if backend:
        environment["KERAS_BACKEND"] = backend
    command = [sys.executable, *map(str, arguments)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if check:
        assert result.returncode == 0, result.stderr
    return result


def softmax(student, inputs):
    return np.asarray(ops.convert_to_numpy(ops.softmax(student(inputs, training=False))))


def assert_served(served, expected, class_names=None):
    assert set(served) == {"probabilities", "label"} | ({"class_name"} if class_names else set())
    if class_names:
        names = [name.decode() for name in served["class_name"]]
        assert names == [class_names[label] for label in expected.argmax(-1)]
    assert served["probabilities"].dtype == np.float32
    assert served["label"].dtype == np.int64
    assert served["label"].shape == expected.shape[:1]
    np.testing.assert_allclose(served["probabilities"], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(served["label"], expected.argmax(-1))


def image_student():
    """A student with everything that has state: batch norm, dropout, metrics, an optimizer."""
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(4, 3, activation="relu")(image)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.5, seed=0)(layers.Flatten()(x))
    student = keras.Model(image, layers.Dense(3)(x), name="student")
    student.compile("adam", keras.losses.SparseCategoricalCrossentropy(True), metrics=["accuracy"])
    student.fit(images(64), np.arange(64) % 3, verbose=0)
    return student


def images(count):
    return np.random.default_rng(count).normal(size=(count, 8, 8, 1)).astype("float32")


def dense_student(name="features"):
    inputs = keras.Input((4,), name=name)
    return keras.Model(inputs, layers.Dense(3)(inputs))


def text_student(length=None, segments=False, name="text_student"):
    names = ["token_ids", "padding_mask"] + ["segment_ids"] * segments
    inputs = {key: keras.Input((length,), dtype="int32", name=key) for key in names}
    x = layers.Embedding(len(PIECES), 6)(inputs["token_ids"])
    if segments:
        x = x + layers.Embedding(2, 6)(inputs["segment_ids"])
    mask = ops.cast(ops.expand_dims(inputs["padding_mask"], -1), "float32")
    # Positions count, so that a wrong order or a wrong id shows.
    x = ops.sum(x * mask * ops.cumsum(mask, axis=1), axis=1)
    return keras.Model(inputs, layers.Dense(2)(x), name=name)


def tokenized(text, *columns):
    """The same texts tokenised in Python, without a TensorFlow graph."""
    from keras_hub.layers import MultiSegmentPacker

    tokenizer = ExactBertTokenizer(
        text.vocabulary, lowercase=text.lowercase, strip_accents=text.strip_accents
    )
    pack = MultiSegmentPacker(
        text.max_length, tokenizer.cls_token_id, tokenizer.sep_token_id, pad_value=0
    )
    token_ids, segment_ids = pack(tuple(tokenizer(column) for column in columns))
    token_ids = np.asarray(token_ids)
    mask = (token_ids != 0).astype("int32")
    return {"token_ids": token_ids, "padding_mask": mask, "segment_ids": np.asarray(segment_ids)}


def strings(texts):
    return np.array([text.encode() for text in texts])


def everything_below(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


@pytest.mark.process
def test_a_process_without_keras_gives_the_numbers_of_the_keras_file(tmp_path):
    student = image_student()
    student.save(tmp_path / "student.keras")
    path = export_saved_model(student, tmp_path / "served")
    assert path == tmp_path / "served" / "1"

    batches = [images(count) for count in (1, 3, 64)]
    served, names = serve(path, *({"image": batch} for batch in batches))
    assert names == ["serving_default"]
    loaded = keras.models.load_model(tmp_path / "student.keras")
    for result, batch in zip(served, batches, strict=True):
        assert_served(result, softmax(loaded, batch))


NAMES = ["schön", "line\nbreak", "👎"]


@pytest.mark.process
def test_class_names_are_served_where_they_are_known(tmp_path):
    student = image_student()
    path = export_saved_model(student, tmp_path, class_names=NAMES)
    served, _ = serve(path, {"image": images(64)})
    assert_served(served[0], softmax(student, images(64)), NAMES)
    assert len(set(served[0]["class_name"])) > 1


@pytest.mark.parametrize("names", [["a", "b"], "abc", ["a", "b", 3]])
def test_class_names_are_one_string_a_class(tmp_path, names):
    with pytest.raises(ValueError, match="Expected class_names to be 3 strings"):
        export_saved_model(dense_student(), tmp_path / "served", class_names=names)
    assert everything_below(tmp_path) == []


@pytest.mark.slow
def test_only_the_students_weights_are_inside(tmp_path):
    import tensorflow as tf

    student = image_student()
    path = export_saved_model(student, tmp_path)
    variables = [
        shape
        for name, shape in tf.train.list_variables(str(path / "variables" / "variables"))
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    ]
    assert len(variables) == len(student.weights)
    assert sum(int(np.prod(shape)) for shape in variables) == student.count_params()


def test_each_export_is_a_new_version_and_readable_by_others(tmp_path):
    student = dense_student()
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    first = export_saved_model(student, tmp_path)
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    student.set_weights([weight + 1 for weight in student.get_weights()])
    second = export_saved_model(student, str(tmp_path))
    assert (first.name, second.name) == ("8", "9")
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(os.listdir(tmp_path)) == ["7", "8", "9", "notes"]
    # A server usually is another user; temporary folders are closed to it.
    (tmp_path / "usual").mkdir()
    assert first.stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.process
def test_a_moved_folder_still_loads(tmp_path):
    student = dense_student()
    path = export_saved_model(student, tmp_path / "here")
    (tmp_path / "there").mkdir()
    moved = shutil.move(path, tmp_path / "there" / "12")
    batch = np.ones((2, 4), "float32")
    served, _ = serve(moved, {"features": batch})
    assert_served(served[0], softmax(student, batch))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="fails in the other process")
def test_a_failed_export_leaves_nothing_behind(tmp_path, monkeypatch):
    write_out = type(keras.export.ExportArchive()).write_out

    def fail(archive, filepath, **options):
        write_out(archive, filepath, **options)
        raise OSError("No space left on device")

    monkeypatch.setattr(type(keras.export.ExportArchive()), "write_out", fail)
    (tmp_path / "there").mkdir()
    for directory in ("there", "new/deep"):
        with pytest.raises(OSError, match="No space"):
            export_saved_model(dense_student(), tmp_path / directory)
    assert everything_below(tmp_path) == ["there"]


@pytest.mark.process
def test_dict_inputs_keep_their_names_and_free_lengths(tmp_path):
    student = text_student(segments=True)
    path = export_saved_model(student, tmp_path)
    random = np.random.default_rng(0)
    batches = []
    for count, length in ((1, 3), (5, 17)):
        ids = random.integers(0, len(PIECES), (count, length)).astype("int32")
        batch = {"token_ids": ids, "padding_mask": (ids > 2).astype("int32")}
        batches.append({**batch, "segment_ids": (ids > 5).astype("int32")})
    served, _ = serve(path, *batches)
    for result, batch in zip(served, batches, strict=True):
        assert_served(result, softmax(student, batch))


@pytest.mark.parametrize(
    "student",
    [
        pytest.param(lambda: keras.Sequential([layers.Dense(3)]), id="built-by-a-call"),
        pytest.param(
            lambda: keras.Sequential([keras.Input((4,)), layers.Dense(3)]), id="input-without-name"
        ),
    ],
)
def test_a_single_input_without_a_name_is_called_inputs(tmp_path, student):
    import tensorflow as tf

    student = student()
    student(np.ones((8, 4), "float32"))
    loaded = tf.saved_model.load(export_saved_model(student, tmp_path))
    batch = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    result = loaded.signatures["serving_default"](inputs=batch)
    assert_served({key: value.numpy() for key, value in result.items()}, softmax(student, batch))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
@pytest.mark.parametrize("sequential", [False, True])
def test_half_precision_students_are_served_in_float32(tmp_path, policy, sequential):
    import tensorflow as tf

    def build(policy):
        usual = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            if sequential:
                student = keras.Sequential([layers.Dense(5, "relu"), layers.Dense(3)])
                student.build((None, 4))
                return student
            inputs = keras.Input((4,), name="inputs")
            x = layers.Dense(5)(inputs)
            x = layers.MultiHeadAttention(2, 3)(x[:, None], x[:, None])[:, 0] * 2.0
            return keras.Model(inputs, layers.Dense(3, dtype="float32")(x))
        finally:
            keras.config.set_dtype_policy(usual)

    student, exact = build(policy), build("float32")
    exact.set_weights(student.get_weights())
    before = [layer.compute_dtype for layer in student.layers]
    loaded = tf.saved_model.load(export_saved_model(student, tmp_path))
    batch = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    result = loaded.signatures["serving_default"](inputs=batch)
    assert_served({key: value.numpy() for key, value in result.items()}, softmax(exact, batch))
    assert [layer.compute_dtype for layer in student.layers] == before


@pytest.mark.process
@pytest.mark.parametrize(
    ("length", "pair", "cased"),
    [(None, False, False), *thorough((None, True, True), (12, True, False))],
)
def test_serve_text_equals_tokenising_outside(tmp_path, length, pair, cased):
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    text = TextFrontEnd(vocabulary, max_length=12, pair=pair, lowercase=not cased)
    student = text_student(length, segments=pair)
    path = export_saved_model(student, tmp_path / "served", front_end=text)
    # The vocabulary is inside.
    vocabulary.unlink()

    columns = [TEXTS, SECONDS][: 1 + pair]
    batches = [tuple(column[start:stop] for column in columns) for start, stop in ((0, 5), (1, 2))]
    served, names = serve(
        path,
        *(dict(zip(text.signature_inputs, map(strings, batch), strict=True)) for batch in batches),
        signature="serve_text",
        with_text=True,
    )
    assert names == ["serve_text", "serving_default"]
    for result, batch in zip(served, batches, strict=True):
        features = tokenized(text, *batch)
        wanted = {name: features[name] for name in student.input}
        assert_served(result, softmax(student, wanted))


@pytest.mark.process
def test_serve_text_of_pairs_read_separately(tmp_path):
    text = TextFrontEnd(PIECES, max_length=12, pair=True)
    student = bilstm_pair(2, vocabulary_size=len(PIECES), embedding_dim=6, units=5)
    student.get_layer("token_embedding").embeddings.assign(
        np.random.default_rng(0).normal(size=(len(PIECES), 6))
    )
    path = export_saved_model(student, tmp_path / "served", front_end=text)
    batches = [(TEXTS, SECONDS), (SECONDS[:1], TEXTS[1:2])]
    served, _ = serve(
        path,
        *({"text": strings(one), "text_pair": strings(two)} for one, two in batches),
        signature="serve_text",
        with_text=True,
    )
    for result, (one, two) in zip(served, batches, strict=True):
        first, second = tokenized(text, one), tokenized(text, two)
        names = ("token_ids", "padding_mask")
        inputs = {name: first[name] for name in names}
        inputs |= {f"{name}_pair": second[name] for name in names}
        assert_served(result, softmax(student, inputs))
    with pytest.raises(ValueError, match="segment_ids of shape .* input 'padding_mask_pair'"):
        export_saved_model(student, tmp_path / "served", front_end=TextFrontEnd(PIECES))


@pytest.mark.slow
@pytest.mark.parametrize("build", [bilstm, *thorough(bilstm_pair)])
def test_serve_text_takes_an_empty_batch(build, tmp_path):
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    student = build(2, vocabulary_size=len(PIECES), embedding_dim=6, units=5)
    text = TextFrontEnd(PIECES, pair=build is bilstm_pair)
    loaded = tf.saved_model.load(export_saved_model(student, tmp_path, front_end=text))
    no_texts = {name: tf.zeros((0,), tf.string) for name in text.signature_inputs}
    result = loaded.signatures["serve_text"](**no_texts)
    assert result["probabilities"].shape == (0, 2)


OTHER_BACKEND = """
import sys
import keras, numpy as np
import keras_prokt.models.bilstm
from keras_prokt.export import export_saved_model
from keras_prokt.front_ends import TextFrontEnd
folder, pieces = sys.argv[1], sys.argv[2].split()
assert keras.backend.backend() in ("jax", "torch")
student = keras.saving.load_model(f"{folder}/student.keras")
features = dict(np.load(f"{folder}/features.npz"))
logits = student(features, training=False)
np.savez(f"{folder}/here.npz", keras.ops.convert_to_numpy(keras.ops.softmax(logits)))
text = TextFrontEnd(pieces, max_length=9) if pieces else None
names = ["schön", "line\\nbreak"]
print(export_saved_model(student, f"{folder}/served", front_end=text, class_names=names))
if pieces:
    sys.exit()
inputs = keras.Input((2,), name="features")
student = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Lambda(lambda x: x * 2)(inputs)))
try:
    export_saved_model(student, f"{folder}/never/made")
except ValueError as error:
    print(error)
"""


@pytest.mark.process
@pytest.mark.parametrize(("backend", "with_text"), [("jax", True), *thorough(("torch", False))])
def test_other_backends_export_through_a_tensorflow_process(tmp_path, backend, with_text):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    student = bilstm(2, vocabulary_size=len(PIECES), embedding_dim=6, units=5)
    student.save(tmp_path / "student.keras")
    ids = np.array([[2, 5, 7, 8, 3], [2, 13, 3, 0, 0]], "int32")
    features = {"token_ids": ids, "padding_mask": (ids != 0).astype("int32")}
    np.savez(tmp_path / "features.npz", **features)
    pieces = " ".join(PIECES) if with_text else ""
    result = run_python("-c", OTHER_BACKEND, tmp_path, pieces, backend=backend)
    path, *refusal = result.stdout.strip().splitlines()
    assert Path(path) == tmp_path / "served" / "1"

    if with_text:
        features = {"text": strings(["A fine film", "dull"])}
    signature = "serve_text" if with_text else "serving_default"
    served, _ = serve(path, features, signature=signature, with_text=with_text)
    with np.load(tmp_path / "here.npz") as results:
        assert_served(served[0], results["arr_0"], NAMES[:2])

    if not with_text:
        assert "TensorFlow process" in refusal[0] and "Lambda" in refusal[0]
        assert len(refusal) == 1
    assert not (tmp_path / "never").exists()


@pytest.mark.process
def test_the_command_reports_one_line(tmp_path):
    result = run_python(
        "-m",
        "keras_prokt.export",
        tmp_path / "none.keras",
        tmp_path / "served",
        backend="tensorflow",
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith("error: File not found")
    assert everything_below(tmp_path) == []


class WithoutInputs(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("student", "match"),
    [
        (lambda: keras.Sequential([layers.Dense(3)]), "without known inputs"),
        (WithoutInputs, "without known inputs"),
        (lambda: "student.keras", "Expected a keras.Model as student, received str"),
        (lambda: dense_student("my-features"), "received input 'my-features'"),
        (lambda: dense_student("self"), "not 'self', received input 'self'"),
        (
            lambda: keras.Model(i := keras.Input((4,), name="x"), [layers.Dense(3)(i)] * 2),
            "one tensor",
        ),
    ],
)
def test_unsuitable_students_are_refused(tmp_path, student, match):
    with pytest.raises(ValueError, match=match) as error:
        export_saved_model(student(), tmp_path / "served")
    assert "\n" not in str(error.value)
    assert everything_below(tmp_path) == []


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="is a file; choose another path"):
            export_saved_model(dense_student(), path)
    assert (tmp_path / "file").read_text() == "kept"


def test_text_needs_a_text_student(tmp_path):
    text = TextFrontEnd(PIECES, max_length=12)
    with pytest.raises(ValueError, match="received input 'features' of shape"):
        export_saved_model(dense_student(), tmp_path, front_end=text)
    with pytest.raises(ValueError, match=r"or \(batch, 12\), received input 'padding_mask'"):
        export_saved_model(text_student(length=16), tmp_path, front_end=text)


@pytest.mark.process
@pytest.mark.skipif(
    shutil.which("tensorflow_model_server") is None, reason="needs tensorflow_model_server"
)
def test_tensorflow_serving_answers(tmp_path):
    import json
    import socket
    import time
    import urllib.request

    student = dense_student()
    export_saved_model(student, tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            "tensorflow_model_server",
            f"--rest_api_port={port}",
            "--port=0",
            "--model_name=student",
            f"--model_base_path={tmp_path}",
        ]
    )
    batch = np.ones((3, 4), "float32")
    request = json.dumps({"inputs": {"features": batch.tolist()}}).encode()
    url = f"http://127.0.0.1:{port}/v1/models/student:predict"
    try:
        for _ in range(60):
            try:
                with urllib.request.urlopen(url, request) as answer:
                    outputs = json.load(answer)["outputs"]
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail("tensorflow_model_server did not answer within 30 s")
    finally:
        server.terminate()
        server.wait()
    np.testing.assert_allclose(outputs["probabilities"], softmax(student, batch), atol=1e-5)
