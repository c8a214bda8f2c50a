"""What each objective costs beside plain knowledge distillation, in time and in memory.

A training step of `FrozenTeacherDistiller` with each objective alone, its adapters and the label
loss included, over the same step with soft targets: WRN-40-2 to MobileNetV2, 32x32, batch 64, TF
graph mode. All are compiled in one process and run in turn, so that other load on the machine hits
all of them; the printed ratio is that of the medians. Peak memory is that of a process of its own
for each objective asked for, above what it held before the models were made.

    python benchmarks/objective_cost.py [--repeats 15] [--memory kd,nst,crd]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sides import peak_mebibytes

from keras_prokt import FrozenTeacherDistiller, losses, models
from keras_prokt.methods import OBJECTIVES

BATCH, CLASSES, SHAPE = 64, 100, (32, 32, 3)
EXAMPLES = 50_000
"""Size of CRD's memory: the training set of CIFAR-100."""

SETTINGS = {"crd": [{"num_negatives": 4096}, {"num_negatives": 16384}]}
"""Objectives that are measured with several settings."""


def variants() -> list[tuple[str, dict]]:
    names = [name for name, card in OBJECTIVES.items() if card.kind != "transformer"]
    return [(name, settings) for name in names for settings in SETTINGS.get(name, [{}])]


def title(name: str, settings: dict) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in settings.items())])


def make(name: str, settings: dict):
    """A function that runs one training step."""
    import tensorflow as tf

    labels = np.arange(EXAMPLES) % CLASSES
    objective = losses.objective_class(name)(weight=OBJECTIVES[name].weight, **settings)
    objective.adapt(labels)
    objective = objective.first_stage() if OBJECTIVES[name].first_stage else objective
    distiller = FrozenTeacherDistiller(
        models.get("wrn-40-2")(CLASSES, SHAPE),
        models.get("mobilenet-v2")(CLASSES, SHAPE),
        objectives=objective,
        label_weight=1.0,
    )
    distiller.compile(keras.optimizers.SGD(1e-3, momentum=0.9))
    distiller.make_train_function()
    generator = np.random.default_rng(0)
    x = tf.constant(generator.normal(size=(BATCH, *SHAPE)).astype("float32"))
    index = tf.constant(generator.integers(0, EXAMPLES, BATCH).astype("int32"))
    y = tf.gather(tf.constant(labels.astype("int32")), index)
    batch = ({"teacher": x, "student": x, "index": index}, y)
    iterator = iter(tf.data.Dataset.from_tensors(batch).repeat())
    return lambda: np.asarray(distiller.train_function(iterator)["loss"])


def measure_memory(name: str, settings: dict) -> float:
    """Peak memory in MiB above the start, in this process."""
    import tensorflow as tf

    np.asarray(tf.function(lambda: tf.zeros((1,)) + 1)())  # the framework's own start-up
    before = peak_mebibytes()
    step = make(name, settings)
    for _ in range(3):
        step()
    return peak_mebibytes() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--memory", default="kd,nst,crd", help="objectives, or nothing")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(measure_memory(*json.loads(arguments.one)))
        return
    print(f"keras {keras.version()}, {keras.backend.backend()}, {os.cpu_count()} cores, graph mode")
    # First: a process inherits the peak of the one that started it.
    asked = [v for v in variants() if v[0] in arguments.memory.split(",")]
    if asked:
        print(f"\n{'objective':26}{'peak MiB':>10}")
    for variant in asked:
        child = [sys.executable, __file__, "--one", json.dumps(variant)]
        output = subprocess.run(child, capture_output=True, text=True, check=True).stdout
        print(f"{title(*variant):26}{float(output.split()[-1]):10.0f}")
    steps = {title(*variant): make(*variant) for variant in variants()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(arguments.repeats + 2):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if repeat >= 2:  # the first ones compile and warm up
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"\n{'objective':26}{'ms a step':>10}{'over kd':>9}")
    for name, value in medians.items():
        print(f"{name:26}{1e3 * value:10.1f}{value / medians['kd']:9.3f}")


if __name__ == "__main__":
    main()
