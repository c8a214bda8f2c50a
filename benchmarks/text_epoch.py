"""Claim: texts train at least as fast as in a PyTorch loop that batches them by length too.

ProKT of a BERT into the bi-LSTM on SST-2, batch 32, with the recipe of app `glue-sst2`. Four
sides, each in a process of its own, take turns of some steps of the first epoch, data pipeline
included: ours (batches by length), ours with every text padded to 128 (the authors' protocol),
and `pytorch_text_prokt.py` with random batches padded to their longest text and with batches by
length. Printed: examples per second with the standard error over the turns (batches differ in
length); ours over the padded protocol (claim: at least 4), over PyTorch with random batches
(claim: at least 1.0) and over PyTorch with batches by length (claim: at least 1.0); the peak
memory of each above its framework's start-up (claim: at most 1.2 times PyTorch's).

Both compute Algorithm 1. Ours computes of BERT's last layer what [CLS] needs; PyTorch's, as
transformers does, all of it.

    python benchmarks/text_epoch.py --teacher DIRECTORY [--data-dir DIR] [--repeats 8]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from sides import Side, in_turn, peak_mebibytes, print_peaks, serve

BATCH, MAX_LENGTH = 32, 128
STEPS = {"ours": 10, "padded": 2, "peer": 10, "peer-by-length": 10}
"""Steps of a turn."""
WARM_UP = 10


def our_side(arguments: argparse.Namespace, *, padded: bool) -> None:
    """Serves steps of `ProKTDistiller.fit`'s own training function."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_prokt import ProKTDistiller
    from keras_prokt.app import TaskRequest, get_app
    from keras_prokt.data.batches import Batches

    np.asarray(tf.function(lambda: tf.matmul(tf.ones((8, 8)), tf.ones((8, 8))))())
    start = peak_mebibytes()
    app = get_app("glue-sst2")
    request = TaskRequest(arguments.teacher, "bilstm", BATCH, 0, data_dir=arguments.data_dir)
    task = app.prepare(request)
    train = task.train
    if padded:
        inputs = {
            role: {name: _padded(rows) for name, rows in values.items()}
            for role, values in train.inputs.items()
        }
        train = Batches(inputs, train.labels, batch_size=BATCH, shuffle=True)
    distiller = ProKTDistiller(task.build_teacher(), task.build_student())
    steps = app.recipe.epochs * len(train)
    distiller.compile(
        app.recipe.student_optimizer("bilstm").build(steps),
        teacher_optimizer=app.recipe.teacher.build(steps),
    )
    distiller.make_train_function()
    batches = iter(train.for_training())

    def take(count: int) -> None:
        for _ in range(count):
            logs = distiller.train_function(batches)
        np.asarray(logs["loss"])

    take(WARM_UP)
    about = {"versions": f"keras {keras.version()}, tensorflow {tf.__version__}"}
    serve(about, {"steps": lambda: take(STEPS["padded" if padded else "ours"])}, start)


def _padded(rows):
    import numpy as np

    values = np.zeros((len(rows), MAX_LENGTH), rows[0].dtype)
    for row, value in zip(rows, values, strict=True):
        value[: len(row)] = row
    return values


def peer_side(arguments: argparse.Namespace, *, by_length: bool) -> None:
    """Serves steps of the PyTorch loop."""
    os.environ["USE_TF"] = "0"  # transformers would import it
    import torch
    import transformers
    from pytorch_text_prokt import TextProKT

    torch.ones(8, 8) @ torch.ones(8, 8)
    start = peak_mebibytes()
    torch.manual_seed(0)
    texts, labels = json.loads(Path(arguments.texts).read_text())
    method = TextProKT(arguments.teacher, texts, labels, BATCH, by_length=by_length)

    def take(count: int) -> None:
        for _ in range(count):
            method.step()

    take(WARM_UP)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    serve({"versions": versions}, {"steps": lambda: take(STEPS["peer"])}, start)


def write_texts(arguments: argparse.Namespace) -> None:
    """Texts and labels for the side that has no TensorFlow."""
    from keras_prokt_apps.glue.data import load_glue

    split = load_glue("sst2", "train", data_dir=arguments.data_dir)
    values = [list(split.columns[0]), [int(label) for label in split.labels]]
    Path(arguments.texts).write_text(json.dumps(values))


def measure(options: list[str], repeats: int) -> None:
    sides = {side: Side(__file__, "--side", side, *options) for side in STEPS}
    seconds = in_turn(sides, repeats)
    rates = {}
    for (side, _), values in seconds.items():
        rates[side] = STEPS[side] * BATCH * len(values) / sum(values)
        error = statistics.stdev(STEPS[side] * BATCH / value for value in values)
        error /= len(values) ** 0.5
        print(
            f"  {side:14} {rates[side]:6.1f} ± {error:.1f} examples/s ({len(values)} turns of "
            f"{STEPS[side]} steps), {sides[side].about['versions']}"
        )
    peaks = {name: side.ask("peak") for name, side in sides.items()}
    for side in sides.values():
        side.close()
    print(f"  ours over padded to {MAX_LENGTH}: {rates['ours'] / rates['padded']:.2f} (claim: 4)")
    print(f"  ours over PyTorch: {rates['ours'] / rates['peer']:.2f} (claim: at least 1.0)")
    by_length = rates["ours"] / rates["peer-by-length"]
    print(f"  ours over PyTorch with batches by length: {by_length:.2f} (claim: at least 1.0)")
    print_peaks(peaks["ours"], peaks["peer"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    minilm = os.environ.get("MINILM_DIR")
    parser.add_argument(
        "--teacher",
        default=minilm,
        required=minilm is None,
        help="a BERT in a Hugging Face directory [default: $MINILM_DIR]",
    )
    parser.add_argument("--data-dir", default=os.environ.get("TFDS_DATA_DIR"))
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--side", choices=(*STEPS, "texts"), help=argparse.SUPPRESS)
    parser.add_argument("--texts", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        {
            "ours": lambda: our_side(arguments, padded=False),
            "padded": lambda: our_side(arguments, padded=True),
            "peer": lambda: peer_side(arguments, by_length=False),
            "peer-by-length": lambda: peer_side(arguments, by_length=True),
            "texts": lambda: write_texts(arguments),
        }[arguments.side]()
        return
    if arguments.repeats < 2:
        parser.error(f"Expected --repeats of at least 2, received {arguments.repeats}.")
    print(f"{os.cpu_count()} cores; each side uses all of them, in turn")
    with tempfile.TemporaryDirectory() as folder:
        # Ours is to tokenize in its own process, as the peer does, whatever earlier runs have kept.
        os.environ["KERAS_PROKT_CACHE"] = str(Path(folder) / "cache")
        options = ["--teacher", arguments.teacher, "--texts", str(Path(folder) / "texts.json")]
        if arguments.data_dir:
            options += ["--data-dir", arguments.data_dir]
        subprocess.run([sys.executable, __file__, "--side", "texts", *options], check=True)
        measure(options, arguments.repeats)


if __name__ == "__main__":
    main()
