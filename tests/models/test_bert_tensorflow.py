"""BERT's pooled state by few TensorFlow operations equals that by Keras's layers."""

import keras
import numpy as np
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("TensorFlow alone has another way through BERT", allow_module_level=True)

import tensorflow as tf

from keras_prokt.backends.tensorflow_kernels import bert as bert_tensorflow
from keras_prokt.distillers.features import layers_by_path, recording_calls
from keras_prokt.models.bert import ExactGeluBertBackbone

pytestmark = pytest.mark.slow

SIZES = {"vocabulary_size": 40, "num_layers": 3, "num_heads": 2, "hidden_dim": 8}
SIZES |= {"intermediate_dim": 16, "max_sequence_length": 12}


def backbone_of(dropout=0.0, **options):
    keras.utils.set_random_seed(0)
    backbone = ExactGeluBertBackbone(**SIZES, dropout=dropout, **options)
    random = np.random.default_rng(0)
    for weight in backbone.weights:
        weight.assign(random.normal(size=weight.shape))
    return backbone


def inputs_of(masks):
    random = np.random.default_rng(1)
    mask = np.array(masks, "int32").reshape(len(masks), -1)
    ids = random.integers(0, 40, mask.shape).astype("int32")
    segments = random.integers(0, 2, mask.shape).astype("int32")
    inputs = {"token_ids": ids, "padding_mask": mask, "segment_ids": segments}
    return {name: tf.constant(value) for name, value in inputs.items()}


def results(backbone, inputs, training):
    """Pooled states, and the gradients of a function of them."""

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            pooled = backbone(inputs, training=training)["pooled_output"]
            loss = tf.reduce_sum(tf.sin(3.0 * pooled))
        values = [v.value for v in backbone.trainable_variables]
        gradients = tape.gradient(loss, values, None, tf.UnconnectedGradients.ZERO)
        return pooled, [tf.convert_to_tensor(gradient) for gradient in gradients]

    return run()


def by_layers(monkeypatch, backbone, inputs, training):
    with monkeypatch.context() as context:
        context.setattr(bert_tensorflow, "is_applicable", lambda backbone: False)
        return results(backbone, inputs, training)


MASKS = {
    "padded": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
    "holes": [[1, 0, 1, 1, 0], [0, 1, 1, 0, 1]],
    "one position": [[1], [1], [1]],
    "nothing real": [[0, 0, 0], [1, 1, 0]],
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("masks", MASKS)
def test_states_and_gradients_equal_those_of_the_layers(monkeypatch, masks, training):
    backbone, inputs = backbone_of(), inputs_of(MASKS[masks])
    pooled, gradients = results(backbone, inputs, training)
    expected, of_layers = by_layers(monkeypatch, backbone, inputs, training)
    np.testing.assert_allclose(pooled, expected, atol=1e-5)
    for mine, other in zip(gradients, of_layers, strict=True):
        np.testing.assert_allclose(mine, other, atol=2e-4, rtol=1e-4)
    assert max(np.abs(g).max() for g in gradients) > 1


def test_an_empty_batch():
    inputs = {name: value[:0] for name, value in inputs_of([[1, 1, 0]]).items()}
    pooled, gradients = results(backbone_of(), inputs, True)
    assert pooled.shape == (0, 8)
    assert all(not np.any(gradient) for gradient in gradients)


def test_a_text_without_real_positions_is_as_in_the_layers_with_dropout(monkeypatch):
    backbone, inputs = backbone_of(dropout=0.5), inputs_of(MASKS["nothing real"])
    expected = by_layers(monkeypatch, backbone, inputs, False)[0]
    np.testing.assert_allclose(results(backbone, inputs, False)[0], expected, atol=1e-5)


def test_dropout_masks_are_those_of_the_layers_but_for_the_last(monkeypatch):
    # A layer whose value and output projections are 0 hands its input on.
    backbone, inputs = backbone_of(dropout=0.5), inputs_of(MASKS["padded"])
    last = backbone.transformer_layers[-1]
    for dense in (last._self_attention_layer._output_dense, last._feedforward_output_dense):
        for weight in dense.weights:
            weight.assign(np.zeros(weight.shape))
    state = [layer.seed_generator.state for layer in backbone._flatten_layers()
             if isinstance(layer, keras.layers.Dropout)]  # fmt: skip
    before = [seed.numpy() for seed in state]
    first, again = results(backbone, inputs, True), results(backbone, inputs, True)
    assert np.abs(first[0] - again[0]).max() > 1e-2
    for seed, value in zip(state, before, strict=True):
        seed.assign(value)
    expected = by_layers(monkeypatch, backbone, inputs, True)
    np.testing.assert_allclose(first[0], expected[0], atol=1e-5)


def test_layers_that_are_watched_run_themselves():
    backbone, inputs = backbone_of(), inputs_of(MASKS["padded"])

    @tf.function
    def run():
        with recording_calls(layers_by_path(backbone)) as calls:
            backbone(inputs)
        assert len({call.path for call in calls}) == len(calls) > 30
        return calls[-1].outputs

    run()


def test_mixed_precision_and_eager_calls_go_through_the_layers(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("Expected Keras's layers.")

    monkeypatch.setattr(bert_tensorflow, "pooled_output", refuse)
    inputs = inputs_of(MASKS["padded"])
    backbone_of()(inputs)
    backbone = backbone_of(dtype="mixed_bfloat16")
    results(backbone, inputs, True)
    with pytest.raises(AssertionError, match="layers"):
        results(backbone_of(), inputs, True)


def test_hidden_states_are_still_there_and_no_part_of_the_graph_unread():
    backbone, inputs = backbone_of(), inputs_of(MASKS["padded"])
    both = tf.function(lambda: backbone(inputs))()
    assert both["sequence_output"].shape == (2, 5, 8)
    expected = backbone.pooled_dense(both["sequence_output"][:, 0])
    np.testing.assert_allclose(both["pooled_output"], expected, atol=1e-5)
