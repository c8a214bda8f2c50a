"""Labels that are made wrong on purpose, to see what training makes of them."""

import numpy as np


def wrong_labels(labels: np.ndarray, classes: int, share: float, seed: int) -> np.ndarray:
    """Class indices of which a share is replaced by other classes.

    Exactly `round(share · n)` examples are drawn without replacement, and each gets one of the
    other classes with equal probability (symmetric noise, as van Rooyen et al. 2015).

    Args:
        labels: Class indices, shape `(examples,)`.
        classes: Number of classes, at least 2.
        share: Share of wrong labels, in [0, 1].
        seed: Seed of the draw; the same labels, share and seed give the same wrong labels.

    Returns:
        Shape `(examples,)`, of the same type.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.data.noise import wrong_labels
    >>> labels = np.zeros(10, dtype="int32")
    >>> int((wrong_labels(labels, 3, 0.3, seed=0) != labels).sum())
    3
    """
    generator = np.random.default_rng([seed, 5])
    chosen = generator.permutation(len(labels))[: round(share * len(labels))]
    wrong = labels.copy()
    # A step of 1 to classes - 1 never comes back to the right class.
    wrong[chosen] = (wrong[chosen] + generator.integers(1, classes, len(chosen))) % classes
    return wrong
