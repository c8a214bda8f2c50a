"""Claim: images of a folder are read at least as fast as by a PyTorch ImageFolder and DataLoader.

Photos in a folder a class, made here: JPEG of 320 x 240 pixels. Three sides, each in a process of
its own, take turns of a whole epoch of training batches: app `images` with kept pixels (`cached`)
and without (`streamed`), and a PyTorch `DataLoader` with a worker a core over a data set that does
what torchvision's `ImageFolder` and transforms do: decode, resize, crop after padding, mirror,
normalise, all by Pillow and torch. Both give shuffled batches of 64 float images. Printed: images
per second, ours over PyTorch's in the same round (claim: at least 1.0 for both), and the memory of
each with its workers after the last round (proportional set size, pages that processes share
counted once).

    python benchmarks/image_folder.py [--count 1500] [--size 96] [--repeats 5]
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path

from sides import Side, in_turn, serve

BATCH, CLASSES = 64, 4
SIDES = ("cached", "streamed", "peer")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def write_photos(folder: Path, count: int) -> None:
    """Smooth noise, which compresses about as photos do."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(count):
        part = folder / "train" / f"class {number % CLASSES}"
        part.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (30, 40, 3), dtype="uint8"))
        coarse.resize((320, 240)).save(part / f"{number}.jpg", quality=90)
    for number in range(CLASSES):
        part = folder / "val" / f"class {number}"
        part.mkdir(parents=True)
        Image.new("RGB", (320, 240), (number, 0, 0)).save(part / "0.jpg")


def our_side(arguments: argparse.Namespace, cache_images: str) -> None:
    """Serves epochs of the app's own training batches."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    from keras_prokt.runs.spec import RunSpec
    from keras_prokt.runs.task import prepare

    spec = RunSpec.resolve(
        "images",
        "student",
        dataset=arguments.folder,
        image_size=str(arguments.size),
        image_mean=",".join(map(str, MEAN)),
        image_deviation=",".join(map(str, DEVIATION)),
        batch_size=BATCH,
        cache_images=cache_images,
    )
    train = prepare(spec).train

    def epoch() -> None:
        # One epoch of shuffled and augmented batches, and nothing made ahead of the next one.
        for _ in train.for_evaluation():
            pass

    serve({"versions": f"keras {keras.version()}"}, {"epoch": epoch})


def peer_side(arguments: argparse.Namespace) -> None:
    """Serves epochs of PyTorch's loader."""
    import random

    import numpy as np
    import torch
    from PIL import Image, ImageOps

    size, padding = arguments.size, arguments.size // 8
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))

    class ImageFolder(torch.utils.data.Dataset):
        def __init__(self, root: Path):
            classes = sorted(path for path in root.iterdir() if path.is_dir())
            self.samples = [
                (path, number)
                for number, folder in enumerate(classes)
                for path in sorted(folder.iterdir())
            ]

        def __len__(self) -> int:
            return len(self.samples)

        def __getitem__(self, index: int):
            path, label = self.samples[index]
            with open(path, "rb") as file:
                image = Image.open(file).convert("RGB")
            image = ImageOps.expand(image.resize((size, size), Image.BILINEAR), padding)
            left, top = random.randint(0, 2 * padding), random.randint(0, 2 * padding)
            image = image.crop((left, top, left + size, top + size))
            if random.random() < 0.5:
                image = ImageOps.mirror(image)
            values = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
            return values.to(torch.float32).div(255).sub_(mean).div_(deviation), label

    loader = torch.utils.data.DataLoader(
        ImageFolder(Path(arguments.folder) / "train"),
        batch_size=BATCH,
        shuffle=True,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
    )

    def epoch() -> None:
        for _ in loader:
            pass

    serve({"versions": f"torch {torch.__version__}"}, {"epoch": epoch})


def memory_of(pid: int) -> float:
    """Mebibytes of a process and those that it has started."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    own = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own / 1024 + sum(memory_of(int(child)) for child in children)


def measure(arguments: argparse.Namespace, options: list[str]) -> None:
    sides = {side: Side(__file__, "--side", side, *options) for side in SIDES}
    seconds = in_turn(sides, arguments.repeats)
    for side in SIDES:
        rates = [arguments.count / value for value in seconds[side, "epoch"]]
        print(
            f"  {side:9} {statistics.median(rates):7.0f} images/s (from {min(rates):.0f} to "
            f"{max(rates):.0f}), {memory_of(sides[side].process.pid):.0f} MiB, "
            f"{sides[side].about['versions']}"
        )
    for side in SIDES[:2]:
        pairs = zip(seconds[side, "epoch"], seconds["peer", "epoch"], strict=True)
        ratio = statistics.median(theirs / ours for ours, theirs in pairs)
        print(f"  {side} over PyTorch: {ratio:.2f} (claim: at least 1.0)")
    for side in sides.values():
        side.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1500, help="photos")
    parser.add_argument("--size", type=int, default=96, help="size to which they are brought")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side == "peer":
        peer_side(arguments)
    elif arguments.side:
        our_side(arguments, "always" if arguments.side == "cached" else "never")
    else:
        print(f"{os.cpu_count()} cores; each side uses all of them, in turn")
        with tempfile.TemporaryDirectory() as folder:
            os.environ["KERAS_PROKT_CACHE"] = str(Path(folder) / "cache")
            write_photos(Path(folder) / "photos", arguments.count)
            options = ["--folder", str(Path(folder) / "photos"), "--size", str(arguments.size)]
            measure(arguments, options)


if __name__ == "__main__":
    main()
