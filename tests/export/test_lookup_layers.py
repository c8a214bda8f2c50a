"""Students with lookup layers: their tables leave with them, or the form says that it has none."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt.export import FORMATS, export_student

tf = pytest.importorskip("tensorflow")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="the layers want TensorFlow's tables"
    ),
]
ROWS = {
    "age": np.array([[20.0], [60.0], [3.0]], "float32"),
    "colour": np.array([["red"], ["green"], [""]], object),
    "code": np.array([[10], [99], [20]], "int64"),
    "note": np.array(["a fine film", "dull", ""], object),
}


def table_student():
    """Reads a row of a table as it is."""
    age = keras.Input((1,), name="age")
    colour = keras.Input((1,), dtype="string", name="colour")
    code = keras.Input((1,), dtype="int64", name="code")
    note = keras.Input((), dtype="string", name="note")
    words = layers.TextVectorization(vocabulary=["fine", "dull"], output_sequence_length=4)
    parts = [
        layers.Normalization(mean=[40.0], variance=[100.0])(age),
        layers.StringLookup(vocabulary=["red", "blue"], output_mode="one_hot")(colour),
        layers.IntegerLookup(vocabulary=[10, 20], output_mode="one_hot")(code),
        layers.GlobalAveragePooling1D()(layers.Embedding(4, 3)(words(note))),
    ]
    inputs = {"age": age, "colour": colour, "code": code, "note": note}
    return keras.Model(inputs, layers.Dense(3)(layers.Concatenate()(parts)))


def test_a_saved_model_holds_the_tables(tmp_path):
    student = table_student()
    path = export_student(student, tmp_path / "served", validation=ROWS)
    served = tf.saved_model.load(path).signatures["serving_default"]
    answer = served(**{name: tf.constant(values) for name, values in ROWS.items()})
    inputs = {name: tf.constant(values) for name, values in ROWS.items()}
    expected = tf.nn.softmax(student(inputs, training=False)).numpy()
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)
    assert len(np.unique(expected.round(4), axis=0)) == 3


@pytest.mark.parametrize("form", ["onnx", "litert"])
def test_other_forms_refuse_them_in_one_line(tmp_path, form, capfd):
    if missing := FORMATS[form].missing():
        pytest.skip(f"needs {', '.join(missing)}")
    path = tmp_path / FORMATS[form].file
    with pytest.raises(
        ValueError, match="Expected a student whose layers .* export it as"
    ) as error:
        export_student(table_student(), path, form, length=4)
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


@keras.saving.register_keras_serializable("test_lookup_layers")
class Hidden(layers.Layer):
    """Reads a table that is no attribute of anything."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        keys = tf.lookup.KeyValueTensorInitializer([1, 2], [3.0, 4.0], tf.int64, tf.float32)
        table = tf.lookup.StaticHashTable(keys, 0.0)
        self.look_up = lambda values: table.lookup(values)

    def call(self, values):
        return self.look_up(values)


def test_a_table_that_no_layer_names_is_refused_in_one_line(tmp_path):
    code = keras.Input((2,), dtype="int64", name="code")
    student = keras.Model(code, layers.Dense(2)(Hidden()(code)))
    with pytest.raises(ValueError, match="keep what they read as attributes") as error:
        export_student(student, tmp_path / "served")
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []
