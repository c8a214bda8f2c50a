"""Quantized exports: smaller, near enough, and refused where they are not."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt.export import FORMATS, export_student
from keras_prokt.export.litert import LiteRT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="written by TensorFlow"),
    pytest.mark.skipif(
        bool(FORMATS["onnx"].missing() or FORMATS["litert"].missing()), reason="needs their extras"
    ),
]
# Answers of an untrained network: many are about as near to one class as to another.
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(96, 16)).astype("float32")


def student(num_classes=4):
    inputs = keras.Input((16,), name="features")
    return keras.Model(inputs, layers.Dense(num_classes)(layers.Dense(128, "relu")(inputs)))


def labelled(model):
    return X, np.argmax(model(X), axis=-1)


@pytest.mark.parametrize("quantize", ["float16", "int8"])
@pytest.mark.parametrize("form", ["onnx", "litert"])
def test_it_is_smaller(tmp_path, form, quantize):
    model, name = student(), FORMATS[form].file
    whole = export_student(model, tmp_path / name, form)
    small = tmp_path / quantize / name
    settings = {"quantize": quantize, "validation": labelled(model), "max_loss": 0.3}
    export_student(model, small, form, calibration=X[:32], **settings)
    # Weights of two bytes, or of one, beside as much of everything else.
    weights = 4 * model.count_params()
    least = 0.4 * weights if quantize == "float16" else 0.5 * weights
    assert whole.stat().st_size - small.stat().st_size > least - 3000


def test_probabilities_of_eight_bits_need_not_sum_to_1(tmp_path):
    # Of 200 classes each is about 1/200, which 8 bits of 1/256 round to the same.
    model = student(200)
    settings = {"validation": labelled(model), "max_loss": 1.0, "calibration": X[:32]}
    assert export_student(model, tmp_path / "a.tflite", "litert", quantize="int8", **settings)
    served = LiteRT().open(tmp_path / "a.tflite", None)({"features": X[:1]})
    assert abs(np.asarray(served).sum() - 1) > 0.02


def test_what_loses_too_much_is_refused(tmp_path, monkeypatch):
    model = student()
    monkeypatch.setattr(
        LiteRT, "open", lambda *_: lambda features: np.eye(4, dtype="float32")[[0] * len(X[:64])]
    )
    x, y = (values[:64] for values in labelled(model))
    match = r"loss of accuracy of at most 0.02 \(max_loss\) by float16, received 0\.\d{4} "
    with pytest.raises(ValueError, match=match):
        settings = {"quantize": "float16", "validation": (x, y), "max_loss": 0.02}
        export_student(model, tmp_path / "a.tflite", "litert", **settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("form", "quantize", "match"),
    [
        ("keras", "int8", "no quantize with format 'keras', received 'int8'.*: onnx, litert"),
        ("onnx", "int4", "a quantization among .*received 'int4'"),
        ("litert", "int8", "training examples as calibration for quantize 'int8'.*take float16"),
    ],
)
def test_what_cannot_be_quantized_is_refused(tmp_path, form, quantize, match):
    with pytest.raises(ValueError, match=match):
        export_student(student(), tmp_path / FORMATS[form].file, form, quantize=quantize)
    assert list(tmp_path.iterdir()) == []


def test_int8_onnx_has_no_signed_weights_which_overflow_on_older_processors(tmp_path):
    """The first and the last layer, the most sensitive, stay in float32."""
    image = keras.Input((8, 8, 3), name="pixels")
    x = layers.Conv2D(8, 3, activation="relu", name="first")(image)
    x = layers.Conv2D(16, 3, activation="relu", name="second")(x)
    model = keras.Model(image, layers.Dense(4, name="last")(layers.Flatten()(x)))
    pictures = DRAW.normal(size=(64, 8, 8, 3)).astype("float32")
    settings = {"quantize": "int8", "calibration": pictures[:32], "validation": pictures}
    graph = read_graph(export_student(model, tmp_path / "model.onnx", "onnx", **settings))
    weights = {one.name: one for one in graph.initializer if len(one.dims) > 1}
    assert [(*one.dims,) for one in weights.values() if one.data_type == UINT8] == [(16, 8, 3, 3)]
    in_float = sorted((*one.dims,) for one in weights.values() if one.data_type == FLOAT)
    assert in_float == [(8, 3, 3, 3), (256, 4)]


@pytest.mark.parametrize("recurrent", [None, layers.LSTM, layers.GRU])
def test_int8_onnx_of_texts_measures_as_it_runs(tmp_path, recurrent):
    """Embeddings have 8 bits too, but where a loop reads them, as that of a GRU with a mask."""
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = layers.Embedding(50, 8, mask_zero=recurrent is not None)(ids)
    x = recurrent(8)(x) if recurrent else layers.GlobalAveragePooling1D()(layers.Dense(16)(x))
    model = keras.Model(ids, layers.Dense(2)(x))
    texts = DRAW.integers(0, 50, (64, 6)).astype("int32")
    settings = {"quantize": "int8", "calibration": texts[:32], "validation": texts}
    graph = read_graph(export_student(model, tmp_path / "model.onnx", "onnx", **settings))
    embeddings = [one.data_type for one in graph.initializer if (*one.dims,) == (50, 8)]
    assert embeddings == [FLOAT if recurrent is layers.GRU else UINT8]
    assert {"DynamicQuantizeLinear", "MatMulInteger"} <= {node.op_type for node in graph.node}


@pytest.mark.parametrize("recurrent", [layers.LSTM, layers.GRU])
def test_int8_litert_of_recurrent_networks_has_weights_of_8_bits(tmp_path, recurrent):
    """Ranges are not taken: within a loop TensorFlow's calibration ends the process."""
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = recurrent(32)(layers.Embedding(500, 64, mask_zero=True)(ids))
    model = keras.Model(ids, layers.Dense(2)(x))
    texts = DRAW.integers(0, 500, (64, 6)).astype("int32")
    settings = {"calibration": texts[:32], "validation": texts, "length": 6}
    whole, small = (
        export_student(
            model, tmp_path / f"{quantize}.tflite", "litert", quantize=quantize, **settings
        )
        for quantize in (None, "int8")
    )
    assert small.stat().st_size < 0.5 * whole.stat().st_size


FLOAT, UINT8 = 1, 2  # of onnx.TensorProto


def read_graph(path):
    return pytest.importorskip("onnx").load(str(path)).graph
