"""Who trains when: one file a regime."""

from keras_prokt.distillers.base import Distiller
from keras_prokt.distillers.faults import TrainingFault
from keras_prokt.distillers.frozen import FrozenTeacherDistiller
from keras_prokt.distillers.joint import JointDistiller
from keras_prokt.distillers.joint_optimizer import JointOptimizer
from keras_prokt.distillers.mutual import MutualDistiller
from keras_prokt.distillers.prokt import ProKTDistiller
from keras_prokt.distillers.student_only import StudentOnly

__all__ = [
    "Distiller",
    "FrozenTeacherDistiller",
    "JointDistiller",
    "JointOptimizer",
    "MutualDistiller",
    "ProKTDistiller",
    "StudentOnly",
    "TrainingFault",
]
