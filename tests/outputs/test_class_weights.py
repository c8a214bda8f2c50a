"""Weights of classes: scikit-learn's, and a loss that equals a loop over the examples."""

import keras
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from keras_prokt import outputs
from keras_prokt.losses import LabelLossOnLogits
from keras_prokt.outputs.class_weights import ClassWeightedLoss, balanced_weights

CLASSES, LABELS = outputs.get("classes"), outputs.get("labels")


def cross_entropy(logits, targets):
    """Of each example, in float64."""
    logits = logits.astype("float64")
    return np.log(np.exp(logits).sum(-1)) - (targets * logits).sum(-1)


def test_balanced_weights_are_those_of_scikit_learn():
    labels = np.repeat([0, 1, 2], [50, 30, 3])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    weights = balanced_weights(np.bincount(labels))
    np.testing.assert_allclose(weights, expected)
    assert weights[labels].mean() == pytest.approx(1.0)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_each_example_counts_by_its_class(smoothing):
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(20, 3)).astype("float32"), random.integers(0, 3, 20)
    weights = [0.5, 2.0, 3.0]
    loss = LabelLossOnLogits(CLASSES.class_weighted_loss(weights, smoothing), CLASSES)
    targets = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
    expected = np.mean(np.array(weights)[labels] * cross_entropy(logits, targets))
    assert float(loss(labels, logits)) == pytest.approx(expected, rel=1e-5)
    ours = random.uniform(size=20).astype("float32")
    by_both = np.mean(ours * np.array(weights)[labels] * cross_entropy(logits, targets))
    assert float(loss(labels, logits, ours)) == pytest.approx(by_both, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_no_and_yes_of_one_label_have_a_weight_each(smoothing):
    random = np.random.default_rng(1)
    logits, labels = random.normal(size=(20, 1)).astype("float32"), random.integers(0, 2, (20, 1))
    loss = LabelLossOnLogits(LABELS.class_weighted_loss([0.5, 4.0], smoothing), LABELS)
    target = (1 - smoothing) * labels + smoothing / 2
    of_each = np.log1p(np.exp(logits.astype("float64"))) - target * logits
    expected = np.mean(np.where(labels == 1, 4.0, 0.5) * of_each)
    assert float(loss(labels.astype("float32"), logits)) == pytest.approx(expected, rel=1e-5)


def test_equal_weights_are_the_usual_loss():
    logits, labels = np.eye(4, dtype="float32"), np.array([0, 1, 2, 3])
    usual = LabelLossOnLogits(None, CLASSES)(labels, logits)
    same = LabelLossOnLogits(CLASSES.class_weighted_loss([1.0] * 4), CLASSES)(labels, logits)
    assert float(same) == pytest.approx(float(usual))


def test_it_is_saved_and_loaded():
    loss = CLASSES.class_weighted_loss([1.0, 2.0], 0.1)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert isinstance(again, ClassWeightedLoss) and again.weights == (1.0, 2.0)
    logits, labels = np.array([[1.0, -1.0]], "float32"), np.array([1])
    assert float(again(labels, logits)) == float(loss(labels, logits))


def test_counts_by_name():
    assert CLASSES.class_counts(np.array([2, 0, 2, -1]), ["a", "b", "c"]) == {
        "a": 1,
        "b": 0,
        "c": 2,
    }
    assert CLASSES.class_counts(np.array([1, 0]), []) == {"0": 1, "1": 1}
    assert LABELS.class_counts(np.array([1, 0, 1]), ["no", "yes"]) == {"no": 1, "yes": 2}
    assert LABELS.class_counts(np.array([[1.0], [1.0]]), []) == {"0": 0, "1": 2}


@pytest.mark.parametrize(
    ("kind", "labels", "message"),
    [
        (CLASSES, np.full((3, 2), 0.5), r"class indices of shape \(examples,\) for class weights"),
        (LABELS, np.zeros((3, 2)), "no class weights for several labels an example"),
        (LABELS, np.array([0.5, 1.0]), "labels 0 or 1 for class weights, received probabilities"),
    ],
)
def test_labels_without_a_class_each_are_refused(kind, labels, message):
    with pytest.raises(ValueError, match=message):
        kind.class_counts(labels, [])


def test_a_kind_without_classes_refuses_weights():
    kind = outputs.Output()
    kind.id = "counts"
    for refused in (kind.class_counts, kind.class_weighted_loss):
        with pytest.raises(ValueError, match="no class weights for outputs of the kind 'counts'"):
            refused(np.zeros(2), [])
