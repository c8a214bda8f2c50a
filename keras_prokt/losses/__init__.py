"""What the student matches: one file an objective, and the table that lists them."""

from keras_prokt.losses.base import Objective
from keras_prokt.losses.divergence import kl_divergence, weighted_mean
from keras_prokt.losses.label_loss import LabelLossOnLogits
from keras_prokt.losses.soft_targets import SoftTargets, soft_target_loss

LOSSES: dict[str, type[Objective]] = {
    "kd": SoftTargets,
}

__all__ = [
    "LOSSES",
    "LabelLossOnLogits",
    "Objective",
    "SoftTargets",
    "kl_divergence",
    "soft_target_loss",
    "weighted_mean",
]
