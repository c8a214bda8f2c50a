"""The bi-LSTM's own loop on TensorFlow equals Keras's, forward and backward."""

import keras
import numpy as np
import pytest

from keras_prokt.models.bilstm import Bidirectional, bilstm

if keras.backend.backend() != "tensorflow":
    pytest.skip("TensorFlow alone has another loop", allow_module_level=True)

import tensorflow as tf

from keras_prokt.backends.tensorflow_kernels import bilstm as bilstm_tensorflow

pytestmark = pytest.mark.slow

MASKS = {
    "all real": [[1] * 4] * 3,
    "padded": [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]],
    "holes": [[0, 1, 1, 1], [1, 0, 0, 1], [1, 0, 1, 0]],
    "nothing real": [[0, 0], [1, 1]],
    "one position": [[1], [0]],
}


def layer_of(dimension=5, units=3, dtype=None):
    lstm = keras.layers.LSTM(units, return_sequences=True, use_cudnn=False, dtype=dtype)
    layer = Bidirectional(lstm, dtype=dtype)
    layer.build((None, None, dimension))
    random = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(random.normal(size=weight.shape))
    return layer


def results(layer, x, mask):
    """States, and the gradients of a function of them for the input and each weight."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, 5)), tf.TensorSpec((None, None))])
    def run(x, mask):
        with tf.GradientTape() as tape:
            tape.watch(x)
            states = layer(x, mask=mask > 0, training=True)
            loss = tf.reduce_sum(tf.sin(3.0 * tf.cast(states, tf.float32)))
        return states, tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])

    return run(x, mask)


def in_keras(monkeypatch, layer, x, mask):
    with monkeypatch.context() as context:
        context.setattr(bilstm_tensorflow, "is_applicable", lambda layer, x: False)
        return results(layer, x, mask)


@pytest.mark.parametrize("masks", MASKS)
def test_states_and_gradients_equal_keras(monkeypatch, masks):
    layer, mask = layer_of(), np.array(MASKS[masks], "float32")
    x = np.random.default_rng(1).normal(size=(*mask.shape, 5)).astype("float32")
    states, gradients = results(layer, x, mask)
    expected, of_keras = in_keras(monkeypatch, layer, x, mask)
    np.testing.assert_allclose(states, expected, atol=1e-6)
    for mine, other in zip(gradients, of_keras, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5, rtol=1e-5)
    assert np.abs(gradients[0]).max() > 0.01


def test_an_empty_batch():
    states, gradients = results(
        layer_of(), np.zeros((0, 4, 5), "float32"), np.zeros((0, 4), "float32")
    )
    assert states.shape == (0, 4, 6)
    assert all(not np.any(gradient) for gradient in gradients)


def test_mixed_precision_inference_and_eager_calls_are_keras_own(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("Expected Keras's loop.")

    monkeypatch.setattr(bilstm_tensorflow, "run", refuse)
    x, mask = np.ones((2, 4, 5), "float32"), np.ones((2, 4), "float32")
    layer = layer_of()
    layer(x, mask=mask > 0, training=True)
    tf.function(lambda: layer(x, mask=mask > 0, training=False))()
    results(layer_of(dtype="mixed_bfloat16"), x, mask)
    with pytest.raises(AssertionError, match="loop"):
        results(layer_of(), x, mask)


def test_files_of_weights_and_models_written_with_keras_own_layer_are_read(tmp_path, monkeypatch):
    sizes = {"vocabulary_size": 20, "embedding_dim": 4, "units": 3}
    with monkeypatch.context() as context:
        context.setattr("keras_prokt.models.bilstm.Bidirectional", keras.layers.Bidirectional)
        before = bilstm(2, **sizes)
    before.save_weights(tmp_path / "student.weights.h5")
    before.save(tmp_path / "student.keras")
    now = bilstm(2, **sizes)
    assert [w.path for w in now.weights] == [w.path for w in before.weights]
    now.load_weights(tmp_path / "student.weights.h5")
    for model in (now, keras.saving.load_model(tmp_path / "student.keras")):
        for mine, other in zip(model.get_weights(), before.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, other)
