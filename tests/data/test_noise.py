"""Labels made wrong on purpose, and divisions that follow a seed."""

import numpy as np
import pytest

from keras_prokt.data.cifar import split_validation
from keras_prokt.data.digits import load_digits
from keras_prokt.data.noise import wrong_labels


@pytest.mark.parametrize("share", [0.0, 0.15, 0.3, 1.0])
def test_exactly_the_share_is_wrong_and_each_other_class_as_likely(share):
    labels = np.repeat(np.arange(4, dtype="int32"), 3_000)
    wrong = wrong_labels(labels, 4, share, seed=3)
    changed = wrong != labels
    assert changed.sum() == round(share * len(labels)) and wrong.dtype == labels.dtype
    assert set(wrong) <= {0, 1, 2, 3}
    # 12 kinds of change; a count of 100 or more has a standard deviation of its root.
    for one in range(4):
        for other in {0, 1, 2, 3} - {one}:
            count = np.sum(changed & (labels == one) & (wrong == other))
            expected = share * 1_000
            assert abs(count - expected) <= 5 * max(1.0, expected) ** 0.5


def test_the_seed_decides_which():
    labels = np.zeros(200, "int32")
    first = wrong_labels(labels, 5, 0.5, seed=0)
    np.testing.assert_array_equal(first, wrong_labels(labels, 5, 0.5, seed=0))
    assert np.any(first != wrong_labels(labels, 5, 0.5, seed=1))
    assert not labels.any()


def rows(split):
    return {image.tobytes() for image in split.images}


def test_digits_are_divided_by_a_seed_and_tested_on_the_same_images():
    usual, one, other = (load_digits(seed) for seed in (None, 100, 101))
    np.testing.assert_array_equal(one["test"].images, other["test"].images)
    assert len(rows(one["test"]) & rows(usual["test"])) < 150  # 72 by chance, of 360
    assert rows(one["validation"]) != rows(other["validation"])
    for splits in (one, other):
        assert [len(splits[name].labels) for name in ("train", "validation", "test")] == [
            1_200,
            237,
            360,
        ]
        assert not rows(splits["train"]) & rows(splits["test"])
        every = np.sort(np.concatenate([split.images.ravel() for split in splits.values()]))
        np.testing.assert_array_equal(
            every, np.sort(np.concatenate([split.images.ravel() for split in usual.values()]))
        )


def test_cifars_validation_images_are_drawn_by_a_seed():
    usual, other = split_validation(50_000), split_validation(50_000, 1)
    np.testing.assert_array_equal(usual[1], split_validation(50_000, 0)[1])
    assert len(set(usual[1]) & set(other[1])) < 700  # 500 by chance
    for train, validation in (usual, other):
        np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), range(50_000))
