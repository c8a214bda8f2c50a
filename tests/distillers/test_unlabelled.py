"""Rows without a label: every weight equals a hand-written distillation that knows them."""

import keras
import numpy as np
import pytest
from keras import layers
from marks import crossed, thorough
from sklearn.datasets import load_digits

from keras_prokt import (
    FrozenTeacherDistiller,
    MutualDistiller,
    ProKTDistiller,
    StudentOnly,
    TrainingFault,
)
from keras_prokt.losses import LabelLossOnLogits

pytestmark = pytest.mark.slow

BATCH, RATE, MOMENTUM, MARK = 32, 0.05, 0.9, -1
X, DIGITS = load_digits(return_X_y=True)
X, DIGITS = (X / 16).astype("float32")[:384], DIGITS[:384]
# A batch without a label is among them, and one in which all have one.
LABELLED = np.random.default_rng(0).random(384) < 0.3
LABELLED[64:96], LABELLED[96:128] = False, True
QUESTIONS = np.stack([np.isin(DIGITS, s) for s in ((0, 2, 4, 6, 8), (2, 3, 5, 7), (0, 6, 8))], -1)

LABELS = {
    "indices": (10, DIGITS, "classes"),
    "rows": (10, np.eye(10, dtype="float32")[DIGITS], "classes"),
    "one label": (1, QUESTIONS[:, 0].astype("float32"), "labels"),
    "three labels": (3, QUESTIONS.astype("int32"), "labels"),
}
METHODS = {
    "prokt": (ProKTDistiller, {"proximal_weight": 0.3}),
    "prokt with labels": (ProKTDistiller, {"proximal_weight": 0.6, "label_weight": 0.5}),
    "kd": (FrozenTeacherDistiller, {"temperature": 4.0, "label_weight": 0.5}),
    "dml": (MutualDistiller, {"label_weight": 1.0}),
    "student": (StudentOnly, {"label_weight": 1.0}),
}


def dense(units, width=10):
    return keras.Sequential([keras.Input((64,)), layers.Dense(units, "relu"), layers.Dense(width)])


def marked(labels, mark=MARK, labelled=LABELLED):
    given = np.array(labels)
    given[~labelled] = mark
    return given


def compiled(distiller, **settings):
    rates = {"optimizer": keras.optimizers.SGD(RATE, momentum=MOMENTUM)}
    if distiller.trains_teacher:
        rates["teacher_optimizer"] = keras.optimizers.SGD(RATE, momentum=MOMENTUM)
    distiller.compile(**rates, **settings)
    return distiller


def prokt(width=10, ignore_class=MARK, **settings):
    return ProKTDistiller(dense(24, width), dense(6, width), ignore_class=ignore_class, **settings)


def kd(width=10, ignore_class=MARK, **settings):
    models = dense(24, width), dense(6, width)
    return FrozenTeacherDistiller(*models, ignore_class=ignore_class, **settings)


def cross_entropy(labels, logits):
    import torch.nn.functional as F

    return F.cross_entropy(logits, labels, reduction="none")


def binary_cross_entropy(labels, logits):
    import torch.nn.functional as F

    values = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return values.mean(-1)


def divergence_of_classes(target, logits, temperature):
    import torch

    p, q = ((z / temperature).log_softmax(-1) for z in (target, logits))
    return (torch.exp(p) * (p - q)).sum(-1)


def divergence_of_labels(target, logits, temperature):
    import torch

    p, q = torch.sigmoid(target / temperature), torch.sigmoid(logits / temperature)
    return (p * torch.log(p / q) + (1 - p) * torch.log((1 - p) / (1 - q))).mean(-1)


