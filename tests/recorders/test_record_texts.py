"""Teachers on texts: what transformers has fine-tuned, as a directory and as a module."""

import csv

import keras
import numpy as np
import own_teachers
import pytest
from command_line import keras_prokt

from keras_prokt.data.teacher_outputs import read_teacher_outputs
from keras_prokt.runs import RunSpec
from keras_prokt.runs.recording import record

fine_tuned = pytest.importorskip("fine_tuned", reason="needs transformers and torch")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="kinds of teachers, on the default backend"
)
# The classes of the table are sorted, those of the teacher are not.
LABELS, CLASSES = ["good", "bad", "fair"], ["bad", "fair", "good"]


@pytest.fixture(scope="module")
def texts():
    random = np.random.default_rng(0)
    sizes = random.integers(2, 9, 40)
    return [f"{' '.join(random.choice(fine_tuned.WORDS, size=size))}" for size in sizes]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, texts):
    """A folder with a table and the directory of a teacher, and the logits of all rows."""
    folder = tmp_path_factory.mktemp("texts")
    model = fine_tuned.write_classifier(folder / "bert", LABELS)
    with (folder / "reviews.csv").open("w", newline="") as file:
        rows = [(text, CLASSES[number % 3]) for number, text in enumerate(texts)]
        csv.writer(file).writerows([("body", "stars"), *rows])
    return folder, model, fine_tuned.logits_of(model, folder / "bert", texts)


def spec_of(folder, **settings):
    table = {"dataset": str(folder / "reviews.csv"), "text_columns": ("body",)}
    return RunSpec.resolve("text", "student", **table, label_column="stars", **settings)


@pytest.mark.filterwarnings("ignore::keras_prokt.data.table.DuplicateTexts")
def test_a_fine_tuned_directory_brings_its_word_pieces_and_classes(teacher, tmp_path):
    folder, _, logits = teacher
    arguments = ["--dataset", "reviews.csv", "--text", "body", "--label", "stars"]
    out = tmp_path / "outputs.npz"
    result = keras_prokt(
        "record", "--app", "text", *arguments, "--teacher", "bert", "--out", out, cwd=folder
    )
    assert result.exit_code == 0, result.output
    read = read_teacher_outputs(str(out), class_names=CLASSES)
    expected = logits[read.index][:, [LABELS.index(name) for name in CLASSES]]
    np.testing.assert_allclose(read.values, expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore::keras_prokt.data.table.DuplicateTexts")
def test_a_module_of_transformers_reads_our_inputs_by_its_names(teacher, tmp_path, monkeypatch):
    folder, model, logits = teacher
    make = fine_tuned.transformers.BertForSequenceClassification
    monkeypatch.setattr(own_teachers, "bert", lambda: make(model.config), raising=False)
    name = f"own_teachers:bert@{folder / 'bert' / 'model.safetensors'}"
    spec = spec_of(folder, teacher=str(folder / "bert"))
    recorded = record(spec, [name], tmp_path / "outputs.npz", class_order=LABELS)
    expected = logits[recorded.index][:, [LABELS.index(name) for name in CLASSES]]
    np.testing.assert_allclose(recorded.logits, expected, atol=1e-4)
