"""Outputs of trained teachers are recorded: of each kind, the same numbers as it gives itself."""

from types import SimpleNamespace

import keras
import numpy as np
import own_teachers
import pytest
import sklearn.datasets
from command_line import keras_prokt
from exported import PIECES
from pretended_runs import record_of

from keras_prokt import outputs
from keras_prokt.data.teacher_outputs import read_teacher_outputs
from keras_prokt.front_ends import TextFrontEnd
from keras_prokt.recorders import recorder_of
from keras_prokt.runs import RunSpec, record, run
from keras_prokt.runs.asked_teacher import AskedTeacher
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.recording import _mean

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="kinds of teachers, on the default backend"
)
IMAGES = (sklearn.datasets.load_digits().images / 16).astype("float32")[..., None]
BACKEND = keras.backend.backend()


def spec_of(**settings):
    return RunSpec.resolve("digits", "student", backend=BACKEND, **{"limit": 100, **settings})


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def assert_records(name, expected, out, atol=1e-5):
    """Records a teacher, and compares with its probabilities on all digits."""
    recorded = record(spec_of(), [name], out)
    assert recorded.logits.dtype == "float32" and recorded.logits.shape == (100, 10)
    positions = recorded.index
    np.testing.assert_allclose(softmax(recorded.logits), expected[positions], atol=atol)
    read = read_teacher_outputs(str(out), class_names=recorded.class_names)
    assert read.form == "logits"
    np.testing.assert_array_equal(read.index, positions)
    np.testing.assert_array_equal(read.values.astype("float32"), recorded.logits)
    return recorded


@pytest.fixture
def model():
    return own_teachers.network()


@pytest.fixture
def expected(model):
    return model.predict(IMAGES, verbose=0)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_keras_files(suffix, model, expected, tmp_path):
    model.save(tmp_path / f"teacher{suffix}")
    name = str(tmp_path / f"teacher{suffix}")
    recorded = assert_records(name, expected, tmp_path / "out.npz")
    labels = sklearn.datasets.load_digits().target[recorded.index]
    right = np.mean(expected[recorded.index].argmax(-1) == labels)
    assert recorded.accuracy == {name: pytest.approx(right)}


@pytest.mark.slow
def test_a_function_of_keras(expected, tmp_path):
    assert_records("own_teachers:network", expected, tmp_path / "out.npz")


@pytest.mark.parametrize("name", ["own_teachers:sequential", "s.keras"])
def test_a_sequential_model_of_logits(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = own_teachers.sequential()
    model.save("s.keras")
    expected = model.predict(IMAGES, verbose=0)
    recorded = assert_records(name, softmax(expected), tmp_path / "out.npz")
    np.testing.assert_allclose(recorded.logits, expected[recorded.index], atol=1e-5)


@pytest.mark.slow
@on_tensorflow
def test_a_saved_model(model, expected, tmp_path):
    model.export(tmp_path / "exported", verbose=False)
    assert_records(str(tmp_path / "exported"), expected, tmp_path / "out.npz")


def test_a_module_of_pytorch(tmp_path):
    torch = pytest.importorskip("torch", reason="runs modules of PyTorch")
    from safetensors.torch import save_file

    module = own_teachers.module()
    save_file(module.state_dict(), tmp_path / "teacher.safetensors")
    with torch.no_grad():
        logits = module(torch.tensor(IMAGES)).numpy()
    name = f"own_teachers:module@{tmp_path / 'teacher.safetensors'}"
    recorded = assert_records(name, softmax(logits), tmp_path / "out.npz")
    np.testing.assert_allclose(recorded.logits, logits[recorded.index], atol=1e-5)


def test_an_onnx_model(tmp_path):
    onnx = pytest.importorskip("onnx", reason="writes the ONNX model")
    pytest.importorskip("onnxruntime", reason='runs ONNX models: pip install -e ".[onnx]"')
    kernel = np.random.default_rng(0).normal(size=(64, 10)).astype("float32")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "kernel"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("image", floats, ["batch", 8, 8, 1])],
        [helper.make_tensor_value_info("logits", floats, ["batch", 10])],
        [onnx.numpy_helper.from_array(kernel, "kernel")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "t.onnx")
    expected = softmax(IMAGES.reshape(len(IMAGES), -1) @ kernel)
    assert_records(str(tmp_path / "t.onnx"), expected, tmp_path / "out.npz")


