"""Yes-or-no labels: every weight equals a hand-written sigmoid distillation.

`tests/mutants.py` lists mistakes that make a test of this file fail; tried by hand besides:
class_weight ignored.
"""

import itertools

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_breast_cancer, load_digits

from keras_prokt import (
    FrozenTeacherDistiller,
    MutualDistiller,
    ProKTDistiller,
    StudentOnly,
    TrainingFault,
    uniform_start,
)
from keras_prokt.losses import LabelLossOnLogits, SmoothedCrossEntropy, SoftTargets
from keras_prokt.losses.attention_transfer import AttentionTransfer
from keras_prokt.losses.contrastive import ContrastiveRepresentation
from keras_prokt.outputs import Labels

BATCH, RATE, MOMENTUM = 32, 0.05, 0.9


def breast_cancer():
    x, y = load_breast_cancer(return_X_y=True)
    x = ((x - x.mean(0)) / x.std(0)).astype("float32")
    return x[:512], y[:512]


def digit_labels():
    """8x8 images, and whether the digit is even, prime, above 4, round, or a square."""
    x, digit = load_digits(return_X_y=True)
    sets = ((0, 2, 4, 6, 8), (2, 3, 5, 7), (5, 6, 7, 8, 9), (0, 6, 8, 9), (0, 1, 4, 9))
    y = np.stack([np.isin(digit, members) for members in sets], -1)
    return (x / 16).astype("float32").reshape(-1, 8, 8, 1)[:512], y.astype("float32")[:512]


def dense(units, width=1, features=30):
    return keras.Sequential(
        [keras.Input((features,)), layers.Dense(units, activation="relu"), layers.Dense(width)]
    )


def convolutional(channels):
    inputs = keras.Input((8, 8, 1))
    x = inputs
    for stage, count in enumerate(channels):
        name = f"stage_{stage}"
        x = layers.Conv2D(count, 3, padding="same", activation="relu", name=name)(x)
        x = layers.AveragePooling2D(2)(x)
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


STAGES = {"stages": ["stage_0", "stage_1"]}
PAIRS = {
    "one label": (breast_cancer, lambda: (dense(24), dense(6)), {}),
    "five labels": (
        digit_labels,
        lambda: (convolutional((8, 16)), convolutional((4, 6))),
        {"output": "labels"},
    ),
}


def settings_of(temperature=1.0, label_weight=0.0, attention_weight=None):
    objectives = [SoftTargets(temperature)]
    taps = {}
    if attention_weight is not None:
        objectives.append(AttentionTransfer(weight=attention_weight))
        taps = {"teacher_taps": STAGES, "student_taps": STAGES}
    return {"objectives": objectives, "label_weight": label_weight, **taps}


METHODS = {
    "prokt": (ProKTDistiller, {"proximal_weight": 0.3}, {}),
    "prokt with labels": (ProKTDistiller, {"proximal_weight": 0.6}, {"label_weight": 0.5}),
    "kd": (FrozenTeacherDistiller, {}, {"temperature": 4.0, "label_weight": 0.5}),
    "dml": (MutualDistiller, {}, {"label_weight": 1.0}),
    "at+prokt": (ProKTDistiller, {"proximal_weight": 0.3}, {"attention_weight": 50.0}),
}


def compiled(distiller, **kwargs):
    rates = {"optimizer": keras.optimizers.SGD(RATE, momentum=MOMENTUM)}
    if distiller.trains_teacher:
        rates["teacher_optimizer"] = keras.optimizers.SGD(RATE, momentum=MOMENTUM)
    distiller.compile(**rates, **kwargs)
    return distiller


def cases():
    for pair, method, weighting in itertools.product(
        PAIRS, METHODS, ("class_weight", "sample_weight", None)
    ):
        has_feature_maps = pair == "five labels"
        # Several labels have no class weight; see test_class_weight_of_several_labels.
        has_class_weight = pair == "one label"
        if (has_feature_maps or method != "at+prokt") and (
            has_class_weight or weighting != "class_weight"
        ):
            yield pair, method, weighting


