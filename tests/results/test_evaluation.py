"""What a model does on held-out data, against scikit-learn."""

import keras
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss

from keras_prokt.data.batches import Batches
from keras_prokt.results.evaluation import chance, evaluate, metrics_of


def outputs(classes, examples=60, scale=3.0):
    random = np.random.default_rng(classes)
    logits = scale * random.normal(size=(examples, classes))
    return random.integers(0, classes, examples), logits.astype("float32")


def probabilities(logits):
    powers = np.exp(logits.astype("float64"))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 5])
def test_accuracy_and_cross_entropy(classes):
    labels, logits = outputs(classes)
    measured = metrics_of(labels, logits)
    assert list(measured) == ["accuracy", "loss"]
    assert measured["accuracy"] == accuracy_score(labels, logits.argmax(-1))
    expected = log_loss(labels, probabilities(logits), labels=range(classes))
    assert measured["loss"] == pytest.approx(expected, rel=1e-6)


def test_f1_in_the_order_of_the_names():
    labels, logits = outputs(2)
    measured = metrics_of(labels, logits, ("f1", "accuracy"))
    assert list(measured) == ["f1", "accuracy", "loss"]
    assert measured["f1"] == pytest.approx(f1_score(labels, logits.argmax(-1)), abs=1e-6)
    assert measured["accuracy"] == accuracy_score(labels, logits.argmax(-1))


def test_the_loss_of_logits_that_float32_cannot_exponentiate():
    logits = np.array([[0.0, 1000.0], [2000.0, 0.0]], "float32")
    assert metrics_of(np.array([0, 0]), logits)["loss"] == 500.0


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_a_model_reads_its_own_part_of_the_inputs_in_the_order_of_the_data(role):
    labels, logits = outputs(3, examples=11)
    parts = {"teacher": -logits, "student": logits}
    layer = keras.layers.Dense(3, use_bias=False, kernel_initializer="identity")
    model = keras.Sequential([keras.Input((3,)), layer])
    [evaluation] = evaluate(model, {"test": Batches(parts, labels, batch_size=4)}, role).values()
    np.testing.assert_array_equal(evaluation.answers, parts[role].argmax(-1))
    assert evaluation.metrics["accuracy"] == accuracy_score(labels, parts[role].argmax(-1))
    expected = log_loss(labels, probabilities(parts[role]), labels=range(3))
    assert evaluation.metrics["loss"] == pytest.approx(expected, rel=1e-5)
    assert evaluation.metrics["seconds"] >= 0


def test_chance_is_the_best_constant_answer():
    labels = np.array([2, 0, 2, 1, 2, 1])
    assert chance(labels, 4, "accuracy") == pytest.approx(3 / 6)
    several = np.array([[1, 0], [1, 1], [0, 0], [1, 0], [1, 0]])
    shares = [4 / 5, 4 / 5]  # of ones in the first column, of zeros in the second
    assert chance(several, 2, "accuracy", "labels") == pytest.approx(np.mean(shares))
    assert chance(several, 2, "exact_match", "labels") == pytest.approx(3 / 5)
    assert chance(np.zeros(4, int), 2, "accuracy") == 1.0


@pytest.mark.parametrize("output", ["classes", "labels"])
def test_an_evaluation_has_the_scores_and_what_a_constant_answer_has(output):
    labels, logits = outputs(2, examples=40)
    labels[:30] = 1
    if output == "labels":
        logits = logits[:, 1:]
    layer = keras.layers.Dense(logits.shape[1], use_bias=False, kernel_initializer="identity")
    model = keras.Sequential([keras.Input(logits.shape[1:]), layer])
    parts = {"test": Batches(logits, labels, batch_size=16)}
    [evaluation] = evaluate(model, parts, "student", output=output).values()
    assert evaluation.best_constant == pytest.approx(labels.mean())
    answers = logits.argmax(-1) if output == "classes" else logits[:, 0] > 0
    expected = balanced_accuracy_score(labels, answers)
    assert evaluation.scores["balanced_accuracy"] == pytest.approx(expected)
    assert not set(evaluation.scores) & set(evaluation.metrics)
    name = "macro_f1"
    assert (name in evaluation.metrics) == (output == "labels") == (name not in evaluation.scores)