@pytest.mark.parametrize("weighted", [True, *thorough(False)])
@pytest.mark.parametrize(("method", "form"), crossed(METHODS, LABELS))
def test_every_weight_equals_a_hand_written_distillation(method, form, weighted):
    torch = pytest.importorskip("torch", reason="the independent implementation is in PyTorch")
    import algorithm_oracle

    width, labels, output = LABELS[form]
    weights = np.random.default_rng(1).uniform(0, 2, len(X)).astype("float32")
    teacher, student = dense(24, width), dense(6, width)
    networks = [
        algorithm_oracle.Network(model, algorithm_oracle.dense) for model in (teacher, student)
    ]
    regime, settings = METHODS[method]
    models = (student,) if regime is StudentOnly else (teacher, student)
    given = {} if regime is StudentOnly else settings
    distiller = compiled(regime(*models, output=output, ignore_class=MARK, **given))
    arguments = {"sample_weight": weights} if weighted else {}
    distiller.fit(X, marked(labels), batch_size=BATCH, shuffle=False, verbose=0, **arguments)

    if output == "classes":
        right, functions = DIGITS, (cross_entropy, divergence_of_classes)
    else:
        right = labels.reshape(len(X), width).astype("float32")
        functions = binary_cross_entropy, divergence_of_labels
    tensors = [torch.tensor(array) for array in (X, right)]
    tensors += [torch.tensor(weights) if weighted else torch.ones(len(X))]
    tensors += [torch.tensor(LABELLED.astype("float32")), torch.ones(len(X))]
    batches = map(algorithm_oracle.Rows, *(tensor.split(BATCH) for tensor in tensors))
    name = method.split()[0]
    algorithm_oracle.train(name, *networks, batches, *functions, RATE, MOMENTUM, **settings)
    for model, network in zip((teacher, student), networks, strict=True):
        for ours, theirs in zip(model.get_weights(), network.weights, strict=True):
            np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mark", [-1, 255, 3])
def test_any_mark_will_do(mark):
    keras.utils.set_random_seed(0)
    labelled = LABELLED & (mark != DIGITS)
    distiller = compiled(prokt(ignore_class=mark))
    labels = marked(DIGITS, mark, labelled).astype("uint8" if mark > 0 else "int64")
    distiller.fit(X, labels, batch_size=BATCH, shuffle=False, verbose=0)
    keras.utils.set_random_seed(0)
    other = compiled(prokt())
    other.fit(X, marked(DIGITS, -1, labelled), batch_size=BATCH, shuffle=False, verbose=0)
    for a, b in zip(distiller.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_where_all_have_a_label_nothing_changes():
    results = []
    for mark in (-1, None):
        keras.utils.set_random_seed(0)
        distiller = compiled(prokt(ignore_class=mark, label_weight=0.5))
        logs = distiller.fit(X, DIGITS, batch_size=BATCH, shuffle=False, verbose=0).history
        results.append(([*distiller.teacher.get_weights(), *distiller.student.get_weights()], logs))
    (one, logs), (other, other_logs) = results
    assert {k: v[0] for k, v in logs.items()} == pytest.approx(
        {k: v[0] for k, v in other_logs.items()}, abs=1e-6
    )
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", ["indices", "three labels"])
def test_metrics_and_evaluation_count_labelled_rows(form):
    width, labels, output = LABELS[form]
    metric = (
        keras.metrics.SparseCategoricalAccuracy if width == 10 else keras.metrics.BinaryAccuracy
    )
    distiller = compiled(
        prokt(width, output=output),
        metrics=[metric(name="keras_accuracy")],
        weighted_metrics=[metric(name="weighted_accuracy")],
    )
    weights = np.random.default_rng(1).uniform(0, 2, len(X)).astype("float32")
    history = distiller.fit(
        *(X, marked(labels), 32, 4), sample_weight=weights, verbose=0, validation_data=(X, labels)
    ).history
    assert {"teacher_accuracy", "keras_accuracy", "val_teacher_loss"} <= set(history)
    logs = distiller.evaluate(
        X, marked(labels), batch_size=50, sample_weight=weights, verbose=0, return_dict=True
    )
    logits = distiller.predict(X, verbose=0)[LABELLED].astype("float64")
    right = labels[LABELLED]
    if width == 10:
        correct = logits.argmax(-1) == right
        losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(right)), right]
    else:
        correct = ((logits > 0) == right).mean(-1)
        losses = (np.log1p(np.exp(logits)) - right * logits).mean(-1)
    weights = weights[LABELLED]
    expected = {
        "loss": np.mean(weights * losses),
        "student_accuracy": np.mean(correct),
        "keras_accuracy": np.mean(correct),
        "weighted_accuracy": np.sum(weights * correct) / weights.sum(),
    }
    if width == 3:
        predicted = logits > 0
        true, total = (predicted * right).sum(0), (predicted + right).sum(0)
        expected["student_macro_f1"] = np.mean(2 * true / total)
        expected["student_exact_match"] = np.mean(correct == 1)
    assert logs == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("loss", "reduce"),
    [
        (keras.losses.SparseCategoricalCrossentropy(reduction="sum"), np.sum),
        (keras.losses.SparseCategoricalCrossentropy(), np.mean),
        (keras.losses.sparse_categorical_crossentropy, np.mean),
    ],
)
@pytest.mark.parametrize("number", [0, 1, 5])
def test_a_loss_of_any_reduction_is_that_of_labelled_rows(loss, reduce, number):
    logits = np.random.default_rng(0).normal(size=(8, 10)).astype("float32")
    labelled = np.arange(8) < number
    tensors = map(keras.ops.convert_to_tensor, (DIGITS[:8], logits))
    mask = keras.ops.convert_to_tensor(labelled.astype("float32"))
    value = float(LabelLossOnLogits(loss, ignore_class=-1)(*tensors, None, mask))
    losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(8), DIGITS[:8]]
    assert value == pytest.approx(reduce(losses[labelled]) if number else 0, rel=1e-5)


