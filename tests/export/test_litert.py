"""LiteRT files: what they hold, and what they refuse."""

import zipfile

import keras
import numpy as np
import pytest
from exported import PIECES, Unknown, recurrent_student, texts
from keras import layers, ops

from keras_prokt.export import Description, ImageFrontEnd, export_student
from keras_prokt.export.comparison import Examples, compare
from keras_prokt.export.litert import LiteRT
from keras_prokt.front_ends import TextFrontEnd

interpreter = pytest.importorskip("ai_edge_litert.interpreter")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="written by TensorFlow"),
]


def test_a_recurrent_network_of_one_length(tmp_path):
    student = recurrent_student()
    front_end = TextFrontEnd(PIECES, max_length=12)
    known = {"front_end": front_end, "class_names": ["no", "yes"]}
    path = export_student(student, tmp_path / "a.tflite", "litert", length=9, **known)
    examples = Examples(list(texts(5, 9)), "texts")
    found = compare(LiteRT(), path, student, Description(front_end), examples)
    assert found.difference < 1e-6 and found.agreement == 1 and found.count == 4
    model = interpreter.Interpreter(model_path=str(path))
    assert {tuple(one["shape_signature"]) for one in model.get_input_details()} == {(1, 9)}
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["keras_prokt.json"]


def test_pictures_are_normalised_inside(tmp_path):
    image = keras.Input((8, 8, 1), name="image")
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(image))
    student = keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))
    front_end = ImageFrontEnd((8, 8), mean=[0.4], standard_deviation=[0.3])
    path = export_student(student, tmp_path / "a.tflite", "litert", front_end=front_end)
    runner = interpreter.Interpreter(model_path=str(path)).get_signature_runner()
    pixels = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), dtype="uint8")
    found = runner(image=pixels)
    expected = ops.softmax(student(front_end.normalize(pixels)))
    np.testing.assert_allclose(found["probabilities"], expected, rtol=0, atol=1e-6)
    assert found["label"].tolist() == np.argmax(expected, axis=-1).tolist()


@pytest.mark.parametrize(
    ("place", "shape", "between", "match"),
    [
        ("a.lite", (4,), [], r"ends in \.tflite, received .*; such as '.*a\.tflite'"),
        ("a.tflite", (4,), [Unknown()], "by its own operations, received .*rfinv.*as onnx or"),
        ("a.tflite", (None, 4), [layers.GlobalMaxPooling1D()], "Expected a length for .*=128"),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path, place, shape, between, match):
    student = keras.Sequential([keras.Input(shape, name="a"), *between, layers.Dense(3)])
    with pytest.raises(ValueError, match=match) as error:
        export_student(student, tmp_path / place, "litert")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
