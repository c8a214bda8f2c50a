"""Fixed teachers: trained once, kept on disk, found again by what they follow from."""

import contextlib
import hashlib
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt.app import Task
from keras_prokt.app_file import app_title
from keras_prokt.callbacks.best_model_checkpoint import BEST, Best, BestModelCheckpoint
from keras_prokt.data.batches import teacher_part
from keras_prokt.distillers import StudentOnly
from keras_prokt.files import (
    digest_of_file,
    digest_of_json,
    is_kept,
    new_kept_folder,
    read_record,
    replacing,
)
from keras_prokt.results.metrics import get as get_metrics
from keras_prokt.results.metrics import log_name
from keras_prokt.results.metrics import mode as mode_of
from keras_prokt.runs.lock import InUse, Lock
from keras_prokt.runs.optimizers import optimizer_recipe
from keras_prokt.runs.trained_part import part_that_trains
from keras_prokt.runs.training import Run

_MODEL = "model.keras"
_LAST, _BEST = "last", "best"

_POLL = 0.5
"""Seconds between looks at what another run makes."""


def ready_teacher(run: Run) -> Best | None:
    """Trains the fixed teacher of a run on the labels, or reads its kept weights.

    Returns:
        That teacher after its best epoch on validation, where it is kept.
    """
    if run.spec.teacher_init is not None or run.spec.teacher_epochs == 0:
        return None
    key = teacher_key(run)
    folder = kept_folder(run, key)
    with alone(run, folder):
        if not reads_kept(run.fixed_teacher, folder, key, _MODEL):
            _train_teacher(run, key, {run.spec.teacher_epochs: _MODEL})
            # A file holds the sum of a kernel and its adapters: as each later run has it.
            reads_kept(run.fixed_teacher, folder, key, _MODEL)
    return _kept_best(run, key)


