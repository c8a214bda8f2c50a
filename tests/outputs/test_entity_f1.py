"""F1 of entities from logits. Oracle: seqeval, by another author."""

import keras
import numpy as np
import pytest

from keras_prokt.data.tags import iob2_classes
from keras_prokt.outputs.entity_f1 import EntityF1

CLASSES = iob2_classes(["LOC", "PER", "ORG"])
RNG = np.random.default_rng(0)


def batch(length, count=30):
    """Labels, logits whose answers often are right, and which positions count."""
    labels = RNG.integers(0, len(CLASSES), (count, length))
    other = RNG.integers(0, len(CLASSES), (count, length))
    answers = np.where(RNG.random((count, length)) < 0.7, labels, other)
    return labels, answers, RNG.random((count, length)) < 0.7


def names(tags, counts):
    return [[CLASSES[tag] for tag in row[real]] for row, real in zip(tags, counts, strict=True)]


@pytest.mark.parametrize("weighed", [True, False])
def test_it_is_that_of_seqeval_over_batches_of_any_length(weighed):
    f1_score = pytest.importorskip("seqeval.metrics", reason="an implementation by others").f1_score
    metric, right, predicted = EntityF1(), [], []
    for length in (1, 4, 11):
        labels, answers, counts = batch(length)
        counts = counts if weighed else np.ones_like(counts)
        weight = counts.astype("float32") if weighed else None
        metric.update_state(labels, np.eye(len(CLASSES))[answers], sample_weight=weight)
        right += names(labels, counts)
        predicted += names(answers, counts)
    expected = f1_score(right, predicted)
    assert 0.2 < expected < 0.9
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


def test_pieces_within_a_word_do_not_divide_an_entity():
    # B-LOC, its second piece, I-LOC: one entity of two words.
    labels, counts = np.array([[1, 0, 2]]), np.array([[1, 0, 1]])
    metric = EntityF1()
    metric.update_state(labels, keras.ops.one_hot([[1, 5, 2]], 7), sample_weight=counts)
    assert float(metric.result()) == 1.0


def test_without_entities_it_is_0():
    metric = EntityF1.from_config(EntityF1("f1").get_config())
    metric.update_state(np.zeros((2, 3)), keras.ops.one_hot(np.zeros((2, 3), "int32"), 3))
    assert metric.name == "f1" and float(metric.result()) == 0.0


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 5)])
def test_other_classes_are_refused(shape):
    with pytest.raises(ValueError, match="O and two tags of each type .* received shape .*; use"):
        EntityF1().update_state(np.zeros(shape[:2]), np.zeros(shape))