@pytest.mark.slow
@pytest.mark.parametrize(("pair", "method", "weighting"), list(cases()))
def test_every_weight_equals_a_hand_written_sigmoid_distillation(pair, method, weighting):
    pytest.importorskip("torch", reason="the independent implementation is in PyTorch")
    import sigmoid_oracle

    data, make, kind = PAIRS[pair]
    x, y = data()
    teacher, student = make()
    networks = [sigmoid_oracle.Network(model) for model in (teacher, student)]
    regime, regime_settings, loss_settings = METHODS[method]
    distiller = compiled(
        regime(teacher, student, **kind, **regime_settings, **settings_of(**loss_settings))
    )
    assert distiller.output_kind.id == "labels"
    weights, arguments = None, {}
    if weighting == "class_weight":
        weights = np.where(y == 1, 0.6, 1.7)
        arguments = {"class_weight": {0: 1.7, 1: 0.6}}
    elif weighting == "sample_weight":
        weights = np.random.default_rng(0).uniform(0, 2, len(x)).astype("float32")
        arguments = {"sample_weight": weights}
    distiller.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, **arguments)
    sigmoid_oracle.train(
        method.split()[0].split("+")[-1],
        *networks,
        x,
        y.reshape(len(x), -1),
        BATCH,
        RATE,
        MOMENTUM,
        weights,
        **regime_settings,
        **loss_settings,
    )
    for model, network in zip((teacher, student), networks, strict=True):
        for ours, theirs in zip(model.get_weights(), network.weights, strict=True):
            np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_labels_in_any_form_are_the_same():
    x, y = breast_cancer()
    results = []
    for labels in (y, y[:, None], y.astype(bool), y.astype("float32")):
        keras.utils.set_random_seed(0)
        distiller = compiled(ProKTDistiller(dense(8), dense(4)))
        distiller.fit(x, labels, batch_size=BATCH, shuffle=False, verbose=0)
        results.append(distiller.student.get_weights())
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_logs_and_evaluation_name_the_metrics_of_labels():
    x, y = digit_labels()
    distiller = compiled(
        ProKTDistiller(dense(64, 5, 64), dense(32, 5, 64), output="labels"),
        metrics=[keras.metrics.BinaryAccuracy(name="keras_accuracy")],
    )
    x = x.reshape(len(x), -1)
    history = distiller.fit(x, y, epochs=8, validation_data=(x, y), verbose=0).history
    names = ["accuracy", "exact_match", "macro_f1"]
    assert {f"{p}{r}_{n}" for p in ("", "val_") for r in ("student", "teacher") for n in names} <= (
        set(history)
    )
    probabilities = 1 / (1 + np.exp(-distiller.predict(x, verbose=0).astype("float64")))
    predicted = probabilities > 0.5
    right = predicted == (y > 0.5)
    true, total = (predicted * y).sum(0), (predicted + y).sum(0)
    expected = {
        "student_accuracy": right.mean(),
        "student_exact_match": right.all(-1).mean(),
        "student_macro_f1": np.mean(2 * true / np.maximum(total, 1)),
        "keras_accuracy": right.mean(),
        "loss": -np.mean(y * np.log(probabilities) + (1 - y) * np.log(1 - probabilities)),
    }
    assert 0.2 < expected["student_exact_match"] < expected["student_accuracy"] < 1
    logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
    assert logs == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_a_student_alone_learns_labels():
    x, y = breast_cancer()
    model = compiled(StudentOnly(dense(8)))
    model.fit(x, y, epochs=5, verbose=0)
    assert model.evaluate(x, y, verbose=0, return_dict=True)["student_accuracy"] > 0.95


