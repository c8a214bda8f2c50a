"""What a run's models cost to use: sizes, multiply-adds, memory and latency of each form."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_prokt import backends, outputs
from keras_prokt.app import Task
from keras_prokt.arguments import checked_number, checked_path
from keras_prokt.data.batches import Batches, inputs_of
from keras_prokt.export import FORMATS
from keras_prokt.export.runtimes import RUNTIMES
from keras_prokt.files import size_on_disk, write_record
from keras_prokt.front_ends import FrontEnd, ImageFrontEnd
from keras_prokt.models.loading import load_student
from keras_prokt.models.symbolic_inputs import symbolic_inputs
from keras_prokt.results.evaluation import metrics_of
from keras_prokt.results.speed import draw_speed
from keras_prokt.runs.environment import describe_environment
from keras_prokt.runs.finished_run import saved_model
from keras_prokt.runs.folder import BENCHMARK, BENCHMARK_FIGURE, RunFolder
from keras_prokt.runs.measured_apart import measured_apart
from keras_prokt.runs.task import check_same_app, check_same_task, prepare, seeded
from keras_prokt.runs.threads import available_cores

BATCHES = (1, 8, 32)
"""Batch sizes that are measured."""

MOST_EXAMPLES = 2_000
"""Examples on which each form is measured at most, the first ones."""

_FREE_LENGTH = 32
"""What stands for lengths that a model leaves free, where no data says one."""


class _Target(NamedTuple):
    """What is measured."""

    model: str
    form: str
    path: Path
    parameters: int
    multiply_adds: int | None
    inputs: Path
    examples: Path | None
    is_trained: bool = True
    """Whether its weights are those of the run."""
    title: str | None = None
    """The form with what it is quantized to, if that is not the form alone."""
    value: float | None = None
    """How good it is, where that is known before."""


def benchmark(out: str | Path, *, seconds: float = 1.0) -> dict[str, Any]:
    """Measures student, teacher and all exports of a run, and keeps that in the run folder.

    Each is measured in a process of its own, on one thread and on all, with examples of the run's
    validation data. How good it is is measured on test data (validation data where there is none)
    in its own runtime. A teacher that was not kept is built anew from the spec with untrained
    weights, which takes as long; how good it was is read from the run. Computes on TensorFlow.

    Args:
        out: Folder of a completed run, whose data is there.
        seconds: For how long calls are measured, of each batch size and number of threads.

    Returns:
        `part`, `metric`, `inputs`, `notes`, `hardware`, `versions` and `models`: of each `model`,
        `form`, `path`, `parameters`, `multiply_adds`, `bytes`, `value` of the metric, `peak_bytes`,
        `library_bytes` and `latency`: threads -> batch size -> `p50`, `p95`, `p99` (seconds),
        `throughput` and `calls`. It is in `benchmark.json` of the run, the picture in
        `benchmark.png`.

    Raises:
        ValueError: If the run is not completed, or its data has changed since.

    Example:

    ```python
    from keras_prokt.runs.speed import benchmark

    found = benchmark("runs/digits-prokt-1")
    found["models"][0]["latency"]["1"]["1"]["p50"]
    ```
    """
    folder = RunFolder.existing(checked_path("out", out))
    checked_number("seconds", seconds)
    record, spec = folder.read(), folder.spec().without_stored_outputs()
    folder.check_has_model("student")
    check_same_app(spec, record["data"])
    task = prepare(spec)
    check_same_task(spec, task, record)
    part = "validation" if task.test is None else "test"
    held_out = task.validation if task.test is None else task.test
    held_out = held_out.taking(np.arange(min(held_out.num_examples, MOST_EXAMPLES)))
    metric = None if held_out.labels_per_position else record["results"]["metric"]
    with tempfile.TemporaryDirectory(prefix="keras_prokt-") as scratch:
        targets, notes = _targets_of_run(folder, record, task, held_out, Path(scratch))
        measured = [_measured(one, Path(scratch), seconds) for one in targets]
    if held_out.num_examples == MOST_EXAMPLES:
        notes.append(f"{part} {metric}: of the first {MOST_EXAMPLES:,} examples")
    for one, outputs_of_target in measured:
        if one["value"] is None and outputs_of_target is not None and metric is not None:
            logits = _logits(outputs_of_target, task.output)
            values = metrics_of(held_out.labels, logits, [metric], task.output)
            one["value"] = values[metric]
    found = {
        **_about(notes, f"of the run's validation data{_lengths(task)}"),
        "part": part,
        "metric": metric,
        "models": [one for one, _ in measured],
    }
    write_record(folder.path / BENCHMARK, found)
    if metric is not None:
        draw_speed(found, folder.path / BENCHMARK_FIGURE)
    return found


def benchmark_models(paths: Sequence[str | Path], *, seconds: float = 1.0) -> dict[str, Any]:
    """Measures models that belong to no run, with random inputs; as `benchmark`, without a metric.

    Args:
        paths: `.keras` or `.h5` files.
        seconds: As in `benchmark`.
    """
    targets = []
    with tempfile.TemporaryDirectory(prefix="keras_prokt-") as scratch:
        for number, path in enumerate(map(Path, paths)):
            model = load_student(path)
            inputs = _random_inputs(model, path)
            file = Path(scratch) / f"inputs-{number}.npz"
            np.savez(file, **inputs)
            counts = (model.count_params(), _adds(model, inputs), file, None)
            targets.append(_Target(str(path), "keras", path, *counts))
        measured = [_measured(one, Path(scratch), seconds)[0] for one in targets]
    about = _about([], f"random, of free lengths {_FREE_LENGTH}")
    return {**about, "part": "", "metric": None, "models": measured}


def _about(notes: list[str], inputs: str) -> dict[str, Any]:
    environment = describe_environment()
    known = {key: environment[key] for key in ("versions", "hardware")}
    return {"notes": notes, "inputs": inputs, **known}


def _targets_of_run(
    folder: RunFolder, record: Mapping[str, Any], task: Task, held_out: Batches, scratch: Path
) -> tuple[list[_Target], list[str]]:
    """Everything of a run that can be measured here, and what is to be said of it."""
    targets: list[_Target] = []
    notes: list[str] = []
    examples = task.validation.in_order()
    rows = np.arange(max(BATCHES)) % examples.num_examples

    def add(role: str, model: keras.Model, path: Path, **of_target: Any) -> None:
        front_end = task.front_end if role == "student" else task.teacher_front_end
        inputs = named_inputs(examples.batch(rows)[0], role, front_end)
        files = {name: scratch / f"{role}-{name}.npz" for name in ("inputs", "examples")}
        np.savez(files["inputs"], **inputs)
        tested = None
        if of_target.get("is_trained", True) and not held_out.labels_per_position:
            tested = files["examples"]
            batches = [held_out.batch(one)[0] for one in _in_batches(held_out.num_examples)]
            named = [named_inputs(one, role, front_end) for one in batches]
            np.savez(
                tested, **{f"{n}/{k}": v for n, one in enumerate(named) for k, v in one.items()}
            )
        counts = (model.count_params(), _adds(model, inputs), files["inputs"], tested)
        targets.append(_Target(role, "keras", path, *counts, **of_target))
        exports = [(form, how) for form, card in FORMATS.items() for how in card.places()]
        for form, how in exports:
            exported = None if form == "keras" else _newest(folder.export_of(role, form, how))
            if exported is None:
                continue
            title = form if how is None else f"{form} {how}"
            if form not in RUNTIMES or not RUNTIMES[form].is_installed():
                notes.append(f"{role}, {title}: not measured, nothing that opens it is installed")
                continue
            targets.append(_Target(role, form, exported, *counts, title=title))

    add("student", saved_model(folder, "student"), folder.student)
    if "teacher" not in record["results"]["models"]:
        return targets, notes
    if record.get("save_teacher", False):
        add("teacher", saved_model(folder, "teacher"), folder.teacher)
        notes.append("teacher: as the run kept it")
    else:
        teacher = seeded(task.build_teacher, folder.spec().seed)
        path = scratch / "teacher.keras"
        teacher.save(path)
        part = "validation" if task.test is None else "test"
        measured = record["results"]["models"]["teacher"].get(part, {})
        value = measured.get(record["results"]["metric"])
        add("teacher", teacher, path, is_trained=False, value=value)
        notes.append(
            "teacher: built anew from the spec, since none was kept; its weights are untrained, "
            "how good it was is what the run has measured"
        )
    return targets, notes


def _in_batches(count: int) -> list[np.ndarray]:
    return np.split(np.arange(count), range(max(BATCHES), count, max(BATCHES)))


def named_inputs(x: Any, role: str, front_end: FrontEnd | None) -> dict[str, np.ndarray]:
    """What a model reads, by name, and raw images beside it."""
    values = inputs_of(x, role)
    if isinstance(values, Mapping):
        return {name: np.asarray(value) for name, value in values.items()}
    array = np.asarray(values)
    found = {"inputs": array}
    if isinstance(front_end, ImageFrontEnd):
        deviation = np.array(front_end.standard_deviation, "float32")
        pixels = array * deviation + np.array(front_end.mean, "float32")
        found["image"] = np.clip(np.round(255 * pixels), 0, 255).astype("uint8")
    return found


def _adds(model: keras.Model, inputs: Mapping[str, np.ndarray]) -> int | None:
    """Multiply-adds of one example."""
    one = {name: value[:1] for name, value in inputs.items() if value.dtype != np.uint8}
    structure = symbolic_inputs(model)
    if structure is None:
        return None
    names = [tensor.name for tensor in keras.tree.flatten(structure)]
    values = [one[name] for name in names] if set(names) <= one.keys() else [*one.values()]
    if len(values) != len(names):
        return None
    packed = keras.tree.pack_sequence_as(structure, values)
    return backends.current().count_multiply_adds(model, packed)


def _random_inputs(model: keras.Model, path: Path) -> dict[str, np.ndarray]:
    structure = symbolic_inputs(model)
    if structure is None:
        raise ValueError(
            f"Expected a model that knows its inputs, received a subclassed one in {str(path)!r}; "
            "build it with keras.Input."
        )
    generator, found = np.random.default_rng(0), {}
    for tensor in keras.tree.flatten(structure):
        shape = [max(BATCHES), *(_FREE_LENGTH if n is None else n for n in tensor.shape[1:])]
        is_float = "float" in tensor.dtype
        values = generator.normal(size=shape) if is_float else np.ones(shape)
        found[tensor.name] = values.astype(tensor.dtype)
    return found


def _newest(path: Path) -> Path | None:
    """The last version in a folder of them, or the file itself."""
    if not path.is_dir():
        return path if path.is_file() else None
    versions = [one for one in path.iterdir() if one.name.isdecimal()]
    newest = max(versions, key=lambda one: int(one.name)) if versions else path
    models = [one for suffix in (".onnx", ".tflite") for one in newest.glob(f"*{suffix}")]
    return models[0] if models else newest


def _measured(
    target: _Target, scratch: Path, seconds: float
) -> tuple[dict[str, Any], Mapping[str, np.ndarray] | None]:
    """One target in processes of its own, and what it answers."""
    cores = available_cores()
    found: dict[str, Any] = {
        "model": target.model if target.is_trained else f"{target.model}, untrained",
        "form": target.title or target.form,
        "path": str(target.path),
        "parameters": target.parameters,
        "multiply_adds": target.multiply_adds,
        "bytes": size_on_disk(target.path),
        "value": target.value,
        "latency": {},
    }
    answers = scratch / "answers.npz"
    answers.unlink(missing_ok=True)
    for threads in dict.fromkeys((1, cores)):
        is_last = threads == cores
        job = {
            "form": target.form,
            "path": str(target.path),
            "threads": threads,
            "inputs": str(target.inputs),
            "batches": BATCHES,
            "seconds": seconds,
            "examples": str(target.examples) if is_last and target.examples else None,
            "outputs": str(answers),
        }
        try:
            measured = measured_apart("keras_prokt.export.runtimes", job, threads)
        except ChildProcessError as error:
            raise ValueError(
                f"Expected a model that can be called, received {job['path']!r} ({job['form']}), "
                f"which cannot: {error}"
            ) from error
        found["latency"][str(threads)] = measured.pop("latency")
        found = {**measured, **found}  # memory is that of one thread
    if not answers.is_file():
        return found, None
    with np.load(answers) as file:
        return found, dict(file)


def _logits(answers: Mapping[str, np.ndarray], output: str) -> np.ndarray:
    """What a runtime answers, as logits."""
    if "logits" in answers:
        return answers["logits"]
    if "probabilities" in answers:
        return outputs.get(output).outputs_of_means(answers["probabilities"])
    values = next(v for v in answers.values() if np.issubdtype(v.dtype, np.floating))
    sums_to_one = np.allclose(values.sum(axis=-1), 1, atol=1e-3) and values.min() >= 0
    is_mean = sums_to_one and output == "classes"
    return outputs.get(output).outputs_of_means(values) if is_mean else values


def _lengths(task: Task) -> str:
    """The length of the texts that are measured."""
    examples = task.validation.in_order()
    rows = np.arange(max(BATCHES)) % examples.num_examples
    values = inputs_of(examples.batch(rows)[0], "student")
    if isinstance(values, Mapping) and "token_ids" in values:
        return f", texts of {values['token_ids'].shape[1]} positions"
    return ""