@pytest.mark.slow
def test_the_mean_probability_of_several(model, expected, tmp_path):
    model.save(tmp_path / "one.keras")
    weights = [3 * w for w in model.get_weights()]
    model.set_weights(weights)
    model.save(tmp_path / "other.keras")
    names = [str(tmp_path / f"{name}.keras") for name in ("one", "other")]
    recorded = record(spec_of(), names, tmp_path / "out.npz")
    mean = (expected + model.predict(IMAGES, verbose=0)) / 2
    np.testing.assert_allclose(softmax(recorded.logits), mean[recorded.index], atol=1e-5)
    assert list(recorded.accuracy) == names


@on_tensorflow
@pytest.mark.whole_run
def test_what_a_run_has_trained_teaches_from_the_command_line(tmp_path):
    small = {"limit": 100, "epochs": 1, "batch_size": 32}
    spec = RunSpec.resolve("digits", "prokt", teacher="cnn-medium", **small)
    run(spec, tmp_path / "kept", export=False, save_teacher=True)
    run(spec, tmp_path / "alone", export=False)
    arguments = ("record", "--app", "digits", "--limit", 100, "--out", "outputs.npz", "--teacher")
    for folder, model in (("kept", "teacher"), ("alone", "student")):
        result = keras_prokt(*arguments, folder, "--overwrite", cwd=tmp_path)
        assert result.exit_code == 0, result.output
        assert "outputs.npz: logits of 100 rows" in result.stdout
        saved = keras.saving.load_model(tmp_path / folder / f"{model}.keras", compile=False)
        read = read_teacher_outputs(str(tmp_path / "outputs.npz"))
        logits = saved.predict(IMAGES[read.index], verbose=0)
        np.testing.assert_allclose(read.values, logits, atol=1e-5)
    more = ("--teacher-outputs", "outputs.npz", "--epochs", 1, "--no-export", "--out", "student")
    result = keras_prokt("run", "--method", "kd", "--limit", 100, *more, cwd=tmp_path)
    assert result.exit_code == 0, result.output
    refused = keras_prokt(*arguments, "kept", cwd=tmp_path)
    assert refused.exit_code == 2 and "--overwrite" in refused.stderr


BAD = {
    "classes": (
        "own_teachers:narrow",
        "a teacher of the classes 0, 1, .*, 9, received 'own_teachers:narrow' with 9 outputs",
    ),
    "inputs": (
        "own_teachers:of_other_images",
        "Expected a Keras model that reads what the app's teacher reads, received 'own_teachers:of",
    ),
    "nothing": ("teacher", "Expected a teacher that is a Keras model .* received 'teacher'; check"),
    "pickle": (
        "own_teachers:module@t.pt",
        "received the pickle 't.pt', which would run code; .*sa",
    ),
    "binary": ("pytorch_model.bin", "received the pickle 'pytorch_model.bin'"),
    "no function": ("own_teachers:nothing", "Expected module:function of a builder.*importable"),
    "no file": ("no.keras", "Expected a model file .*no.keras"),
    "preset": ("keras:ResNet50", "Expected a teacher that is a Keras model"),
}


@pytest.mark.parametrize("name", BAD)
def test_teachers_that_are_refused(name, tmp_path):
    teacher, message = BAD[name]
    with pytest.raises(ValueError, match=message) as error:
        record(spec_of(), [teacher], tmp_path / "out.npz")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_module_without_the_file_of_its_weights(tmp_path):
    pytest.importorskip("torch", reason="runs modules of PyTorch")
    with pytest.raises(ValueError, match="with a file that is there, received 'own"):
        record(spec_of(), ["own_teachers:module@t.safetensors"], tmp_path / "out.npz")


def test_weights_of_another_module(tmp_path):
    torch = pytest.importorskip("torch", reason="runs modules of PyTorch")
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file(torch.nn.Linear(3, 2).state_dict(), path)
    with pytest.raises(ValueError, match=r"Expected the weights of own_teachers:module\(\) in"):
        record(spec_of(), [f"own_teachers:module@{path}"], tmp_path / "out.npz")
    with pytest.raises(
        ValueError, match=r"no_module\(\) to return a torch.nn.Module, received a i"
    ):
        record(spec_of(), [f"own_teachers:no_module@{path}"], tmp_path / "out.npz")


def test_a_teacher_of_other_inputs(tmp_path):
    layers = keras.layers
    inputs = [keras.Input((4,), name=name) for name in ("left", "right")]
    model = keras.Model(inputs, layers.Dense(10)(layers.Concatenate()(inputs)))
    model.save(tmp_path / "teacher.keras")
    with pytest.raises(ValueError, match=r"reads \(one array\), received .*reads left, right besi"):
        record(spec_of(), [str(tmp_path / "teacher.keras")], tmp_path / "out.npz")


