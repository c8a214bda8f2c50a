"""Teachers on texts: what transformers has fine-tuned, as a directory and as a module."""

import csv

import keras
import numpy as np
import own_teachers
import pytest
from command_line import keras_prokt

from keras_prokt import load_student
from keras_prokt.data.teacher_outputs import read_teacher_outputs
from keras_prokt.runs import RunSpec, record, run
from keras_prokt.runs.task import prepare

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


def spec_of(folder, method="student", **settings):
    table = {"dataset": str(folder / "reviews.csv"), "text_columns": ("body",)}
    return RunSpec.resolve("text", method, **table, label_column="stars", **settings)


@pytest.mark.slow
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


@pytest.mark.thorough
@pytest.mark.whole_run
@pytest.mark.filterwarnings("ignore::keras_prokt.data.table.DuplicateTexts")
def test_what_was_recorded_teaches_as_the_directory_itself(teacher, tmp_path):
    folder, _, _ = teacher
    bert = str(folder / "bert")
    record(spec_of(folder, teacher=bert), [bert], tmp_path / "outputs.npz")
    usual = {"teacher": bert, "epochs": 2, "batch_size": 16}
    specs = {
        "live": spec_of(folder, "kd", teacher_epochs=0, **usual),
        "stored": spec_of(folder, "kd", teacher_outputs=str(tmp_path / "outputs.npz"), **usual),
    }
    weights = []
    for name, spec in specs.items():
        run(spec, tmp_path / name, export=False, cache=tmp_path / "cache")
        weights.append(load_student(tmp_path / name / "student.keras").get_weights())
    for pair in zip(*weights, strict=True):
        np.testing.assert_allclose(*pair, atol=1e-5)


@pytest.mark.filterwarnings("ignore::keras_prokt.data.table.DuplicateTexts")
def test_columns_of_the_table_itself_teach(teacher, texts, tmp_path):
    folder, _, _ = teacher
    shares = np.random.default_rng(0).dirichlet(np.ones(3), size=len(texts))
    rows = [(*row, CLASSES[n % 3], *shares[n]) for n, row in enumerate(zip(texts, strict=True))]
    with (tmp_path / "reviews.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("body", "stars", "a", "b", "c"), *rows])
    columns = {"teacher_columns": "probabilities=a,b,c", "teacher": str(folder / "bert")}
    outputs = str(tmp_path / "reviews.csv")
    train = prepare(spec_of(tmp_path, "kd", teacher_outputs=outputs, **columns)).train
    assert 0 < train.num_examples < len(texts)
    np.testing.assert_allclose(train.targets, np.log(shares[train.origin.positions]), rtol=1e-5)
