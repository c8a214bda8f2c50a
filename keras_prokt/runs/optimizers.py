"""Optimizers of a run: from a recipe and what is given, and what builds them; imports no Keras."""

from collections.abc import Mapping
from typing import Any

from keras_prokt.app import OptimizerRecipe
from keras_prokt.settings import MOMENTUM_OPTIMIZERS, OptimizerSettings


def optimizer_settings(recipe: OptimizerRecipe, given: Mapping[str, Any]) -> OptimizerSettings:
    """A recipe's optimizer with what the user gives.

    Args:
        recipe: What the app suggests.
        given: Fields of `OptimizerSettings`; those that are missing are the recipe's. Of another
            optimizer the recipe's learning rate, schedule and clipping stay, and its momentum where
            the optimizer has one.
    """
    options = dict(recipe.options)
    values = {
        "optimizer": recipe.name,
        "learning_rate": recipe.learning_rate,
        "schedule": recipe.schedule,
        "momentum": options.pop("momentum", None),
        "weight_decay": options.pop("l2", options.pop("weight_decay", None)),
    }
    if given.get("optimizer", recipe.name) != recipe.name:
        del values["weight_decay"]
        if given["optimizer"] not in MOMENTUM_OPTIMIZERS:
            del values["momentum"]
        options = {name: value for name, value in options.items() if "clip" in name}
    return OptimizerSettings(**{**values, **given}, options=options)


def optimizer_recipe(settings: OptimizerSettings) -> OptimizerRecipe:
    """What builds the optimizer of some settings."""
    decay = "l2" if settings.optimizer == "coupled_sgd" else "weight_decay"
    options = {**settings.options, "momentum": settings.momentum, decay: settings.weight_decay}
    options = {name: value for name, value in options.items() if value is not None}
    return OptimizerRecipe(settings.optimizer, settings.learning_rate, settings.schedule, options)
