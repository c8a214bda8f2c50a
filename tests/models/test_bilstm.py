"""The bi-LSTM and its form for pairs: size, masking, saving, export."""

import keras
import numpy as np
import pytest

from keras_prokt.models.bilstm import MaskedMaxPooling, bilstm, bilstm_pair, bilstm_tagger
from keras_prokt.models.loading import load_student
from keras_prokt.models.uniform_start import uniform_start

SMALL = {"vocabulary_size": 50, "embedding_dim": 8, "units": 6}


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    model = bilstm(3, **SMALL)
    # Trained embeddings are larger than 0.02: differences must not drown in rounding.
    model.get_layer("token_embedding").embeddings.assign(np.random.normal(size=(50, 8)))
    return model


def batch_of(rows, length):
    ids = np.zeros((len(rows), length), "int32")
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return {"token_ids": ids, "padding_mask": mask}


ROWS = [[2, 7, 9, 11, 3], [2, 40, 3], [2, 5, 6, 7, 8, 9, 3]]


def logits(model, batch):
    return keras.ops.convert_to_numpy(model(batch, training=False))


def test_number_of_parameters():
    # 30,522 · 300 embeddings, 2 directions of 4 · 300 · (300 + 300 + 1), 600 · 2 + 2: the
    # authors' 10.60 M.
    assert bilstm(2).count_params() == 9_156_600 + 1_442_400 + 1_202


def test_inputs_and_output():
    model = bilstm(2, **SMALL, name="student")
    assert set(model.input) == {"token_ids", "padding_mask"}
    assert {keras.backend.standardize_dtype(x.dtype) for x in model.input.values()} == {"int32"}
    assert model.name == "student" and model.output.shape == (None, 2)
    assert model.layers[-1].name == "logits" and model.layers[-1].dtype == "float32"
    # Keras would multiply a loss by a mask left on the logits.
    assert getattr(model.output, "_keras_mask", None) is None
    embeddings = bilstm(2, vocabulary_size=5000).get_layer("token_embedding").get_weights()[0]
    assert abs(embeddings.std() - 0.02) < 2e-4 and abs(embeddings.mean()) < 1e-4


@pytest.mark.slow
def test_padding_does_not_change_logits(model):
    short, long = logits(model, batch_of(ROWS, 7)), logits(model, batch_of(ROWS, 24))
    np.testing.assert_allclose(short, long, atol=1e-5)


@pytest.mark.slow
def test_other_examples_do_not_change_logits(model):
    together = logits(model, batch_of(ROWS, 8))
    alone = np.concatenate([logits(model, batch_of([row], len(row))) for row in ROWS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_ids_under_the_padding_are_not_read(model):
    clean = batch_of(ROWS, 12)
    dirty = {**clean, "token_ids": np.where(clean["padding_mask"], clean["token_ids"], 33)}
    np.testing.assert_allclose(logits(model, clean), logits(model, dirty), atol=1e-6)


@pytest.mark.slow
def test_maximum_is_over_real_positions_only(model):
    # With every real state negative, a maximum that also saw padding (zeros or whatever an LSTM
    # holds there) would be larger than the truth.
    states = -np.random.default_rng(0).uniform(0.1, 1, (2, 5, 4)).astype("float32")
    states[0, 3:] = 0.0
    states[1, 2:] = 7.0
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]], "int32")
    pooled = keras.ops.convert_to_numpy(MaskedMaxPooling()(states, mask))
    np.testing.assert_array_equal(pooled[0], states[0, :3].max(axis=0))
    np.testing.assert_array_equal(pooled[1], states[1, :2].max(axis=0))

    # And the model uses it: its pooled state is the maximum of the LSTM run on the real part.
    parts = keras.Model(
        model.input,
        {"all": model.get_layer("bidirectional").output, "max": model.get_layer("logits").input},
    )
    padded = parts(batch_of(ROWS, 24), training=False)["max"]
    for i, row in enumerate(ROWS):
        alone = keras.ops.convert_to_numpy(parts(batch_of([row], len(row)), training=False)["all"])
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(padded)[i], alone[0].max(axis=0), atol=1e-6
        )
        assert (alone[0].max(axis=0) < 0).any()  # otherwise zeros in the padding would not show


