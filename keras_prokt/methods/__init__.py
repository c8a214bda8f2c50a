"""The two tables of methods: what the student matches, and who trains when.

A method is written `objective+objective+regime`, such as `crd+kd` or `crd+prokt`. This package
imports no Keras, so that the command line can list the tables at once.
"""

from keras_prokt.methods.method import Method, known_methods, method_settings, parse_method
from keras_prokt.methods.objectives import OBJECTIVES, ObjectiveCard
from keras_prokt.methods.paper import Paper
from keras_prokt.methods.regimes import (
    DISTILLATION,
    FIXED,
    REGIMES,
    TEACHER_OPTIMIZER,
    TEMPERATURE,
    Regime,
)

__all__ = [
    "DISTILLATION",
    "FIXED",
    "OBJECTIVES",
    "REGIMES",
    "TEACHER_OPTIMIZER",
    "TEMPERATURE",
    "Method",
    "ObjectiveCard",
    "Paper",
    "Regime",
    "known_methods",
    "method_settings",
    "parse_method",
]
