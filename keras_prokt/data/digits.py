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
    positions: np.ndarray
    """Position of each among all 1,797, as scikit-learn has them, `(n,)`."""


TEST_SEED = 1_000
"""Seed of the test images where the division follows a seed: the same ones for every seed, and
others than those of the usual division, on which settings were chosen."""


def load_digits(split_seed: int | None = None) -> dict[str, Split]:
    """The digits, split into `train` (1,200), `validation` (237) and `test` (360).

    Args:
        split_seed: Seed of the division into training and validation images; the test images are
            the same for every seed, and not those of the usual division. `None`: the usual one.

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
    seed = SPLIT_SEED if split_seed is None else TEST_SEED
    order = np.random.default_rng(seed).permutation(len(labels))
    if split_seed is not None:
        others = np.random.default_rng([split_seed, 4]).permutation(order[TEST_EXAMPLES:])
        order = np.concatenate([order[:TEST_EXAMPLES], others])
    ends = np.cumsum([TEST_EXAMPLES, VALIDATION_EXAMPLES])
    parts = zip(("test", "validation", "train"), np.split(order, ends), strict=True)
    return {name: Split(images[part], labels[part], part) for name, part in parts}
