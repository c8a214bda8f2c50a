"""Claim: on a GPU ProKT trains in less time than the same steps in plain PyTorch.

Three pairs of the paper's CIFAR-100 networks, batch 64, on one GPU. Ours is `fit` on the JAX
backend as the app `cifar100` runs it: images on the device, augmented there, many steps a dispatch.
The peer is `pytorch_prokt.py` (eager, channels last) on one batch that stays on the GPU, with no
augmentation, in float32 (convolutions in TF32, as JAX has them) and under bfloat16 autocast. The
sides take turns, each in a process of its own. Printed for each setting: ms a step, images per
second, the ratio of the medians to PyTorch's in the same precision (claim: at most 1.0), peak
memory on the device (of ours with both step functions and the data set there, of the peer with
one batch), and for ours the floor of 4 F_T + 3 F_S from measured parts: a training step of either
model by `fit` and a forward of the teacher.

    python benchmarks/accelerator_step.py [--repeats 5] [--pairs A:B,...] [--precision float32]
"""

import argparse
import itertools
import os
import statistics
import time

from sides import Side, in_turn, serve

PAIRS = ("wrn-40-2:shufflenet-v1", "vgg13:mobilenet-v2", "wrn-16-2:mobilenet-v2")
PRECISIONS = ("float32", "bfloat16")
STEPS_AT_ONCE = (1, 16)
BATCH, CLASSES, SHAPE = 64, 100, (32, 32, 3)
STEPS = 192
"""Steps a call; a multiple of all `STEPS_AT_ONCE`."""
MEBIBYTE = 2**20


def our_side(teacher_name: str, student_name: str, precision: str) -> None:
    """Serves `fit` over `STEPS` steps, and the parts it is made of."""
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the peer is on this GPU too
    import jax
    import keras
    import numpy as np

    from keras_prokt import ProKTDistiller, StudentOnly, models
    from keras_prokt.data.batches import Batches
    from keras_prokt.data.cifar import Augmentation
    from keras_prokt.optimizers import CoupledSGD

    [device] = jax.devices()
    if device.platform == "cpu":
        raise SystemExit("Expected a GPU that JAX sees, received the CPU; run image_step.py there.")
    if precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    generator = np.random.default_rng(0)
    batches = Batches(
        generator.integers(0, 256, (BATCH * STEPS, *SHAPE), dtype="uint8"),
        generator.integers(0, CLASSES, BATCH * STEPS).astype("int32"),
        batch_size=BATCH,
        shuffle=True,
        transform=Augmentation(),
        on_device=True,
    )

    def sgd(rate):
        return CoupledSGD(rate, momentum=0.9, l2=5e-4)

    def network(name):
        return models.get(name)(CLASSES, SHAPE)

    def fitting(distiller, steps_at_once, **optimizers):
        distiller.compile(**optimizers, steps_per_execution=steps_at_once)
        return lambda: distiller.fit(batches.for_training(), steps_per_epoch=STEPS, verbose=0)

    def prokt(steps_at_once):
        distiller = ProKTDistiller(network(teacher_name), network(student_name))
        return fitting(distiller, steps_at_once, optimizer=sgd(0.01), teacher_optimizer=sgd(0.05))

    def alone(name, rate):
        return fitting(StudentOnly(network(name)), STEPS_AT_ONCE[-1], optimizer=sgd(rate))

    def forwards(name):
        model = network(name)
        trained = [v.value for v in model.trainable_variables]
        others = [v.value for v in model.non_trainable_variables]
        images = next(batches.epoch())[0]

        @jax.jit
        def run(images):
            def body(images, _):
                logits, _ = model.stateless_call(trained, others, images, training=False)
                return images + 1e-6 * logits.sum(), None  # each waits for the one before

            return jax.lax.scan(body, images, None, length=STEPS)[0]

        return lambda: run(images).block_until_ready()

    calls = {f"step, {n} a dispatch": prokt(n) for n in STEPS_AT_ONCE}
    for call in calls.values():
        call()  # compiles
    peak = device.memory_stats()["peak_bytes_in_use"] / MEBIBYTE
    calls |= {
        "teacher training step": alone(teacher_name, 0.05),
        "teacher forward": forwards(teacher_name),
        "student training step": alone(student_name, 0.01),
    }
    for call in calls.values():
        call()
    versions = f"keras {keras.version()}, jax {jax.__version__}"
    serve({"card": device.device_kind, "versions": versions, "peak": peak}, calls)


