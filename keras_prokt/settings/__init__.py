"""Settings of a run: each stands here, or on the row of its method, once.

From a setting's row follow its option on the command line, its help, its range, its message, its
place in `run.json` and in what an app is asked for. This package imports no Keras.
"""

from keras_prokt.settings.definition import Setting, ends_of, fields_of, setting, settings_of
from keras_prokt.settings.errors import SettingError, argument
from keras_prokt.settings.parts import (
    MOMENTUM_OPTIMIZERS,
    OPTIMIZERS,
    PARTS,
    PRECISIONS,
    ROLES,
    SCHEDULES,
    ComputingSettings,
    DataSettings,
    ModelSettings,
    OptimizerSettings,
    TrainingSettings,
    name_of_role,
)

__all__ = [
    "MOMENTUM_OPTIMIZERS",
    "OPTIMIZERS",
    "PARTS",
    "PRECISIONS",
    "ROLES",
    "SCHEDULES",
    "ComputingSettings",
    "DataSettings",
    "ModelSettings",
    "OptimizerSettings",
    "Setting",
    "SettingError",
    "TrainingSettings",
    "argument",
    "ends_of",
    "fields_of",
    "name_of_role",
    "setting",
    "settings_of",
]
