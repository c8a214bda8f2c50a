"""Where a run works, and one training in it that can be stopped and resumed."""

from dataclasses import dataclass
from pathlib import Path

import keras

from keras_prokt.app import Task
from keras_prokt.callbacks import ResumableBackup
from keras_prokt.distillers import Distiller
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.stopping import TimedBackup


@dataclass(frozen=True)
class Work:
    """Where a run works, and until when.

    Attributes:
        folder: The run folder.
        cache: Folder of trained teachers.
        deadline: Value of `time.monotonic()` at which to stop, or `None`.
    """

    folder: RunFolder
    cache: Path
    deadline: float | None = None

    def backup(self, name: str = "") -> TimedBackup:
        """The checkpoints of one training of the run."""
        return TimedBackup(self.folder.checkpoint / name, self.deadline)


def fit(
    distiller: Distiller, task: Task, epochs: int, callbacks: list[keras.callbacks.Callback]
) -> None:
    """Trains from the checkpoint of the `ResumableBackup` among the callbacks, if it has one."""
    [backup] = [c for c in callbacks if isinstance(c, ResumableBackup)]
    first_epoch, _ = backup.position()
    distiller.fit(
        task.train.for_training(first_epoch),
        steps_per_epoch=len(task.train),
        epochs=epochs,
        validation_data=task.validation.for_evaluation(),
        callbacks=callbacks,
        verbose=0,
    )