def peer_side(teacher_name: str, student_name: str, precision: str) -> None:
    """Serves `STEPS` steps of PyTorch."""
    import torch
    from pytorch_prokt import ProKT

    torch.manual_seed(0)
    x = torch.randn(BATCH, 3, *SHAPE[:2], device="cuda").to(memory_format=torch.channels_last)
    y = torch.randint(0, CLASSES, (BATCH,), device="cuda")
    method = ProKT(teacher_name, student_name, device="cuda")
    is_bfloat16 = precision == "bfloat16"

    def steps():
        for _ in range(STEPS):
            # Within a step only: it keeps cast weights, which the update leaves behind.
            with torch.autocast("cuda", torch.bfloat16, is_bfloat16, cache_enabled=False):
                method.step(x, y)
        torch.cuda.synchronize()

    steps()
    peak = torch.cuda.max_memory_allocated() / MEBIBYTE
    about = {"card": torch.cuda.get_device_name(), "versions": f"torch {torch.__version__}"}
    serve({**about, "peak": peak}, {"step": steps})


def measure(pair: str, precision: str, sides: dict[str, Side], repeats: int) -> None:
    seconds = in_turn(sides, repeats)
    for side in sides.values():
        side.close()
    ms = {call: 1e3 * statistics.median(values) / STEPS for call, values in seconds.items()}
    ours, peer = sides["ours"].about, sides["peer"].about
    print(f"\n{pair.replace(':', ' -> ')}, {precision}, batch {BATCH}, {ours['card']}")
    print(f"  {ours['versions']}; {peer['versions']}; {time.strftime('%Y-%m-%d')}")
    base = ms["peer", "step"]
    print(f"  PyTorch {base:.2f} ms a step, {1e3 * BATCH / base:,.0f} images/s")
    for count in STEPS_AT_ONCE:
        step = ms["ours", f"step, {count} a dispatch"]
        values = seconds["ours", f"step, {count} a dispatch"]
        spread = (max(values) - min(values)) / statistics.median(values)
        print(
            f"  ours, {count} a dispatch: {step:.2f} ms, {1e3 * BATCH / step:,.0f} images/s, ratio "
            f"to PyTorch {step / base:.3f} (claim: at most 1.0), range of {repeats}: {spread:.0%}"
        )
    names = ("teacher training step", "teacher forward", "student training step")
    floor = sum(ms["ours", name] for name in names)
    detail = " + ".join(f"{name} {ms['ours', name]:.2f}" for name in names)
    print(f"  floor of 4 F_T + 3 F_S: {floor:.2f} ms: {step / floor:.3f} of it ({detail})")
    print(f"  peak memory on the card: ours {ours['peak']:.0f} MiB, PyTorch {peer['peak']:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pairs", default=",".join(PAIRS))
    parser.add_argument("--precision", default=",".join(PRECISIONS))
    parser.add_argument("--side", choices=("ours", "peer"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side = {"ours": our_side, "peer": peer_side}[arguments.side]
        side(*arguments.pairs.split(":"), arguments.precision)
        return
    settings = itertools.product(arguments.pairs.split(","), arguments.precision.split(","))
    started = {  # all compile at the same time, which takes longer than measuring
        (pair, precision): {
            side: Side(
                __file__, "--side", side, "--pairs", pair, "--precision", precision, waits=False
            )
            for side in ("ours", "peer")
        }
        for pair, precision in settings
    }
    for setting, sides in started.items():
        print(*setting, "ready:", *(side.about["versions"] for side in sides.values()), flush=True)
    for (pair, precision), sides in started.items():
        measure(pair, precision, sides, arguments.repeats)


if __name__ == "__main__":
    main()
