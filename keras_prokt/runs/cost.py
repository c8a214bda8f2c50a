"""What a run costs: forwards and operations, and before it is started time and memory here."""

import statistics
import sys
import time
from collections import Counter
from typing import Any

import keras
import numpy as np

from keras_prokt import backends
from keras_prokt.data.batches import Batches, inputs_of
from keras_prokt.distillers import Distiller
from keras_prokt.results.tables import format_table
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.optimizers import optimizer_recipe
from keras_prokt.runs.plan import Plan, plan_of
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import format_seconds
from keras_prokt.runs.teachers import trainer_of_teacher
from keras_prokt.runs.training import Run

WARM_UP_STEPS = 3
MEASURED_STEPS = 8
MOST_AT_ONCE = 8


FORWARDS_OF_TRAINING = 3
"""A forward, and a backward that costs as much as two."""


def cost_of(plan: Plan, epochs: int | None = None) -> dict[str, Any]:
    """What the training of a run costs, with everything that is trained before it.

    A teacher or an assistant that was read from the cache counts as if it had been trained.
    Validation and evaluation do not count.

    Args:
        plan: The plan of the run.
        epochs: Of the distillation that were trained; `None`: those of the spec.

    Returns:
        `forwards`: forwards of one example by model, a backward counted as two; and `flops`: the
        floating-point operations of one forward of each, `None` where the backend cannot count.
    """
    models, forwards = _models_and_forwards(plan, epochs)
    example = plan.run.task.validation.batch(np.arange(1))[0]
    flops = {name: forward_flops(m, _inputs_for(name, example)) for name, m in models.items()}
    return {"forwards": {name: forwards[name] for name in models}, "flops": flops}


def _inputs_for(name: str, example: Any) -> Any:
    return inputs_of(example, "student" if name == "student" else "teacher")


def _models_and_forwards(
    plan: Plan, epochs: int | None = None
) -> tuple[dict[str, keras.Model], Counter[str]]:
    run, spec = plan.run, plan.run.spec
    examples, labelled = run.task.train.num_examples, run.num_labelled
    models: dict[str, keras.Model] = {}
    forwards: Counter[str] = Counter()
    own = "teacher"
    if plan.assistant is not None:
        # What is a student there is an assistant here; the fixed teacher is the same one.
        models, forwards = _models_and_forwards(plan.assistant)
        own = f"assistant {plan.assistant.run.spec.student}"
        models[own] = models.pop("student")
        forwards[own] = forwards.pop("student")
    elif plan.teachers:
        models["teacher"] = plan.teachers["teacher"]
        if run.method.trains_teacher_before and spec.teacher_init is None:
            forwards["teacher"] += FORWARDS_OF_TRAINING * labelled * spec.teacher_epochs
        if plan.head_start is not None:
            forwards["teacher"] += FORWARDS_OF_TRAINING * labelled * spec.teacher_head_start
    models["student"] = plan.distiller.student
    stages = [(plan.distiller, spec.epochs if epochs is None else epochs)]
    if plan.first_stage is not None:
        stages.append((plan.first_stage, spec.first_stage_epochs))
    for distiller, stage_epochs in stages:
        for role, count in distiller.forwards_per_example.items():
            forwards[own if role == "teacher" else "student"] += count * examples * stage_epochs
    return models, forwards