def test_lstm_equals_its_equations(model):
    # Hochreiter and Schmidhuber's cell in NumPy, gates in Keras's order i, f, c, o.
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def run(x, kernel, recurrent_kernel, bias):
        hidden = cell = np.zeros(6)
        states = []
        for step in x:
            i, f, c, o = np.split(step @ kernel + hidden @ recurrent_kernel + bias, 4)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(c)
            hidden = sigmoid(o) * np.tanh(cell)
            states.append(hidden)
        return np.array(states)

    embeddings, *lstm, kernel, bias = (w.astype("float64") for w in model.get_weights())
    x = embeddings[ROWS[0]]
    states = np.concatenate([run(x, *lstm[:3]), run(x[::-1], *lstm[3:])[::-1]], axis=1)
    expected = states.max(axis=0) @ kernel + bias
    np.testing.assert_allclose(logits(model, batch_of(ROWS, 9))[0], expected, atol=1e-5)


def test_an_example_without_real_positions_stays_finite(model):
    batch = batch_of([[2, 3], []], 4)
    assert np.isfinite(logits(model, batch)).all()


@pytest.mark.slow
def test_gradients_are_finite_and_reach_every_weight(model):
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse")
    before = model.get_weights()
    model.fit(batch_of([*ROWS, []], 8), np.ones((4, 3), "float32"), epochs=1, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        assert np.isfinite(b).all() and np.abs(a - b).max() > 0


def test_saving(model, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        logits(again, batch_of(ROWS, 8)), logits(model, batch_of(ROWS, 8))
    )


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="SavedModel from TensorFlow")
def test_export(model, tmp_path):
    import tensorflow as tf

    model.export(tmp_path / "saved_model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved_model")  # owns the variables of `serve`
    for length in (7, 16):
        batch = batch_of(ROWS, length)
        np.testing.assert_allclose(loaded.serve(batch), logits(model, batch), atol=1e-6)


@pytest.mark.slow
def test_float32_logits_under_mixed_precision():
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        models = bilstm(2, **SMALL), bilstm_pair(2, **SMALL)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    batches = batch_of([*ROWS, []], 8), pairs_of([*ROWS, []], [*SECOND_ROWS, []], 8, 8)
    for model, batch in zip(models, batches, strict=True):
        output = model(batch)
        assert keras.backend.standardize_dtype(output.dtype) == "float32"
        assert np.isfinite(keras.ops.convert_to_numpy(output)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes of at least 1, received 0"),
        ({"vocabulary_size": 0}, "vocabulary_size of at least 1, received 0"),
        ({"units": -3}, "units of at least 1, received -3"),
        ({"dropout": -0.1}, r"dropout in \[0, 1\), received -0.1"),
    ],
)
def test_wrong_arguments(arguments, message):
    for build in (bilstm, bilstm_pair):
        with pytest.raises(ValueError, match=message):
            build(**{"num_classes": 2, **arguments})


@pytest.fixture
def pair_model():
    model = bilstm_pair(3, **SMALL)
    model.get_layer("token_embedding").embeddings.assign(np.random.normal(size=(50, 8)))
    return model


SECOND_ROWS = [[2, 12, 3], [2, 30, 31, 32, 33, 34, 35, 3], [2, 5, 6, 3]]


def pairs_of(rows, second_rows, length, second_length):
    second = batch_of(second_rows, second_length)
    return {
        **batch_of(rows, length),
        **{f"{name}_pair": values for name, values in second.items()},
    }


def test_number_of_parameters_of_the_pair_form():
    # In place of the 600 · 2 + 2 of the single form, 2,400 · 600 + 600 and 600 · 2 + 2: the
    # authors' 12.04 M.
    expected = 9_156_600 + 1_442_400 + 1_440_600 + 1_202
    assert bilstm_pair(2).count_params() == expected == 12_040_802


def test_inputs_and_output_of_the_pair_form(pair_model):
    names = ["token_ids", "padding_mask", "token_ids_pair", "padding_mask_pair"]
    assert list(pair_model.input) == names
    assert pair_model.output.shape == (None, 3)
    assert pair_model.layers[-1].name == "logits" and pair_model.layers[-1].dtype == "float32"
    assert getattr(pair_model.output, "_keras_mask", None) is None


