"""The data and models of a run, as its app prepares them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_prokt import losses, outputs
from keras_prokt.app import Task, get_app
from keras_prokt.data.batches import Batches, inputs_of
from keras_prokt.data.prepared_folder import PreparedFolder
from keras_prokt.data.teacher_outputs import PROBABILITIES, read_teacher_outputs
from keras_prokt.data.transform import LabelTransform
from keras_prokt.files import digest_of_file, digest_of_json
from keras_prokt.methods import REGIMES, parse_method
from keras_prokt.results.evaluation import checked_labels
from keras_prokt.results.metrics import get as get_metrics
from keras_prokt.runs.progress import say
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.unlabelled import (
    hide_labels,
    labelled_rows,
    prepare_unlabelled,
)
from keras_prokt.settings import SettingError, argument

_TEACHER = "teacher"
"""Name of the digest of a trained teacher's files, which is that of its setting."""


def prepare(spec: RunSpec) -> Task:
    """The data and models of a run.

    Raises:
        ValueError: As the app, or if the kind of output, a metric or a setting does not fit it.
    """
    task = get_app(spec.app).prepare(spec.request())
    if not isinstance(task, Task):
        raise ValueError(
            f"Expected a Task of `prepare` of app {spec.app!r}, received a {type(task).__name__}; "
            "return one."
        )
    kind = outputs.get(task.output)
    task.metrics = tuple(task.metrics or kind.metric_names)
    get_metrics(task.metrics, kind)
    if spec.label_noise is not None:
        _make_labels_wrong(task, spec)
    if spec.labelled is not None:
        hide_labels(task, spec)
    if spec.teacher_outputs is not None:
        _add_teacher_outputs(task, spec)
    prepare_unlabelled(task, spec)
    if len(task.train) % spec.steps_per_execution:
        divisors = [n for n in range(1, len(task.train) + 1) if len(task.train) % n == 0]
        raise SettingError(
            f"Expected {argument('steps_per_execution')} that divides the {len(task.train)} steps "
            f"of an epoch, received {spec.steps_per_execution}; use one of "
            f"{', '.join(map(str, divisors))}."
        )
    task.build_teacher = _computing_in(spec.precision, task.build_teacher)
    task.build_student = _computing_in(spec.precision, task.build_student)
    reads = {
        part
        for name in parse_method(spec.method).objectives
        for part in losses.objective_class(name).reads
    }
    if reads & {"embeddings", "attentions"}:
        _check_same_positions(task, spec)
    if isinstance(task.train.transform, LabelTransform):
        _check_mixed_labels(spec, reads)
    if "index" in reads:
        task.train = task.train.with_index()
    return task


def _check_mixed_labels(spec: RunSpec, reads: Collection[str]) -> None:
    """Refuses what means nothing of an example that is a mixture of two."""
    for name in ("labelled", "teacher_outputs", "class_weight"):
        if (value := getattr(spec, name)) is not None:
            raise SettingError(
                f"Expected no {argument(name)} with examples that are mixtures of two "
                f"({argument('augmentation')}), received {value!r}; it is about single ones."
            )
    if "index" in reads:
        raise SettingError(
            f"Expected a method without memories of single examples under "
            f"{argument('augmentation')} {spec.augmentation!r}, received {spec.method!r}; leave "
            "out mixup and cutmix."
        )


def _make_labels_wrong(task: Task, spec: RunSpec) -> None:
    """Makes a share of the training labels wrong, and of the validation labels that are theirs.

    Test labels stay right. Where validation has wrong labels, the right ones are reported beside.
    """

    kind = outputs.get(task.output)

    def wrong(batches: Batches, seed: int) -> Batches:
        rows = labelled_rows(batches, kind)
        labels = batches.labels.copy()
        of_rows = labels[rows]
        labels[rows] = kind.wrong_labels(of_rows, task.class_names, spec.label_noise, seed)
        return batches.with_labels(labels)

    task.train = wrong(task.train, spec.seed)
    if task.validates_on_training_set:
        right = {"validation, right labels": task.validation}
        task.more_validation = {**task.more_validation, **right}
        task.validation = wrong(task.validation, spec.seed + 1)


