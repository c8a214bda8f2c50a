"""A student with yes-or-no labels as a SavedModel: probabilities, answers and their names."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt import ProKTDistiller, export_saved_model

tf = pytest.importorskip("tensorflow", reason="a SavedModel is read by TensorFlow")
pytestmark = pytest.mark.process  # of TensorFlow, on the other backends
X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")


def student(width):
    return keras.Sequential([keras.Input((4,), name="features"), layers.Dense(width)])


def served(path):
    loaded = tf.saved_model.load(path)
    result = loaded.signatures["serving_default"](features=tf.constant(X))
    return {name: value.numpy() for name, value in result.items()}


@pytest.mark.parametrize(
    ("width", "names"),
    [(1, None), (1, ["benign", "malignant"]), (2, ["cat", "dog"]), (3, ["cat", "dog", "elephant"])],
)
def test_every_label_is_answered(width, names, tmp_path):
    model = student(width)
    given = {} if names is None else {"class_names": names}
    result = served(export_saved_model(model, tmp_path / "served", output="labels", **given))
    expected = 1 / (1 + np.exp(-model.predict(X, verbose=0)))
    np.testing.assert_allclose(result["probabilities"], expected, atol=1e-6)
    np.testing.assert_array_equal(result["label"], expected > 0.5)
    assert 0 < result["label"].mean() < 1
    if names is None:
        assert "class_name" not in result
    elif width == 1:
        assert [n.decode() for n in result["class_name"]] == [
            names[int(p > 0.5)] for p in expected[:, 0]
        ]
    else:
        assert [[n.decode() for n in row] for row in result["class_name"]] == [
            [name if p > 0.5 else "" for name, p in zip(names, row, strict=True)]
            for row in expected
        ]


def test_one_logit_needs_no_word_about_its_kind(tmp_path):
    assert served(export_saved_model(student(1), tmp_path))["probabilities"].shape == (20, 1)


def test_a_distiller_exports_the_kind_that_it_trains(tmp_path):
    distiller = ProKTDistiller(student(3), student(3), output="labels")
    path = distiller.export(tmp_path)
    np.testing.assert_allclose(
        served(path)["probabilities"],
        1 / (1 + np.exp(-distiller.predict(X, verbose=0))),
        atol=1e-6,
    )


@pytest.mark.parametrize(("width", "count"), [(1, 1), (3, 2)])
def test_names_for_each_label_or_both_answers(width, count, tmp_path):
    expected = "2 strings, one for each of the answers" if width == 1 else "3 strings"
    with pytest.raises(ValueError, match=f"Expected class_names to be {expected}"):
        export_saved_model(
            student(width), tmp_path / "served", output="labels", class_names=["a"] * count
        )
    assert not (tmp_path / "served").exists()


def test_served_classes_and_labels_convert_to_litert(tmp_path):
    for kind in ("classes", "labels"):
        path = export_saved_model(student(3), tmp_path / kind, output=kind)
        assert tf.lite.TFLiteConverter.from_saved_model(str(path)).convert()


def test_names_that_are_no_text_are_refused(tmp_path):
    names = ["a", "b", "\ud800"]
    with pytest.raises(ValueError, match=r"received '\\ud800' with half a surrogate pair") as error:
        export_saved_model(student(3), tmp_path / "served", output="labels", class_names=names)
    assert "\n" not in str(error.value) and not (tmp_path / "served").exists()
