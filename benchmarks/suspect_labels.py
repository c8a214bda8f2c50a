"""How many wrong labels `keras-prokt suspects` finds, beside cleanlab's find_label_issues.

    python benchmarks/suspect_labels.py [--noise 0 0.05 0.3] [--seed 0]

The digits, a share of whose 1,200 training labels is made wrong (another class at random). Ours:
one run of ProKT (the app's own teacher, student and recipe), the rows whose label both models
contradict. Theirs: `cleanlab.filter.find_label_issues`, with its defaults, of cross-validated
predictions of the same student trained on the labels alone (five folds, the same optimizer and
epochs). Precision is the share of the named rows whose label is wrong, recall the share of the
wrong labels that is named.
"""

import argparse
import csv
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from cleanlab.filter import find_label_issues
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

from keras_prokt import models
from keras_prokt.app import get_app
from keras_prokt.runs import RunSpec, run, suspects
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
    train = prepare(spec).train
    images, labels = np.asarray(train.inputs["student"]), train.labels
    recipe = get_app(spec.app).recipe
    probabilities = np.zeros((len(labels), 10))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=spec.seed)
    for rest, fold in folds.split(images, labels):
        keras.utils.set_random_seed(spec.seed)
        student = models.get(spec.student)(10, (8, 8, 1))
        steps = -(-len(rest) // spec.batch_size) * spec.epochs
        student.compile(
            recipe.student_optimizer(spec.student).build(steps),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        student.fit(
            images[rest],
            labels[rest],
            epochs=spec.epochs,
            batch_size=spec.batch_size,
            verbose=0,
        )
        logits = student.predict(images[fold], verbose=0)
        probabilities[fold] = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    return set(train.origin.positions[find_label_issues(labels, probabilities)].tolist())


def main() -> None:
    """Prints a row for each share of wrong labels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.05, 0.3])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    right = load_digits().target
    print("wrong labels  method    named  precision  recall  seconds")
    for noise in arguments.noise:
        settings = {"label_noise": noise} if noise else {}
        spec = RunSpec.resolve("digits", "prokt", seed=arguments.seed, **settings)
        train = prepare(spec).train
        pairs = zip(train.origin.positions.tolist(), train.labels.tolist(), strict=True)
        wrong = {position for position, label in pairs if label != right[position]}
        for name, find in (("suspects", of_run), ("cleanlab", of_cleanlab)):
            started = time.perf_counter()
            found = find(spec)
            hits, seconds = len(found & wrong), time.perf_counter() - started
            precision = f"{hits / len(found):9.3f}" if found else "        –"
            recall = f"{hits / len(wrong):6.3f}" if wrong else "     –"
            print(
                f"{len(wrong):12}  {name:8}  {len(found):5}  {precision}  {recall}  {seconds:7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
