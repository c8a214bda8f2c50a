"""LSTMs in ONNX files are ONNX's own operation, and give Keras's states whatever the mask."""

import keras
import numpy as np
import pytest
from exported import PIECES
from keras import layers

from keras_prokt.export import export_student
from keras_prokt.export.onnx_lstm import lstms_in_one_operation
from keras_prokt.models.bilstm import bilstm_pair, bilstm_tagger

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="written by TensorFlow"),
]
onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
DRAW = np.random.default_rng(0)


def drawn(model):
    """The model with weights that leave no gate alone."""
    for weight in model.weights:
        weight.assign(DRAW.normal(size=weight.shape))
    return model


def recurrent(layer, mask=True):
    masking = [layers.Masking()] if mask else []
    return drawn(keras.Sequential([keras.Input((None, 3), name="x"), *masking, layer]))


def rows_with_gaps():
    """Sequences that have positions without a mask at the start, in between and at the end."""
    x = DRAW.normal(size=(6, 7, 3)).astype("float32")
    gaps = DRAW.random((6, 7)) < 0.5
    gaps[0], gaps[1] = True, False
    x[gaps] = 0
    return x


def operations(path):
    def of(graph):
        for node in graph.node:
            yield node.op_type
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    yield from of(attribute.g)

    return list(of(onnx.load(str(path)).graph))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"return_sequences": True},
        {"go_backwards": True, "return_sequences": True},
        {"go_backwards": True, "use_bias": False},
        {"return_sequences": True, "zero_output_for_mask": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("mask", [False, True])
def test_states_are_keras_s(settings, mask):
    import tensorflow as tf

    model, x = recurrent(layers.LSTM(4, **settings), mask), rows_with_gaps()
    expected = keras.ops.convert_to_numpy(model(x))
    with lstms_in_one_operation(model):
        graph = tf.function(model).get_concrete_function(x)
        found = graph(x).numpy()
    assert "BlockLSTMV2" in {one.type for one in graph.graph.get_operations()}
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(x)), expected)


@pytest.mark.parametrize(
    "layer",
    [
        layers.Bidirectional(layers.LSTM(4), merge_mode="sum"),
        layers.LSTM(4, go_backwards=True),
    ],
    ids=["both", "backwards"],
)
def test_a_file_holds_the_operation_and_answers_as_keras(layer, tmp_path):
    model, x = recurrent(layer), rows_with_gaps()
    path = export_student(model, tmp_path / "a.onnx", "onnx", output="values")
    held = operations(path)
    assert held.count("LSTM") == (1 if isinstance(layer, layers.LSTM) else 2)
    assert "Loop" not in held
    [found] = onnxruntime.InferenceSession(path).run(["values"], {"x": x})
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(x)), atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        layers.LSTM(4, activation="relu"),
        layers.LSTM(4, recurrent_activation="hard_sigmoid"),
        layers.LSTM(4, dtype=keras.DTypePolicy("mixed_bfloat16")),
        layers.GRU(4),
    ],
    ids=["relu", "hard sigmoid", "bfloat16", "GRU"],
)
def test_what_the_operation_does_not_compute_stays_as_it_is(layer):
    model = recurrent(layer)
    call = type(layer).call
    with lstms_in_one_operation(model):
        assert "call" not in vars(layer) and type(layer).call is call


@pytest.mark.parametrize("make", [bilstm_pair, bilstm_tagger])
def test_students_of_texts(make, tmp_path):
    student = drawn(make(3, vocabulary_size=len(PIECES), embedding_dim=4, units=3))
    kind = "positions" if make is bilstm_tagger else "classes"
    path = export_student(student, tmp_path / "a.onnx", "onnx", output=kind)
    assert operations(path).count("LSTM") == (2 if make is bilstm_tagger else 4)
    real = (np.arange(6) < [[6], [2], [1]]).astype("int32")
    ids = DRAW.integers(0, len(PIECES), (3, 6)).astype("int32") * real
    x = {one.name: real if "mask" in one.name else ids for one in student.inputs}
    session = onnxruntime.InferenceSession(path)
    [found] = session.run(["probabilities"], x)
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(student(x)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