@pytest.mark.parametrize(
    "out, message",
    [
        ("out.csv", "Expected out that ends in .npz"),
        ("none/out.npz", "in a folder that is there"),
        ("there.npz", "Expected out that is free, .*overwrite"),
    ],
)
def test_files_that_cannot_be_written(out, message, tmp_path):
    (tmp_path / "there.npz").touch()
    with pytest.raises(ValueError, match=message):
        record(spec_of(), ["own_teachers:network"], tmp_path / out)


def test_spaces_in_the_order_of_the_classes_mean_nothing(tmp_path):
    order = ", ".join("1032547698")
    options = ("--teacher", "own_teachers:sequential", "--class-order", order, "--out", "out.npz")
    more = ("--limit", 50, "--import", "own_teachers")
    result = keras_prokt("record", "--app", "digits", *more, *options, cwd=tmp_path)
    assert result.exit_code == 0, result.output


def test_outputs_in_another_order_of_the_classes(expected, tmp_path):
    order = [str((digit + 3) % 10) for digit in range(10)]
    recorded = record(spec_of(), ["own_teachers:network"], tmp_path / "out.npz", class_order=order)
    np.testing.assert_allclose(
        softmax(recorded.logits), np.roll(expected[recorded.index], 3, axis=1), atol=1e-5
    )
    with pytest.raises(ValueError, match="Expected class_order to be the classes .*name each once"):
        record(spec_of(), ["own_teachers:network"], tmp_path / "no.npz", class_order=order[1:])


def test_a_file_of_other_classes_is_refused(expected, tmp_path):
    np.savez(tmp_path / "out.npz", logits=expected, class_names=["a", "b"])
    with pytest.raises(ValueError, match=r"of the classes \['b', 'a'\], received \['a', 'b'\] in"):
        read_teacher_outputs(str(tmp_path / "out.npz"), class_names=["b", "a"])


@pytest.mark.parametrize("teachers", [[], ["own_teachers:network"] * 2])
def test_teachers_are_named_once(teachers, tmp_path):
    with pytest.raises(ValueError, match="Expected at least one teacher, each once, received"):
        record(spec_of(), teachers, tmp_path / "out.npz")


def test_word_pieces_are_for_texts(tmp_path):
    options = ("--tokenizer", "bert", "--teacher", "own_teachers:network", "--out", "out.npz")
    result = keras_prokt("record", *options, cwd=tmp_path)
    assert result.exit_code == 2
    assert "Expected no --tokenizer with app 'digits', received 'bert'" in result.stderr


def test_what_reads_texts_says_its_word_pieces(tmp_path):
    (tmp_path / "t.csv").write_text("body,stars\n" + "".join(f"w{n},{n % 2}\n" for n in range(40)))
    table = ("--app", "text", "--dataset", "t.csv", "--text", "body", "--label", "stars")
    options = ("--teacher", "own_teachers:network", "--out", "out.npz")
    result = keras_prokt("record", *table, *options, cwd=tmp_path)
    assert result.exit_code == 2
    assert "Expected --tokenizer with 'own_teachers:network', which brings no" in result.stderr


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"the package onnxruntime .*'keras-prokt\[onnx\]'"):
        recorder_of("teacher.onnx")


@pytest.mark.parametrize("pieces", [PIECES, [*PIECES, "more"]], ids=["its own", "others"])
def test_a_run_on_texts_teaches_what_it_has_read(pieces, tmp_path):
    then, now = TextFrontEnd(PIECES, max_length=16), TextFrontEnd(pieces, max_length=16)
    record = record_of(RunSpec.resolve("digits", "student"), class_names=["no", "yes"])
    folder = RunFolder(tmp_path / "run")
    with folder.created(record, then.to_json()):
        pass
    teacher = AskedTeacher("run", "student.keras", folder.spec(), "student", folder)
    task = SimpleNamespace(class_names=["no", "yes"], front_end=now)
    if pieces == PIECES:
        teacher.check_reads(task)
    else:
        with pytest.raises(ValueError, match="received 'run', which read them otherwise; give"):
            teacher.check_reads(task)


def test_the_mean_of_several_teachers_of_values_is_that_of_their_outputs():
    outputs_of_each = [np.array([[-2.0], [5.0]]), np.array([[0.0], [1.0]])]
    np.testing.assert_array_equal(_mean(outputs_of_each, outputs.get("values")), [[-1], [3]])
