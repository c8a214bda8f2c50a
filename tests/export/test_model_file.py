"""A `.keras` file alone in another form, by the command."""

import os
import re

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from keras import layers

from keras_prokt import outputs
from keras_prokt.export import FORMATS, Description, ImageFrontEnd
from keras_prokt.export.described import describe_file, described

PICTURES = ImageFrontEnd((8, 8), mean=[0.5], standard_deviation=[0.25])
NAMES = ["circle", "square", "star"]


@pytest.fixture
def file(tmp_path):
    image = keras.Input((8, 8, 1), name="image")
    keras.Model(image, layers.Dense(3)(layers.Flatten()(image))).save(tmp_path / "shapes.keras")
    description = Description(PICTURES, NAMES, outputs.get("classes"))
    describe_file(tmp_path / "shapes.keras", description)
    return tmp_path / "shapes.keras"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, place",
    [
        ("saved_model", "shapes_saved_model/1"),
        ("onnx", "shapes.onnx"),
        ("litert", "shapes.tflite"),
    ],
)
def test_it_leaves_beside_the_file_with_what_that_says(file, name, place):
    card = FORMATS[name]
    if missing := card.missing():
        pytest.skip(f"needs {', '.join(missing)}")
    if card.backend not in (None, keras.backend.backend()):
        pytest.skip("tested on the backend that writes it")
    done = keras_prokt("export", file.name, "--format", name, cwd=file.parent)
    assert (done.exit_code, done.stdout.strip()) == (0, place), done.output
    assert name == "saved_model" or "compared on 64 random inputs" in done.stderr
    student = keras.saving.load_model(file)
    batch = np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype("float32")
    known = Description(PICTURES, NAMES)
    written = file.parent / place
    assert card.load().largest_difference(written, student, batch, known) < 1e-5
    if name == "saved_model":
        assert described(written).class_names == NAMES


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("shapes.keras", "--format", "keras"), r"received 'shapes.keras', which exists"),
        (("none.keras", "--format", "onnx"), r"received 'none.keras' where there is none"),
        (("shapes.keras", "--model", "teacher"), r"a run folder for its teacher"),
        (
            ("shapes.keras", "--format", "onnx", "--quantize", "int8"),
            r"no --quantize int8 with a file alone.*name the run",
        ),
    ],
    ids=["itself", "missing", "teacher", "int8"],
)
def test_what_cannot_be_is_refused(file, arguments, message):
    if "onnx" in arguments and FORMATS["onnx"].missing():
        pytest.skip("needs onnx")
    done = keras_prokt("export", *arguments, cwd=file.parent)
    assert done.exit_code == 2 and re.search(message, done.stderr), done.output
    assert [path.name for path in file.parent.iterdir()] == ["shapes.keras"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_device_says_nothing_of_itself(tmp_path):
    os.mkfifo(tmp_path / "student.keras")
    with pytest.raises(ValueError, match="can be read, received .*no file"):
        described(tmp_path / "student.keras")
