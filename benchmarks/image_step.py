"""Claim: on CPU a ProKT step takes no longer than the same step in plain PyTorch.

Three pairs of the paper's CIFAR-100 networks, batch 64: our step in TensorFlow graph mode beside
`pytorch_prokt.py` (eager, channels last), in turn, each side in a process of its own that the
other does not compete with. Processes differ among themselves (where their memory lies), so each
pair is started several times. Printed: the median over all rounds of our step's time over that of
PyTorch's in the same round (claim: at most 1.0), images per second, our step over the sum of its
parts (claim: at most 1.05; the parts are a training step of the teacher, a forward of it, a
training step of the student, and the student's own forward that makes the proximal target) and
over the floor of 4 F_T + 3 F_S forwards from the measured parts, and the peak memory of each side
above its framework's start-up (claim: at most 1.2 times PyTorch's). The parts are measured one at a
time; in a step, forwards without gradients run beside others.

    python benchmarks/image_step.py [--repeats 10] [--starts 3] [--pairs wrn-16-2:mobilenet-v2]
"""

import argparse
import collections
import os
import statistics
from collections.abc import Iterable, Mapping

from sides import Side, in_turn, peak_mebibytes, print_peaks, print_ratio, serve

PAIRS = ("wrn-40-2:shufflenet-v1", "vgg13:mobilenet-v2", "wrn-16-2:mobilenet-v2")
BATCH, CLASSES, SHAPE = 64, 100, (32, 32, 3)
WARM_UP = 3


def our_side(teacher_name: str, student_name: str) -> None:
    """Serves our step, and the parts it is made of, each a compiled function."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_prokt import ProKTDistiller, models
    from keras_prokt.optimizers import CoupledSGD

    np.asarray(
        tf.function(lambda: tf.nn.conv2d(tf.ones((1, 8, 8, 3)), tf.ones((3, 3, 3, 3)), 1, "SAME"))()
    )
    start = peak_mebibytes()
    generator = np.random.default_rng(0)
    x = tf.constant(generator.normal(size=(BATCH, *SHAPE)).astype("float32"))
    y = tf.constant(generator.integers(0, CLASSES, BATCH).astype("int32"))

    def network(name):
        return models.get(name)(CLASSES, SHAPE)

    def training_step(model, rate):
        optimizer = CoupledSGD(rate, momentum=0.9, l2=5e-4)
        optimizer.build(model.trainable_variables)

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                logits = model(x, training=True)
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
                )
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            return loss

        return step

    distiller = ProKTDistiller(network(teacher_name), network(student_name))
    distiller.compile(
        CoupledSGD(0.01, momentum=0.9, l2=5e-4),
        teacher_optimizer=CoupledSGD(0.05, momentum=0.9, l2=5e-4),
    )
    distiller.make_train_function()
    iterator = iter(tf.data.Dataset.from_tensors((x, y)).repeat())

    def step():
        return np.asarray(distiller.train_function(iterator)["loss"])

    for _ in range(WARM_UP):
        step()
    peak = peak_mebibytes() - start
    teacher, student = network(teacher_name), network(student_name)
    forwards = [tf.function(lambda m=m: m(x, training=False)) for m in (teacher, student)]
    train_teacher, train_student = training_step(teacher, 0.05), training_step(student, 0.01)
    calls = {
        "step": step,
        "teacher training step": lambda: np.asarray(train_teacher()),
        "teacher forward": lambda: np.asarray(forwards[0]()),
        "student forward": lambda: np.asarray(forwards[1]()),
        "student training step": lambda: np.asarray(train_student()),
    }
    for call in calls.values():
        call()  # compiles
    serve(
        {"versions": f"keras {keras.version()}, tensorflow {tf.__version__}", "peak": peak}, calls
    )


def peer_side(teacher_name: str, student_name: str) -> None:
    """Serves the PyTorch step."""
    import torch
    from pytorch_prokt import ProKT

    torch.nn.functional.conv2d(torch.ones(1, 3, 8, 8), torch.ones(3, 3, 3, 3))
    start = peak_mebibytes()
    torch.manual_seed(0)
    x = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, CLASSES, (BATCH,))
    method = ProKT(teacher_name, student_name)
    for _ in range(WARM_UP):
        method.step(x, y)
    about = {"versions": f"torch {torch.__version__}", "peak": peak_mebibytes() - start}
    serve(about, {"step": lambda: method.step(x, y).item()})


def sum_of(seconds: Mapping[tuple[str, str], list[float]], parts: Iterable[str]) -> list[float]:
    """Seconds of our parts together in each round."""
    return [sum(times) for times in zip(*(seconds["ours", part] for part in parts), strict=True)]


def measure(pair: str, repeats: int, starts: int) -> None:
    seconds: dict[tuple[str, str], list[float]] = collections.defaultdict(list)
    peaks: dict[str, list[float]] = collections.defaultdict(list)
    for _ in range(starts):
        sides = {side: Side(__file__, "--side", side, "--pairs", pair) for side in ("ours", "peer")}
        for call, values in in_turn(sides, repeats).items():
            seconds[call] += values
        for name, side in sides.items():
            peaks[name].append(side.about["peak"])
            side.close()
    median = {call: statistics.median(values) for call, values in seconds.items()}
    ours, peer = median["ours", "step"], median["peer", "step"]
    parts = {
        name: median["ours", name] for side, name in seconds if side == "ours" and name != "step"
    }
    forward_t, forward_s = parts["teacher forward"], parts["student forward"]
    print(f"\n{pair.replace(':', ' -> ')}, batch {BATCH}")
    print(f"  ours {1e3 * ours:.0f} ms, {BATCH / ours:.0f} images/s; PyTorch {1e3 * peer:.0f} ms")
    steps = seconds["ours", "step"]
    print_ratio("ratio to PyTorch", steps, seconds["peer", "step"], starts, "1.0")
    print_ratio("ratio to the sum of its parts", steps, sum_of(seconds, parts), starts, "1.05")
    detail = " + ".join(f"{name} {1e3 * value:.0f}" for name, value in parts.items())
    print(f"    parts, ms: {detail}")
    floor = sum_of(seconds, [name for name in parts if name != "student forward"])
    print_ratio("ratio to the floor of 4 F_T + 3 F_S from the parts", steps, floor, starts)
    print(f"    F_T {1e3 * forward_t:.0f} ms, F_S {1e3 * forward_s:.0f} ms")
    print_peaks(*(statistics.median(peaks[name]) for name in ("ours", "peer")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--pairs", default=",".join(PAIRS))
    parser.add_argument("--side", choices=("ours", "peer"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        {"ours": our_side, "peer": peer_side}[arguments.side](*arguments.pairs.split(":"))
        return
    print(f"{os.cpu_count()} cores; both sides use all of them, in turn")
    for pair in arguments.pairs.split(","):
        measure(pair, arguments.repeats, arguments.starts)


if __name__ == "__main__":
    main()
