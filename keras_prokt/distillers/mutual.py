"""Deep mutual learning: two networks learn the labels and each other's outputs."""

from typing import Any

import keras

from keras_prokt.distillers.joint import JointDistiller
from keras_prokt.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_prokt")
class MutualDistiller(JointDistiller):
    """Trains two networks on the labels and towards each other (Zhang et al. 2018, Algorithm 1).

    Deep Mutual Learning, arXiv 1706.00384, for two networks. On every batch, with distributions
    `p` and `q`:

    1. `θ_1 ← θ_1 − η_1 ∇[CE(y, p) + KL(q ‖ p)]` (their Eq. 5), `q` held constant;
    2. `θ_2 ← θ_2 − η_2 ∇[CE(y, q) + KL(p⁺ ‖ q)]` (Eq. 6), where `p⁺` is network 1 after its step.

    The first network takes the place of the teacher and may be of any size. One step costs what a
    step of `ProKTDistiller` costs.

    Args:
        teacher: The first network. Outputs logits `(batch, classes)`.
        student: The second network, which is kept. Outputs logits of the same width.
        label_weight: Weight of CE in the second network's loss; 1 in the paper.
        **settings: As in `Distiller`: `temperature`, `objectives`, taps, inputs, `name`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_prokt import MutualDistiller
    >>> def network(units):
    ...     return keras.Sequential(
    ...         [keras.Input((4,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(3)]
    ...     )
    >>> pair = MutualDistiller(network(8), network(4))
    >>> pair.compile(optimizer="adam", teacher_optimizer="adam")
    >>> x, y = np.random.rand(64, 4).astype("float32"), np.random.randint(0, 3, 64)
    >>> history = pair.fit(x, y, verbose=0)
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        *,
        label_weight: float = 1.0,
        **settings: Any,
    ):
        super().__init__(teacher, student, label_weight=label_weight, **settings)

    def combine(self, label_loss: Tensor, gap: Tensor) -> Tensor:
        return label_loss + gap
