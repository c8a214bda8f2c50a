"""What is claimed of ProKT, fixed before it is measured.

The primary claim is the found recipe against plain distillation and against the labels, where the
labels are right; everything else is secondary.
"""

from keras_prokt.runs.protocol import Claim, Contrast

_BASELINES = ("kd", "labels")
_TASKS = {"digits-long": "accuracy", "mrpc-full": "f1", "sst2-20k": "accuracy"}
_NOISY = {"digits-wrong-labels": "accuracy", "sst2-wrong-labels": "accuracy"}

CLAIMS = (
    Claim(
        "primary",
        "the found recipe of ProKT beats distillation and the labels at equal total cost",
        tuple(
            Contrast(protocol, "prokt, found recipe", baseline, metric)
            for protocol, metric in _TASKS.items()
            for baseline in _BASELINES
        ),
    ),
    Claim(
        "secondary: wrong labels",
        "the same with 30 % wrong training labels, against the better teacher epoch too",
        tuple(
            Contrast(protocol, "prokt, found recipe", baseline, metric)
            for protocol, metric in _NOISY.items()
            for baseline in (*_BASELINES, "kd, best teacher epoch")
        ),
    ),
)
