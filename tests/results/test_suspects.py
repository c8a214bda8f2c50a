"""Which labels models contradict, beside the margins of cleanlab's where it is installed."""

import numpy as np
import pytest

from keras_prokt.results.suspects import contradicted


def random_probabilities(seed, classes=4, count=50):
    return np.random.default_rng(seed).dirichlet(np.ones(classes), count).astype("float32")


def test_all_models_have_to_contradict_a_label():
    labels = np.random.default_rng(0).integers(0, 4, 50)
    models = [random_probabilities(seed) for seed in (1, 2)]
    rows, margins = contradicted(labels, models)
    by_hand = {
        row: np.mean([p[row, y] - max(p[row, k] for k in range(4) if k != y) for p in models])
        for row, y in enumerate(labels)
        if all(p[row].argmax() != y for p in models)
    }
    assert 0 < len(rows) < 50 and rows.tolist() == sorted(by_hand, key=by_hand.get)
    np.testing.assert_allclose(margins, [by_hand[row] for row in rows], atol=1e-6)


def test_no_label_is_suspect_where_the_models_agree_with_it():
    rows, margins = contradicted(np.arange(3), [np.eye(3), np.eye(3)])
    assert len(rows) == len(margins) == 0


def test_the_margin_of_one_model_is_that_of_cleanlab():
    ranking = pytest.importorskip("cleanlab.rank", reason="needs cleanlab (extra test)")
    labels, values = np.random.default_rng(0).integers(0, 4, 50), random_probabilities(1)
    rows, margins = contradicted(labels, [values])
    theirs = ranking.get_normalized_margin_for_each_label(labels, values)  # (margin + 1) / 2
    np.testing.assert_allclose(margins, 2 * theirs[rows] - 1, atol=1e-6)