def estimate(spec: RunSpec) -> dict[str, Any]:
    """Measures a few steps of a run and of what is trained before it; keeps nothing.

    Args:
        spec: The run.

    Returns:
        `models` (name -> `parameters` and `flops`, of one example's forward, `None` where the
        backend cannot count them), `phases` (name -> `seconds_per_step`, `steps`, `seconds`),
        `seconds` of all training and `peak_bytes` of this process. Validation and evaluation are
        not in it.

    Raises:
        ValueError: On bad input, as for the run itself.
    """
    # More at once would be measured for longer, and not be much quicker.
    spec = spec.replacing(steps_per_execution=min(spec.steps_per_execution, MOST_AT_ONCE))
    run = Run(spec, RunFolder("unused"))
    plan, steps = plan_of(run), len(run.task.train)
    models, _ = _models_and_forwards(plan)
    phases: dict[str, tuple[Distiller, int, Batches]] = {}
    is_trained = spec.teacher_init is not None or spec.teacher_epochs == 0
    is_trained = is_trained or spec.teacher_is_stored
    if run.method.trains_teacher_before and not is_trained:
        trainer = trainer_of_teacher(run, run.fixed_teacher)
        trainer.compile(optimizer=optimizer_recipe(spec.optimizers["teacher"]).build(steps))
        phases["teacher, if it is not there yet"] = (
            trainer,
            spec.teacher_epochs * len(run.labelled),
            run.labelled,
        )
    assistant = plan.assistant
    while assistant is not None:
        own = assistant.run
        name = f"assistant {own.spec.student}, if it is not there yet"
        phases[name] = (assistant.distiller, own.spec.epochs * steps, own.task.train)
        assistant = assistant.assistant
    if plan.head_start is not None:
        count = spec.teacher_head_start * len(run.labelled)
        phases["head start"] = (plan.head_start, count, run.labelled)
    if plan.first_stage is not None:
        phases["first stage"] = (
            plan.first_stage,
            spec.first_stage_epochs * steps,
            run.task.train,
        )
    phases[spec.method] = (plan.distiller, spec.epochs * steps, run.task.train)
    result: dict[str, Any] = {"models": {}, "phases": {}}
    example = run.task.train.batch(run.task.train.batch_indices(0)[0][:1])[0]
    for name, model in models.items():
        flops = forward_flops(model, _inputs_for(name, example))
        result["models"][name] = {"parameters": model.count_params(), "flops": flops}
    for name, (distiller, count, batches) in phases.items():
        seconds = seconds_per_step(distiller, batches)
        result["phases"][name] = {
            "seconds_per_step": seconds,
            "steps": count,
            "seconds": seconds * count,
        }
    result["seconds"] = sum(phase["seconds"] for phase in result["phases"].values())
    result["peak_bytes"] = peak_bytes()
    return result


def seconds_per_step(distiller: Distiller, batches: Batches) -> float:
    """Median seconds of a training step on real batches, the first ones left out."""
    times: list[float] = []

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            times.append(time.perf_counter())

    at_once = distiller.steps_per_execution
    steps = (WARM_UP_STEPS + MEASURED_STEPS) * at_once
    distiller.fit(
        batches.for_training(), steps_per_epoch=steps, epochs=1, callbacks=[Clock()], verbose=0
    )
    laps = [b - a for a, b in zip(times, times[1:], strict=False)]
    return statistics.median(laps[WARM_UP_STEPS - 1 :]) / at_once


def forward_flops(model: keras.Model, inputs: Any) -> int | None:
    """Floating-point operations of a forward in inference mode, counted on the backend's graph.

    Args:
        model: The model.
        inputs: Arrays of one example.

    Returns:
        The number, a multiplication and an addition being two; `None` if it cannot be counted.
        TensorFlow and JAX count all operations, PyTorch matrix products and convolutions.
    """
    return backends.current().count_operations(model, inputs)


def peak_bytes() -> int:
    """Most memory that this process has held so far."""
    import resource  # Windows has no such module

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def estimate_table(result: dict[str, Any]) -> str:
    """An estimate for people."""
    models = [
        [name, f"{m['parameters']:,}", "–" if m["flops"] is None else f"{m['flops'] / 1e6:,.3f}"]
        for name, m in result["models"].items()
    ]
    phases = [
        [
            name,
            f"{1e3 * phase['seconds_per_step']:.1f}",
            f"{phase['steps']:,}",
            format_seconds(phase["seconds"]),
        ]
        for name, phase in result["phases"].items()
    ]
    return "\n".join(
        [
            format_table(["model", "parameters", "MFLOPs a forward"], models),
            "",
            format_table(["training", "ms a step", "steps", "time"], phases),
            "",
            f"in all {format_seconds(result['seconds'])} of training on this machine, validation "
            f"not counted; peak memory so far {result['peak_bytes'] / 2**30:.2f} GiB",
        ]
    )
