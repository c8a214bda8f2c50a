"""Students that were trained on other backends leave in every form, from there."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from fine_tuned import write_classifier
from marks import thorough

from keras_prokt.export import FORMATS

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="starts the others itself"),
]

PROGRAM = """
import sys
import keras
import numpy as np
from keras import layers
from keras_prokt import ProKTDistiller
from keras_prokt.export import FORMATS
from keras_prokt.export.comparison import Examples
from keras_prokt.export.student import export_compared
from keras_prokt.models.bert import bert_classifier

folder, form = sys.argv[1:]
draw = np.random.default_rng(0)

def of_pictures(width):
    image = keras.Input((6, 6, 2), name="image")
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(width, 3)(image)))
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))

if form == "huggingface":
    teacher, student = (bert_classifier(f"{folder}/bert", 2) for _ in range(2))
    ids = draw.integers(5, 12, (8, 6)).astype("int32")
    mask = (np.arange(6) < draw.integers(2, 7, (8, 1))).astype("int32")
    batch = {"token_ids": ids, "padding_mask": mask, "segment_ids": 0 * ids}
else:
    teacher, student = of_pictures(8), of_pictures(4)
    batch = draw.normal(size=(8, 6, 6, 2)).astype("float32")
distiller = ProKTDistiller(teacher, student)
distiller.compile("adam", teacher_optimizer="adam")
before = [weight.copy() for weight in student.get_weights()]
distiller.fit(batch, np.arange(8) % 2, verbose=0)
assert any((a != b).any() for a, b in zip(before, student.get_weights()))
card = FORMATS[form]
path = f"{folder}/{card.file or card.place}"
examples = Examples([batch], "training examples")
found = export_compared(student, path, form, examples=examples, verbose=True)
print(keras.backend.backend(), found.comparison.difference)
"""

QUICK = ("jax", "onnx")
OTHERS = [(b, f) for b in ("jax", "torch") for f in FORMATS if (b, f) != QUICK]


@pytest.mark.parametrize(("backend", "form"), [QUICK, *thorough(*OTHERS)])
def test_a_student_trained_there_is_the_one_that_leaves(tmp_path, backend, form):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    if missing := FORMATS[form].missing():
        pytest.skip(f"needs {', '.join(missing)}")
    if form == "huggingface":
        write_classifier(tmp_path / "bert", ["no", "yes"], "Bert")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), form],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    used, difference = done.stdout.split()[-2:]
    assert used == backend and float(difference) < 1e-5
    assert Path(tmp_path, FORMATS[form].place).exists() or list(tmp_path.glob("model.*"))
