"""Parts of transformers are found and are what the layers compute; masked training end to end."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from marks import thorough
from small_glue import write_bert

from keras_prokt import FrozenTeacherDistiller, ProKTDistiller, losses, models
from keras_prokt.distillers import features
from keras_prokt.models.bert import bert_classifier

pytestmark = pytest.mark.slow

PARTS = ["embeddings", "hidden_states", "attentions"]
RNG = np.random.default_rng(0)
LENGTHS = np.array([6, 3, 1, 5])
MASK = (np.arange(6) < LENGTHS[:, None]).astype("int32")
X = {
    "token_ids": (RNG.integers(1, 30, (4, 6)) * MASK).astype("int32"),
    "padding_mask": MASK,
    "segment_ids": np.zeros((4, 6), "int32"),
}
Y = np.array([0, 1, 1, 0])


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A directory with a small BERT of four layers, as `bert_classifier` reads it."""
    directory = str(tmp_path_factory.mktemp("bert"))
    write_bert(directory, [f"word_{i}" for i in range(25)], num_layers=4)
    return directory


def read(model, inputs, wanted=PARTS):
    spec = model.input
    taps = features.find_taps(features.observe(model, spec), wanted, {}, "student", model)
    with features.recording_calls(features.tapped_layers(model, taps)) as calls:
        model(inputs, training=False)
    return taps, features.read_parts(calls, taps, model)


def numpy(values):
    return keras.tree.map_structure(ops.convert_to_numpy, values)


def test_taps_of_bert(preset):
    taps, parts = read(bert_classifier(preset, 2), X, [*PARTS, "pooled"])
    blocks = [f"backbone/transformer_layer_{i}" for i in range(4)]
    assert taps["hidden_states"] == blocks
    assert taps["embeddings"] == f"{blocks[0]}:input"
    assert taps["attentions"] == [f"{block}/self_attention_layer" for block in blocks]
    assert tuple(parts["pooled"].shape) == (4, 8)
    shapes = features.shapes_of(parts)
    assert shapes["hidden_states"] == [(None, None, 8)] * 4
    assert shapes["embeddings"] == (None, None, 8)
    assert shapes["attentions"] == [(None, 2, None, None)] * 4


def test_berts_states_are_the_backbones_outputs(preset):
    model = bert_classifier(preset, 2)
    backbone = model.get_layer("backbone")
    _, parts = read(model, X)
    expected = [layer.output for layer in backbone.transformer_layers]
    embedded = backbone.get_layer("embeddings_dropout").output
    inner = keras.Model(backbone.inputs, [embedded, *expected])
    order = [tensor.name for tensor in backbone.inputs]
    embedded, *states = numpy(inner([X[name] for name in order]))
    np.testing.assert_allclose(numpy(parts["embeddings"]), embedded, atol=1e-5)
    for received, state in zip(numpy(parts["hidden_states"]), states, strict=True):
        np.testing.assert_allclose(received, state, atol=1e-5)
    sequence = numpy(backbone(X)["sequence_output"])
    np.testing.assert_allclose(numpy(parts["hidden_states"][-1]), sequence, atol=1e-5)


def masked_softmax(scores, mask):
    scores = np.where(mask[:, None, None, :] > 0, scores, -np.inf)
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def test_berts_scores_become_its_attention_after_masking_and_softmax(preset):
    model = bert_classifier(preset, 2)
    _, parts = read(model, X)
    blocks = model.get_layer("backbone").transformer_layers
    inputs = [parts["embeddings"], *parts["hidden_states"][:-1]]
    for block, x, scores in zip(blocks, inputs, parts["attentions"], strict=True):
        _, weights = block(x, padding_mask=MASK, return_attention_scores=True)
        received = masked_softmax(numpy(scores).astype("float64"), MASK)
        np.testing.assert_allclose(received, numpy(weights), atol=1e-5)
        assert np.abs(numpy(weights) - 1 / 6).max() > 0.1  # not the uniform distribution


