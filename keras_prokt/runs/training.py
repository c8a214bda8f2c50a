"""A run while it is carried out: its data, its models, each made once, and its trainings."""

import functools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_prokt import outputs
from keras_prokt.app import App, Task, get_app
from keras_prokt.callbacks import ResumableBackup
from keras_prokt.data.batches import Batches
from keras_prokt.distillers import Distiller
from keras_prokt.files import cache_folder
from keras_prokt.methods import REGIMES, Method, parse_method
from keras_prokt.models.loading import load_teacher
from keras_prokt.models.uniform_start import ConstantOutputWarning, uniform_start
from keras_prokt.outputs import Output
from keras_prokt.runs.class_weights import weights_of
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.patience import Patience
from keras_prokt.runs.progress import Progress
from keras_prokt.runs.spec import RunSpec, without_places
from keras_prokt.runs.stopping import Stop, Stopped
from keras_prokt.runs.task import digests, prepare, seeded, teacher_files
from keras_prokt.runs.trained_part import trained_in_part
from keras_prokt.runs.unlabelled import ignore_class_of, labelled_only, labelled_rows

OTHER_SEED = 1_000_003
"""Added to the seed of a network that must not start like another of the same architecture."""


class Run:
    """One run, and what it trains before.

    Args:
        spec: The run.
        folder: Where it keeps everything.
        cache: Where fixed teachers are kept; see `keras_prokt.files.cache_folder`.
        stop: When it has to stop.
        parent: The run whose assistant this one trains; they share the fixed teacher.
    """

    def __init__(
        self,
        spec: RunSpec,
        folder: RunFolder,
        *,
        cache: str | Path | None = None,
        stop: Stop | None = None,
        parent: "Run | None" = None,
    ):
        self.spec = spec
        self.folder = folder
        self.teacher_cache = cache_folder(cache) / "teachers"
        self.stop = Stop() if stop is None else stop
        self._cache = cache
        self._parent = parent

    @functools.cached_property
    def app(self) -> App:
        """Its app."""
        return get_app(self.spec.app)

    @functools.cached_property
    def method(self) -> Method:
        """Its method."""
        return parse_method(self.spec.method)

    @functools.cached_property
    def task(self) -> Task:
        """Its data, and what builds its models."""
        return prepare(self.spec)

    @functools.cached_property
    def output(self) -> Output:
        """What its models' outputs mean."""
        return outputs.get(self.task.output)

    @functools.cached_property
    def teacher(self) -> keras.Model:
        """The teacher, as it starts until it is trained or its kept weights are read."""
        if self._parent is not None:
            return self._parent.teacher
        if self.spec.teacher_init is not None:
            return self._given_teacher()
        other = OTHER_SEED if REGIMES[self.method.regime].starts_untrained else 0
        return self._made_teacher(self.spec.seed + other)

    @functools.cached_property
    def fixed_teacher(self) -> keras.Model:
        """The teacher that is trained before the student; another one than that which trains
        along, where both are."""
        if not REGIMES[self.method.regime].trains_teacher_along:
            return self.teacher
        if self.spec.teacher_init is not None:
            return self._given_teacher()
        return self._made_teacher(self.spec.seed)

    def _given_teacher(self) -> keras.Model:
        """A trained teacher that the user gives."""
        keras.utils.set_random_seed(self.spec.seed)  # of adapters
        return trained_in_part(load_teacher(self.spec.teacher_init), self.spec)

    def _made_teacher(self, seed: int) -> keras.Model:
        """A teacher as the app has it; what it has learnt of the task already, it keeps."""
        teacher = seeded(self.task.build_teacher, seed)
        if not self.has_trained_teacher:
            teacher = self._neutral(teacher, self.spec.teacher_weights)
        return trained_in_part(teacher, self.spec)

    def _neutral(self, model: keras.Model, weights: str | None) -> keras.Model:
        """A model, perhaps with the weights of a file, with the neutral start of its output."""
        train = self.task.train
        start = self.output.start(train.labels[labelled_rows(train, self.output)])
        with warnings.catch_warnings():
            if weights is not None:  # of which the last layer starts anew, as documented
                warnings.simplefilter("ignore", ConstantOutputWarning)
            return uniform_start(model, start)

    @functools.cached_property
    def num_labelled(self) -> int:
        """How many training examples have a label."""
        return int(labelled_rows(self.task.train, self.output).sum())

    @functools.cached_property
    def labelled(self) -> Batches:
        """The training data with a label, if there is any: what is trained on labels alone."""
        return labelled_only(self.task.train, self.output)

    @property
    def ignore_class(self) -> int | None:
        """The label of training rows, or positions, without one; `None` if all have one."""
        return ignore_class_of(self.task.train, self.output)

    @functools.cached_property
    def has_trained_teacher(self) -> bool:
        """Whether its teacher is trained for the task before anything is."""
        return self.spec.teacher_init is not None or bool(teacher_files(self.spec, self.task))

    @property
    def is_of_assistant(self) -> bool:
        """Whether it trains an assistant of another run."""
        return self._parent is not None

    @functools.cached_property
    def student(self) -> keras.Model:
        """The student, as it starts until it is trained."""
        return self._neutral(
            seeded(self.task.build_student, self.spec.seed), self.spec.student_weights
        )

    @functools.cached_property
    def assistant(self) -> "Run | None":
        """The run that trains the student's own teacher, under teacher assistants."""
        if self.spec.assistants is None:
            return None
        spec = self.spec.assistant_run()
        return Run(spec, self.folder, cache=self._cache, stop=self.stop, parent=self)

    @functools.cached_property
    def class_weights(self) -> dict[str, float] | None:
        """The weight of each class in the loss on labels, by name; `None` where all count one.

        Raises:
            ValueError: If the labels have no classes, or the spec does not fit them.
        """
        if self.spec.class_weight is None:
            return None
        labels, names = self.labelled.labels, self.task.class_names
        counts = self.output.class_counts(np.asarray(labels), names)
        weights = weights_of(self.spec.class_weight, np.array([*counts.values()]), [*counts])
        return dict(zip(counts, weights.tolist(), strict=True))

    @property
    def label_loss(self) -> keras.losses.Loss | None:
        """The loss on labels of all that the run trains; `None` for the usual one."""
        smoothing = self.spec.label_smoothing
        if self.class_weights is not None:
            weights = list(self.class_weights.values())
            return self.output.class_weighted_loss(weights, smoothing or 0.0)
        return self.output.smoothed_loss(smoothing) if smoothing else None

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What the run is: a checkpoint of another one is refused."""
        spec = without_places(self.spec.to_json())
        return {"spec": spec, "data": digests(self.spec, self.task)}

    def fit(
        self,
        distiller: Distiller,
        epochs: int,
        title: str,
        *,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        name: str = "",
        files: Sequence[Path] = (),
        patience: Patience | None = None,
        data: Batches | None = None,
    ) -> None:
        """Trains from the last checkpoint of this training, if there is one, and keeps more.

        Args:
            distiller: What is trained.
            epochs: Its epochs.
            title: What it is called where progress is shown.
            callbacks: Callbacks, before the one that keeps checkpoints.
            name: Name of the training within the run; "" for the distillation itself.
            files: Files that belong to the state of this training.
            patience: What may end it before.
            data: What is trained on; by default all training data.

        Raises:
            Stopped: If the run has to stop; then the state has been saved.
        """
        data = self.task.train if data is None else data
        identity = {**self.identity, "training": name}
        folder = self.folder.checkpoint / name
        backup = TimedBackup(folder, self.stop, belongs_to=identity, files=files)
        backup.restore_files()
        first_epoch, _ = backup.position()
        callbacks = [*callbacks, *([] if patience is None else [patience])]
        if patience is not None and patience.is_over():
            epochs = first_epoch  # it was killed after its last epoch
        # The same random numbers, whatever was trained or read before.
        keras.utils.set_random_seed(self.spec.seed)
        with self.stop.training(), Progress(title, _trained_in(name)) as progress:
            self.stop.check()
            distiller.fit(
                data.for_training(first_epoch),
                steps_per_epoch=len(data),
                epochs=epochs,
                validation_data=self.task.validation.for_evaluation(),
                callbacks=[*callbacks, backup, progress],
                verbose=0,
            )
        if self.stop.signal is not None:  # it came after the last step; the state is saved
            raise Stopped(self.stop.signal)


def _trained_in(name: str) -> str:
    """What the student of a training is to the run."""
    if name in ("teacher", "head_start"):
        return "teacher"
    return "assistant" if name.startswith("assistant-") else "student"


class TimedBackup(ResumableBackup):
    """A `ResumableBackup` that ends training when it is time to.

    Args:
        directory: Folder of the checkpoints.
        stop: When to stop.
        **settings: As in `ResumableBackup`.

    Raises:
        Stopped: Out of `fit`, after the state has been saved. An exception and not
            `stop_training`: Keras would validate, and other callbacks would count the epoch.
    """

    def __init__(self, directory: str | Path, stop: Stop, **settings: Any):
        super().__init__(directory, **settings)
        self._stop = stop

    def read_identity(self, stored: Any) -> Any:
        """A setting that came after a checkpoint was written has its default there."""
        try:
            spec = RunSpec.from_json(stored["spec"]).to_json()
            return {**stored, "spec": without_places(spec)}
        except (ValueError, TypeError, KeyError):
            return stored  # of no run, or of settings that are gone: what differs is named

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        is_passed_over = self._model.skip_batches > 0 or self._metrics is not None
        super().on_train_batch_end(batch, logs)
        if not self._stop.is_due():
            return
        if not is_passed_over:
            self._save(self._epoch, batch + 1)
        raise Stopped(self._stop.signal)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        # It may have become time in the validation, in which there is no state to save.
        if self._stop.is_due() and epoch + 1 < self.params["epochs"]:
            raise Stopped(self._stop.signal)
