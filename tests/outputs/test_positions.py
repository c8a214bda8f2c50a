"""Positions (tokens, pixels): every weight equals a hand-written distillation of each of them."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from marks import crossed

from keras_prokt import (
    FrozenTeacherDistiller,
    MutualDistiller,
    ProKTDistiller,
    StudentOnly,
    TrainingFault,
    export_saved_model,
    outputs,
    uniform_start,
)
from keras_prokt.distillers.batch import Batch
from keras_prokt.losses import LabelLossOnLogits, SmoothedCrossEntropy, SoftTargets
from keras_prokt.losses.attention_transfer import AttentionTransfer
from keras_prokt.outputs.positions import Positions

BATCH, RATE, MOMENTUM, CLASSES = 16, 0.2, 0.9, 3
RNG = np.random.default_rng(0)

WORDS = RNG.integers(1, 20, (96, 12))
LENGTHS = RNG.integers(2, 13, 96)
WORDS[np.arange(12) >= LENGTHS[:, None]] = 0
# A word's tag depends on the word before it.
TAGS = (WORDS + np.roll(WORDS, 1, axis=-1)) % CLASSES
REAL = (WORDS > 0).astype("float32")

IMAGES = RNG.normal(size=(64, 6, 5, 1)).astype("float32")
SEGMENTS = (IMAGES[..., 0] > 0).astype("int32") + (np.abs(IMAGES[..., 0]) > 1)


def tagger(units, length=12):
    words = keras.Input((length,), dtype="int32", name="words")
    x = layers.Embedding(20, units)(words)
    return keras.Model(words, layers.Dense(CLASSES)(layers.Dense(units, "relu")(x)))


def segmenter(units):
    return keras.Sequential(
        [
            keras.Input((6, 5, 1), name="image"),
            layers.Conv2D(units, 3, padding="same", activation="relu", name="stage"),
            layers.Conv2D(CLASSES, 1),
        ]
    )


def tag(weights, words):
    embedding, kernel, bias, *head = weights
    return ((embedding[words] @ kernel + bias).relu()) @ head[0] + head[1]


def segment(weights, images):
    import torch.nn.functional as F

    kernel, bias, *head = weights
    x = F.conv2d(
        images.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), bias, padding="same"
    ).relu()
    return F.conv2d(x, head[0].permute(3, 2, 0, 1), head[1]).permute(0, 2, 3, 1)


def compiled(distiller, **settings):
    rates = {"optimizer": keras.optimizers.SGD(RATE, momentum=MOMENTUM)}
    if distiller.trains_teacher:
        rates["teacher_optimizer"] = keras.optimizers.SGD(RATE, momentum=MOMENTUM)
    distiller.compile(**rates, **settings)
    return distiller


def prokt(**settings):
    return ProKTDistiller(tagger(16), tagger(6), **settings)


METHODS = {
    "prokt": (ProKTDistiller, {"proximal_weight": 0.3}),
    "prokt with labels": (ProKTDistiller, {"proximal_weight": 0.6, "label_weight": 0.5}),
    "kd": (FrozenTeacherDistiller, {"temperature": 4.0, "label_weight": 0.5}),
    "dml": (MutualDistiller, {"label_weight": 1.0}),
}
DATA = {"tokens": (WORDS, TAGS, tagger, tag), "pixels": (IMAGES, SEGMENTS, segmenter, segment)}
CASES = {
    # Labels as rows, weight of examples, weight of positions, unlabelled positions
    "plain": (False, None, None),
    "rows and examples weighed": (True, "examples", None),
    "padding": (False, "positions", None),
    "rows, padding and unlabelled": (True, "positions", -1),
    "unlabelled": (False, None, -1),
}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "kind", "case"), crossed(METHODS, DATA, CASES))
def test_every_weight_equals_a_hand_written_distillation(method, kind, case):
    torch = pytest.importorskip("torch", reason="the independent implementation is in PyTorch")
    import algorithm_oracle
    import torch.nn.functional as F

    x, right, make, forward = DATA[kind]
    has_rows, weighting, mark = CASES[case]
    rng = np.random.default_rng(1)
    weights, real = np.ones(right.shape, "float32"), np.ones(right.shape, "float32")
    labelled = np.ones(right.shape, "bool")
    arguments = {}
    if weighting == "examples":
        given = rng.uniform(0, 2, len(x)).astype("float32")
        weights = weights * given.reshape(-1, *[1] * (right.ndim - 1))
        arguments = {"sample_weight": given}
    elif weighting == "positions":
        real = REAL if kind == "tokens" else (rng.random(right.shape) < 0.7).astype("float32")
        weights = (rng.uniform(0.5, 2, right.shape) * real).astype("float32")
        arguments = {"sample_weight": weights}
    labels = np.eye(CLASSES, dtype="float32")[right] if has_rows else right.copy()
    if mark is not None:
        labelled = rng.random(right.shape) < 0.5
        labels[~labelled] = mark

    teacher, student = make(16), make(6)
    networks = [algorithm_oracle.Network(model, forward) for model in (teacher, student)]
    regime, settings = METHODS[method]
    distiller = compiled(regime(teacher, student, ignore_class=mark, **settings))
    assert distiller.output_kind.id == "positions"
    distiller.fit(x, labels, batch_size=BATCH, shuffle=False, verbose=0, **arguments)

    def cross_entropy(labels, logits):
        values = F.cross_entropy(logits.reshape(-1, CLASSES), labels.reshape(-1), reduction="none")
        return values.reshape(labels.shape)

    def divergence(target, logits, temperature):
        p, q = ((z / temperature).log_softmax(-1) for z in (target, logits))
        return (torch.exp(p) * (p - q)).sum(-1)

    arrays = (x, right.astype("int64"), weights, labelled * real, real)
    batches = map(algorithm_oracle.Rows, *(torch.tensor(a).split(BATCH) for a in arrays))
    functions = cross_entropy, divergence
    name = method.split()[0]
    algorithm_oracle.train(name, *networks, batches, *functions, RATE, MOMENTUM, **settings)
    for model, network in zip((teacher, student), networks, strict=True):
        for ours, theirs in zip(model.get_weights(), network.weights, strict=True):
            np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-5)


def masked_tagger(units):
    given = {
        "words": keras.Input((12,), dtype="int32", name="words"),
        "padding_mask": keras.Input((12,), dtype="int32", name="padding_mask"),
    }
    logits = layers.Dense(CLASSES)(layers.Embedding(20, units)(given["words"]))
    return keras.Model(given, logits)


@pytest.mark.slow
def test_a_padding_mask_of_the_inputs_is_the_weight_0_of_padding():
    results = []
    for named in (True, False):
        keras.utils.set_random_seed(0)
        distiller = compiled(ProKTDistiller(masked_tagger(8), masked_tagger(4)))
        mask = REAL.astype("int32")
        x = {"words": WORDS, "padding_mask": mask if named else np.ones_like(mask)}
        weight = {} if named else {"sample_weight": REAL}
        distiller.fit(x, TAGS, batch_size=BATCH, shuffle=False, verbose=0, **weight)
        results.append(distiller.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_what_stands_at_padding_changes_nothing():
    results = []
    for padding in (0, 7):
        keras.utils.set_random_seed(0)
        distiller = compiled(prokt(label_weight=0.5))
        words, tags = (np.where(REAL > 0, a, padding) for a in (WORDS, TAGS))
        history = distiller.fit(
            words, tags % CLASSES, sample_weight=REAL, shuffle=False, verbose=0
        ).history
        logs = {name: values[0] for name, values in history.items()}
        results.append((logs, distiller.student.get_weights()))
    (one, weights), (other, other_weights) = results
    assert one == pytest.approx(other, abs=1e-6)
    for a, b in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [32, 50])
def test_metrics_and_evaluation_count_real_positions_with_a_label(batch_size):
    distiller = compiled(
        prokt(ignore_class=-1), metrics=[keras.metrics.SparseCategoricalAccuracy(name="keras")]
    )
    labelled = (RNG.random(TAGS.shape) < 0.5) & (REAL > 0)
    labels = np.where(labelled | (REAL == 0), TAGS, -1)
    history = distiller.fit(
        WORDS, labels, epochs=3, validation_data=(WORDS, TAGS, REAL), sample_weight=REAL, verbose=0
    ).history
    assert {"student_accuracy", "val_teacher_accuracy", "gap", "val_keras"} <= set(history)
    logs = distiller.evaluate(
        WORDS, labels, sample_weight=REAL, batch_size=batch_size, verbose=0, return_dict=True
    )
    logits = distiller.predict(WORDS, verbose=0)[labelled].astype("float64")
    right = TAGS[labelled]
    correct = np.mean(logits.argmax(-1) == right)
    losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(right)), right]
    expected = {"loss": losses.mean(), "student_accuracy": correct, "keras": correct}
    assert logs == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_a_student_alone_learns_pixels_from_a_uniform_start():
    model = uniform_start(segmenter(16))
    wrapper = StudentOnly(model)
    wrapper.compile(keras.optimizers.Adam(0.02))
    first = wrapper.evaluate(IMAGES, SEGMENTS, verbose=0, return_dict=True)
    assert first["loss"] == pytest.approx(np.log(CLASSES), abs=1e-4)
    wrapper.fit(IMAGES, SEGMENTS, batch_size=8, epochs=25, verbose=0)
    last = wrapper.evaluate(IMAGES, SEGMENTS, verbose=0, return_dict=True)
    assert last["student_accuracy"] > 0.85 > np.mean(SEGMENTS == 1)


@pytest.mark.slow
def test_a_tagger_of_any_length_and_objectives_on_features():
    distiller = compiled(
        ProKTDistiller(tagger(16, None), tagger(6, None), objectives=[SoftTargets(2.0)])
    )
    for length in (12, 7):
        distiller.train_on_batch(WORDS[:, :length], TAGS[:, :length])
    stages = {"stages": ["stage"]}
    weighed = np.ones(SEGMENTS.shape, "float32")
    distiller = compiled(
        ProKTDistiller(
            segmenter(8),
            segmenter(4),
            objectives=[SoftTargets(), AttentionTransfer(weight=10.0)],
            teacher_taps=stages,
            student_taps=stages,
        )
    )
    history = distiller.fit(IMAGES, SEGMENTS, sample_weight=weighed, verbose=0).history
    assert history["at"][0] > 0


@pytest.mark.slow
def test_saved_and_loaded_with_everything(tmp_path):
    distiller = compiled(prokt(ignore_class=-1))
    distiller.fit(WORDS, TAGS, sample_weight=REAL, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras")
    for model in (distiller, loaded):
        model.fit(WORDS, TAGS, sample_weight=REAL, shuffle=False, verbose=0)
    for a, b in zip(distiller.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_counts_are_of_positions(capsys):
    labels = np.where(REAL > 0, TAGS, -1)
    compiled(prokt(ignore_class=-1)).fit(WORDS, labels, verbose=2)
    assert f"{int(REAL.sum())} of {REAL.size} positions have a label." in capsys.readouterr().out


def test_an_example_weighs_as_much_as_its_real_positions_on_average():
    kind = Positions().for_outputs((3, CLASSES))
    labels = np.zeros((2, 3), "int32")
    given = np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 0.5]], "float32")
    weight, real = kind.weights(*map(ops.convert_to_tensor, (labels, given)), None)
    batch = Batch(None, None, labels, None, 2).weighed(weight, real)
    values = ops.convert_to_tensor(np.array([10.0, 100.0], "float32"))
    assert float(batch.mean(values)) == pytest.approx((2 * 10 + 0.5 * 100) / 2)
    at_positions = ops.convert_to_tensor(np.array([[1.0, 2, 9], [9, 9, 4]], "float32"))
    assert float(batch.mean(at_positions)) == pytest.approx((1 + 3 * 2 + 0.5 * 4) / 3)
    assert float(batch.size) == 3


@pytest.mark.slow
def test_logs_of_an_epoch_are_means_over_all_real_positions():
    distiller = compiled(prokt())
    history = distiller.fit(
        WORDS, TAGS, sample_weight=REAL, validation_data=(WORDS, TAGS, REAL), verbose=0
    ).history
    models = distiller.teacher, distiller.student
    p, q = (model.predict(WORDS, verbose=0).astype("float64") for model in models)
    p, q = (z - np.log(np.exp(z).sum(-1, keepdims=True)) for z in (p, q))
    gap = (np.exp(q) * (q - p)).sum(-1)
    assert history["val_gap"] == [pytest.approx(gap[REAL > 0].mean(), rel=1e-4)]


def test_accuracy_counts_positions_of_batches_of_any_length_alike():
    metric, *_ = Positions().metrics(CLASSES)
    right = np.eye(CLASSES, dtype="float32")
    # 2 of 2 positions are right, and 1 of 3 that count among 6.
    metric.update_state(np.array([[0, 1]]), right[[[0, 1]]], sample_weight=np.ones((1, 2)))
    counts = np.array([[1, 1, 1, 0, 0, 0]])
    metric.update_state(np.array([[0, 1, 1, 0, 0, 0]]), right[[[0] * 6]], sample_weight=counts)
    assert float(metric.result()) == pytest.approx(3 / 5)


# What means nothing.


def test_the_kind_is_that_of_the_shape():
    assert outputs.infer(12, 3).id == outputs.infer(None, None, 2).id == "positions"
    forms = r"\(batch, classes\) \(classes\), .*\(batch, \*positions, classes\) \(positions\)"
    with pytest.raises(ValueError, match=f"one of the shapes {forms}.*received"):
        outputs.infer(12, 1)
    with pytest.raises(ValueError, match=r"shape \(batch, \*positions, classes\) with at least 2"):
        StudentOnly(keras.Sequential([keras.Input((4,)), layers.Dense(3)]), output="positions")


WRONG = {
    "one class an example": (TAGS[:, 0], r"\(batch, 12\) or .* if an example has one class, pool"),
    "another length": (TAGS[:, :5], r"shape \(batch, 12\) or .*\(batch, 12, 3\), received .*5\)"),
    "too many classes": (np.eye(4)[TAGS], r"received shape \(96, 12, 4\); check the labels"),
    "strings": (TAGS.astype("str"), "received strings; number the classes"),
    "out of range": (np.where(TAGS == 2, 5, TAGS), r"received 5 in example \d+ at position \d+;"),
    "a mark": (np.where(REAL, TAGS, -1), r"received -1 in .* or say ignore_class=-1 for rows"),
    "no distribution": (2 * np.eye(3)[TAGS], "a row that sums to 2 in example 0 at position 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_labels_that_are_none_are_refused(case):
    labels, message = WRONG[case]
    distiller = compiled(prokt())
    for call in (distiller.fit, distiller.evaluate):
        with pytest.raises(ValueError, match=message) as error:
            call(WORDS, labels, verbose=0)
        assert "\n" not in str(error.value)


@pytest.mark.slow
def test_labels_of_a_stream_are_looked_at_inside_the_step():
    bad = TAGS.copy()
    bad[20, 3] = 7

    def batches():
        for start in range(0, 96, BATCH):
            yield WORDS[start : start + BATCH], bad[start : start + BATCH]

    with pytest.raises(TrainingFault, match="Step 2: Expected integer labels in .* each position"):
        compiled(prokt()).fit(batches(), verbose=0)


def test_outputs_at_other_positions_are_refused():
    with pytest.raises(ValueError, match=r"at the same positions.*\(None, 12, 3\).*\(None, 9, 3\)"):
        ProKTDistiller(tagger(4), tagger(4, 9))
    pooled = keras.Sequential([keras.Input((12,)), layers.Dense(3)])
    with pytest.raises(ValueError, match=r"at the same positions.*\(None, 12, 3\).*\(None, 3\)"):
        ProKTDistiller(tagger(4), pooled)


@pytest.mark.slow
def test_a_network_that_ends_in_softmax_is_trained_and_predicts_as_it_is():
    model = keras.Sequential([keras.Input((6, 5, 1)), *segmenter(6).layers, layers.Softmax()])
    distiller = compiled(ProKTDistiller(segmenter(8), model))
    distiller.fit(IMAGES, SEGMENTS, verbose=0)
    predicted = distiller.predict(IMAGES[:2], verbose=0)
    np.testing.assert_allclose(predicted.sum(-1), 1, atol=1e-5)


def test_sigmoids_at_each_position_are_refused():
    sigmoid = layers.Activation("sigmoid")
    model = keras.Sequential([keras.Input((6, 5, 1)), *segmenter(6).layers, sigmoid])
    with pytest.raises(ValueError, match=r"shape \(batch, labels\) .* received shape \(None, 6, 5"):
        ProKTDistiller(segmenter(8), model)


def test_weights_of_another_form_are_refused():
    with pytest.raises(ValueError, match=r"sample_weight of shape \(batch,\) or \(batch, 12\)"):
        compiled(prokt()).fit(WORDS, TAGS, sample_weight=REAL[:, :5], verbose=0)
    with pytest.raises(ValueError, match="no class_weight for outputs of the kind 'positions'"):
        compiled(prokt()).fit(WORDS, TAGS, class_weight={0: 1.0, 1: 2.0}, verbose=0)


def test_padding_that_only_a_layer_knows_is_refused():
    model = keras.Sequential(
        [keras.Input((12,)), layers.Embedding(20, 4, mask_zero=True), layers.Dense(CLASSES)]
    )
    distiller = compiled(ProKTDistiller(tagger(8), model))
    with pytest.raises(ValueError, match=r"mask_zero.*=\(words != 0\)") as error:
        distiller.fit(WORDS, TAGS, verbose=0)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_padding_that_layers_mask_too_is_left_out_once():
    results = []
    for mask_zero in (True, False):
        keras.utils.set_random_seed(0)
        words = keras.Input((12,), dtype="int32")
        x = layers.Embedding(20, 4, mask_zero=mask_zero)(words)
        model = keras.Model(words, layers.Dense(CLASSES)(x))
        distiller = compiled(ProKTDistiller(tagger(8), model, label_weight=0.5))
        distiller.fit(WORDS, TAGS, sample_weight=REAL, shuffle=False, verbose=0)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


# Losses.


@pytest.mark.parametrize(
    "loss", [None, "sparse_categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy()]
)
def test_the_loss_is_the_cross_entropy_at_each_position(loss):
    logits = RNG.normal(size=(4, 12, CLASSES)).astype("float32")
    kind = Positions().for_outputs((12, CLASSES))
    value = LabelLossOnLogits(loss, kind)(*map(ops.convert_to_tensor, (TAGS[:4], logits)))
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -np.take_along_axis(logs, TAGS[:4, :, None], -1).mean()
    assert float(value) == pytest.approx(expected, abs=1e-6)


def test_losses_of_another_form_or_kind_are_refused():
    with pytest.raises(ValueError, match="one-hot labels .* for the loss 'categorical_crossent"):
        compiled(prokt(), loss="categorical_crossentropy").fit(WORDS, TAGS, verbose=0)
    with pytest.raises(ValueError, match="'positions'.*; leave out loss= for the cross entropy"):
        compiled(prokt(), loss=SmoothedCrossEntropy(0.1))


# What leaves.


@pytest.mark.process  # of TensorFlow, on the other backends
def test_a_served_tagger_names_the_class_of_each_token(tmp_path):
    tf = pytest.importorskip("tensorflow", reason="a SavedModel is read by TensorFlow")
    model = tagger(6)
    names = ["noun", "verb", "other"]
    path = export_saved_model(model, tmp_path, class_names=names)
    served = tf.saved_model.load(path).signatures["serving_default"]
    result = served(words=tf.constant(WORDS[:5], "int32"))
    logits = model.predict(WORDS[:5], verbose=0)
    np.testing.assert_array_equal(result["label"].numpy(), logits.argmax(-1))
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(result["probabilities"].numpy(), p, atol=1e-5)
    assert result["class_name"].numpy().astype(str).tolist() == [
        [names[tag] for tag in row] for row in logits.argmax(-1)
    ]
