"""Handwritten digits: 1,797 real 8x8 grey images that ship inside scikit-learn."""

from typing import NamedTuple

import numpy as np

SPLIT_SEED = 0
"""Seed of the split; fixed, so that results of different runs are about the same images."""

TEST_EXAMPLES = 360
VALIDATION_EXAMPLES = 237


class Split(NamedTuple):
    """Images `(n, 8, 8, 1)`, float32 in [0, 1], and labels `(n,)` in 0..9."""

    images: np.ndarray
    labels: np.ndarray


def load_digits() -> dict[str, Split]:
    """The digits, split into `train` (1,200), `validation` (237) and `test` (360).

    Returns:
        Split name -> `Split`. The split is random with a fixed seed and the same every time.

    Example:

    >>> from keras_prokt.data.digits import load_digits
    >>> load_digits()["train"].images.shape
    (1200, 8, 8, 1)
    """
    import sklearn.datasets

    digits = sklearn.datasets.load_digits()
    images = (digits.images / 16.0).astype("float32")[..., None]
    labels = digits.target.astype("int32")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    ends = np.cumsum([TEST_EXAMPLES, VALIDATION_EXAMPLES])
    parts = zip(("test", "validation", "train"), np.split(order, ends), strict=True)
    return {name: Split(images[part], labels[part]) for name, part in parts}