@pytest.mark.slow
def test_padding_of_pairs_does_not_change_logits(pair_model):
    short = logits(pair_model, pairs_of(ROWS, SECOND_ROWS, 7, 8))
    for lengths in ((24, 8), (7, 24), (16, 16)):
        padded = logits(pair_model, pairs_of(ROWS, SECOND_ROWS, *lengths))
        np.testing.assert_allclose(short, padded, atol=1e-5)


@pytest.mark.slow
def test_other_pairs_do_not_change_logits(pair_model):
    together = logits(pair_model, pairs_of(ROWS, SECOND_ROWS, 8, 8))
    alone = [
        logits(pair_model, pairs_of([row], [second], len(row), len(second)))
        for row, second in zip(ROWS, SECOND_ROWS, strict=True)
    ]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)


def test_a_pair_without_real_positions_stays_finite(pair_model):
    assert np.isfinite(logits(pair_model, pairs_of([[2, 3], []], [[], []], 4, 4))).all()


@pytest.mark.slow
def test_both_sentences_of_a_pair_go_through_the_encoder_of_the_single_form(model, pair_model):
    layers = ("token_embedding", "bidirectional")
    for name in layers:
        model.get_layer(name).set_weights(pair_model.get_layer(name).get_weights())
    encoder = keras.Model(model.input, model.get_layer("logits").input)
    u = logits(encoder, batch_of(ROWS, 9)).astype("float64")
    v = logits(encoder, batch_of(SECOND_ROWS, 9)).astype("float64")
    assert np.abs(u - v).max() > 0.1
    hidden_kernel, hidden_bias = pair_model.get_layer("hidden").get_weights()
    kernel, bias = pair_model.get_layer("logits").get_weights()
    hidden = np.concatenate([u, v, np.abs(u - v), u * v], axis=1) @ hidden_kernel + hidden_bias
    np.testing.assert_allclose(
        logits(pair_model, pairs_of(ROWS, SECOND_ROWS, 8, 8)), hidden @ kernel + bias, atol=1e-5
    )


@pytest.mark.slow
def test_saving_the_pair_form(pair_model, tmp_path):
    pair_model.save(tmp_path / "model.keras")
    batch = pairs_of(ROWS, SECOND_ROWS, 8, 8)
    again = load_student(tmp_path / "model.keras")
    np.testing.assert_array_equal(logits(again, batch), logits(pair_model, batch))
    assert not logits(uniform_start(again), batch).any()


@pytest.mark.slow
def test_the_tagger_classifies_the_states_of_the_single_form(model, tmp_path):
    tagger = bilstm_tagger(5, **SMALL)
    assert tagger.output.shape == (None, None, 5) and tagger.layers[-1].name == "logits"
    for name in ("token_embedding", "bidirectional"):
        tagger.get_layer(name).set_weights(model.get_layer(name).get_weights())
    tagger.get_layer("logits").set_weights(
        [np.random.default_rng(0).normal(size=(12, 5)), np.arange(5.0)]
    )
    batch = batch_of(ROWS, 9)
    found = logits(tagger, batch)
    real = batch["padding_mask"] != 0
    # The states themselves are those over which the single form takes the maximum.
    kernel, bias = tagger.get_layer("logits").get_weights()
    encoder = keras.Model(model.input, model.get_layer("logits").input)
    states = keras.Model(tagger.input, tagger.get_layer("logits").input)
    of_pieces = np.where(real[..., None], logits(states, batch), -np.inf)
    np.testing.assert_allclose(of_pieces.max(axis=1), logits(encoder, batch), atol=1e-6)
    expected = logits(states, batch).astype("float64") @ kernel + bias
    np.testing.assert_allclose(found[real], expected[real], atol=1e-5)
    # Neither padding nor other sentences change what is said of a piece.
    longer = logits(tagger, batch_of(ROWS, 20))
    np.testing.assert_allclose(longer[:, :9][real], found[real], atol=1e-5)
    alone = logits(tagger, batch_of(ROWS[1:2], 3))
    np.testing.assert_allclose(alone[0], found[1, :3], atol=1e-5)
    tagger.save(tmp_path / "tagger.keras")
    again = load_student(tmp_path / "tagger.keras")
    np.testing.assert_array_equal(logits(again, batch), found)
    assert not logits(uniform_start(bilstm_tagger(5, **SMALL)), batch).any()


def test_the_tagger_refuses_what_the_others_do():
    with pytest.raises(ValueError, match="num_classes of at least 1, received 0"):
        bilstm_tagger(0)
