"""A `.keras` file: whole or not at all, and only what can be loaded again."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt import load_student
from keras_prokt.export import export_student


class Unregistered(layers.Layer):
    def call(self, inputs):
        return inputs + 1.0


def student(*between):
    return keras.Sequential([keras.Input((4,)), *between, layers.Dense(3)])


def test_it_replaces_the_old_one_where_that_is_wanted(tmp_path):
    path = tmp_path / "student.keras"
    for overwrite in (False, True):
        model = student()
        assert export_student(model, path, "keras", overwrite=overwrite) == path
        assert [p.name for p in tmp_path.iterdir()] == ["student.keras"]
        batch = np.ones((2, 4), "float32")
        np.testing.assert_array_equal(load_student(path)(batch), model(batch))


def test_half_precision_stays(tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype="mixed_float16")])
    loaded = load_student(export_student(model, tmp_path / "half.keras", "keras"))
    assert loaded.layers[0].dtype_policy.name == "mixed_float16"


def test_a_file_that_is_there_stays(tmp_path):
    (tmp_path / "student.keras").write_text("old")
    with pytest.raises(ValueError, match=r"where nothing is, received .*replace it \(overwrite\)"):
        export_student(student(), tmp_path / "student.keras", "keras")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("student.keras", "old")]


@pytest.mark.parametrize("between", [Unregistered(), layers.Lambda(lambda x: x)])
def test_what_nobody_could_load_is_refused_and_the_old_file_stays(tmp_path, between):
    (tmp_path / "student.keras").write_text("old")
    match = "can be loaded again, received 'sequential.*register_keras_serializable"
    with pytest.raises(ValueError, match=match) as error:
        export_student(student(between), tmp_path / "student.keras", "keras", overwrite=True)
    assert "\n" not in str(error.value)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("student.keras", "old")]


@pytest.mark.parametrize(
    ("place", "match"),
    [
        ("student", r"ends in \.keras, received '.*student'; such as '.*student\.keras'"),
        ("student.h5", r"; such as '.*student\.keras'"),
        ("folder.keras", "Expected a file name, received .*, which is a directory"),
    ],
)
def test_other_paths_are_refused(tmp_path, place, match):
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(ValueError, match=match):
        export_student(student(), tmp_path / place, "keras")
    assert [p.name for p in tmp_path.rglob("*")] == ["folder.keras"]


def test_a_student_without_weights_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has not seen an input; call it on a batch first"):
        export_student(keras.Sequential([layers.Dense(3)]), tmp_path / "new.keras", "keras")
    assert list(tmp_path.iterdir()) == []