def _add_teacher_outputs(task: Task, spec: RunSpec) -> None:
    """Gives each training example the stored outputs of its row in the user's data."""
    if outputs.get(task.output).example_axes > 1:
        raise SettingError(
            f"Expected no {argument('teacher_outputs')} with app {spec.app!r}, received "
            f"{spec.teacher_outputs!r}; a row is stored of an example, and its outputs are one of "
            f"each position: give the teacher itself ({argument('teacher_init')})."
        )
    transform = task.train.transform
    if spec.teacher_is_stored and transform and transform.draw(1, np.random.default_rng(0)):
        raise SettingError(
            f"Expected no {argument('teacher_outputs')} with app {spec.app!r} and method "
            f"{spec.method!r}, received {spec.teacher_outputs!r}; it changes each input at "
            "random (crops, flips), of which stored outputs know nothing: give the teacher itself "
            f"({argument('teacher_init')}), or use prokt, under which they stand for labels."
        )
    if spec.prepared is not None and not PreparedFolder(spec.prepared).knows_rows:
        raise SettingError(
            f"Expected {argument('prepared')} that says which rows of the data it has, with "
            f"{argument('teacher_outputs')}, received the older {spec.prepared!r}; prepare it "
            "again."
        )
    stored = read_teacher_outputs(spec.teacher_outputs, spec.teacher_columns, task.class_names)
    values, kind = stored.values, outputs.get(task.output)
    if stored.form == PROBABILITIES:
        try:
            values = kind.outputs_of_means(values)
        except ValueError as error:
            raise SettingError(f"{stored.source}: {error}") from error
    elif keras.ops.convert_to_numpy(kind.are_probabilities(values.astype("float32"))):
        raise SettingError(
            f"Expected logits in {argument('teacher_outputs')}, received rows of probabilities in "
            f"{stored.source}; name them 'probabilities', or p(NAME) in a table."
        )
    say(f"teacher outputs: {stored.form} of {len(values):,} rows in {stored.source}")
    rows = stored.rows_of(task.train.origin)
    task.train = task.train.with_targets(values[rows].astype("float32"))


def check_labels(task: Task, width: int) -> None:
    """Refuses labels, and names of them, that do not fit the models, before anything is trained.

    Stored outputs of a teacher are looked at too.

    Args:
        task: The data.
        width: Width of the models' outputs.

    Raises:
        ValueError: With the part of the data, and what was found.
    """
    kind = outputs.get(task.output)
    for part, batches in all_batches(task).items():
        labels = batches.labels
        if part == "train":
            labels = labels[labelled_rows(batches, kind)]
            if not len(labels):
                continue
        checked_labels(labels, kind, width, f"{part} ")
    if task.class_names:
        kind.check_names(task.class_names, width)
    if (targets := task.train.targets) is not None and targets.shape[-1] != width:
        raise SettingError(
            f"Expected {argument('teacher_outputs')} with {width} columns, one for each output of "
            f"the student, received {targets.shape[-1]}; store them in the order of the classes."
        )


def _check_same_positions(task: Task, spec: RunSpec) -> None:
    teacher, student = (inputs_of(task.train.inputs, role) for role in ("teacher", "student"))
    is_text = isinstance(teacher, Mapping) and "token_ids" in teacher
    if is_text and student.get("token_ids") is not teacher["token_ids"]:
        raise ValueError(
            f"Expected a student that reads the teacher's word pieces with method {spec.method!r}, "
            f"received {spec.student!r}; use bert-K, or a checkpoint with the same vocabulary."
        )


def _computing_in(precision: str, build_model: Callable[[], keras.Model]) -> Any:
    """The same function, with layers that compute in a precision and keep float32 weights."""
    if precision == "float32":
        return build_model

    def build() -> keras.Model:
        usual = keras.config.dtype_policy()
        keras.config.set_dtype_policy(f"mixed_{precision}")
        try:
            return build_model()
        finally:
            keras.config.set_dtype_policy(usual)

    return build


