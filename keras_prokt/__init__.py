"""Train a big classifier and a small one together, and keep the small one (ProKT).

The public names are imported on first use, so that `import keras_prokt` is quick and the
backend can still be chosen (`KERAS_BACKEND`).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_prokt.callbacks import (
        ObjectiveSchedule,
        OnOptimizer,
        ProximalSchedule,
        ResumableBackup,
        StudentCheckpoint,
        TeacherRoute,
        TrainingDynamics,
    )
    from keras_prokt.distillers import (
        Distiller,
        FrozenTeacherDistiller,
        MutualDistiller,
        ProKTDistiller,
        StudentOnly,
        TrainingFault,
    )
    from keras_prokt.export import export_saved_model
    from keras_prokt.models.as_logits import InexactLogitsWarning, as_logits
    from keras_prokt.models.loading import load_student
    from keras_prokt.models.trained_part import train_last_blocks, train_lora
    from keras_prokt.models.uniform_start import ConstantOutputWarning, uniform_start

__version__ = "0.2.0"

_HOME = {
    "ConstantOutputWarning": "models.uniform_start",
    "Distiller": "distillers",
    "FrozenTeacherDistiller": "distillers",
    "InexactLogitsWarning": "models.as_logits",
    "MutualDistiller": "distillers",
    "ObjectiveSchedule": "callbacks",
    "OnOptimizer": "callbacks",
    "ProKTDistiller": "distillers",
    "ProximalSchedule": "callbacks",
    "ResumableBackup": "callbacks",
    "StudentCheckpoint": "callbacks",
    "StudentOnly": "distillers",
    "TeacherRoute": "callbacks",
    "TrainingDynamics": "callbacks",
    "TrainingFault": "distillers",
    "as_logits": "models.as_logits",
    "export_saved_model": "export",
    "load_student": "models.loading",
    "train_last_blocks": "models.trained_part",
    "train_lora": "models.trained_part",
    "uniform_start": "models.uniform_start",
}

__all__ = [
    "ConstantOutputWarning",
    "Distiller",
    "FrozenTeacherDistiller",
    "InexactLogitsWarning",
    "MutualDistiller",
    "ObjectiveSchedule",
    "OnOptimizer",
    "ProKTDistiller",
    "ProximalSchedule",
    "ResumableBackup",
    "StudentCheckpoint",
    "StudentOnly",
    "TeacherRoute",
    "TrainingDynamics",
    "TrainingFault",
    "__version__",
    "as_logits",
    "export_saved_model",
    "load_student",
    "train_last_blocks",
    "train_lora",
    "uniform_start",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'keras_prokt' has no attribute {name!r}")
    return getattr(importlib.import_module(f"keras_prokt.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
