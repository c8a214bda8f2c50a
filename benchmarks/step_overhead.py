"""Claim: a ProKT step costs at most 1.05 times the sum of its parts.

The parts are a training step of the teacher, a forward of the teacher and a training step of the
student, each a plain compiled function of the same framework on the same batch: the floor of
4 F_T + 3 F_S forwards (F = one forward; a training step is 3 F). Both sides run in turn in one
process, so that other load on the machine hits both; the printed ratio is that of the medians.

    python benchmarks/step_overhead.py [--repeats 60]
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_prokt import ProKTDistiller, models
from keras_prokt.models.convolutional import convnet

LIMIT = 1.05
PAIRS = {
    "digits: cnn-large -> cnn-small, 8x8": (
        lambda: models.get("cnn-large")(10, (8, 8, 1)),
        lambda: models.get("cnn-small")(10, (8, 8, 1)),
        (8, 8, 1),
        10,
    ),
    "wrn-16-2 -> 3 convolutions, 32x32": (
        lambda: models.get("wrn-16-2")(100, (32, 32, 3)),
        lambda: convnet(100, (32, 32, 3), widths=(16, 32, 64)),
        (32, 32, 3),
        100,
    ),
}


def training_step(model: keras.Model, optimizer: keras.optimizers.Optimizer):
    """The usual training step on labels or soft targets, as a user would write it."""
    import tensorflow as tf

    optimizer.build(model.trainable_variables)

    @tf.function
    def step(x, targets):
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = tf.reduce_mean(
                tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=logits)
            )
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return step


def forward(model: keras.Model):
    """A forward in inference mode."""
    import tensorflow as tf

    return tf.function(lambda x: model(x, training=False))


def measure(build_teacher, build_student, shape, classes, repeats: int, batch: int = 64) -> dict:
    """Median seconds of the joint step and of each part, measured in turn."""
    import tensorflow as tf

    generator = np.random.default_rng(0)
    x = tf.constant(generator.normal(size=(batch, *shape)).astype("float32"))
    y = tf.constant(generator.integers(0, classes, batch).astype("int32"))
    targets = tf.one_hot(y, classes)

    distiller = ProKTDistiller(build_teacher(), build_student())
    distiller.compile(
        keras.optimizers.SGD(1e-3, momentum=0.9),
        teacher_optimizer=keras.optimizers.SGD(1e-3, momentum=0.9),
    )
    distiller.make_train_function()
    dataset = tf.data.Dataset.from_tensors((x, y)).repeat()
    iterator = iter(dataset)
    teacher, student = build_teacher(), build_student()
    train_teacher = training_step(teacher, keras.optimizers.SGD(1e-3, momentum=0.9))
    train_student = training_step(student, keras.optimizers.SGD(1e-3, momentum=0.9))
    run_teacher = forward(teacher)
    sides = {
        "prokt step": lambda: distiller.train_function(iterator)["loss"],
        "teacher training step": lambda: train_teacher(x, targets),
        "teacher forward": lambda: run_teacher(x),
        "student training step": lambda: train_student(x, targets),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 5):
        for name, call in sides.items():
            started = time.perf_counter()
            np.asarray(call())
            if repeat >= 5:  # the first ones compile and warm up
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=60)
    repeats = parser.parse_args().repeats
    print(f"keras {keras.version()}, {keras.backend.backend()}, {os.cpu_count()} cores, graph mode")
    for name, pair in PAIRS.items():
        seconds = measure(*pair, repeats=repeats)
        joint = seconds.pop("prokt step")
        parts = sum(seconds.values())
        detail = " + ".join(f"{part} {1e3 * value:.2f}" for part, value in seconds.items())
        print(f"{name}, batch 64: {1e3 * joint:.2f} ms against {1e3 * parts:.2f} ms ({detail})")
        print(f"  ratio {joint / parts:.3f} (claim: at most {LIMIT})")


if __name__ == "__main__":
    main()
