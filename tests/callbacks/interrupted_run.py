"""Trains without a stop, and once more with kills; run as a script by its test.

    python interrupted_run.py FOLDER SEED

Every training is a process of its own, forked before anything but imports has happened. Writes
`whole.npz` and `killed.npz` with all final state, and prints the kills as JSON.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import keras
import numpy as np
from file_events import FileEvents, kill_at

from keras_prokt.callbacks import (
    ProximalSchedule,
    ResumableBackup,
    StudentCheckpoint,
    TrainingDynamics,
)
from keras_prokt.data.batches import Batches
from keras_prokt.distillers import ProKTDistiller

EPOCHS, STEPS = 3, 12


class KillAfter(keras.callbacks.Callback):
    """Kills its own process after a number of batches."""

    def __init__(self, batches: int):
        super().__init__()
        self._left = batches

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._model.skip_batches > 0:
            return
        self._left -= 1
        if self._left == 0:
            kill_self()


class Announce(keras.callbacks.Callback):
    def __init__(self, path: Path):
        super().__init__()
        self._path = path

    def on_train_begin(self, logs: Any = None) -> None:
        self._path.touch()


class KilledBackup(ResumableBackup):
    """Kills its own process at a numbered file event of writing checkpoints."""

    def __init__(self, directory: Path, number: int | None, **arguments: Any):
        super().__init__(directory, **arguments)
        self._events = FileEvents(directory, kill_at(number))

    def _save(self, epoch: int, batch: int) -> None:
        with self._events.counted():
            super()._save(epoch, batch)


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def network(units: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(units),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            # PyTorch draws from its global generator without a seed.
            keras.layers.Dropout(0.3, seed=1 if keras.backend.backend() == "torch" else None),
            keras.layers.Dense(3),
        ]
    )


def train(
    folder: Path, seed: int, extra: list[keras.callbacks.Callback], event: int | None = None
) -> None:
    # Another seed in every process: nothing may depend on how the models were made.
    keras.utils.set_random_seed(seed)
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, STEPS * 8)
    x = (generator.normal(size=(len(y), 4)) + np.eye(4)[y]).astype("float32")
    batches = Batches(x, y, batch_size=8, shuffle=True)
    distiller = ProKTDistiller(network(16), network(6), proximal_weight=0.0)
    rates = keras.optimizers.schedules.CosineDecay(1e-2, EPOCHS * STEPS)
    distiller.compile(optimizer=keras.optimizers.Adam(rates), teacher_optimizer="adam")
    if not folder.exists():
        folder.mkdir()
        distiller.save_weights(folder / "initial.weights.h5")
    distiller.load_weights(folder / "initial.weights.h5")

    backup = KilledBackup(
        folder / "checkpoint",
        event,
        save_freq=5,
        belongs_to={"steps": STEPS},
        files=[folder / "history.csv", folder / "student.keras"],
    )
    epoch, _ = backup.position()
    distiller.fit(
        batches.for_training(epoch),
        steps_per_epoch=len(batches),
        epochs=EPOCHS,
        validation_data=batches.for_evaluation(),
        verbose=0,
        callbacks=[
            ProximalSchedule({0: 0.0, 15: 0.3, 27: 0.5}, per="step"),
            StudentCheckpoint(folder / "student.keras"),
            TrainingDynamics(folder, tensorboard=False, plot=False),
            *extra,
            backup,
        ],
    )
    best = keras.saving.load_model(folder / "student.keras", compile=False)
    state = [*distiller.variables, *distiller.optimizer.variables, *best.weights]
    np.savez(folder.with_suffix(".npz"), *[v.numpy() for v in state])


def start(folder: Path, seed: int, moment: str | int | float | None = None) -> int:
    """Forks a training; returns its wait status."""
    announced = folder.with_suffix(".announced")
    announced.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            extra: list[Any] = [Announce(announced)]
            if isinstance(moment, int):
                extra.append(KillAfter(moment))
            train(folder, seed, extra, int(moment) if isinstance(moment, str) else None)
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    if isinstance(moment, float):
        while not announced.exists() and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.01)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def main(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    assert start(folder / "whole", 0) == 0
    (folder / "killed").mkdir()
    shutil.copy(folder / "whole" / "initial.weights.h5", folder / "killed")
    # Batches, numbers of file events of writing checkpoints, and seconds.
    moments: list[Any] = [chance.randrange(1, STEPS), str(chance.randrange(1, 50))]
    if keras.backend.backend() == "tensorflow":
        # Files are handled alike on all backends, and JAX is slow to compile.
        moments += [chance.randrange(1, STEPS), chance.uniform(0.0, 1.0)]
    for number, moment in enumerate(moments):
        status = start(folder / "killed", number + 1, moment)
        was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        # By the clock a fast machine may have finished before.
        assert was_killed or (isinstance(moment, float) and status == 0), (moment, status)
        # Going on puts back what other callbacks read.
        (folder / "killed" / "student.keras").unlink(missing_ok=True)
        (folder / "killed" / "history.csv").write_text("epoch,sec")
    assert start(folder / "killed", len(moments) + 1) == 0
    print(json.dumps(moments))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
