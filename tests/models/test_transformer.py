"""The small transformer: shapes, saving, and that its parts are found."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_prokt import models
from keras_prokt.distillers import features
from keras_prokt.models.loading import load_student
from keras_prokt.models.transformer import transformer

X = np.random.default_rng(0).uniform(size=(3, 8, 8, 1)).astype("float32")
PARTS = ["embeddings", "hidden_states", "attentions", "pooled"]


def test_parts_are_found_and_are_what_the_layers_compute():
    model = models.get("transformer-small")(10, (8, 8, 1))
    taps = features.find_taps(features.observe(model, model.input), PARTS, {}, "student", model)
    assert taps["hidden_states"] == ["hidden_1", "hidden_2"]
    with features.recording_calls(features.tapped_layers(model, taps)) as calls:
        logits = model(X)
    parts = features.read_parts(calls, taps, model)
    assert tuple(parts["embeddings"].shape) == (3, 9, 32)
    assert [tuple(p.shape) for p in parts["attentions"]] == [(3, 4, 9, 9)] * 2
    head = model.get_layer("logits")
    np.testing.assert_allclose(
        ops.convert_to_numpy(head(parts["pooled"])), ops.convert_to_numpy(logits), atol=1e-5
    )
    first = model.get_layer("hidden_1")
    normal = first.attention_norm(parts["embeddings"])
    _, weights = first.attention(normal, normal, return_attention_scores=True)
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.softmax(parts["attentions"][0])),
        ops.convert_to_numpy(weights),
        atol=1e-5,
    )


def test_the_large_one_is_deeper_and_nothing_else():
    large, small = (models.get(f"transformer-{s}")(10, (8, 8, 1)) for s in ("large", "small"))
    a_layer = sum(int(np.prod(w.shape)) for w in small.get_layer("hidden_1").weights)
    assert large.count_params() == small.count_params() + 2 * a_layer


@pytest.mark.slow
def test_it_reloads_safely(tmp_path):
    model = transformer(10, (8, 8, 1), num_layers=2, dropout=0.1)
    model.save(tmp_path / "student.keras")
    again = load_student(tmp_path / "student.keras")
    np.testing.assert_allclose(
        ops.convert_to_numpy(again(X)), ops.convert_to_numpy(model(X)), atol=1e-6
    )
    assert again.get_layer("hidden_1").dropout == 0.1


def test_rows_matter():
    model = transformer(10, (8, 8, 1), num_layers=1)
    assert not np.allclose(
        ops.convert_to_numpy(model(X)), ops.convert_to_numpy(model(X[:, ::-1].copy()))
    )
    with pytest.raises(ValueError, match="multiple of num_heads, received 30 and 4"):
        transformer(10, (8, 8, 1), num_layers=1, hidden_dim=30)


def test_half_precision_has_float32_logits():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = transformer(10, (8, 8, 1), num_layers=1)
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(model(X).dtype) == "float32"
