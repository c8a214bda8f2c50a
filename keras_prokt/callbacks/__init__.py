"""What users add to `fit`: checkpoints, schedules, records, resuming."""

from keras_prokt.callbacks.objective_schedule import ObjectiveSchedule
from keras_prokt.callbacks.on_optimizer import OnOptimizer
from keras_prokt.callbacks.proximal_schedule import ProximalSchedule
from keras_prokt.callbacks.resumable_backup import ResumableBackup
from keras_prokt.callbacks.student_checkpoint import StudentCheckpoint
from keras_prokt.callbacks.teacher_route import TeacherRoute
from keras_prokt.callbacks.training_dynamics import TrainingDynamics, plot_dynamics

__all__ = [
    "ObjectiveSchedule",
    "OnOptimizer",
    "ProximalSchedule",
    "ResumableBackup",
    "StudentCheckpoint",
    "TeacherRoute",
    "TrainingDynamics",
    "plot_dynamics",
]