@pytest.mark.slow
def test_saved_and_loaded_with_everything(tmp_path):
    x, y = digit_labels()
    x = x.reshape(len(x), -1)
    distiller = compiled(ProKTDistiller(dense(8, 5, 64), dense(4, 5, 64), output="labels"))
    distiller.fit(x, y, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras")
    assert loaded.output_kind.id == "labels"
    for model in (distiller, loaded):
        model.fit(x, y, shuffle=False, verbose=0)
    for a, b in zip(distiller.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_neutral_start_is_one_half_of_each():
    x, y = breast_cancer()
    teacher, student = uniform_start(dense(8)), uniform_start(dense(4))
    distiller = compiled(ProKTDistiller(teacher, student))
    first = distiller.evaluate(x, y, verbose=0, return_dict=True)
    assert first["loss"] == pytest.approx(np.log(2), abs=1e-6)
    history = distiller.fit(x, y, epochs=3, verbose=0).history
    assert history["student_accuracy"][-1] > 0.8


# What means nothing.

CASES = {
    "class indices for five labels": (5, np.arange(512) % 5, "output='classes'"),
    "minus one for no": (
        1,
        np.sign(np.arange(512) % 2 - 0.5),
        r"received -1 .*\(labels \+ 1\) / 2",
    ),
    "counts": (1, np.arange(512) % 4, "received 2 in example 2; class indices have as many"),
    "percentages": (1, np.full(512, 99.5), "received 99.5 in example 0; divide the labels by"),
    "strings": (1, np.array(["yes", "no"] * 256), "received strings"),
    "too many columns": (5, np.zeros((512, 4)), r"of shape \(batch, 5\).*shape \(512, 4\)"),
    "not finite": (1, np.full(512, np.nan), "received NaN or infinity"),
}


@pytest.mark.parametrize("case", CASES)
def test_labels_that_are_none_are_refused(case):
    width, y, message = CASES[case]
    x = breast_cancer()[0]
    distiller = compiled(ProKTDistiller(dense(8, width), dense(4, width), output="labels"))
    before = distiller.get_weights()
    for call in (distiller.fit, distiller.evaluate):
        with pytest.raises(ValueError, match=message) as error:
            call(x, y, verbose=0)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=message):
        good = (np.arange(512 * width) % 2).reshape(512, width)
        distiller.fit(x, good, validation_data=(x, y), verbose=0)
    for a, b in zip(before, distiller.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_labels_of_a_stream_are_looked_at_inside_the_step():
    x, y = breast_cancer()
    bad = y.astype("float32")
    bad[100] = 1.5

    def batches():
        for start in range(0, 512, BATCH):
            yield x[start : start + BATCH], bad[start : start + BATCH]

    distiller = compiled(ProKTDistiller(dense(8), dense(4)))
    with pytest.raises(TrainingFault, match="Step 4: Expected labels that are 0, 1 or a proba"):
        distiller.fit(batches(), verbose=0)


def test_one_logit_is_no_distribution_over_classes():
    with pytest.raises(ValueError, match="one logit is a yes-or-no label: output='labels'"):
        ProKTDistiller(dense(8), dense(4), output="classes")
    with pytest.raises(ValueError, match="did you mean 'labels'"):
        ProKTDistiller(dense(8), dense(4), output="label")


def test_rows_with_several_ones_name_the_kind_of_output():
    x, y = digit_labels()
    distiller = compiled(ProKTDistiller(dense(8, 5, 64), dense(4, 5, 64)))
    assert distiller.output_kind.id == "classes"
    with pytest.raises(ValueError, match="make the distiller with output='labels'"):
        distiller.fit(x.reshape(len(x), -1), y, verbose=0)


def test_class_weight_of_several_labels():
    x, y = digit_labels()
    distiller = compiled(ProKTDistiller(dense(8, 5, 64), dense(4, 5, 64), output="labels"))
    with pytest.raises(ValueError, match="no class_weight for several labels"):
        distiller.fit(x.reshape(len(x), -1), y, class_weight={0: 1.0, 1: 2.0}, verbose=0)


def test_class_weight_of_probabilities():
    x, y = breast_cancer()
    distiller = compiled(ProKTDistiller(dense(8), dense(4)))
    with pytest.raises(ValueError, match="labels 0 or 1 with a class_weight, received probab"):
        distiller.fit(x, y * 0.9, class_weight={0: 1.0, 1: 2.0}, verbose=0)


def test_an_objective_that_needs_classes_is_refused_by_name():
    objective = ContrastiveRepresentation(num_negatives=8, dimensions=4)
    objective.adapt(np.array([0, 1] * 256))
    with pytest.raises(ValueError, match="received 'crd', which is defined for classes alone"):
        ProKTDistiller(dense(8), dense(4), objectives=objective)


def test_metrics_of_logits_are_refused():
    with pytest.raises(ValueError, match="'AUC' with from_logits=True; leave that out"):
        compiled(ProKTDistiller(dense(8), dense(4)), metrics=[keras.metrics.AUC(from_logits=True)])


# Losses.

LABELS = np.array([[1.0, 0.0], [0.25, 1.0]], "float32")
LOGITS = np.array([[2.0, -1.0], [0.5, 3.0]], "float32")


@pytest.mark.parametrize(
    "loss",
    [
        None,
        "binary_crossentropy",
        keras.losses.binary_crossentropy,
        keras.losses.BinaryCrossentropy,
        keras.losses.BinaryCrossentropy(),
    ],
)
def test_the_loss_is_the_binary_cross_entropy_from_logits(loss):
    p = 1 / (1 + np.exp(-LOGITS.astype("float64")))
    expected = -np.mean(LABELS * np.log(p) + (1 - LABELS) * np.log(1 - p))
    tensors = map(keras.ops.convert_to_tensor, (LABELS, LOGITS))
    assert float(LabelLossOnLogits(loss, Labels())(*tensors)) == pytest.approx(expected, abs=1e-6)


def test_losses_of_probabilities_get_them():
    p = 1 / (1 + np.exp(-LOGITS.astype("float64")))
    tensors = map(keras.ops.convert_to_tensor, (LABELS, LOGITS))
    value = float(LabelLossOnLogits("mse", Labels())(*tensors))
    assert value == pytest.approx(np.mean((p - LABELS) ** 2), abs=1e-6)


def test_the_cross_entropy_on_smoothed_classes_is_refused():
    with pytest.raises(ValueError, match="'labels'.* received 'SmoothedCrossEntropy'; leave out"):
        LabelLossOnLogits(SmoothedCrossEntropy(0.1), Labels())


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "kl_divergence", "poisson", "ctc"])
def test_losses_of_other_kinds_are_refused(loss):
    with pytest.raises(ValueError, match=f"'labels'.* received '{loss}'; leave out loss= for the"):
        LabelLossOnLogits(loss, Labels())


# Columns of predictions.


@pytest.mark.parametrize(("names", "shown"), [(["no", "yes"], ["no", "yes"]), ([], ["0", "1"])])
def test_columns_of_one_label_are_those_of_its_two_answers(names, shown):
    logits = keras.ops.convert_to_tensor(np.log([[3.0], [0.25]]).astype("float32"))
    columns = dict(Labels().columns(logits, names))
    assert columns.pop("class_name") == [shown[1], shown[0]]
    assert list(columns) == [f"p({name})" for name in shown]
    np.testing.assert_allclose(list(columns.values()), [[0.25, 0.8], [0.75, 0.2]], rtol=1e-5)


@pytest.mark.parametrize("names", [["cat", "dog"], []])
def test_columns_of_several_labels(names):
    columns = dict(Labels().columns(keras.ops.convert_to_tensor(LOGITS), names))
    shown = names or ["0", "1"]
    assert list(columns) == [*shown, *(f"p({name})" for name in shown)]
    p = 1 / (1 + np.exp(-LOGITS.astype("float64")))
    np.testing.assert_allclose([columns[f"p({name})"] for name in shown], p.T, rtol=1e-5)
    assert [columns[name] for name in shown] == [[1, 1], [0, 1]]
