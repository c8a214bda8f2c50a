"""How many wrong labels `keras-prokt suspects` finds, beside cleanlab's find_label_issues.

    python benchmarks/suspect_labels.py [--noise 0 0.05 0.3] [--seed 0]
    python benchmarks/suspect_labels.py --app glue-sst2 --teacher ./minilm --limit 2000 --epochs 4

A share of the training labels is made wrong (another class at random). Ours: one run of ProKT
(the app's own recipe and student), the rows whose label both models contradict. Theirs:
`cleanlab.filter.find_label_issues`, with its defaults, of cross-validated predictions of the same
student trained on the labels alone (five folds, the same optimizer and epochs). Precision is the
share of the named rows whose label is wrong, recall the share of the wrong labels that is named.
"""

import argparse
import csv
import functools
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from cleanlab.filter import find_label_issues
from sklearn.model_selection import StratifiedKFold

from keras_prokt import StudentOnly
from keras_prokt.data.batches import inputs_of
from keras_prokt.results.evaluation import outputs_of
from keras_prokt.runs import RunSpec, run, suspects
from keras_prokt.runs.optimizers import optimizer_recipe
from keras_prokt.runs.task import prepare

FOLDS = 5


def of_run(spec: RunSpec) -> set[int]:
    """Positions of the rows that both models of a run contradict."""
    with tempfile.TemporaryDirectory() as folder:
        run(spec, Path(folder, "run"), export=False, save_teacher=True)
        suspects(Path(folder, "run"), Path(folder, "found.csv"))
        with Path(folder, "found.csv").open(newline="") as file:
            return {int(row["position"]) for row in csv.DictReader(file)}


def of_cleanlab(spec: RunSpec) -> set[int]:
    """Positions of the label issues that cleanlab finds."""
    task = prepare(spec)
    train, classes = task.train, len(task.class_names)
    in_order, labels = train.in_order(), train.labels
    probabilities = np.zeros((len(labels), classes))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=spec.seed)
    for rest, fold in folds.split(labels, labels):
        keras.utils.set_random_seed(spec.seed)
        student, part = task.build_student(), train.taking(rest)
        trainer = StudentOnly(student, student_inputs=functools.partial(inputs_of, role="student"))
        steps = len(part) * spec.epochs
        trainer.compile(optimizer_recipe(spec.optimizers["student"]).build(steps))
        trainer.fit(part.for_training(), steps_per_epoch=len(part), epochs=spec.epochs, verbose=0)
        logits = outputs_of(student, in_order.taking(fold), "student")
        probabilities[fold] = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    return set(train.origin.positions[find_label_issues(labels, probabilities)].tolist())


def labels_of(spec: RunSpec) -> dict[int, int]:
    """The label of each training row, by its position."""
    train = prepare(spec).train
    return dict(zip(train.origin.positions.tolist(), train.labels.tolist(), strict=True))


def main() -> None:
    """Prints two rows for each share of wrong labels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--app", default="digits", help="digits, or an app on text")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.05, 0.3])
    parser.add_argument("--seed", type=int, default=0)
    for name, kind in (("teacher", str), ("student", str), ("limit", int), ("epochs", int)):
        parser.add_argument(f"--{name}", type=kind)
    arguments = parser.parse_args()
    given: dict[str, Any] = {
        name: getattr(arguments, name)
        for name in ("seed", "teacher", "student", "limit", "epochs")
        if getattr(arguments, name) is not None
    }
    right = labels_of(RunSpec.resolve(arguments.app, "prokt", **given))
    print("rows  wrong labels  method    named  precision  recall  seconds")
    for noise in arguments.noise:
        settings = {"label_noise": noise} if noise else {}
        spec = RunSpec.resolve(arguments.app, "prokt", **given, **settings)
        labels = labels_of(spec)
        wrong = {position for position, label in labels.items() if label != right[position]}
        for name, find in (("suspects", of_run), ("cleanlab", of_cleanlab)):
            started = time.perf_counter()
            found = find(spec)
            hits, seconds = len(found & wrong), time.perf_counter() - started
            precision = f"{hits / len(found):9.3f}" if found else "        –"
            recall = f"{hits / len(wrong):6.3f}" if wrong else "     –"
            print(
                f"{len(labels):4}  {len(wrong):12}  {name:8}  {len(found):5}  {precision}  "
                f"{recall}  {seconds:7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
