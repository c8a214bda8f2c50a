"""The data and models of a run, as its app prepares them."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_prokt import losses
from keras_prokt.app import App, Task, TaskRequest, get_app
from keras_prokt.data.batches import Batches
from keras_prokt.files import digest_of_file
from keras_prokt.methods import parse_method
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.spec import RunSpec


def task_request(app: App, spec: RunSpec) -> TaskRequest:
    """What a run asks its app for."""
    return TaskRequest(
        teacher=spec.teacher or app.default_teacher,
        student=spec.student,
        batch_size=spec.batch_size,
        seed=spec.seed,
        limit=spec.limit,
        data_dir=spec.data_dir,
        full_train=spec.full_train,
        dataset=spec.dataset,
        text_columns=spec.text_columns,
        label_column=spec.label_column,
        validation=spec.validation,
        test=spec.test,
        max_length=spec.max_length,
    )


def prepare(app: App, spec: RunSpec) -> Task:
    """The data and models of a run."""
    task = app.prepare(task_request(app, spec))
    if len(task.train) % spec.steps_per_execution:
        divisors = [n for n in range(1, len(task.train) + 1) if len(task.train) % n == 0]
        raise ValueError(
            f"Expected --steps-per-execution that divides the {len(task.train)} steps of an epoch, "
            f"received {spec.steps_per_execution}; use one of {', '.join(map(str, divisors))}."
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
    if "index" in reads:
        task.train = task.train.with_index()
    return task


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


def prepare_again(folder: RunFolder) -> Task:
    """The data and models of a run that was started before.

    Raises:
        ValueError: If the user's own data has changed since.
    """
    record, spec = folder.read(), folder.spec()
    task = prepare(get_app(spec.app), spec)
    started_with = record.get("data", {})
    for name, digest in digests(spec, task).items():
        if started_with.get(name, digest) != digest:
            raise ValueError(
                f"Expected the {name} with which the run was started, received "
                + (
                    f"another file at {getattr(spec, name)!r}; restore it, or start a new run."
                    if name in spec.table_files()
                    else "other data; restore it (--data-dir, TFDS_DATA_DIR), or start a new run."
                )
            )
    return task


def digests(spec: RunSpec, task: Task) -> dict[str, str]:
    """SHA-256 of the user's own files, by the name of their field in the spec, and of the data."""
    digests = {}
    for name, path in spec.table_files().items():
        digests[name] = digest_of_file(path)
    parts = {f"{name} data": batches for name, batches in all_batches(task).items()}
    return {**digests, **{name: batches.digest() for name, batches in parts.items()}}


def check_teacher_init(record: dict[str, Any], spec: RunSpec) -> None:
    """Refuses to go on with another file of the trained teacher than the run was started with.

    Args:
        record: As in `run.json`.
        spec: The spec of the run.

    Raises:
        ValueError: If the file has changed.
    """
    started_with = record.get("teacher_init")
    if started_with is not None and digest_of_file(spec.teacher_init) != started_with:
        raise ValueError(
            "Expected the teacher with which the run was started, received another file at "
            f"{spec.teacher_init!r}; restore it, or start a new run."
        )


def all_batches(task: Task) -> dict[str, Batches]:
    """All data of a task, by name."""
    parts = {"train": task.train, "validation": task.validation, **task.more_validation}
    parts["test"] = task.test
    return {name: batches for name, batches in parts.items() if batches is not None}


def held_out(task: Task) -> dict[str, Batches]:
    """The data that is not trained on, by name."""
    return {k: v for k, v in all_batches(task).items() if k != "train"}


def inputs_of(x: Any, role: str) -> Any:
    """The part of a batch that one of the two models reads."""
    names_parts = isinstance(x, Mapping) and set(x) - {"index"} == {"teacher", "student"}
    return x[role] if names_parts else x


def teacher_part(x: Any) -> Any:
    """The part of a batch that the teacher reads."""
    return inputs_of(x, "teacher")


def seeded(build_model: Callable[[], keras.Model], seed: int) -> keras.Model:
    """A model from its own seed, so that a student starts the same under every method."""
    keras.utils.set_random_seed(seed)
    return build_model()