def test_our_transformer(preset):
    model = models.get("transformer-large")(5, (6, 4, 1))
    images = RNG.uniform(size=(3, 6, 4, 1)).astype("float32")
    taps, parts = read(model, images, [*PARTS, "pooled"])
    names = [f"hidden_{i}" for i in (1, 2, 3, 4)]
    assert taps["embeddings"] == "embedding" and taps["pooled"] == "pooled"
    assert taps["hidden_states"] == names
    assert taps["attentions"] == [f"{name}/attention" for name in names]
    inner = keras.Model(model.input, [model.get_layer(n).output for n in ("embedding", *names)])
    embedded, *states = inner(images)
    np.testing.assert_allclose(numpy(parts["embeddings"]), numpy(embedded), atol=1e-5)
    for received, state in zip(parts["hidden_states"], states, strict=True):
        np.testing.assert_allclose(numpy(received), numpy(state), atol=1e-5)


def text_network(num_layers, width):
    """A transformer of a user's own around keras-hub's layer, with fewer inputs."""
    from keras_hub.layers import TransformerEncoder

    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((None,), dtype="int32", name="padding_mask")
    x = layers.Embedding(30, width)(token_ids)
    for _ in range(num_layers):
        x = TransformerEncoder(2 * width, num_heads=2)(x, padding_mask=padding_mask)
    logits = layers.Dense(2)(x[:, 0])
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    return keras.Model(inputs, logits)


def pair(preset, student):
    teacher = bert_classifier(preset, 2)
    if student == "bert":
        return teacher, bert_classifier(preset, 2, layers=2)
    return teacher, text_network(2, 6)


@pytest.mark.parametrize(
    ("objectives", "student", "regime"),
    [
        ("tinybert", "narrow", FrozenTeacherDistiller),
        ("pkd+kd", "bert", ProKTDistiller),
        *thorough(
            ("tinybert", "bert", FrozenTeacherDistiller), ("pkd+kd", "bert", FrozenTeacherDistiller)
        ),
    ],
)
def test_training_on_texts(preset, objectives, student, regime):
    models_ = pair(preset, student)
    distiller = regime(*models_, objectives=objectives)
    distiller.compile("adam")
    adapters = [v for o in distiller.objectives for v in o.trainable_variables]
    before = numpy([v.value for v in (*distiller.student.trainable_variables, *adapters)])
    assert len(adapters) == (2 if objectives == "tinybert" else 0)
    # The narrow one reads no segments.
    x = {"teacher": X, "student": {key: X[key] for key in distiller.student.input}}
    history = distiller.fit(x, Y, batch_size=2, verbose=0).history
    assert np.isfinite([value for values in history.values() for value in values]).all()
    after = numpy([v.value for v in (*distiller.student.trainable_variables, *adapters)])
    moved = [bool((a != b).any()) for a, b in zip(before, after, strict=True)]
    assert all(moved[len(moved) - len(adapters) :])
    assert sum(moved) > len(moved) / 2


def test_more_padding_changes_no_loss(preset):
    longer = {key: np.pad(value, ((0, 0), (0, 4))) for key, value in X.items()}
    for objectives in ("tinybert", "pkd+kd"):
        keras.utils.set_random_seed(0)
        distiller = FrozenTeacherDistiller(*pair(preset, "bert"), objectives=objectives)
        distiller.compile("sgd")
        values = []
        for x in (X, longer):
            parts = []
            for model in (distiller.teacher, distiller.student):
                _, of_model = read(model, x)
                of_model["logits"] = model(x, training=False)
                parts.append({**of_model, "mask": x["padding_mask"].astype("float32")})
            values.append([numpy(objective(*parts)) for objective in distiller.objectives])
        for one, other in zip(*values, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_the_distiller_hands_the_mask_on(preset):
    keras.utils.set_random_seed(0)
    [objective] = losses.get("tinybert")
    distiller = FrozenTeacherDistiller(*pair(preset, "bert"), objectives=objective)
    distiller.compile("sgd", run_eagerly=True)
    seen = []
    call = objective.call

    def spy(teacher, student, *args, **kwargs):
        seen.append((numpy(teacher["mask"]), numpy(student["mask"])))
        return call(teacher, student, *args, **kwargs)

    object.__setattr__(objective, "call", spy)
    distiller.train_on_batch(X, Y)
    for mask in seen[0]:
        np.testing.assert_array_equal(mask, MASK)