def check_same_task(spec: RunSpec, task: Task, record: Mapping[str, Any]) -> None:
    """Refuses to go on with another task than a run was started with.

    Args:
        spec: The run.
        task: Its task now.
        record: As in `run.json`.

    Raises:
        ValueError: If the data, a trained teacher or the kind of output has changed since.
    """
    check_same_data(spec, task, record["data"])
    if (output := record.get("output", task.output)) != task.output:
        raise ValueError(
            f"Expected outputs of the kind {output!r}, with which the run was started, received "
            f"{task.output!r} from app {spec.app!r}; restore the app, or start a new run."
        )


def check_same_app(spec: RunSpec, started_with: Mapping[str, str]) -> None:
    """Refuses another file of an app than a run was started with, before it is run.

    Args:
        spec: The run.
        started_with: The digests in its record.

    Raises:
        ValueError: If it has changed, or is gone.
    """
    if "app" not in spec.files() or "app" not in started_with:
        return
    path = Path(spec.app)
    if not path.is_file() or digest_of_file(path) != started_with["app"]:
        raise ValueError(
            f"Expected the app with which the run was started, received "
            f"{'another file' if path.is_file() else 'none'} at {spec.app!r}; restore it, or start "
            "a new run."
        )


def check_same_data(spec: RunSpec, task: Task, started_with: Mapping[str, str]) -> None:
    """Refuses to go on with other data, or another trained teacher, than a run was started with.

    Args:
        spec: The run.
        task: Its data now.
        started_with: The digests in its record.

    Raises:
        ValueError: If something has changed since.
    """
    for name, digest in digests(spec, task).items():
        if started_with.get(name, digest) != digest:
            raise SettingError(
                f"Expected the {name} with which the run was started, received "
                + (
                    f"another file at {getattr(spec, name)!r}; restore it, or start a new run."
                    if name in (*spec.files(), _TEACHER)
                    else f"other data; restore it ({argument('data_dir')}, TFDS_DATA_DIR), or "
                    "start a new run."
                )
            )


def digests(spec: RunSpec, task: Task) -> dict[str, str]:
    """SHA-256 of the user's own files, by the name of their setting, and of the data.

    The files of a trained teacher have one between them.
    """
    prepared = {} if spec.prepared is None else PreparedFolder(spec.prepared).digests
    file_digests = {
        name: prepared[name] if name in prepared else digest_of_file(path)
        for name, path in spec.files().items()
    }
    if files := teacher_files(spec, task):
        of_teacher = {path.name: digest_of_file(path) for path in files}
        file_digests[_TEACHER] = digest_of_json(of_teacher)
    parts = {f"{name} data": batches for name, batches in all_batches(task).items()}
    return {**file_digests, **{name: batches.digest() for name, batches in parts.items()}}


def teacher_files(spec: RunSpec, task: Task) -> Sequence[Path]:
    """The files of a teacher that the run finds trained already, and does not get as a `.keras`."""
    has_teacher = REGIMES[parse_method(spec.method).regime].trains_teacher is not None
    is_given = spec.teacher_init is not None or spec.teacher_is_stored
    return task.teacher_files() if has_teacher and not is_given else ()


def all_batches(task: Task) -> dict[str, Batches]:
    """All data of a task, by name."""
    parts = {"train": task.train, "validation": task.validation, **task.more_validation}
    parts["test"] = task.test
    return {name: batches for name, batches in parts.items() if batches is not None}


def held_out(task: Task) -> dict[str, Batches]:
    """The data that is not trained on, by name."""
    return {k: v for k, v in all_batches(task).items() if k != "train"}


def seeded(build_model: Callable[[], keras.Model], seed: int) -> keras.Model:
    """A model from its own seed, so that a student starts the same under every method."""
    keras.utils.set_random_seed(seed)
    return build_model()
