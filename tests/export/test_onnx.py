"""ONNX files: what they hold, and what they refuse."""

import json

import keras
import numpy as np
import pytest
from exported import PIECES, Unknown, recurrent_student, texts
from keras import layers, ops

from keras_prokt.export import Description, ImageFrontEnd, export_student
from keras_prokt.export.comparison import Examples, compare
from keras_prokt.export.onnx import Onnx
from keras_prokt.front_ends import TextFrontEnd

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="written by TensorFlow"
)


@pytest.mark.slow
def test_open_lengths_and_what_it_says_of_itself(tmp_path):
    student = recurrent_student()
    front_end = TextFrontEnd(PIECES, max_length=16)
    known = {"front_end": front_end, "class_names": ["no", "yes"], "output": "classes"}
    path = export_student(student, tmp_path / "student.onnx", "onnx", **known)
    description = Description(front_end, ["no", "yes"])
    found = compare(Onnx(), path, student, description, Examples(list(texts(5, 9)), "texts"))
    assert found.difference < 1e-6 and found.agreement == 1 and found.count == 4
    names = {"student.onnx", "vocab.txt", "tokenizer_config.json"}
    assert {one.name for one in tmp_path.iterdir()} == names
    assert (tmp_path / "vocab.txt").read_text().splitlines() == PIECES
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    [entry] = model.metadata_props
    said = json.loads(entry.value)
    assert (entry.key, said["class_names"], said["output"]) == (
        "keras_prokt.json",
        ["no", "yes"],
        "classes",
    )
    assert said["front_end"]["max_length"] == 16


def test_pictures_are_normalised_inside(tmp_path):
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Dense(5, "gelu")(layers.Flatten()(image))  # erfc, which ONNX lacks
    student = keras.Model(image, layers.Dense(3)(x))
    front_end = ImageFrontEnd((8, 8), mean=[0.4], standard_deviation=[0.3])
    path = export_student(student, tmp_path / "new" / "a.onnx", "onnx", front_end=front_end)
    session = onnxruntime.InferenceSession(path)
    [read] = session.get_inputs()
    assert (read.name, read.type, read.shape) == ("image", "tensor(uint8)", ["batch", 8, 8, 1])
    pixels = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), dtype="uint8")
    [found] = session.run(["probabilities"], {"image": pixels})
    expected = ops.softmax(student(front_end.normalize(pixels)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    [label] = session.run(["label"], {"image": pixels})
    assert label.tolist() == np.argmax(found, axis=-1).tolist()


@pytest.mark.parametrize("width", [3, 200])  # TensorFlow keeps large ones in another way
def test_what_a_layer_keeps_is_inside(tmp_path, width):
    features = keras.Input((width,), name="features")
    normalization = layers.Normalization()
    batch = np.random.default_rng(0).normal(3, 2, (50, width)).astype("float32")
    normalization.adapt(batch)
    student = keras.Model(features, layers.Dense(2)(normalization(features)))
    path = export_student(student, tmp_path / "a.onnx", "onnx", validation=batch)
    assert [one.name for one in onnxruntime.InferenceSession(path).get_inputs()] == ["features"]
    onnx.checker.check_model(onnx.load(path), full_check=True)


@pytest.mark.parametrize(
    ("output", "width", "names"),
    [("labels", 2, {"probabilities", "label"}), ("values", 2, {"values"})],
)
def test_other_kinds_of_output(tmp_path, output, width, names):
    student = keras.Sequential([keras.Input((4,), name="features"), layers.Dense(width)])
    path = export_student(student, tmp_path / "a.onnx", "onnx", output=output)
    assert {one.name for one in onnxruntime.InferenceSession(path).get_outputs()} == names


@pytest.mark.parametrize(
    ("place", "between", "match"),
    [
        ("a.onx", [], r"ends in \.onnx, received .*; such as '.*a\.onnx'"),
        ("a.onnx", [Unknown()], "layers ONNX can hold, received 'sequential.*Erfinv.*saved_model"),
        ("there.onnx", [], "where nothing is, received .*there.onnx', which exists"),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path, place, between, match):
    (tmp_path / "there.onnx").write_text("old")
    student = keras.Sequential([keras.Input((4,)), *between, layers.Dense(3)])
    with pytest.raises(ValueError, match=match) as error:
        export_student(student, tmp_path / place, "onnx")
    assert "\n" not in str(error.value)
    assert [(p.name, p.read_text()) for p in tmp_path.rglob("*")] == [("there.onnx", "old")]


def test_what_is_too_far_from_the_student_is_refused(tmp_path, monkeypatch):
    def open_wrong(form, written, description):
        return lambda features: np.full((64, 3), 1 / 3, "float32")

    monkeypatch.setattr(Onnx, "open", open_wrong)
    student = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    match = r"within 1e-05 of the student's from format 'onnx', received a difference of 0\.\d+ on"
    with pytest.raises(ValueError, match=match):
        export_student(student, tmp_path / "a.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []
