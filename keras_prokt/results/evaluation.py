"""Metrics of trained models on held-out data."""

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_prokt import models
from keras_prokt.app import Task
from keras_prokt.data.batches import Batches
from keras_prokt.distillers import StudentOnly
from keras_prokt.models.loading import load_student
from keras_prokt.results.metrics import get as get_metrics
from keras_prokt.results.metrics import log_name
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.plan import Plan
from keras_prokt.runs.task import held_out, inputs_of, prepare_again


def evaluate(
    model: keras.Model,
    splits: Mapping[str, Batches],
    role: str,
    metrics: tuple[str, ...] = ("accuracy",),
) -> dict[str, dict[str, float]]:
    """Metrics and loss of one model.

    Args:
        model: A model that outputs logits.
        splits: The data by name.
        role: "teacher" or "student": which part of the inputs the model reads.
        metrics: "accuracy" and names of `keras_prokt.results.metrics.METRICS`.

    Returns:
        For each split the metrics by name, `loss` (cross entropy on the labels) and `seconds` of
        the pass.
    """
    wrapper = StudentOnly(model, student_inputs=functools.partial(inputs_of, role=role))
    wrapper.compile(metrics=get_metrics(metrics))
    measured = {}
    for split, batches in splits.items():
        data = batches.for_evaluation()
        # Compiles, so that the time is that of the pass: on TensorFlow once for all shapes.
        first = 1 if keras.backend.backend() == "tensorflow" else None
        wrapper.evaluate(data, steps=first, verbose=0)
        started = time.perf_counter()
        logs = wrapper.evaluate(data, verbose=0, return_dict=True)
        seconds = time.perf_counter() - started
        values = {name: logs[log_name(name)] for name in metrics}
        measured[split] = {**values, "loss": logs["loss"], "seconds": seconds}
    return measured


def evaluate_run(out: str | Path) -> dict[str, Any]:
    """Evaluates the saved student of a run on all held-out data."""
    folder = RunFolder.existing(out)
    student = saved_student(folder)
    task = prepare_again(folder)
    return evaluate(student, held_out(task), "student", task.metrics)


def add_test(folder: RunFolder) -> dict[str, float] | None:
    """Measures the saved student of a run on the test data and adds it to the run's record.

    Args:
        folder: The folder of a completed run.

    Returns:
        As `evaluate`, measured once: what is in the record already stays. `None` without test
        data.
    """
    record = folder.read()
    student = record["results"]["models"]["student"]
    if "test" not in student:
        task = prepare_again(folder)
        if task.test is None:
            return None
        splits = {"test": task.test}
        student |= evaluate(saved_student(folder), splits, "student", task.metrics)
        folder.write(record)
    return student["test"]


def saved_student(folder: RunFolder) -> keras.Model:
    """The saved student of a run.

    Raises:
        ValueError: If the run has not saved one yet.
    """
    if not folder.student.is_file():
        raise ValueError(
            f"Expected a saved student at {str(folder.student)!r}, received none; finish the run "
            f"with `keras-prokt resume {folder.path}`."
        )
    # A builder's module may register layers of its own.
    name = folder.spec().student
    if ":" in name and "://" not in name and not Path(name).exists():
        models.get(name)
    return load_student(folder.student)


def measure(folder: RunFolder, task: Task, plan: Plan, *, best_is_last: bool) -> dict[str, Any]:
    """All models on all held-out data, and their size."""
    best = _measure_model(saved_student(folder), task, "student")
    last = best if best_is_last else _measure_model(plan.distiller.student, task, "student")
    measured = {"student": best, "student (last epoch)": last}
    for name, model in plan.teachers.items():
        measured[name] = _measure_model(model, task, "teacher")
    return measured


def _measure_model(model: keras.Model, task: Task, role: str) -> dict[str, Any]:
    weights = model.weights
    return {
        "parameters": model.count_params(),
        "bytes": int(sum(np.prod(w.shape) * np.dtype(w.dtype).itemsize for w in weights)),
        **evaluate(model, held_out(task), role, task.metrics),
    }
