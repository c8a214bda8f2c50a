"""What the student matches: one file an objective; `keras_prokt.methods.OBJECTIVES` lists them."""

import importlib
from typing import Any

import keras

from keras_prokt.arguments import shown
from keras_prokt.losses.base import PARTS, Objective
from keras_prokt.losses.keras_distillation import KerasLoss, as_keras_loss
from keras_prokt.losses.soft_targets import SoftTargets, soft_target_loss
from keras_prokt.methods import OBJECTIVES
from keras_prokt.names import is_known, unknown_name
from keras_prokt.outputs.divergence import kl_divergence, weighted_mean
from keras_prokt.outputs.label_loss import LabelLossOnLogits
from keras_prokt.outputs.smoothing import SmoothedCrossEntropy


def objective_class(name: str) -> type[Objective]:
    """The class of a named objective.

    Raises:
        ValueError: If the name is unknown; the message lists the known ones.
    """
    if not is_known(name, OBJECTIVES):
        raise ValueError(unknown_name("an objective", name, OBJECTIVES))
    module, class_name = OBJECTIVES[name].home.split(":")
    return getattr(importlib.import_module(f"keras_prokt.losses.{module}"), class_name)


LOSSES: dict[str, type[Objective]] = {name: objective_class(name) for name in OBJECTIVES}
"""Objective by the name that users type."""


def get(names: Any) -> list[Objective]:
    """Objectives from what a user gives.

    Args:
        names: A string such as `"kd"` or `"crd+kd"`, whose terms get the weights of
            `keras_prokt.methods.OBJECTIVES`; an `Objective`; a loss of `keras.distillation`; or a
            sequence of these.

    Returns:
        The objectives, in order.

    Raises:
        ValueError: On unknown names or anything else.

    Example:

    >>> from keras_prokt import losses
    >>> [objective.id for objective in losses.get("kd")]
    ['kd']
    """
    if isinstance(names, str):
        return [
            objective_class(name)(weight=OBJECTIVES[name].weight)
            for name in (part.strip() for part in names.split("+"))
        ]
    if isinstance(names, Objective):
        return [names]
    if isinstance(names, keras.distillation.DistillationLoss):
        return [KerasLoss(names)]
    if isinstance(names, list | tuple):
        return [objective for name in names for objective in get(name)]
    raise ValueError(
        "Expected an objective, its name such as 'kd' or 'crd+kd', or a list of these, received "
        f"{type(names).__name__}: {shown(names)}."
    )


__all__ = [
    "KerasLoss",
    "LOSSES",
    "LabelLossOnLogits",
    "Objective",
    "PARTS",
    "SmoothedCrossEntropy",
    "SoftTargets",
    "as_keras_loss",
    "get",
    "kl_divergence",
    "objective_class",
    "soft_target_loss",
    "weighted_mean",
]
