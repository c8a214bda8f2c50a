"""Fixed teachers: trained once, kept on disk, found again by what they follow from."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt.app import App, Task
from keras_prokt.distillers import StudentOnly
from keras_prokt.files import (
    cache_folder,
    digest_of_file,
    is_kept,
    new_kept_folder,
    replacing,
)
from keras_prokt.methods import REGIMES, parse_method
from keras_prokt.models.loading import load_student
from keras_prokt.models.uniform_start import uniform_start
from keras_prokt.runs import training
from keras_prokt.runs.progress import Progress
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import seeded, teacher_part
from keras_prokt.runs.training import Work

OTHER_SEED = 1_000_003
"""Added to the seed of a network that must not start like another of the same architecture."""


def trained_teacher(app: App, task: Task, spec: RunSpec, work: Work) -> keras.Model:
    """The fixed teacher of a run: trained on the labels once, then read from the cache."""
    if spec.teacher_init is not None:
        return load_student(spec.teacher_init)
    key = teacher_key(app, task, spec)
    folder = kept_folder(work, spec, key)
    if not is_kept(folder, key):
        _train_teacher(app, task, spec, work, folder, key, {spec.teacher_epochs: "model.keras"})
    return load_student(folder / "model.keras")


def trained_route(app: App, task: Task, spec: RunSpec, work: Work) -> list[Path]:
    """Files of the teacher at evenly spaced epochs of its training, from the cache if there.

    The last one is the finished teacher, as in Jin et al. 2019.
    """
    count = spec.anchors
    key = {**teacher_key(app, task, spec), "anchors": count}
    folder = kept_folder(work, spec, key)
    names = [f"anchor-{number}.keras" for number in range(1, count + 1)]
    if not is_kept(folder, key):
        epochs = [spec.teacher_epochs * number // count for number in range(1, count + 1)]
        files = dict(zip(epochs, names, strict=True))
        _train_teacher(app, task, spec, work, folder, key, files)
        # The last anchor is the teacher of the methods without anchors.
        del key["anchors"]
        with new_kept_folder(kept_folder(work, spec, key), key) as writing:
            shutil.copy(folder / names[-1], writing / "model.keras")
    return [folder / name for name in names]


def _train_teacher(
    app: App,
    task: Task,
    spec: RunSpec,
    work: Work,
    folder: Path,
    key: dict[str, Any],
    files: dict[int, str],
) -> None:
    """Trains a teacher on the labels and keeps it as it was after certain epochs."""
    teacher = uniform_start(seeded(task.build_teacher, spec.seed))
    trainer = StudentOnly(teacher, student_inputs=teacher_part)
    steps = spec.teacher_epochs * len(task.train)
    trainer.compile(
        optimizer=app.recipe.teacher.build(steps, spec.teacher_learning_rate),
        steps_per_execution=spec.steps_per_execution,
    )
    # In the run folder until the last epoch is done: training may be stopped and resumed.
    anchors = work.folder.checkpoint / "anchors"
    anchors.mkdir(parents=True, exist_ok=True)
    save = _SaveAfter({epoch: anchors / name for epoch, name in files.items()})
    callbacks = [save, work.backup("teacher"), Progress("teacher")]
    training.fit(trainer, task, spec.teacher_epochs, callbacks)
    with new_kept_folder(folder, key) as writing:
        for name in files.values():
            shutil.copy(anchors / name, writing / name)


class _SaveAfter(keras.callbacks.Callback):
    """Saves the trained model after certain epochs, counted from 1."""

    def __init__(self, files: Mapping[int, Path]):
        super().__init__()
        self._files = files

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch + 1 in self._files:
            with replacing(self._files[epoch + 1]) as temporary:
                self.model.student.save(temporary)


def untrained_or_given_teacher(task: Task, spec: RunSpec) -> keras.Model:
    if spec.teacher_init is not None:
        return load_student(spec.teacher_init)
    seed = spec.seed
    if REGIMES[parse_method(spec.method).regime].starts_untrained:
        seed += OTHER_SEED
    return uniform_start(seeded(task.build_teacher, seed))


def teacher_key(app: App, task: Task, spec: RunSpec) -> dict[str, Any]:
    """What a trained teacher follows from: settings, data, and its weights at the start."""
    if spec.teacher_init is not None:
        weights = digest_of_file(spec.teacher_init)
    else:
        weights = digest_of_weights(seeded(task.build_teacher, spec.seed))
    return {
        "spec": spec.of_teacher().to_json(),
        "optimizer": asdict(app.recipe.teacher),
        "data": task.train.digest("teacher"),
        "weights": weights,
    }


def digest_of_weights(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(f"{weight.name} {weight.shape}".encode())
        digest.update(np.ascontiguousarray(ops.convert_to_numpy(weight)))
    return digest.hexdigest()


def kept_folder(work: Work, spec: RunSpec, key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return work.cache / f"{spec.app}-{digest}"


def teacher_cache(cache: str | Path | None = None) -> Path:
    """Folder of trained teachers: as given, or `$KERAS_PROKT_CACHE`, or `~/.cache/keras_prokt`."""
    return cache_folder(cache) / "teachers"