def test_saved_and_loaded_with_everything(tmp_path):
    distiller = compiled(prokt())
    distiller.fit(X, marked(DIGITS), verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras")
    assert loaded.ignore_class == -1
    for model in (distiller, loaded):
        model.fit(X, marked(DIGITS), shuffle=False, verbose=0)
    for a, b in zip(distiller.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    alone = StudentOnly(dense(4), ignore_class=-1)
    assert StudentOnly.from_config(alone.get_config()).ignore_class == -1


def test_the_counts_are_printed_where_progress_is(capsys):
    distiller = compiled(prokt())
    distiller.fit(X, marked(DIGITS), verbose=2)
    assert f"{LABELLED.sum()} of 384 rows have a label.\n" in capsys.readouterr().out
    distiller.fit(X, marked(DIGITS), verbose=0)
    assert "label" not in capsys.readouterr().out


class Stream(keras.utils.PyDataset):
    """Batches whose labels are not looked at before their step."""

    def __init__(self, labels):
        super().__init__()
        self.labels = labels

    def __len__(self):
        return len(X) // BATCH

    def __getitem__(self, index):
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return X[rows], self.labels[rows]


NONE = np.full(384, -1)


def test_a_fixed_teacher_needs_no_labels():
    for data in ((X, NONE), (Stream(NONE),)):
        distiller = compiled(kd(label_weight=0.5))
        history = distiller.fit(*data, verbose=0).history
        assert history["student_loss"][0] > 0 and history["student_accuracy"] == [0.0]


def test_stored_outputs_stand_for_labels():
    x = {"teacher": X, "student": X, "target": 4 * np.eye(10, dtype="float32")[DIGITS]}
    compiled(prokt()).fit(x, NONE, verbose=0)


UNTRAINED = {
    "prokt": (prokt, "nothing would train the teacher; .* FrozenTeacherDistiller"),
    "dml": (
        lambda: MutualDistiller(dense(24), dense(6), ignore_class=-1),
        "nothing would train the teacher",
    ),
    "student": (
        lambda: StudentOnly(dense(6), ignore_class=-1),
        "nothing would train the student; add labelled rows, or objectives",
    ),
    "kd on labels alone": (lambda: kd(student_loss_weight=1.0), "nothing would train the student"),
}


@pytest.mark.parametrize("case", UNTRAINED)
def test_no_labels_are_refused_where_a_model_needs_them(case):
    make, message = UNTRAINED[case]
    distiller = compiled(make())
    before = distiller.get_weights()
    with pytest.raises(ValueError, match=f"^Expected rows with a label, .*=-1: {message}") as error:
        distiller.fit(X, NONE, verbose=0)
    assert "\n" not in str(error.value)
    for a, b in zip(before, distiller.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(TrainingFault, match=f"^Epoch 1: Expected rows with a label, .*: {message}"):
        distiller.fit(Stream(NONE), verbose=0)
    distiller.fit(Stream(marked(DIGITS)), verbose=0)


WRONG = {
    "without the word": (
        lambda: prokt(ignore_class=None),
        marked(DIGITS),
        r"received -1 in example \d+; .* or say ignore_class=-1 for rows without a label",
    ),
    "rows without the word": (
        lambda: prokt(ignore_class=None),
        marked(LABELS["rows"][1]),
        r"received a row with -1 in example .* or say ignore_class=-1 for rows without a label",
    ),
    "answers without the word": (
        lambda: prokt(1, None),
        marked(LABELS["one label"][1]),
        r"received -1 .*\(labels \+ 1\) / 2, or say ignore_class=-1 for rows without a label",
    ),
    "not a number": (
        prokt,
        marked(DIGITS.astype("float32"), np.nan),
        "NaN .*; clean the data, or set the labels to -1 and say ignore_class=-1 for rows",
    ),
    "another mark": (prokt, marked(DIGITS, -2), "received -2 in example"),
    "half a row": (
        lambda: prokt(3, output="labels"),
        np.where(np.arange(3) == 0, -1, QUESTIONS),
        "received -1 in example 0",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_labels_without_a_meaning_are_refused_as_before(case):
    make, labels, message = WRONG[case]
    distiller = compiled(make())
    with pytest.raises(ValueError, match=message) as error:
        distiller.fit(X, labels, verbose=0)
    assert "\n" not in str(error.value)


def test_labels_of_a_stream_are_refused_with_the_hint():
    with pytest.raises(TrainingFault, match="or say ignore_class=-1 for rows without a label"):
        compiled(prokt(ignore_class=None)).fit(Stream(marked(DIGITS)), verbose=0)
    with pytest.raises(TrainingFault, match=r"Step \d+: Expected integer labels"):
        compiled(prokt()).fit(Stream(marked(DIGITS, -2)), verbose=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ignore_class": "-1"}, "ignore_class to be an integer or None, received '-1'"),
        ({"ignore_class": True}, "ignore_class to be an integer or None, received True"),
        ({"output": "labels", "ignore_class": 0}, "other than 0 and 1 .* received 0"),
        ({"output": "values", "ignore_class": -1}, "no ignore_class .* 'values', received -1"),
    ],
)
def test_marks_without_a_meaning_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ProKTDistiller(dense(8, 2), dense(4, 2), **settings)


def test_data_to_measure_on_needs_labels():
    distiller = compiled(kd())
    with pytest.raises(ValueError, match="Expected evaluation data with labels"):
        distiller.evaluate(X, NONE, verbose=0)
    with pytest.raises(ValueError, match="Expected validation data with labels"):
        distiller.fit(X, DIGITS, validation_data=(X, NONE), verbose=0)
    last = marked(DIGITS, labelled=np.arange(384) < 300)
    with pytest.raises(ValueError, match=r"labels in the last 77 rows, which validation_split"):
        distiller.fit(X, last, validation_split=0.2, verbose=0)


def test_a_loss_has_to_have_a_value_of_each_row():
    def mean_of_all(labels, logits):
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits))

    with pytest.raises(ValueError, match="a loss of each row .* scalar of .*; leave out its mean"):
        compiled(prokt(), loss=mean_of_all).fit(X, marked(DIGITS), verbose=0)


def test_a_regime_that_forgets_the_rows_is_told():
    class Forgetful(FrozenTeacherDistiller):
        def update_models(self, batch):
            self.label_loss(batch.labels, self.student(batch.student_inputs), None)
            return super().update_models(batch)

    distiller = compiled(Forgetful(dense(8), dense(4), ignore_class=-1))
    with pytest.raises(ValueError, match=r"Expected `labelled` .* give batch\.labelled"):
        distiller.fit(X, marked(DIGITS), verbose=0)


@pytest.mark.parametrize("data", [(X, marked(LABELS["rows"][1])), (Stream(marked(DIGITS)),)])
def test_class_weights_are_refused_where_keras_would_weigh_rows_without_a_label(data):
    distiller = compiled(prokt())
    with pytest.raises(
        ValueError, match=r"labels of shape \(batch,\) for class_weight with ignore"
    ):
        distiller.fit(*data, class_weight={0: 2.0}, verbose=0)


def test_class_weights_are_those_of_labelled_rows():
    labels = marked(LABELS["one label"][1])
    results = []
    for weights in (
        {"class_weight": {0: 0.5, 1: 2.0}},
        {"sample_weight": np.select([labels == 0, labels == 1], [0.5, 2.0], 1.0)},
    ):
        keras.utils.set_random_seed(0)
        distiller = compiled(prokt(1))
        distiller.fit(X, labels, shuffle=False, verbose=0, **weights)
        results.append(distiller.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