def ready_route(run: Run) -> tuple[list[Path], Best | None]:
    """Files of the teacher at evenly spaced epochs of its training, from the cache if there.

    The last one is the finished teacher, as in Jin et al. 2019, whose weights the run's teacher
    has then.

    Returns:
        The files, and the teacher after its best epoch on validation, where it is kept.
    """
    count = run.spec.anchors
    key = {**teacher_key(run), "anchors": count}
    folder = kept_folder(run, key)
    names = [f"anchor-{number}.keras" for number in range(1, count + 1)]
    with alone(run, folder):
        if not reads_kept(run.fixed_teacher, folder, key, names[-1]):
            epochs = [run.spec.teacher_epochs * number // count for number in range(1, count + 1)]
            _train_teacher(run, key, dict(zip(epochs, names, strict=True)))
    return [folder / name for name in names], _kept_best(run, key)


def reads_kept(model: keras.Model, folder: Path, key: dict[str, Any], name: str) -> bool:
    """Gives a model the weights that are kept of it; returns whether there are any.

    A folder that is damaged, or whose model is another one, is removed.

    Args:
        model: The model.
        folder: Where its weights are kept.
        key: What they follow from.
        name: Of the file.
    """
    if not is_kept(folder, key):
        return False
    weights = model.get_weights()
    if not loads_weights(model, folder / name):
        model.set_weights(weights)
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def loads_weights(model: keras.Model, path: Path) -> bool:
    """Gives a model the weights of a file; returns whether they are its own.

    If they are not, the model has some of them all the same.
    """
    try:
        with warnings.catch_warnings():
            # Keras warns of layers for which the file of another model has nothing.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except (OSError, ValueError, KeyError, UserWarning):
        return False
    return True


@contextlib.contextmanager
def alone(run: Run, folder: Path) -> Iterator[None]:
    """Waits until no other run makes what is kept in a folder, and keeps others from it.

    Runs side by side that have one teacher train it once.

    Raises:
        Stopped: If the run has to stop meanwhile.
        OSError: If it is not there and cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder.with_name(f".{folder.name}.lock"), f"a teacher in {str(folder)!r}")
    while True:
        try:
            lock.__enter__()
            break
        except InUse:
            run.stop.check()
            time.sleep(_POLL)
        except OSError:  # read-only, but what is kept there will do
            if not folder.is_dir():
                raise
            break
    try:
        yield
    finally:
        lock.__exit__()


def _train_teacher(run: Run, key: dict[str, Any], files: dict[int, str]) -> None:
    """Trains a teacher on the labels and keeps it as it was after certain epochs.

    One training gives the teacher of its last epoch and that of its best one on validation: both
    are kept, for methods and settings that ask for the other one.
    """
    trainer = trainer_of_teacher(run, run.fixed_teacher)
    epochs = run.spec.teacher_epochs
    trainer.compile(
        optimizer=optimizer_recipe(run.spec.optimizers["teacher"]).build(
            epochs * len(run.labelled)
        ),
        loss=run.label_loss,
        metrics=get_metrics(run.task.metrics, run.output),
        steps_per_execution=run.spec.steps_per_execution,
    )
    # In the run folder until the last epoch is done: training may be stopped and resumed.
    anchors = run.folder.checkpoint / "anchors"
    anchors.mkdir(parents=True, exist_ok=True)
    after = {epoch: anchors / name for epoch, name in files.items()}
    metric = run.task.metrics[0]
    best = BestModelCheckpoint(
        anchors / "best",
        "student",
        monitor=f"val_{log_name(metric)}",
        mode=mode_of(metric, run.output),
    )
    run.fit(
        trainer,
        epochs,
        "teacher",
        callbacks=[_SaveAfter(after), best],
        name="teacher",
        files=[*after.values(), best.pointer],
        data=run.labelled,
    )
    kept = {
        _LAST: {_MODEL: after[epochs]},
        _BEST: {_MODEL: best.best().path, BEST: best.pointer},
    }
    choice = _BEST if run.spec.teacher_keep == _BEST else _LAST
    if choice == _BEST:
        run.fixed_teacher.load_weights(best.best().path)
    wanted = {path.name: path for path in after.values()} if "anchors" in key else kept.pop(choice)
    for other, copied in kept.items():
        other_key = _key_of(key, other)
        folder = kept_folder(run, other_key)
        if not is_kept(folder, other_key):
            # Another run may make it too, and the disk may be nearly full.
            with contextlib.suppress(OSError):
                _keep(folder, other_key, copied)
    # Last: where it is there, nothing is trained, and the others have to be there too.
    _keep(kept_folder(run, key), key, wanted)


def trainer_of_teacher(run: Run, teacher: keras.Model, name: str | None = None) -> StudentOnly:
    """What trains a teacher of a run on the labels alone, not compiled."""
    # It trains on the examples with a label, of whose positions some may have none.
    has_positions = run.output.example_axes > 1
    return StudentOnly(
        teacher,
        output=run.output.id,
        ignore_class=run.ignore_class if has_positions else None,
        student_inputs=teacher_part,
        name=name,
    )


def _keep(folder: Path, key: dict[str, Any], files: Mapping[str, Path]) -> None:
    with new_kept_folder(folder, key) as writing:
        for name, path in files.items():
            shutil.copy(path, writing / name)


def _kept_best(run: Run, key: dict[str, Any]) -> Best | None:
    """The best epoch of the teacher of a key, where it is kept and validation was not trained on.

    Args:
        run: The run.
        key: What its teacher follows from.
    """
    best_key = _key_of(key, _BEST)
    folder = kept_folder(run, best_key)
    if run.spec.full_train or not is_kept(folder, best_key):
        return None
    record = read_record(folder / BEST)
    return Best(folder / _MODEL, record["epoch"], record["value"])


def _key_of(key: dict[str, Any], choice: str) -> dict[str, Any]:
    """What the teacher of one epoch of the same training follows from."""
    own = {name: value for name, value in key.items() if name not in ("anchors", "keep")}
    return {**own, "keep": _BEST} if choice == _BEST else own


class _SaveAfter(keras.callbacks.Callback):
    """Saves the trained model after certain epochs, counted from 1."""

    def __init__(self, files: Mapping[int, Path]):
        super().__init__()
        self._files = files

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch + 1 in self._files:
            with replacing(self._files[epoch + 1]) as temporary:
                self.model.student.save(temporary)


def teacher_key(run: Run) -> dict[str, Any]:
    """What a trained teacher follows from: settings, data, and its weights at the start.

    Ask for it before the teacher is trained.
    """
    given = run.spec.teacher_init
    weights = digest_of_weights(run.fixed_teacher) if given is None else digest_of_file(given)
    if run.spec.teacher_epochs == 0:
        return {"weights": weights}
    return {
        "spec": run.spec.teacher_run().to_json(),
        "data": (run.labelled if run.num_labelled else run.task.train).digest("teacher"),
        "weights": weights,
        **({"keep": _BEST} if run.spec.teacher_keep == _BEST else {}),
        **part_that_trains(run.spec),
        # The same rows may be one class an example, or labels of their own.
        **({"output": run.output.id} if run.output.id != Task.output else {}),
    }


def digest_of_weights(model: keras.Model) -> str:
    """SHA-256 of the names, shapes and values of a model's weights."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(f"{weight.name} {weight.shape}".encode())
        digest.update(np.ascontiguousarray(ops.convert_to_numpy(weight)))
    return digest.hexdigest()


def kept_folder(run: Run, key: dict[str, Any]) -> Path:
    """The folder of the cache in which a teacher is kept."""
    return run.teacher_cache / f"{app_title(run.spec.app)}-{digest_of_json(key)[:16]}"
